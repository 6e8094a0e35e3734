#ifndef IPCMARK_IPC_MMAP_QUEUE_POSIX_LIMIT_H_
#define IPCMARK_IPC_MMAP_QUEUE_POSIX_LIMIT_H_

// How long mq_send, mq_receive and their timed forms may wait: a Limit of transfer.h.

#include <fcntl.h>
#include <pthread.h>
#include <time.h>

#include <algorithm>
#include <cerrno>

#include "ipc/channel.h"
#include "ipc/os/clock.h"
#include "ipc/os/futex.h"

namespace ipcmark::mmap_queue {

// For calls that must not hang on a stopped holder of the lock.
inline timespec SecondFromNow() noexcept {
  timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  ++until.tv_sec;
  return until;
}

// Waits unless O_NONBLOCK is set for the open file description of `fd`, until `until` (CLOCK_REALTIME; null: for ever).
// O_NONBLOCK and `until` count only for a call that would have to wait, so they are looked at only then, and an
// uncontended call makes no system call. Each wait is a cancellation point.
//
// It sleeps in one go: it does not look up every few milliseconds, as the ends of a Channel do. A handler that runs
// between two such sleeps would go unnoticed, and EINTR would be lost to a caller that waits for just that; on a busy
// machine this "between" takes milliseconds. Nothing is lost with the looks: whoever commits has woken everybody
// before.
class PosixLimit {
 public:
  PosixLimit(int fd, const timespec* until) : fd_(fd), until_(until) {}

  IoResult MayWait() {
    const int flags = fcntl(fd_, F_GETFL);
    if (flags < 0) return IoResult::Of(Outcome::kError, EBADF);
    if ((flags & O_NONBLOCK) != 0) return IoResult::Of(Outcome::kWouldBlock, EAGAIN);
    if (until_ != nullptr && !IsInstant()) return IoResult::Of(Outcome::kError, EINVAL);
    return Passed() ? IoResult::Of(Outcome::kDeadline, ETIMEDOUT) : IoResult::Ok(0);
  }
  [[nodiscard]] bool Passed() const noexcept { return until_ != nullptr && IsInstant() && LeftNanos(1) <= 0; }
  // For the lock only.
  [[nodiscard]] Deadline Slice(int64_t nanos) const noexcept {
    return os::After(until_ != nullptr && IsInstant() ? LeftNanos(nanos) : nanos);
  }
  os::FutexWait Wait(const std::atomic<uint32_t>& word, uint32_t expected, Deadline /*until*/) const {
    return os::WaitOnFutexAsPosix(word, expected, until_);
  }
  int WaitLiterally(pthread_cond_t* condition, pthread_mutex_t* lock) const {
    return until_ == nullptr ? pthread_cond_wait(condition, lock) : pthread_cond_timedwait(condition, lock, until_);
  }
  static constexpr bool spins() { return false; }
  static constexpr bool touches() { return true; }

 private:
  [[nodiscard]] bool IsInstant() const noexcept {
    return until_->tv_sec >= 0 && until_->tv_nsec >= 0 && until_->tv_nsec < os::kNanosPerSecond;
  }
  // From now until the deadline, at most `most`.
  [[nodiscard]] int64_t LeftNanos(int64_t most) const noexcept {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    // A difference of seconds that may be huge; nothing here waits for more than a few.
    const int64_t seconds = std::clamp<int64_t>(until_->tv_sec - now.tv_sec, -1000, 1000);
    return std::min(most, seconds * os::kNanosPerSecond + (until_->tv_nsec - now.tv_nsec));
  }

  int fd_;
  const timespec* until_;
};

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_POSIX_LIMIT_H_
