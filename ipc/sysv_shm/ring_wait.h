#ifndef IPCMARK_IPC_SYSV_SHM_RING_WAIT_H_
#define IPCMARK_IPC_SYSV_SHM_RING_WAIT_H_

// How the ends of the rings in shared memory wait for each other: the slow path behind Wait, for all of them. In this
// file:
//
//   SomebodySleeps, WakeSleepers   what the other end does behind each step that may end a wait
//   LookAtPeer                     is the other end still there?
//   Await                          the waiting itself
//
// A sleep word is an epoch: bit 0 says that somebody sleeps or is about to, the other bits count wake-ups. A plain flag
// is not enough where several sleep on one word. Of two receivers with flag 1 the first is about to call futex; the
// sender commits its message, takes the flag down and wakes nobody; the second takes the message and raises the flag to
// wait for the next one; now the first one's futex finds the 1 that it expects and sleeps beside its message. With an
// epoch it finds another word. Any word at all is a possible one: a scribbler can cost a look or a wake-up in vain.
//
// The handshake (Dekker's): the waiter raises bit 0 and then looks once more whether it must wait; the other side makes
// it ready and then looks at bit 0. All four accesses are sequentially consistent, so at least one sees the other:
// either the waiter finds itself ready or it is woken. Where Fences::kAsymmetric, the waiter pays for both sides with a
// system call, and the other side needs a release store and a plain load only (ipc/os/fence.h). A waker that dies
// between its two steps, or within WakeSleepers, costs the sleepers one look, kLookNanos.
//
// Words may be of any atomic type that looks like std::atomic<uint32_t>: tests bring one that injects kills.

#include <sched.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdint>

#include "absl/status/status.h"
#include "ipc/channel.h"
#include "ipc/os/clock.h"
#include "ipc/os/cpu.h"
#include "ipc/os/fence.h"
#include "ipc/os/futex.h"
#include "ipc/os/peer.h"

