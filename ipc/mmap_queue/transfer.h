#ifndef IPCMARK_IPC_MMAP_QUEUE_TRANSFER_H_
#define IPCMARK_IPC_MMAP_QUEUE_TRANSFER_H_

// Sending to and receiving from a mapped queue: the lock around the core, the waiting, and who is told. Every user of
// the queue goes through here; what differs between them is a Limit:
//
//   IoResult MayWait()             asked once, before the first wait and without the lock: ok, or the call's result
//   bool Passed()                  whether the deadline has passed
//   Deadline Slice(nanos)          the earlier of the deadline and `nanos` from now
//   os::FutexWait Wait(word, expected, until)   one sleep
//   int WaitLiterally(condition, lock)          one sleep until the deadline, of the policy posix: as pthread_cond_wait
//   bool spins()                   whether to poll for a while before the first sleep
//
// A limit may throw nothing but the forced unwinding of a cancelled thread, and only from MayWait and the two waits.

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>

#include "ipc/channel.h"
#include "ipc/copy.h"
#include "ipc/mmap_queue/core.h"
#include "ipc/mmap_queue/literal.h"
#include "ipc/mmap_queue/lock.h"
#include "ipc/mmap_queue/stage.h"
#include "ipc/os/clock.h"
#include "ipc/os/futex.h"

namespace ipcmark::mmap_queue {

// The longest wait without looking up: the net under a wake-up that a killed process could not send any more.
inline constexpr int64_t kLookNanos = 40'000'000;
// The shortest wait for the lock. Its owners hold it for a copy: a call with a deadline that has passed already must
// not fail because it met one of them.
inline constexpr int64_t kLockNanos = 1'000'000;
// Hints to the processor (25 ns each) while polling for the lock, before the first sleep for it and between two looks:
// turns of many messages where messages are small. Large ones are copied without the lock, and then it is free soon.
inline constexpr int kLockHints = 4000;
inline constexpr Pauses kTurns = {.first_hints = 40, .longest_hints = 640};
inline constexpr Pauses kNoTurns = {.first_hints = 4, .longest_hints = 40};

// A woken receiver has the lock by then, or it has died.
inline constexpr int64_t kTransitNanos = 100'000'000;

// For Lock only: so long a woken receiver tries, whatever its deadline.
class TransitLimit {
 public:
  [[nodiscard]] bool Passed() const noexcept { return os::HasPassed(end_); }
  [[nodiscard]] Deadline Slice(int64_t nanos) const noexcept { return os::Slice(end_, nanos); }

 private:
  Deadline end_ = os::After(kTransitNanos);
};

// One process's view of a mapped queue. Its operations may run in any number of threads at once; the mapping must
// outlive them.
class View {
 public:
  View() = default;
  // `fd`: a descriptor of the queue's file, through which registrations are found and told; -1: there are none.
  View(const Core& core, int fd) : core_(core), fd_(fd) {}

  [[nodiscard]] Core& core() { return core_; }
  [[nodiscard]] const Core& core() const { return core_; }
  [[nodiscard]] QueueHeader& header() const { return core_.header(); }
  [[nodiscard]] int fd() const { return fd_; }

  // Takes the lock; repairs the queue when its last owner died. kDeadline when it stays taken; kError with EBADMSG when
  // it is damaged and EDEADLK when this thread has it.
  template <typename Limit>
  IoResult Lock(Limit& limit, Hold& hold) {
    int err = 0;
    if (core_.policy() == Policy::kPosix) [[unlikely]] {
      err = LockLiterally(&header().lock);
      return err == 0 ? IoResult::Ok(0) : IoResult::Of(Outcome::kError, err);
    }
    do {
      err = hold.Try(&header().lock);
      if (err == EBUSY) [[unlikely]] {
        err = hold.Poll(&header().lock, kLockHints, core_.IsStaged() ? kNoTurns : kTurns);
      }
      if (err == EBUSY) [[unlikely]] {
        err = LockSlowly(limit, hold);
      }
      if (err == EOWNERDEAD) [[unlikely]] {
        err = Recover(hold);
      }
    } while (err == EAGAIN);
    if (err == ETIMEDOUT) return IoResult::Of(Outcome::kDeadline, ETIMEDOUT);
    return err == 0 ? IoResult::Ok(0) : IoResult::Of(Outcome::kError, err);
  }
  void Unlock(Hold& hold) noexcept {
    if (core_.policy() == Policy::kPosix) [[unlikely]] {
      UnlockLiterally(&header().lock);
    } else {
      hold.Release(&header().lock);
    }
  }

