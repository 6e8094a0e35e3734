#ifndef IPCMARK_IPC_SHM_MPMC_RING_END_H_
#define IPCMARK_IPC_SHM_MPMC_RING_END_H_

// What the sending and the receiving end of the ring have in common: their place in the table of ends, waiting, waking,
// and mending what a dead end left behind. In this file:
//
//   RingView   the ring's addresses and sizes, copied out of the shared header once
//   BasicEnd   an end without its hot path
//
// Atomic is std::atomic, or in tests something that injects kills and reschedules before each access.
//
// Who mends what: an end that cannot go on because a slot is claimed or taken looks at that slot's owner, and gives the
// slot up when the owner is gone. Nobody else looks, so an end that can go on pays nothing, and the mending needs no
// lock: it is one compare-exchange of the slot's word.
//
// What a hostile process can do to us: every word that is read here is masked or compared before it is used; a word
// that no history of the ring produces becomes kError with EBADMSG; every loop has a bound of its own.

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <span>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "ipc/channel.h"
#include "ipc/os/clock.h"
#include "ipc/os/peer.h"
#include "ipc/shm_mpmc/ring_layout.h"
#include "ipc/sysv_shm/ring_wait.h"

namespace ipcmark::shm_mpmc {

enum class Side : uint8_t { kSender, kReceiver };

// What came of one attempt to claim a slot or to take a message.
enum class Attempt : uint8_t {
  kNotYet,   // full or empty, or many others were faster: try again later
  kDone,     //
  kTooBig,   // the message does not fit the buffer; it stays
  kDamaged,  // the words contradict each other
};

// The least time between two looks of one waiting end at the owners of slots that block it: a look costs up to three
// system calls, and where many ends work every other wait finds some slot in somebody's hands for a moment.
inline constexpr int64_t kOwnerLookNanos = 20'000'000;
static_assert(sysv_shm::kLookNanos + kOwnerLookNanos < kPeerDeathNanos);

template <template <typename> class Atomic>
class RingView {
 public:
  RingView() = default;
  // `memory` keeps a ring mapped, of which ReadConstants returned `constants`.
  RingView(std::shared_ptr<void> memory, const RingConstants& constants, Wait wait)
      : memory_(std::move(memory)),
        slots_(static_cast<std::byte*>(memory_.get()) + kSlotsOffset),
        depth_(constants.depth_messages),
        depth_is_power_of_two_((depth_ & (depth_ - 1)) == 0),
        max_message_bytes_(constants.max_message_bytes),
        payload_offset_(constants.payload_offset),
        slot_bytes_(constants.slot_bytes),
        wait_(wait) {}

  [[nodiscard]] RingHeader<Atomic>& header() const { return *static_cast<RingHeader<Atomic>*>(memory_.get()); }
  // Any position at all has a slot: a damaged hint leads to a wrong slot, never outside.
  [[nodiscard]] uint64_t SlotOf(uint64_t position) const {
    return depth_is_power_of_two_ ? position & (depth_ - 1) : position % depth_;
  }
  [[nodiscard]] Atomic<uint64_t>& WordOf(uint64_t slot) const {
    return *reinterpret_cast<Atomic<uint64_t>*>(slots_ + slot * slot_bytes_);
  }
  [[nodiscard]] std::byte* PayloadOf(uint64_t slot) const { return slots_ + slot * slot_bytes_ + payload_offset_; }
  [[nodiscard]] bool attached() const { return memory_ != nullptr; }
  [[nodiscard]] int64_t depth() const { return static_cast<int64_t>(depth_); }
  [[nodiscard]] uint32_t max_message_bytes() const { return max_message_bytes_; }
  [[nodiscard]] Wait wait() const { return wait_; }

 private:
  std::shared_ptr<void> memory_;
  std::byte* slots_ = nullptr;
  uint64_t depth_ = 1;
  bool depth_is_power_of_two_ = true;
  uint32_t max_message_bytes_ = 0;
  uint32_t payload_offset_ = 0;
  uint64_t slot_bytes_ = 0;
  Wait wait_ = Wait::kBlock;
};

template <template <typename> class Atomic>
class BasicEnd {
 public:
  BasicEnd(BasicEnd&&) noexcept = default;
  BasicEnd& operator=(BasicEnd&&) = delete;

 protected:
  BasicEnd(RingView<Atomic> ring, Side side) : ring_(std::move(ring)), side_(side) {}
  ~BasicEnd() = default;

