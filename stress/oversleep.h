#ifndef IPCMARK_STRESS_OVERSLEEP_H_
#define IPCMARK_STRESS_OVERSLEEP_H_

// Wake-ups that are lost and healed. Who waits in a primitive of ours looks up by itself after 40 or 97 ms (kLookNanos,
// kNetNanos), so that a peer which was killed with a wake-up in its hands costs no more than that. A lost wake-up of
// any other cause would be healed just so, and no bound of seconds would ever see it. What shows it is processes that
// sleep although one of them could go on: not slow, not without a CPU, not on a machine that stood still, but asleep,
// through two looks kOversleptNanos apart, and without having been on a CPU or ready for one in between. So however
// busy the machine is, nobody is accused who was only late: who has been woken is not asleep any more, whenever it gets
// its CPU.

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "stress/patience.h"

namespace ipcmark::stress {

// Less than any net.
inline constexpr int64_t kOversleptNanos = 20'000'000;

// For processes of which one can always go on, or a single one. Whoever waits for them looks again and again.
class Oversleep {
 public:
  // `could_go_on`: at this moment somebody could. `progress` changes with whatever they do.
  void Note(bool could_go_on, uint64_t progress, absl::FunctionRef<std::vector<pid_t>()> processes);
  // The longest sleep of all of them while one could go on, if it was kOversleptNanos or more; else 0.
  [[nodiscard]] int64_t worst_nanos() const { return worst_nanos_; }

 private:
  int64_t last_look_nanos_ = 0;
  int64_t calm_since_nanos_ = 0;  // could_go_on, and no progress
  uint64_t progress_ = 0;
  int64_t sampled_nanos_ = 0;
  ThreadSamples samples_;  // of sampled_nanos_; empty: none, or not all were asleep
  int64_t worst_nanos_ = 0;
};

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_OVERSLEEP_H_
