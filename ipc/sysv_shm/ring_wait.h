#ifndef IPCMARK_IPC_SYSV_SHM_RING_WAIT_H_
#define IPCMARK_IPC_SYSV_SHM_RING_WAIT_H_

// How the ends of every ring in this folder wait for each other: the slow path behind Wait, shared by all of them.
//
// The handshake (Dekker's): the waiter stores 1 into its sleep word and then looks once more whether it must wait; the
// other side makes it ready and then looks at the sleep word. Both sides use sequentially consistent operations, so at
// least one of them sees the other: either the waiter finds itself ready or it is woken.

#include <sched.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdint>

#include "ipc/channel.h"
#include "ipc/os/clock.h"
#include "ipc/os/cpu.h"
#include "ipc/os/futex.h"
#include "ipc/os/peer.h"

namespace ipcmark::sysv_shm {

// Rounds of polling before spin-then-block sleeps. A round is a load and a PAUSE, about 25 ns: 2,000 rounds are about
// the cost of the sleep and wake-up that they may save (40-60 us on a halted virtual CPU).
inline constexpr int kSpinRounds = 2000;
// Rounds between two looks at the clock while spinning.
inline constexpr int kRoundsPerLook = 1024;
// The longest sleep without looking up: bounds what a wake-up lost to a killed peer can cost, and notices its death.
inline constexpr int64_t kLookNanos = 40'000'000;
static_assert(kLookNanos * 2 < kPeerDeathNanos);

// How many may sleep on one word. The only sleeper takes its flag down itself when it need not sleep after all; where
// several share the word that would hide the others, and a stale flag costs one needless wake-up instead.
enum class Sleepers : uint8_t { kOne, kMany };

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

// Polls until ready, for `rounds` rounds.
template <typename Ready>
bool Poll(int rounds, const Ready& ready) noexcept {
  for (int round = 0; round < rounds; ++round) {
    if (ready()) return true;
    os::SpinHint();
  }
  return ready();
}

template <typename Ready, typename Look>
IoResult AwaitSpinning(Deadline deadline, const Ready& ready, const Look& look) noexcept {
  int64_t next_look = os::MonotonicNanos();
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

template <Sleepers sleepers, typename Ready, typename Look>
IoResult AwaitSleeping(std::atomic<uint32_t>& sleep_word, Deadline deadline, const Ready& ready,
                       const Look& look) noexcept {
  IoResult result = IoResult::Ok(0);
  for (;;) {
    // Sequentially consistent, then look once more: the handshake above.
    sleep_word.store(1, std::memory_order_seq_cst);
    if (ready()) break;
    const os::FutexWait woken = os::WaitOnFutex(sleep_word, 1, os::Slice(deadline, kLookNanos));
    const int err = errno;
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
  if constexpr (sleepers == Sleepers::kOne) sleep_word.store(0, std::memory_order_relaxed);
  return result;
}

// Waits as `wait` says until ready() or it cannot become so. `look` returns ok, or why nobody will make it ready; it is
// called when nothing has happened for a while and after a wake-up in vain. ok means ready, or so it seemed a moment
// ago: the caller looks itself.
template <Sleepers sleepers, typename Ready, typename Look>
IoResult Await(Wait wait, std::atomic<uint32_t>& sleep_word, Deadline deadline, const Ready& ready,
               const Look& look) noexcept {
  if (ready()) return IoResult::Ok(0);
  if (deadline.immediate()) {
    // One look, so that a poll in a loop ends too when nobody is left.
    const IoResult peer = look();
    return !peer.ok() || ready() ? peer : IoResult::Of(Outcome::kWouldBlock, EAGAIN);
  }
  if (wait == Wait::kSpin) return AwaitSpinning(deadline, ready, look);
  if (wait == Wait::kSpinThenBlock && Poll(kSpinRounds, ready)) return IoResult::Ok(0);
  // A peer that went before we came never wakes us: look before the first sleep, not only after it.
  const IoResult peer = look();
  if (!peer.ok() || ready()) return peer;
  return AwaitSleeping<sleepers>(sleep_word, deadline, ready, look);
}

// Wakes who sleeps on the word, if anybody does. Taking the flag makes the wake-up ours alone; an end that is about to
// sleep finds its word changed and does not.
template <Sleepers sleepers>
void WakeSleepers(std::atomic<uint32_t>& sleep_word) noexcept {
  if (sleep_word.exchange(0, std::memory_order_seq_cst) == 0) return;
  os::WakeFutex(sleep_word, sleepers == Sleepers::kOne ? 1 : INT_MAX);
}

}  // namespace ipcmark::sysv_shm

#endif  // IPCMARK_IPC_SYSV_SHM_RING_WAIT_H_
