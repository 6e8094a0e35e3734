#ifndef IPCMARK_STRESS_STARVATION_H_
#define IPCMARK_STRESS_STARVATION_H_

// Who waits while others of its side are served, and could be served as well (invariants/fairness.cc).

#include <sys/types.h>

#include <cstdint>
#include <map>

#include "stress/patience.h"
#include "stress/plan.h"

namespace ipcmark::stress {

// To be overtaken by fewer is what any queue without turns does.
inline constexpr uint64_t kStarvedOperations = 1'000;
// For so long, in time in which others were served and its process could run.
inline constexpr int64_t kMostStarvedNanos = 200'000'000;
// The same for ends that spin, of which the slowest of many trials got nothing for 83 ms (plan.h).
inline constexpr int64_t kMostStarvedSpinningNanos = 500'000'000;
inline int64_t MostStarvedNanos(const TrialPlan& plan) {
  return plan.geometry.wait == Wait::kSpin ? kMostStarvedSpinningNanos : kMostStarvedNanos;
}

// One end, as the parent sees it each time that it looks. Time in which nobody is served, and what Patience takes off,
// does not count.
class Starvation {
 public:
  struct Look {
    pid_t process;
    bool works;          // is open, and there is traffic
    uint64_t completed;  // operations of this end
    uint64_t others;     // those of the rest of its side
  };
  void Note(const Look& look);
  // So many of the others' operations since its last one.
  [[nodiscard]] uint64_t overtaken() const { return overtaken_; }
  // The longest wait of one operation in which it was overtaken by kStarvedOperations or more, of the time that counts.
  [[nodiscard]] int64_t worst_nanos() const { return worst_nanos_; }

 private:
  // Never over; what counts is how long it was.
  Patience patience_{kMostStarvedNanos, Patience::kNoLimit};
  bool waits_ = false;
  uint64_t completed_ = 0;
  uint64_t others_ = 0;         // at the last look
  uint64_t others_before_ = 0;  // when it began to wait
  uint64_t overtaken_ = 0;
  int64_t worst_nanos_ = 0;
};

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_STARVATION_H_
