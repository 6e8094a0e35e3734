#ifndef IPCMARK_IPC_MMAP_QUEUE_VIEW_H_
#define IPCMARK_IPC_MMAP_QUEUE_VIEW_H_

// Sending to and receiving from a mapped queue: the locks around the core, the waiting, and who is told. Every user of
// the queue goes through here (transfer.h has what is defined for any Limit); what differs between them is a Limit:
//
//   IoResult MayWait()             asked once, before the first wait and without the lock: ok, or the call's result
//   bool IsNonblocking()           whether the call must not wait, not even for a lock that stays taken
//   bool Passed()                  whether the deadline has passed
//   Deadline Slice(nanos)          for a lock: the earlier of the deadline and `nanos` from now
//   os::FutexWait Wait(word, expected)          one sleep, at most until the deadline; now and then it looks up
//   int WaitLiterally(condition, lock)          one sleep until the deadline, of the policy posix: as pthread_cond_wait
//   bool spins()                   whether to poll for a while before the first sleep
//   constexpr bool touches()       whether a receiver's buffer may be bad: it faults before a lock is taken
//
// A limit may throw nothing but the forced unwinding of a cancelled thread, and only from MayWait and the two waits.

#include <algorithm>
#include <cerrno>
#include <span>

#include "ipc/channel.h"
#include "ipc/mmap_queue/core_inline.h"
#include "ipc/mmap_queue/literal.h"
#include "ipc/mmap_queue/lock.h"
#include "ipc/mmap_queue/locks.h"
#include "ipc/mmap_queue/notice.h"
#include "ipc/mmap_queue/queue_file.h"
#include "ipc/os/clock.h"
#include "ipc/os/futex.h"

namespace ipcmark::mmap_queue {

// The longest wait without looking up, for a lock or in a Channel: the net under a wake-up that a killed process could
// not send any more.
inline constexpr int64_t kLookNanos = 40'000'000;
// So long a call tries to get a lock that must not wait (O_NONBLOCK) or whose deadline has passed. Who holds one holds
// it for a copy, and comes back within some slices of the scheduler when it was preempted: such a call would not have
// had to wait, and must not fail. Who is stopped, or does not know that it holds it, does not come back.
inline constexpr int64_t kPatienceNanos = 100'000'000;
// A deadline that is as near as this may have been meant to have passed.
inline constexpr int64_t kNearNanos = 1'000'000;
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
  static constexpr bool IsNonblocking() { return false; }
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
  // `fd`: a descriptor of the queue's file, through which registrations are found and told.
  View(const MappedFile& file, int fd) : core_(file.core), fd_(fd), id_(file.id), spins_(file.spins) {}
  // Without a descriptor: there are no registrations.
  explicit View(const Core& core) : core_(core) {}

  [[nodiscard]] Core& core() { return core_; }
  [[nodiscard]] const Core& core() const { return core_; }
  [[nodiscard]] QueueHeader& header() const { return core_.header(); }
  [[nodiscard]] int fd() const { return fd_; }
  // Whether the environment says that the C interface polls first.
  [[nodiscard]] bool spins() const { return spins_; }
  // Whether `fd` was given and still stands for the queue's file: another thread may close it in the middle of a call.
  [[nodiscard]] bool HasItsDescriptor() const noexcept { return fd_ >= 0 && CheckQueueFile(fd_, id_) != EBADF; }

  // Takes the lock of a side; repairs the queue when its last owner died. kDeadline, or kWouldBlock for who must not
  // wait, when it stays taken; kError with EBADMSG when it is damaged and EDEADLK when this thread has it. Nothing is
  // held then. With Policy::kPosix there is one lock for both sides.
  template <typename Limit>
  IoResult Lock(Side side, Limit& limit, Locks& locks);
  // Both, in the order that all keep to.
  template <typename Limit>
  IoResult LockBoth(Limit& limit, Locks& locks) {
    const IoResult result = Lock(Side::kSend, limit, locks);
    return result.ok() && !locks.has_receive() ? AlsoLockReceive(limit, locks) : result;
  }
  void Unlock(Locks& locks) noexcept {
    if (core_.policy() == Policy::kPosix) [[unlikely]] {
      UnlockLiterally(&header().send.lock);
      locks.GotLiterally(false);
    } else {
      locks.Release(header());
    }
  }

  // Whether the owner of a lock died and nobody has had it since: what the indices say may be half-changed.
  [[nodiscard]] bool IsOrphaned() const noexcept {
    return core_.policy() == Policy::kRobust &&
           (Hold::IsOrphan(&header().send.lock) || Hold::IsOrphan(&header().receive.lock));
  }

  // Whether somebody has truncated the file, so that the next access may be SIGBUS. For who has slept: system calls.
  [[nodiscard]] bool IsTruncated() const noexcept;