  // As POSIX mq_timedsend. kError with EINVAL for a priority of kPriorityLevels or more, with EBADMSG when the queue is
  // damaged.
  template <typename Limit>
  IoResult Send(std::span<const std::byte> message, uint32_t priority, Limit& limit);
  // As POSIX mq_timedreceive, but that a buffer need only be as large as the message. `priority` may be null.
  template <typename Limit>
  IoResult Receive(std::span<std::byte> buffer, uint32_t* priority, Limit& limit);

 private:
  // In slices until the limit; returns what Hold::TryUntil does.
  template <typename Limit>
  int LockSlowly(Limit& limit, Hold& hold) {
    for (StuckLock stuck;;) {
      const int err = hold.TryUntil(
          &header().lock, std::max(limit.Slice(kLookNanos).monotonic_nanos, os::MonotonicNanos() + kLockNanos));
      if (err != ETIMEDOUT || limit.Passed()) return err;
      if (stuck.IsDamaged(&header().lock)) return EBADMSG;
    }
  }
  // Rebuilds the queue, with the lock held. Returns 0; or, having given it back, EAGAIN or EBADMSG.
  int Recover(Hold& hold) noexcept;
  // Wake, Commit and Unlock. Death anywhere leaves the whole message or none of it, and nobody asleep beside it.
  void Finish(uint32_t slot, Hold& hold) noexcept;
  // With the lock held: sleeps until `condition` is woken, a look is due or `limit`. Gives the lock back and does not
  // take it again.
  template <typename Limit>
  os::FutexWait Sleep(Condition& condition, Limit& limit, Hold& hold) {
    if (core_.policy() == Policy::kPosix) return SleepLiterally(condition, limit);
    condition.awaited.store(1, std::memory_order_relaxed);
    const uint32_t seen = condition.sequence.load(std::memory_order_relaxed);
    Unlock(hold);
    // A wake-up between the unlock and the sleep has changed the sequence, and the kernel does not put us to sleep.
    return limit.Wait(condition.sequence, seen, limit.Slice(kLookNanos));
  }
  template <typename Limit>
  os::FutexWait SleepLiterally(Condition& condition, Limit& limit) {
    const LiteralSleep sleep(condition, &header().lock);
    errno = limit.WaitLiterally(&condition.literal, &header().lock);
    if (sleep.woken()) return os::FutexWait::kWoken;
    if (errno == ETIMEDOUT) return os::FutexWait::kDeadline;
    return errno == 0 ? os::FutexWait::kChanged : os::FutexWait::kError;
  }
  // What a caller hears who found nothing to do under the lock. `last`: how its last sleep ended.
  template <typename Limit>
  IoResult WhyNot(bool damaged, os::FutexWait last, int wait_err, Limit& limit) {
    if (damaged) return IoResult::Of(Outcome::kError, EBADMSG);
    if (last == os::FutexWait::kInterrupted) return IoResult::Of(Outcome::kInterrupted, EINTR);
    if (last == os::FutexWait::kError) return IoResult::Of(Outcome::kError, wait_err);
    if (limit.Passed()) return IoResult::Of(Outcome::kDeadline, ETIMEDOUT);
    return IoResult::Ok(0);
  }
  // Of one call: whether MayWait was asked, and how its last sleep ended.
  struct Waiting {
    bool asked = false;
    os::FutexWait last = os::FutexWait::kChanged;
    int err = 0;
  };
  // With the lock held and nothing to do: asks and polls, or sleeps on `condition`, while the queue holds `hopeless`
  // messages. Gives the lock back. ok: look again.
  template <typename Limit>
  IoResult Await(Condition& condition, uint32_t hopeless, bool damaged, Waiting& waiting, Limit& limit, Hold& hold) {
    if (waiting.asked || damaged) {
      const IoResult why_not = WhyNot(damaged, waiting.last, waiting.err, limit);
      if (!why_not.ok()) {
        Unlock(hold);
        return why_not;
      }
      waiting.last = Sleep(condition, limit, hold);
      waiting.err = errno;
      return IoResult::Ok(0);
    }
    Unlock(hold);
    waiting.asked = true;
    const IoResult may_wait = limit.MayWait();
    if (may_wait.ok() && (limit.spins() || core_.IsStaged())) Spin(hopeless, limit.spins());
    return may_wait;
  }
  // Polls without the lock for a bounded number of rounds, while the queue holds `hopeless` messages; unless `anyway`,
  // only while somebody copies in a stage: its commit, or its next call, is near.
  void Spin(uint32_t hopeless, bool anyway) const noexcept;

