#include "ipc/mmap_queue/posix_limit.h"

#include <signal.h>

namespace ipcmark::mmap_queue {
namespace {

// Whether this process has a handler that ends a blocked call with EINTR. Some 60 system calls.
bool HasInterruptingHandler() noexcept {
  for (int number = 1; number <= SIGRTMAX; ++number) {
    struct sigaction action;
    // EINVAL for those that the C library keeps to itself; its handlers restart.
    if (sigaction(number, nullptr, &action) != 0 || action.sa_handler == SIG_DFL || action.sa_handler == SIG_IGN) {
      continue;
    }
    if ((action.sa_flags & SA_RESTART) == 0) return true;
  }
  return false;
}

}  // namespace

os::FutexWait PosixLimit::Wait(const std::atomic<uint32_t>& word, uint32_t expected) {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  const timespec net = os::ToTimespec(now.tv_sec * os::kNanosPerSecond + now.tv_nsec + net_nanos_);
  const bool is_near = until_ != nullptr && LeftNanos(net_nanos_) < net_nanos_;
  const os::FutexWait end = os::WaitOnFutexAsPosix(word, expected, until_, is_near ? nullptr : &net);
  if (end != os::FutexWait::kDeadline && end != os::FutexWait::kInterrupted) return end;
  if (view_.IsTruncated()) {
    errno = EBADMSG;
    return os::FutexWait::kError;
  }
  if (end == os::FutexWait::kDeadline) net_nanos_ = HasInterruptingHandler() ? kLongNetNanos : kNetNanos;
  return end;
}

}  // namespace ipcmark::mmap_queue
