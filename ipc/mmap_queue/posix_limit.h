#ifndef IPCMARK_IPC_MMAP_QUEUE_POSIX_LIMIT_H_
#define IPCMARK_IPC_MMAP_QUEUE_POSIX_LIMIT_H_

// How long mq_send, mq_receive and their timed forms may wait: a Limit of view.h.

#include <fcntl.h>
#include <pthread.h>
#include <time.h>

#include <algorithm>
#include <cerrno>

#include "ipc/channel.h"
#include "ipc/mmap_queue/view.h"
#include "ipc/os/clock.h"
#include "ipc/os/futex.h"

namespace ipcmark::mmap_queue {

// Below 100 ms, and not what timers of programs are set to: those that end at the same moment are the ones that go
// unnoticed.
inline constexpr int64_t kNetNanos = 97'000'000;
inline constexpr int64_t kLongNetNanos = 10 * os::kNanosPerSecond;

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
// A sleep looks up after kNetNanos: the net under a wake-up that does not come, and where a truncated file ends the
// call. But a handler that runs between two sleeps goes unnoticed, and on a busy machine this "between" takes
// milliseconds: EINTR would be lost to a caller that waits for just that, say for its alarm(2). So where a handler is
// installed that may interrupt (without SA_RESTART), sleeps are long from the first look on. Nobody who lives or is
// killed needs the looks: whoever commits has woken everybody before.
class PosixLimit {
 public:
  // Reads *until now: a bad pointer must not fault under a lock. `net_nanos`: after which a sleep looks up first.
  PosixLimit(const View& view, const timespec* until, int64_t net_nanos = kNetNanos)
      : view_(view),
        instant_(until != nullptr ? *until : timespec{}),
        until_(until != nullptr ? &instant_ : nullptr),
        net_nanos_(net_nanos) {}
  PosixLimit(const PosixLimit&) = delete;
  PosixLimit& operator=(const PosixLimit&) = delete;

  IoResult MayWait() {
    const int flags = fcntl(view_.fd(), F_GETFL);
    if (flags < 0) return IoResult::Of(Outcome::kError, EBADF);
    if (until_ != nullptr && !IsInstant()) return IoResult::Of(Outcome::kError, EINVAL);
    if ((flags & O_NONBLOCK) != 0) return IoResult::Of(Outcome::kWouldBlock, EAGAIN);
    return Passed() ? IoResult::Of(Outcome::kDeadline, ETIMEDOUT) : IoResult::Ok(0);
  }
  [[nodiscard]] bool IsNonblocking() const noexcept {
    const int flags = fcntl(view_.fd(), F_GETFL);
    return flags >= 0 && (flags & O_NONBLOCK) != 0;
  }
  [[nodiscard]] bool Passed() const noexcept { return until_ != nullptr && IsInstant() && LeftNanos(1) <= 0; }
  // For the lock only.
  [[nodiscard]] Deadline Slice(int64_t nanos) const noexcept {
    return os::After(until_ != nullptr && IsInstant() ? LeftNanos(nanos) : nanos);
  }
  // kError with EBADMSG: the file was truncated meanwhile.
  os::FutexWait Wait(const std::atomic<uint32_t>& word, uint32_t expected);
  int WaitLiterally(pthread_cond_t* condition, pthread_mutex_t* lock) const {
    return until_ == nullptr ? pthread_cond_wait(condition, lock) : pthread_cond_timedwait(condition, lock, until_);
  }
  [[nodiscard]] bool spins() const noexcept { return view_.spins(); }
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

  const View& view_;
  const timespec instant_;
  const timespec* const until_;
  int64_t net_nanos_;
};

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_POSIX_LIMIT_H_
