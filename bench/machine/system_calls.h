#ifndef IPCMARK_BENCH_MACHINE_SYSTEM_CALLS_H_
#define IPCMARK_BENCH_MACHINE_SYSTEM_CALLS_H_

// System calls of a thread, counted by the kernel (perf_event_open(2) on the tracepoint raw_syscalls:sys_enter), where
// it lets us.
//
// While any counter is open every system call of every process takes the kernel's slow way in. So they are counted in
// runs of their own, whose times nobody looks at.

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "ipc/os/fd.h"

namespace ipcmark::bench {

// Where the kernel shows its tracepoints.
inline constexpr char kTracefs[] = "/sys/kernel/tracing";

class SystemCallCounter {
 public:
  // Counts the calling thread's from now on. kUnavailable with what refused and the remedy.
  static absl::StatusOr<SystemCallCounter> Open(const std::string& tracefs = kTracefs);

  // So far, with the one that reads it: two reads are apart by what was between them and one more. kUnavailable when
  // the kernel does not say.
  [[nodiscard]] absl::StatusOr<int64_t> Read() const;

 private:
  explicit SystemCallCounter(os::Fd fd) : fd_(std::move(fd)) {}
  os::Fd fd_;
};

// Whether UsageMeter (slice.h) counts them, in this process and in the children forked after. Off at first.
void CountSystemCalls(bool on) noexcept;
bool CountsSystemCalls() noexcept;

// This process's own, opened at the first call in each process; null where it may not be opened.
const SystemCallCounter* OwnSystemCallCounter() noexcept;

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_MACHINE_SYSTEM_CALLS_H_
