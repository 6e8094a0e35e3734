#include "ipc/os/futex.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "ipc/os/clock.h"

namespace ipcmark::os {

// The kernel reads and compares the word as a plain 32-bit integer.
static_assert(sizeof(std::atomic<uint32_t>) == 4 && std::atomic<uint32_t>::is_always_lock_free);

namespace {

FutexWait Classified(long rc) {
  if (rc >= 0) return FutexWait::kWoken;
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

}  // namespace

FutexWait WaitOnFutex(const std::atomic<uint32_t>& word, uint32_t expected, Deadline deadline) noexcept {
  // A time before the machine's start (another clock's, converted) is a time in the past, not EINVAL.
  const timespec until = ToTimespec(std::max<int64_t>(0, deadline.monotonic_nanos));
  // The BITSET form takes an absolute time of CLOCK_MONOTONIC; plain FUTEX_WAIT would take a relative one, which a
  // signal storm could renew for ever.
  const long rc = syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, expected, deadline.never() ? nullptr : &until, nullptr,
                          FUTEX_BITSET_MATCH_ANY);
  return Classified(rc);
}

// Not inlined and not noexcept: the forced unwinding of a cancelled thread starts in here.
__attribute__((noinline)) long CancellableSyscall(long number, const void* first, long second, long third,
                                                  const timespec* until, long fifth, long sixth) {
  int type;
  pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
  const long rc = syscall(number, first, second, third, until, fifth, sixth);
  const int err = errno;
  pthread_setcanceltype(type, &type);
  errno = err;
  return rc;
}

FutexWait WaitOnFutexAsPosix(const std::atomic<uint32_t>& word, uint32_t expected, const timespec* realtime,
                             const timespec* look) {
  const timespec* const until = look != nullptr ? look : realtime;
  // The kernel restarts a FUTEX_WAIT only when it has no timeout (it would have to remember how much is left).
  // futex_waitv takes an absolute time, and a clock, and can simply be begun again.
  static std::atomic<bool> is_missing = false;
  if (until != nullptr && !is_missing.load(std::memory_order_relaxed)) {
    futex_waitv waiter{};
    waiter.val = expected;
    waiter.uaddr = reinterpret_cast<uintptr_t>(&word);
    waiter.flags = FUTEX_32;
    const FutexWait end = Classified(CancellableSyscall(SYS_futex_waitv, &waiter, 1, 0, until, CLOCK_REALTIME, 0));
    // EPERM: a sandbox that does not know it.
    if (end != FutexWait::kError || (errno != ENOSYS && errno != EPERM)) return end;
    is_missing.store(true, std::memory_order_relaxed);
  }
  return Classified(CancellableSyscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, expected,
                                       realtime == nullptr ? nullptr : until, 0, FUTEX_BITSET_MATCH_ANY));
}

int WakeFutex(const std::atomic<uint32_t>& word, int count) noexcept {
  const long woken = syscall(SYS_futex, &word, FUTEX_WAKE, count, nullptr, nullptr, 0);
  return woken < 0 ? 0 : static_cast<int>(woken);
}

int WakeAllOnFutex(const std::atomic<uint32_t>& word) noexcept { return WakeFutex(word, INT_MAX); }

}  // namespace ipcmark::os
