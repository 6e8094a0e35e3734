#ifndef IPCMARK_BENCH_SLEEPER_H_
#define IPCMARK_BENCH_SLEEPER_H_

// Whether another process really sleeps, as the kernel sees it: not how long one has waited for it.

#include <sys/types.h>

#include "absl/status/statusor.h"
#include "ipc/os/fd.h"

namespace ipcmark::bench {

// Watches one process that lives in the same PID namespace. A look costs some microseconds and allocates nothing.
class Sleeper {
 public:
  static absl::StatusOr<Sleeper> Watch(pid_t pid);

  // Whether it is in an interruptible sleep now (state S of /proc/PID/stat), off every CPU. False when it is gone.
  [[nodiscard]] bool Sleeps() const noexcept { return State() == 'S'; }
  // Whether SIGSTOP has stopped it.
  [[nodiscard]] bool IsStopped() const noexcept { return State() == 'T'; }

 private:
  explicit Sleeper(os::Fd stat) : stat_(std::move(stat)) {}
  [[nodiscard]] char State() const noexcept;  // '?' when it is gone
  os::Fd stat_;
};

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_SLEEPER_H_