  // Takes an entry in the table. kResourceExhausted when living processes hold all of them.
  absl::Status Enter();
  // True in the process that entered, until Leave: a forked child's copy must not touch what is the parent's.
  [[nodiscard]] bool entered() const { return ring_.attached() && pid_ == getpid(); }
  // Gives the entry back and wakes the other side to see it. The end owns no slot any more.
  void Leave() noexcept;

  // Repeats `attempt` as the wait strategy says until it comes to something else than kNotYet, which *result then is.
  template <typename Once>
  IoResult Await(Deadline deadline, Attempt* result, const Once& attempt) noexcept;
  // Moves a hint from `position`, unless somebody has.
  static void MoveOn(Atomic<uint64_t>& hint, uint64_t position, int64_t by = 1) noexcept {
    // Release, with the acquire of every load of a hint: whoever reads a later value here finds the slots' words at
    // least as far as we saw them when we decided that `position` is done with. All changes of a hint are
    // read-modify-writes, so a later one does not break this chain.
    hint.compare_exchange_strong(position, position + static_cast<uint64_t>(by), std::memory_order_release,
                                 std::memory_order_relaxed);
  }
  // An attempt ends after this many lost races and hints mended. Once mended by whole laps, the head lags by less than
  // two of them.
  [[nodiscard]] int64_t MaxSteps() const { return 2 * ring_.depth() + 2 * kMaxEnds; }
  // Notes that slot `slot`, being claimed or taken as `word` says, is what keeps us waiting.
  void BlockedBy(uint64_t slot, uint64_t word) noexcept { blocker_ = {slot, word}; }
  // Gives slot `slot` up if it still holds `word` and its owner is gone.
  bool MendSlot(uint64_t slot, uint64_t word) noexcept;
  // Stores a word that may let others go on, and wakes them.
  void StoreAndWake(Atomic<uint64_t>& word, uint64_t value, RingSide<Atomic>& sleepers) noexcept {
    if (ring_.wait() == Wait::kSpin) {
      // Release: our writes (or reads) of the payload are done before who acquires the word reads (or overwrites) it.
      word.store(value, std::memory_order_release);
      return;
    }
    // Sequentially consistent, which includes that release: the handshake in ring_wait.h. A waiter raises its mark and
    // then loads the word that it waits for, we store the word and then look for the mark: one of us sees the other.
    word.store(value, std::memory_order_seq_cst);
    sysv_shm::WakeSleepers<sysv_shm::Sleepers::kAnyOne>(sleepers.sleep);
  }
  void WakeAll(RingSide<Atomic>& sleepers) noexcept {
    if (ring_.wait() != Wait::kSpin) sysv_shm::WakeSleepers<sysv_shm::Sleepers::kAll>(sleepers.sleep);
  }
  [[nodiscard]] uint32_t owner() const { return owner_; }

  RingView<Atomic> ring_;
  // The slot in our hands, claimed or taken, and its position. `held_bytes_` is the length of a taken message.
  bool holds_ = false;
  uint32_t held_bytes_ = 0;
  uint64_t held_slot_ = 0;
  uint64_t held_position_ = 0;

 private:
  struct Blocker {
    uint64_t slot;
    uint64_t word;  // 0: none (a claimed or taken word never is)
  };

  [[nodiscard]] RingSide<Atomic>& SideOf(Side side) const {
    return side == Side::kSender ? ring_.header().senders : ring_.header().receivers;
  }
  [[nodiscard]] std::span<EndEntry<Atomic>> TableOf(Side side) const {
    return side == Side::kSender ? ring_.header().sender_ends : ring_.header().receiver_ends;
  }
  [[nodiscard]] Side OtherSide() const { return side_ == Side::kSender ? Side::kReceiver : Side::kSender; }
  // Gives up every slot that a dead end with this index owns.
  void MendSlotsOf(uint32_t index) noexcept;
  // Mends the slot that blocks us, if its owner is gone, and tries again: true when that came to something. Looks at
  // the first owner only if `at_once` or when the last such look is long enough ago. Where one end has died others may
  // have, so a slot that blocks us after that is looked at too.
  template <typename TryOnce>
  bool MendAndTry(bool at_once, const TryOnce& try_once) noexcept;
  // kOpen while any end of the other side lives, else kDead or kClosed, or kNever.
  os::PeerState LookAtOtherSide() noexcept;
  // Mends what blocks us; ok, or that nobody is left whom we could wait for.
  template <typename TryOnce>
  IoResult Look(bool at_once, const TryOnce& try_once) noexcept;

