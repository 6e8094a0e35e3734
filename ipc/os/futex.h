#ifndef IPCMARK_IPC_OS_FUTEX_H_
#define IPCMARK_IPC_OS_FUTEX_H_

// futex(2) between processes: wait while a 32-bit word in shared memory holds a value, wake those who wait.
// Async-signal-safe; the word may lie in any shared mapping.

#include <time.h>

#include <atomic>
#include <cstdint>

#include "ipc/channel.h"

namespace ipcmark::os {

// Every errno of FUTEX_WAIT_BITSET that is not a bug of the caller, classified.
enum class FutexWait : uint8_t {
  kWoken,        // 0: woken, or spuriously so: look again
  kChanged,      // EAGAIN: the word did not hold `expected` any more
  kDeadline,     // ETIMEDOUT
  kInterrupted,  // EINTR
  kError,        // EFAULT, EINVAL, ENOMEM, ...: errno says which (a hostile or vanished mapping)
};

// Sleeps until woken, while *word == expected, at most until `deadline` (CLOCK_MONOTONIC). Ordering: none of its own;
// the caller re-reads the word with the order that it needs.
FutexWait WaitOnFutex(const std::atomic<uint32_t>& word, uint32_t expected, Deadline deadline) noexcept;

// The wait of a POSIX call that blocks, such as mq_receive: until `realtime` (CLOCK_REALTIME; null: for ever), however
// that clock is set meanwhile; kDeadline at `look` too, an instant of the same clock before `realtime` (null: none; on
// kernels without futex_waitv also none for who waits for ever); interrupted by a handler with SA_RESTART it goes on,
// and kInterrupted is left for the other handlers; it is a cancellation point (hence not noexcept). Before Linux 5.16
// (futex_waitv) a timed wait is kInterrupted by every handler.
FutexWait WaitOnFutexAsPosix(const std::atomic<uint32_t>& word, uint32_t expected, const timespec* realtime,
                             const timespec* look);

// Wakes at most `count` waiters; returns how many were woken. Never fails for a mapped, aligned word.
int WakeFutex(const std::atomic<uint32_t>& word, int count) noexcept;
int WakeAllOnFutex(const std::atomic<uint32_t>& word) noexcept;

}  // namespace ipcmark::os

#endif  // IPCMARK_IPC_OS_FUTEX_H_
