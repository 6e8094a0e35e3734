#include <fcntl.h>
#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_format.h"
#include "ipc/mmap_queue/mmap_queue.h"
#include "ipc/os/clock.h"
#include "ipc/os/error.h"
#include "ipc/os/fd.h"
#include "ipc/os/futex.h"

namespace ipcmark::mmap_queue {
namespace {

// As in the ring: about the cost of the sleep that it may save.
constexpr int kSpinRounds = 2000;
// The longest wait without looking up: the net under a wake-up that a killed process could not send any more.
constexpr int64_t kLookNanos = 40'000'000;

// Lets everybody who waits on `condition` look again. Called with the lock held and *before* the commit: whoever is
// woken then waits for the lock, so that our death right after the wake-up still ends its sleep; woken after the
// commit, a message could be committed with everybody asleep.
void Wake(Condition& condition) noexcept {
  if (condition.awaited.load(std::memory_order_relaxed) == 0) return;
  condition.sequence.fetch_add(1, std::memory_order_relaxed);
  os::WakeAllOnFutex(condition.sequence);
  // Last: dying before this line costs the next sender a needless wake-up, dying after an early clear would cost a
  // waiter its wake-up.
  condition.awaited.store(0, std::memory_order_relaxed);
}

// The shortest wait for the lock. Its owners hold it for a copy: a call with a deadline that has passed already must
// not fail because it met one of them.
constexpr int64_t kLockNanos = 1'000'000;

// pthread_mutex_clocklock for at most kLookNanos and not beyond `deadline` (kLockNanos at least).
int LockForASlice(pthread_mutex_t* lock, Deadline deadline) noexcept {
  const int64_t now = os::MonotonicNanos();
  const int64_t until_nanos = deadline.immediate()
                                  ? now + kLookNanos
                                  : std::clamp(deadline.monotonic_nanos, now + kLockNanos, now + kLookNanos);
#ifdef __SANITIZE_THREAD__
  // GCC 12's ThreadSanitizer does not know pthread_mutex_clocklock and would take the unlock for a bug.
  timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until = os::ToTimespec(until.tv_sec * os::kNanosPerSecond + until.tv_nsec + until_nanos - now);
  return pthread_mutex_timedlock(lock, &until);
#else
  const timespec until = os::ToTimespec(until_nanos);
  return pthread_mutex_clocklock(lock, CLOCK_MONOTONIC, &until);
#endif
}

}  // namespace

IoResult End::Lock(Deadline deadline) noexcept {
  pthread_mutex_t* lock = &core_.header().lock;
  int err = pthread_mutex_trylock(lock);
  while (err == EBUSY || err == ETIMEDOUT) {
    // In slices: when a *waiter* of a robust mutex is killed, plain pthread_mutex_lock can leave the others asleep on a
    // free lock (138 of 20,000 kills). An immediate call waits too: the lock is held for a copy, not for a message.
    err = LockForASlice(lock, deadline);
    if (err == ETIMEDOUT && !deadline.immediate() && os::HasPassed(deadline)) return IoResult::Of(Outcome::kDeadline);
  }
  if (err == EOWNERDEAD) {
    core_.Rebuild();
    ++core_.header().recoveries;
    err = pthread_mutex_consistent(lock);
  }
  return err == 0 ? IoResult::Ok(0) : IoResult::Of(Outcome::kError, err);
}

void End::Unlock() noexcept { pthread_mutex_unlock(&core_.header().lock); }

IoResult End::Sleep(Condition& condition, Deadline deadline) noexcept {
  condition.awaited.store(1, std::memory_order_relaxed);
  const uint32_t seen = condition.sequence.load(std::memory_order_relaxed);
  Unlock();
  // A wake-up between the unlock and the sleep has changed the sequence, and the kernel does not put us to sleep.
  switch (os::WaitOnFutex(condition.sequence, seen, os::Slice(deadline, kLookNanos))) {
    case os::FutexWait::kInterrupted:
      return IoResult::Of(Outcome::kInterrupted, EINTR);
    case os::FutexWait::kError:
      return IoResult::Of(Outcome::kError, errno);
    default:
      return IoResult::Ok(0);
  }
}

void End::Spin(bool for_message) noexcept {
  const uint32_t hopeless = for_message ? 0 : core_.depth();
  for (int round = 0; round < kSpinRounds; ++round) {
    if (core_.header().count.load(std::memory_order_relaxed) != hopeless) return;
    os::SpinHint();
  }
}

IoResult Sender::Send(std::span<const std::byte> message, uint32_t priority, Deadline deadline) noexcept {
  if (message.size() > core_.max_message_bytes()) return IoResult::Of(Outcome::kTooBig, EMSGSIZE);
  if (priority >= kPriorityLevels) return IoResult::Of(Outcome::kError, EINVAL);
  for (bool may_spin = wait_ == Wait::kSpinThenBlock;; may_spin = false) {
    IoResult result = Lock(deadline);
    if (!result.ok()) return result;
    bool damaged = false;
    const uint32_t slot = core_.Prepare(message, priority, &damaged);
    if (slot != kNoSlot) {
      Wake(core_.header().not_empty);
      core_.Commit(slot);
      Unlock();
      return IoResult::Ok(message.size());
    }
    if (damaged || deadline.immediate() || os::HasPassed(deadline)) {
      Unlock();
      if (damaged) return IoResult::Of(Outcome::kError, EBADMSG);
      return deadline.immediate() ? IoResult::Of(Outcome::kWouldBlock, EAGAIN) : IoResult::Of(Outcome::kDeadline);
    }
    if (may_spin) {
      Unlock();
      Spin(/*for_message=*/false);
    } else {
      result = Sleep(core_.header().not_full, deadline);
      if (!result.ok()) return result;
    }
  }
}

IoResult Receiver::Receive(std::span<std::byte> buffer, uint32_t* priority, Deadline deadline) noexcept {
  for (bool may_spin = wait_ == Wait::kSpinThenBlock;; may_spin = false) {
    IoResult result = Lock(deadline);
    if (!result.ok()) return result;
    bool damaged = false;
    const uint32_t slot = core_.Highest(&damaged);
    if (slot != kNoSlot) {
      const std::span<const std::byte> payload = core_.Payload(slot);
      if (payload.size() > buffer.size()) {
        Unlock();
        return IoResult::Of(Outcome::kTooBig, EMSGSIZE, payload.size());
      }
      if (!payload.empty()) memcpy(buffer.data(), payload.data(), payload.size());
      if (priority != nullptr) *priority = core_.SlotAt(slot).priority;
      Wake(core_.header().not_full);
      core_.Take(slot);
      Unlock();
      return IoResult::Ok(payload.size());
    }
    if (damaged || deadline.immediate() || os::HasPassed(deadline)) {
      Unlock();
      if (damaged) return IoResult::Of(Outcome::kError, EBADMSG);
      return deadline.immediate() ? IoResult::Of(Outcome::kWouldBlock, EAGAIN) : IoResult::Of(Outcome::kDeadline);
    }
    if (may_spin) {
      Unlock();
      Spin(/*for_message=*/true);
    } else {
      result = Sleep(core_.header().not_empty, deadline);
      if (!result.ok()) return result;
    }
  }
}

absl::StatusOr<Channel> Channel::Create(const Geometry& geometry) {
  absl::Status fits = CheckGeometry("mmap_queue", kCapabilities, geometry);
  if (!fits.ok()) return fits;
  const char* named = getenv("IPCMARK_QUEUE_DIR");
  const char* directory = named != nullptr ? named : "/dev/shm";
  os::Fd fd(open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!fd.valid()) {
    return os::SyscallError(absl::StrFormat("open(%s, O_TMPFILE)", directory), errno,
                            "name a writable directory on a file system with O_TMPFILE in IPCMARK_QUEUE_DIR");
  }
  const uint64_t bytes = QueueBytes(geometry.depth_messages, geometry.max_message_bytes);
  // Unlike ftruncate it takes the pages now.
  const int err = bytes > LONG_MAX ? EFBIG : posix_fallocate(fd.get(), 0, static_cast<off_t>(bytes));
  if (err != 0) {
    return os::SyscallError(absl::StrFormat("posix_fallocate(%s, %d bytes)", directory, bytes), err,
                            "free space there, or ask for fewer or smaller messages");
  }
  absl::StatusOr<os::Mapping> mapping = os::Mapping::SharedFile(fd.get(), bytes);
  if (!mapping.ok()) return mapping.status();
  const int lock_err = Core::Initialise(mapping->address(), geometry.depth_messages, geometry.max_message_bytes);
  if (lock_err != 0) return os::SyscallError("pthread_mutex_init(robust, process-shared)", lock_err);
  return Channel(geometry, *std::move(mapping));
}

absl::StatusOr<std::shared_ptr<const os::Mapping>> Channel::Shared() const {
  if (mapping_ == nullptr) return absl::FailedPreconditionError("mmap_queue: open ends before ReleaseEnds");
  if (!Core::IsValid(mapping_->address(), mapping_->bytes())) {
    return absl::DataLossError("the file holds no valid queue (magic, version or sizes are off); create a new one");
  }
  return mapping_;
}

absl::StatusOr<Sender> Channel::OpenSender() {
  absl::StatusOr<std::shared_ptr<const os::Mapping>> mapping = Shared();
  if (!mapping.ok()) return mapping.status();
  return Sender(*std::move(mapping), geometry_.wait);
}

absl::StatusOr<Receiver> Channel::OpenReceiver() {
  absl::StatusOr<std::shared_ptr<const os::Mapping>> mapping = Shared();
  if (!mapping.ok()) return mapping.status();
  return Receiver(*std::move(mapping), geometry_.wait);
}

}  // namespace ipcmark::mmap_queue
