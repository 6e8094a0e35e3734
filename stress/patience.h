#ifndef IPCMARK_STRESS_PATIENCE_H_
#define IPCMARK_STRESS_PATIENCE_H_

// How long processes may take for something, counted in time in which they could have done it. A process that has no
// CPU, that somebody has stopped (SIGSTOP), or that was on a machine that stood still, is not slow. In this file:
//
//   CpuTimes       what the kernel says of a thread's time: on a CPU, and ready for one
//   OwnCpuTimes    of this process
//   SampleThreads  what all threads of some processes are at
//   UsableNanos    how much of a stretch of time a thread could use
//   Patience       a bound in such time

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <vector>

#include "absl/functional/function_ref.h"

namespace ipcmark::stress {

// Of one thread, since it began (proc(5): schedstat). A wait for a CPU counts only once it is over.
struct CpuTimes {
  int64_t ran_nanos = 0;
  int64_t waited_nanos = 0;
  bool known = false;  // false: the kernel does not say
  friend bool operator==(const CpuTimes&, const CpuTimes&) = default;
};
CpuTimes OwnCpuTimes();

struct ThreadSample {
  CpuTimes times;
  char state;  // os::ProcessState
  friend bool operator==(const ThreadSample&, const ThreadSample&) = default;
};
// Of the living threads of `processes` and of all that they have forked, by thread number.
using ThreadSamples = std::map<pid_t, ThreadSample>;
ThreadSamples SampleThreads(std::vector<pid_t> processes);

// How much of the last `nanos` a thread could use: none while it was stopped, and not while it waited for a CPU; but
// who has had one for a fifth of the time that it wanted it has had enough to get on, so that processes that spin
// beside each other for nothing do not excuse each other.
int64_t UsableNanos(const ThreadSample& before, const ThreadSample& now, int64_t nanos);

// Whoever waits calls IsOver again and again, some times in a slice (a sixteenth of the bound, but 20 ms at least):
// what lies between two calls beyond two slices does not count, since then the waiting process itself was kept from
// looking. Looks at /proc once in a slice, the first time when one has passed without Renew. For one thread.
class Patience {
 public:
  // After so many times the bound it is over whatever the machine does.
  static constexpr int64_t kMostBounds = 12;
  static constexpr int64_t kNoLimit = 0;

  explicit Patience(int64_t bound_nanos, int64_t most_bounds = kMostBounds);

  // Something has happened: the bound counts from now.
  void Renew();
  // The time since the last call counts for nothing.
  void Skip();
  // Whether `processes`, all that they have forked included, could run for the bound since the last Renew: each of
  // them, since any one may be the one that the others wait for.
  bool IsOver(absl::FunctionRef<std::vector<pid_t>()> processes);
  // How much time counted since the last Renew, up to the last look.
  [[nodiscard]] int64_t counted_nanos() const { return used_nanos_; }
  // How much time did not count so far, over all Renews.
  [[nodiscard]] int64_t excused_nanos() const { return excused_nanos_; }

 private:
  [[nodiscard]] int64_t Usable(const ThreadSamples& now, int64_t nanos) const;
  // The time since the last call, as far as it counts at all.
  int64_t Elapse();

  const int64_t bound_nanos_;
  const int64_t slice_nanos_;
  const int64_t most_nanos_;
  int64_t last_call_nanos_;
  int64_t since_sample_nanos_ = 0;
  int64_t used_nanos_ = 0;     // of the bound
  int64_t watched_nanos_ = 0;  // since the last Renew
  int64_t excused_nanos_ = 0;
  bool has_samples_ = false;
  ThreadSamples samples_;
};

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_PATIENCE_H_