  Core core_;
  int fd_ = -1;
};

// Lets everybody who waits on `condition` look again; returns how many were asleep. Called with the lock held and
// *before* the commit: whoever is woken then waits for the lock, so that our death right after the wake-up still ends
// its sleep; woken after the commit, a message could be committed with everybody asleep.
uint32_t Wake(Condition& condition, Policy policy) noexcept;

template <typename Limit>
IoResult View::Send(std::span<const std::byte> message, uint32_t priority, Limit& limit) {
  if (message.size() > core_.max_message_bytes()) return IoResult::Of(Outcome::kTooBig, EMSGSIZE);
  if (priority >= kPriorityLevels) return IoResult::Of(Outcome::kError, EINVAL);
  bool may_stage = message.size() >= kStagedBytes;
  for (Waiting waiting;;) {
    StageHold stage(core_);
    // A copy for nothing, when it is full.
    if (may_stage && core_.count() < core_.depth()) stage.TryTake(StageHold::From::kFront);
    const uint32_t copied_to = stage.slot();
    if (copied_to != kNoSlot) CopyAcross(core_.SlotMemory(copied_to), message.data(), message.size());
    Hold hold;
    // The lock's line alone takes as long as all of these together.
    core_.PrefetchFirst();
    IoResult result = Lock(limit, hold);
    if (!result.ok()) return result;
    stage.Settle();
    bool damaged = false;
    const uint32_t slot =
        copied_to == kNoSlot
            ? core_.Prepare(message, priority, &damaged)
            : core_.PrepareStaged(stage.stage(), copied_to, static_cast<uint32_t>(message.size()), priority, &damaged);
    if (slot != kNoSlot) {
      Finish(slot, hold);
      return IoResult::Ok(message.size());
    }
    may_stage = !stage.held() && message.size() >= kStagedBytes;
    if (stage.held()) {
      // Nobody waits with a stage in its hands.
      Unlock(hold);
      continue;
    }
    result = Await(header().not_full, core_.depth(), damaged, waiting, limit, hold);
    if (!result.ok()) return result;
  }
}

template <typename Limit>
IoResult View::Receive(std::span<std::byte> buffer, uint32_t* priority, Limit& limit) {
  bool may_stage = true;
  for (Waiting waiting;;) {
    StageHold stage(core_);
    if (may_stage && core_.IsStaged() && core_.count() > 0) stage.TryTake(StageHold::From::kBack);
    Hold hold;
    IoResult result = Lock(limit, hold);
    if (result.outcome == Outcome::kDeadline && waiting.last == os::FutexWait::kWoken) {
      // The message that woke us was announced to nobody, and came in time: it must not be left lying.
      TransitLimit transit;
      result = Lock(transit, hold);
    }
    if (!result.ok()) return result;
    stage.Settle();
    Notice& notice = header().notice;
    if (waiting.last == os::FutexWait::kWoken) {
      if (notice.in_transit > 0) --notice.in_transit;
      waiting.last = os::FutexWait::kChanged;
    }
    bool damaged = false;
    const uint32_t slot = core_.Highest(&damaged);
    if (slot != kNoSlot) {
      const std::span<const std::byte> payload = core_.Payload(slot);
      if (payload.size() > buffer.size()) {
        Unlock(hold);
        return IoResult::Of(Outcome::kTooBig, EMSGSIZE, payload.size());
      }
      const bool is_staged = stage.slot() != kNoSlot && payload.size() >= kStagedBytes;
      if (!is_staged && !payload.empty()) memcpy(buffer.data(), payload.data(), payload.size());
      const uint32_t its_priority = core_.SlotAt(slot).priority;
      Wake(header().not_full, core_.policy());
      if (is_staged) {
        core_.TakeStaged(slot, stage.stage());
      } else {
        core_.Take(slot);
      }
      // Written only where it changes: a line that nobody writes to stays in every user's cache.
      if (core_.count() == 0 && notice.unannounced != 0) notice.unannounced = 0;
      Unlock(hold);
      if (is_staged) memcpy(buffer.data(), payload.data(), payload.size());
      if (priority != nullptr) *priority = its_priority;
      return IoResult::Ok(payload.size());
    }
    may_stage = !stage.held();
    if (stage.held()) {
      // Nobody waits with a stage in its hands.
      Unlock(hold);
      continue;
    }
    result = Await(header().not_empty, 0, damaged, waiting, limit, hold);
    if (!result.ok()) return result;
  }
}

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_TRANSFER_H_