namespace ipcmark::sysv_shm {

// Rounds of polling before spin-then-block sleeps. A round is a load and a PAUSE, about 25 ns: 2,000 rounds are about
// the cost of the sleep and wake-up that they may save (40-60 us on a halted virtual CPU).
inline constexpr int kSpinRounds = 2000;
inline constexpr int kRoundsPerYield = 50;
// Twice what these rounds and yields take while nobody else wants the CPU.
inline constexpr int64_t kPoliteNanos = 150'000;
// Rounds between two looks at the clock while spinning.
inline constexpr int kRoundsPerLook = 1024;
// The longest sleep without looking up: bounds what a wake-up lost to a killed peer can cost, and notices its death.
inline constexpr int64_t kLookNanos = 40'000'000;
static_assert(kLookNanos * 2 < kPeerDeathNanos);

// Who pays for the handshake. All ends of a ring do it in the same way.
enum class Fences : uint8_t {
  kSymmetric,   // both sides: sequentially consistent operations
  kAsymmetric,  // who is about to sleep: os::HeavyFence. The other side: os::LightFence
};

struct WaitPolicy {
  Wait wait;
  Fences fences = Fences::kSymmetric;
};

// The better one for a new ring: asymmetric where sleeping is the exception, if the kernel knows it. A ring that always
// blocks sleeps too often for a system call on top.
inline Fences FencesFor(Wait wait) noexcept {
  return wait == Wait::kSpinThenBlock && os::RegisterForHeavyFences() ? Fences::kAsymmetric : Fences::kSymmetric;
}

// Before an end is opened on a ring with these fences.
inline absl::Status RegisterForFences(Fences fences) {
  if (fences == Fences::kSymmetric || os::RegisterForHeavyFences()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "the ring's creator could use membarrier(2) and this process may not; let its seccomp filter allow it, or create "
      "the ring where it is forbidden");
}

// Who sleeps on a word, and whom a wake-up is for.
enum class Sleepers : uint8_t {
  kOne,    // there is one at most
  kAll,    // many, and each of them must look
  kAnyOne  // many, and what has become ready is for one of them: a slot, a message
};

inline constexpr uint32_t kSomebodySleeps = 1;

// The word as the kernel sees it. An instrumented atomic is one with other member functions.
template <typename Word>
const std::atomic<uint32_t>& FutexOf(const Word& word) noexcept {
  static_assert(sizeof(Word) == sizeof(std::atomic<uint32_t>));
  return reinterpret_cast<const std::atomic<uint32_t>&>(word);
}

// The other half of the handshake, after what the sleepers wait for has been made visible: by a sequentially consistent
// store, or by a release store and os::LightFence, when `order` may be relaxed. No system call when nobody sleeps.
template <typename Word>
bool SomebodySleeps(const Word& word, std::memory_order order = std::memory_order_seq_cst) noexcept {
  return (word.load(order) & kSomebodySleeps) != 0;
}

template <Sleepers sleepers, typename Word>
void WakeSleepers(Word& word) noexcept {
  if (!SomebodySleeps(word)) [[likely]] {
    return;
  }
  // Carries bit 0 into the epoch: who is about to sleep on the old word does not. Two wakers at once may leave the bit
  // up, which costs one needless wake-up; nobody is left asleep, because each of them calls futex after its step.
  word.fetch_add(1, std::memory_order_seq_cst);
  os::WakeFutex(FutexOf(word), sleepers == Sleepers::kAll ? INT_MAX : 1);
}

// ok, or why the other end will not make `ready` true any more.
template <typename Ready>
IoResult LookAtPeer(const os::PeerWord& peer, os::PeerWatch& watch, const Ready& ready) noexcept {
  const os::PeerState state = watch.Look(peer);
  if (state != os::PeerState::kClosed && state != os::PeerState::kDead) return IoResult::Ok(0);
  // What it did before it went counts: Look acquired its last word.
  if (ready()) return IoResult::Ok(0);
  return state == os::PeerState::kClosed ? IoResult::Of(Outcome::kClosed, EPIPE)
                                         : IoResult::Of(Outcome::kPeerDead, EPIPE);
}

// Polls until ready, for `rounds` rounds. With a PAUSE from the first round on: without it a poll takes the line away
// between the two stores of a sender that is writing there, and a round trip takes a tenth longer.
template <typename Ready>
bool Poll(int rounds, const Ready& ready) noexcept {
  for (int round = 0; round < rounds; ++round) {
    if (ready()) return true;
    os::SpinHint();
  }
  return ready();
}

// Polls until ready, for kSpinRounds rounds. Where more processes want to run than there are CPUs, whoever we wait for
// gets ours soon; where not, that costs a system call that does nothing, after as long a wait again. A yield that
// others use may take milliseconds: then it is time to sleep.
template <typename Ready>
bool PollPolitely(const Ready& ready) noexcept {
  if (Poll(kRoundsPerYield, ready)) return true;
  const int64_t until_nanos = os::MonotonicNanos() + kPoliteNanos;
  for (int round = kRoundsPerYield; round < kSpinRounds && os::MonotonicNanos() < until_nanos;
       round += kRoundsPerYield) {
    sched_yield();
    if (Poll(kRoundsPerYield, ready)) return true;
  }
  return ready();
}

template <typename Ready, typename Look>
IoResult AwaitSpinning(Deadline deadline, const Ready& ready, const Look& look) noexcept {
  // The first look at the clock and at the peer comes with the first thousand rounds: most waits are over by then.
  int64_t next_look = 0;
  while (!Poll(kRoundsPerLook, ready)) {
    const int64_t now = os::MonotonicNanos();
    if (now >= next_look) {
      const IoResult peer = look();
      if (!peer.ok() || ready()) return peer;
      next_look = now + kLookNanos;
    }
    if (now >= deadline.monotonic_nanos) return IoResult::Of(Outcome::kDeadline);
    // Thousands of empty rounds: the other end is not running. Where both share a CPU it cannot, unless we let it.
    sched_yield();
  }
  return IoResult::Ok(0);
}

template <Sleepers sleepers, typename Word, typename Ready, typename Look>
IoResult AwaitSleeping(Fences fences, Word& word, Deadline deadline, const Ready& ready, const Look& look) noexcept {
  IoResult result = IoResult::Ok(0);
  for (;;) {
    // Sequentially consistent, then look once more: the handshake above.
    const uint32_t asleep = word.fetch_or(kSomebodySleeps, std::memory_order_seq_cst) | kSomebodySleeps;
    if (fences == Fences::kAsymmetric) os::HeavyFence();
    if (ready()) break;
    const os::FutexWait woken = os::WaitOnFutex(FutexOf(word), asleep, os::Slice(deadline, kLookNanos));
    const int err = errno;
    // Whoever woke us has taken the mark down, and others may sleep on.
    if (sleepers == Sleepers::kAnyOne && woken == os::FutexWait::kWoken) {
      word.fetch_or(kSomebodySleeps, std::memory_order_seq_cst);
    }
    if (ready()) break;
    if (woken == os::FutexWait::kInterrupted) {
      result = IoResult::Of(Outcome::kInterrupted, EINTR);
    } else if (woken == os::FutexWait::kError) {
      result = IoResult::Of(Outcome::kError, err);
    } else {
      // Also after a wake-up that made nothing ready: an end that closes wakes us to say so.
      result = look();
      if (result.ok() && !ready() && os::HasPassed(deadline)) result = IoResult::Of(Outcome::kDeadline);
    }
    if (!result.ok()) break;
  }
  // The only sleeper takes its mark back, which saves a needless wake-up; where there are others it would hide them.
  // Relaxed: it tells nobody anything.
  if constexpr (sleepers == Sleepers::kOne) word.fetch_and(~kSomebodySleeps, std::memory_order_relaxed);
  // Who was woken wakes the next one, until one finds nothing: meanwhile nobody else pays for wake-ups, and one step
  // may have made many ready (a message that others wait behind).
  if constexpr (sleepers == Sleepers::kAnyOne) {
    if (result.ok()) WakeSleepers<Sleepers::kAnyOne>(word);
  }
  return result;
}

// Waits as the policy says until ready() or it cannot become so. `look` returns ok, or why nobody will make it ready;
// it is called when nothing has happened for a while and after a wake-up in vain. ok means that the last ready() was
// true.
template <Sleepers sleepers, typename Word, typename Ready, typename Look>
IoResult Await(WaitPolicy policy, Word& word, Deadline deadline, const Ready& ready, const Look& look) noexcept {
  if (ready()) return IoResult::Ok(0);
  if (deadline.immediate()) {
    // One look, so that a poll in a loop ends too when nobody is left.
    const IoResult peer = look();
    return !peer.ok() || ready() ? peer : IoResult::Of(Outcome::kWouldBlock, EAGAIN);
  }
  if (policy.wait == Wait::kSpin) return AwaitSpinning(deadline, ready, look);
  if (policy.wait == Wait::kSpinThenBlock && PollPolitely(ready)) return IoResult::Ok(0);
  // A peer that went before we came never wakes us: look before the first sleep, not only after it.
  const IoResult peer = look();
  if (!peer.ok() || ready()) return peer;
  return AwaitSleeping<sleepers>(policy.fences, word, deadline, ready, look);
}

}  // namespace ipcmark::sysv_shm

#endif  // IPCMARK_IPC_SYSV_SHM_RING_WAIT_H_