  Side side_;
  pid_t pid_ = 0;
  uint32_t index_ = 0;  // in the table of our side
  uint32_t owner_ = 0;  // what names us in a slot's word
  Blocker blocker_ = {};
  int64_t looked_at_owner_nanos_ = 0;  // when, by CLOCK_MONOTONIC
  uint32_t live_peer_ = 0;             // the end of the other side that lived when we last looked
  os::PeerWatch peer_watch_;
  os::PeerWatch owner_watch_;
};

template <template <typename> class Atomic>
absl::Status BasicEnd<Atomic>::Enter() {
  const std::span<EndEntry<Atomic>> table = TableOf(side_);
  for (uint32_t index = 0; index < kMaxEnds; ++index) {
    EndEntry<Atomic>& entry = table[index];
    const os::PeerState state = owner_watch_.Look(entry.peer);
    if (state == os::PeerState::kOpen) continue;
    if (state == os::PeerState::kDead) MendSlotsOf(index);
    if (!os::ClaimPeer(entry.peer, nullptr)) continue;
    // From here on a kill leaves an entry whose end owns nothing. Relaxed: only who holds the entry writes it.
    // ClaimPeer acquired what a holder wrote that closed; one that died wrote before the kernel told us of its death.
    const uint32_t generation = entry.generation.load(std::memory_order_relaxed) + 1;
    // Release is for form: the claim of a slot, which is what names this generation, publishes it.
    entry.generation.store(generation, std::memory_order_release);
    Atomic<uint32_t>& used = SideOf(side_).used;
    uint32_t seen = used.load(std::memory_order_relaxed);
    // Release: who reads the new bound finds the entry open. A try fails only when another end has raised it.
    for (uint32_t tries = 0; seen <= index && tries < kMaxEnds; ++tries) {
      if (used.compare_exchange_strong(seen, index + 1, std::memory_order_release, std::memory_order_relaxed)) break;
    }
    pid_ = getpid();
    index_ = index;
    owner_ = Owner(index, generation);
    return absl::OkStatus();
  }
  return absl::ResourceExhaustedError(
      absl::StrFormat("shm_mpmc: all %d %s of this ring are open in living processes; close one or create another ring",
                      kMaxEnds, side_ == Side::kSender ? "senders" : "receivers"));
}

template <template <typename> class Atomic>
void BasicEnd<Atomic>::Leave() noexcept {
  os::ReleasePeer(TableOf(side_)[index_].peer);
  pid_ = 0;
  WakeAll(SideOf(OtherSide()));
}

template <template <typename> class Atomic>
bool BasicEnd<Atomic>::MendSlot(uint64_t slot, uint64_t word) noexcept {
  const SlotState state = StateOf(word);
  if (state != SlotState::kClaimed && state != SlotState::kTaken) return false;
  const uint32_t owner = DetailOf(word);
  const Side side = state == SlotState::kClaimed ? Side::kSender : Side::kReceiver;
  const EndEntry<Atomic>& entry = TableOf(side)[IndexOf(owner)];
  // Order matters: `word` was loaded (and acquired) before we look at the entry. The owner held the entry when it wrote
  // the word, so if the entry now has another generation, or is not held by a living process, that owner is gone; and
  // as a word never comes back (it carries position, entry and generation), the exchange below cannot hit a new owner.
  const bool same = Generation(entry.generation.load(std::memory_order_acquire)) == GenerationOf(owner);
  if (same && owner_watch_.Look(entry.peer) == os::PeerState::kOpen) return false;
  const uint64_t free = SlotWord(PositionOf(word) + static_cast<uint64_t>(ring_.depth()), SlotState::kFree, 0);
  // Sequentially consistent for the handshake (see StoreAndWake); the dead owner's last accesses happened before we
  // learnt of its death, and acquire-release hands them on to who claims the slot.
  if (!ring_.WordOf(slot).compare_exchange_strong(word, free, std::memory_order_seq_cst, std::memory_order_relaxed)) {
    return true;  // somebody else has mended it, or it was never as we thought: in any case there is news
  }
  WakeAll(ring_.header().senders);    // there is room
  WakeAll(ring_.header().receivers);  // the next message may be due
  return true;
}

template <template <typename> class Atomic>
void BasicEnd<Atomic>::MendSlotsOf(uint32_t index) noexcept {
  const SlotState owned = side_ == Side::kSender ? SlotState::kClaimed : SlotState::kTaken;
  for (int64_t slot = 0; slot < ring_.depth(); ++slot) {
    // Acquire: MendSlot says why.
    const uint64_t word = ring_.WordOf(slot).load(std::memory_order_acquire);
    if (StateOf(word) == owned && IndexOf(DetailOf(word)) == index) MendSlot(slot, word);
  }
}

template <template <typename> class Atomic>
template <typename TryOnce>
bool BasicEnd<Atomic>::MendAndTry(bool at_once, const TryOnce& try_once) noexcept {
  // Each round mends a slot, and a dead end leaves one at most.
  for (uint32_t round = 0; round <= 2 * kMaxEnds && blocker_.word != 0; ++round) {
    const int64_t now = os::MonotonicNanos();
    if (!at_once && now - looked_at_owner_nanos_ < kOwnerLookNanos) return false;
    looked_at_owner_nanos_ = now;
    if (!MendSlot(blocker_.slot, blocker_.word)) return false;
    if (try_once()) return true;
    at_once = true;
  }
  return false;
}

template <template <typename> class Atomic>
os::PeerState BasicEnd<Atomic>::LookAtOtherSide() noexcept {
  const std::span<EndEntry<Atomic>> table = TableOf(OtherSide());
  // Acquire: pairs with Enter. Bounded, because anybody may have scribbled there.
  const uint32_t used = std::min(SideOf(OtherSide()).used.load(std::memory_order_acquire), kMaxEnds);
  if (live_peer_ < used && peer_watch_.Look(table[live_peer_].peer) == os::PeerState::kOpen) {
    return os::PeerState::kOpen;
  }
  os::PeerState all = os::PeerState::kNever;
  for (uint32_t index = 0; index < used; ++index) {
    const os::PeerState state = peer_watch_.Look(table[index].peer);
    if (state == os::PeerState::kOpen) {
      live_peer_ = index;
      return state;
    }
    if (state == os::PeerState::kDead || all == os::PeerState::kNever) all = state;
  }
  return all;
}

template <template <typename> class Atomic>
template <typename TryOnce>
IoResult BasicEnd<Atomic>::Look(bool at_once, const TryOnce& try_once) noexcept {
  const os::PeerState others = LookAtOtherSide();
  const bool gone = others == os::PeerState::kClosed || others == os::PeerState::kDead;
  // What they did before they went counts: LookAtOtherSide acquired their last words.
  if (try_once() || MendAndTry(at_once || gone, try_once)) return IoResult::Ok(0);
  // A slot in the hands of the other side that is not given up: somebody has come since.
  const SlotState theirs = side_ == Side::kSender ? SlotState::kTaken : SlotState::kClaimed;
  if (!gone || (blocker_.word != 0 && StateOf(blocker_.word) == theirs)) return IoResult::Ok(0);
  return IoResult::Of(others == os::PeerState::kClosed ? Outcome::kClosed : Outcome::kPeerDead, EPIPE);
}

template <template <typename> class Atomic>
template <typename Once>
IoResult BasicEnd<Atomic>::Await(Deadline deadline, Attempt* result, const Once& attempt) noexcept {
  // Once it has come to something it stays so: an attempt that succeeded must not be repeated.
  const auto try_once = [&]() noexcept {
    if (*result != Attempt::kNotYet) return true;
    blocker_ = {};
    *result = attempt();
    return *result != Attempt::kNotYet;
  };
  // Who spins looks every 40 ms and never sleeps, so it needs no second opinion while it polls.
  const bool spins = ring_.wait() == Wait::kSpin;
  const auto ready = [&]() noexcept { return try_once() || (!spins && MendAndTry(/*at_once=*/false, try_once)); };
  const auto look = [&]() noexcept { return Look(/*at_once=*/spins || deadline.immediate(), try_once); };
  const IoResult waited =
      sysv_shm::Await<sysv_shm::Sleepers::kAnyOne>({ring_.wait()}, SideOf(side_).sleep, deadline, ready, look);
  return *result != Attempt::kNotYet ? IoResult::Ok(0) : waited;
}

}  // namespace ipcmark::shm_mpmc

#endif  // IPCMARK_IPC_SHM_MPMC_RING_END_H_
