#include "ipc/os/futex.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "ipc/os/clock.h"

namespace ipcmark::os {

// The kernel reads and compares the word as a plain 32-bit integer.
static_assert(sizeof(std::atomic<uint32_t>) == 4 && std::atomic<uint32_t>::is_always_lock_free);

FutexWait WaitOnFutex(const std::atomic<uint32_t>& word, uint32_t expected, Deadline deadline) noexcept {
  // A time before the machine's start (another clock's, converted) is a time in the past, not EINVAL.
  const timespec until = ToTimespec(std::max<int64_t>(0, deadline.monotonic_nanos));
  // The BITSET form takes an absolute time of CLOCK_MONOTONIC; plain FUTEX_WAIT would take a relative one, which a
  // signal storm could renew for ever.
  const long rc = syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, expected, deadline.never() ? nullptr : &until, nullptr,
                          FUTEX_BITSET_MATCH_ANY);
  if (rc == 0) return FutexWait::kWoken;
  switch (errno) {
    case EAGAIN:
      return FutexWait::kChanged;
    case ETIMEDOUT:
      return FutexWait::kDeadline;
    case EINTR:
      return FutexWait::kInterrupted;
    default:
      return FutexWait::kError;
  }
}

int WakeFutex(const std::atomic<uint32_t>& word, int count) noexcept {
  const long woken = syscall(SYS_futex, &word, FUTEX_WAKE, count, nullptr, nullptr, 0);
  return woken < 0 ? 0 : static_cast<int>(woken);
}

int WakeAllOnFutex(const std::atomic<uint32_t>& word) noexcept { return WakeFutex(word, INT_MAX); }

}  // namespace ipcmark::os