  // As POSIX mq_timedsend. kError with EINVAL for a priority of kPriorityLevels or more, with EBADMSG when the queue is
  // damaged.
  template <typename Limit>
  IoResult Send(std::span<const std::byte> message, uint32_t priority, Limit& limit);
  // As POSIX mq_timedreceive, but that a buffer need only be as large as the message. `priority` may be null.
  template <typename Limit>
  IoResult Receive(std::span<std::byte> buffer, uint32_t* priority, Limit& limit);

 private:
  // Tries, polls and waits in slices until the limit, or for kPatienceNanos when it has passed; returns what
  // Hold::TryUntil does, and EBUSY when the call must not wait and has waited for as long.
  template <typename Limit>
  int Acquire(Side side, Limit& limit, Locks& locks) {
    int err = locks.Try(side, header());
    if (err == EBUSY) [[unlikely]] {
      err = locks.Poll(side, header(), kLockHints, core_.IsStaged() ? kNoTurns : kTurns);
    }
    return err == EBUSY ? AcquireTaken(side, limit, locks) : err;
  }
  template <typename Limit>
  int AcquireTaken(Side side, Limit& limit, Locks& locks);
  // With the send lock held: takes the other one too. As LockBoth.
  template <typename Limit>
  IoResult AlsoLockReceive(Limit& limit, Locks& locks);
  // The lock of `side` was just taken, and its last owner died in the middle of something: takes the other one too,
  // rebuilds the queue, and leaves the lock of `side` held. Returns 0; or, with nothing held, EAGAIN or an errno.
  template <typename Limit>
  int Recover(Side side, Limit& limit, Locks& locks);
  // With both locks held, of which some have a dead owner. Returns 0; or, having given them back, EAGAIN or EBADMSG.
  int Repair(bool sender_died, bool receiver_died, Locks& locks) noexcept;
  static IoResult OfLock(int err) {
    if (err == 0) return IoResult::Ok(0);
    if (err == EBUSY) return IoResult::Of(Outcome::kWouldBlock, EAGAIN);
    return IoResult::Of(err == ETIMEDOUT ? Outcome::kDeadline : Outcome::kError, err);
  }
  // The reverse.
  static int ErrOf(const IoResult& locked) {
    if (locked.outcome == Outcome::kWouldBlock) return EBUSY;
    return locked.outcome == Outcome::kDeadline ? ETIMEDOUT : locked.err;
  }
  // Whether a send needs the receive lock too: somebody may have to be notified, or the inbox is full.
  [[nodiscard]] bool NeedsBoth() noexcept {
    return (header().notice.kind.load(std::memory_order_relaxed) != kNoNotice && fd_ >= 0) || core_.IsInboxFull();
  }
  // Wake, Commit and Unlock. Death anywhere leaves the whole message or none of it, and nobody asleep beside it.
  void Finish(uint32_t slot, Locks& locks) noexcept;
  // The same of a message that is to be announced.
  void FinishAnnounced(uint32_t slot, Locks& locks) noexcept;
  // Announces a message that is committed, and gives the locks back.
  void AnnounceOverdue(Locks& locks) noexcept;
  // With both locks held: sleeps until `condition` is woken, a look is due or `limit`. Gives the locks back and does
  // not take them again.
  template <typename Limit>
  os::FutexWait Sleep(Condition& condition, Limit& limit, Locks& locks) {
    if (core_.policy() == Policy::kPosix) return SleepLiterally(condition, limit, locks);
    condition.awaited.store(1, std::memory_order_relaxed);
    const uint32_t seen = condition.sequence.load(std::memory_order_relaxed);
    Unlock(locks);
    // A wake-up between the unlock and the sleep has changed the sequence, and the kernel does not put us to sleep.
    return limit.Wait(condition.sequence, seen);
  }
  template <typename Limit>
  os::FutexWait SleepLiterally(Condition& condition, Limit& limit, Locks& locks) {
    locks.GotLiterally(false);
    const LiteralSleep sleep(condition, &header().send.lock);
    errno = limit.WaitLiterally(&condition.literal, &header().send.lock);
    if (sleep.woken()) return os::FutexWait::kWoken;
    if (errno == ETIMEDOUT) return os::FutexWait::kDeadline;
    return errno == 0 ? os::FutexWait::kChanged : os::FutexWait::kError;
  }
  // What a caller hears who found nothing to do under the lock. `last`: how its last sleep ended.
  template <typename Limit>
  IoResult WhyNot(bool damaged, os::FutexWait last, Limit& limit) {
    if (damaged) return IoResult::Of(Outcome::kError, EBADMSG);
    if (last == os::FutexWait::kInterrupted) return IoResult::Of(Outcome::kInterrupted, EINTR);
    if (limit.Passed()) return IoResult::Of(Outcome::kDeadline, ETIMEDOUT);
    return IoResult::Ok(0);
  }
  // Of one call: whether MayWait was asked, whether the next look is the one before a sleep, and how the last sleep
  // ended.
  struct Waiting {
    bool asked = false;
    bool needs_both = false;
    os::FutexWait last = os::FutexWait::kChanged;
  };
  // With the lock of `side` held and nothing to do: asks and polls; or has the caller look once more with both locks;
  // or sleeps. Gives the locks back. ok: look again.
  template <typename Limit>
  IoResult Await(Side side, bool damaged, Waiting& waiting, Limit& limit, Locks& locks) {
    const bool has_both = locks.has_both();
    if (!damaged && !has_both && Hold::IsOrphan(&LockOf(Other(side), header()))) {
      // What the dead one had committed, but not handed over, is there once the queue is repaired.
      Unlock(locks);
      waiting.needs_both = true;
      return IoResult::Ok(0);
    }
    if (!waiting.asked && !damaged) {
      Unlock(locks);
      waiting.asked = true;
      const IoResult may_wait = limit.MayWait();
      if (may_wait.ok()) PollOnce(side, limit.spins());
      return may_wait;
    }
    const uint32_t hopeless = side == Side::kSend ? core_.depth() : 0;
    damaged = damaged || (has_both && !core_.Holds(hopeless));
    // Whoever was woken looks for what woke it before it looks at the time.
    const bool is_due = has_both || waiting.last != os::FutexWait::kWoken;
    const IoResult why_not = is_due || damaged ? WhyNot(damaged, waiting.last, limit) : IoResult::Ok(0);
    if (!why_not.ok() || !has_both) {
      Unlock(locks);
      waiting.needs_both = true;
      return why_not;
    }
    waiting.needs_both = false;
    waiting.last = Sleep(side == Side::kSend ? header().not_full : header().not_empty, limit, locks);
    // Nothing may be touched any more: EFAULT and EBADMSG say that the memory is gone.
    if (waiting.last == os::FutexWait::kError) return IoResult::Of(Outcome::kError, errno == EFAULT ? EBADMSG : errno);
    return IoResult::Ok(0);
  }
  // What comes before a call's first look with both locks, and its sleep.
  void PollOnce(Side side, bool spins) noexcept {
    if (spins || core_.IsStaged()) {
      Spin(side, spins);
    } else if (core_.policy() == Policy::kRobust) {
      PollForOtherSide(side);
    }
  }
  // Of ends that do not poll: they do not go to sleep in the middle of a stream. A sender waits as long as the receiver
  // gets on: taking both locks to sleep would stop it, and find room for a few messages; a receiver for a moment, where
  // that has paid, and then for senders to get ahead; and who has woken the other side, for it to come. Else two ends
  // that outrun each other wake each other for as many messages as the queue holds. Where one message waits for another
  // none of this pays, and it sleeps. kMostPauses in all, for a receiver about half as many more, and nothing looks at
  // the time meanwhile: a call may end that long after its deadline.
  void PollForOtherSide(Side side) noexcept;
  // How many of the pauses were left when there seemed to be something to do, or -1: there was nothing.
  int PollFor(Side side, int pauses) noexcept;
  void NoteWoken(Side by) noexcept { std::atomic_ref(PaceOf(by).has_woken).store(1, std::memory_order_relaxed); }
  [[nodiscard]] Pace& PaceOf(Side side) const noexcept {
    return side == Side::kSend ? header().pace_of_senders : header().pace_of_receivers;
  }
  // Polls without a lock for at most kMostPauses (a receiver in a stream for half as many more: Lead), until there
  // seems to be something to do; unless `anyway`, only while somebody copies in a stage: its commit, or its next call,
  // is near.
  void Spin(Side side, bool anyway) noexcept;
  // Polls, for `rounds` pauses, whether the message `ahead` behind the next of the inbox is there.
  [[nodiscard]] bool ComesAhead(uint64_t ahead, int rounds) const noexcept;
  // Before an end does what it has found to do: not at once, where the other side is about to do more.
  void LetReceiversGetAhead(int most_pauses) noexcept;
  void LetSendersGetAhead() noexcept;
  void KeepDistance() noexcept;

  Core core_;
  int fd_ = -1;
  FileId id_;
  bool spins_ = false;
};

// Lets everybody who waits on `condition` look again; returns how many were asleep. Called with the lock of one's own
// side held and *before* the commit: whoever is woken and finds nothing takes both locks before it sleeps again, and so
// waits for ours; our death right after the wake-up still ends its sleep. Woken after the commit, a message could be
// committed with everybody asleep.
uint32_t WakeWaiters(Condition& condition, Policy policy, uint32_t awaited) noexcept;
inline uint32_t Wake(Condition& condition, Policy policy) noexcept {
  const uint32_t awaited = condition.awaited.load(std::memory_order_relaxed);
  return awaited == 0 ? 0 : WakeWaiters(condition, policy, awaited);
}

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_VIEW_H_
