#ifndef IPCMARK_IPC_SHM_MPMC_RING_RECEIVER_H_
#define IPCMARK_IPC_SHM_MPMC_RING_RECEIVER_H_

// The receiving end of the ring, for any Atomic. Any number of them may receive at once; each message goes to one. See
// shm_mpmc.h for what it promises and ring_layout.h for the words.

#include <cstring>
#include <limits>

#include "ipc/copy.h"
#include "ipc/shm_mpmc/ring_end.h"

namespace ipcmark::shm_mpmc {

template <template <typename> class Atomic>
class BasicReceiver : private BasicEnd<Atomic> {
 public:
  // `memory` keeps a ring mapped, of which ReadConstants returned `constants`. kResourceExhausted: the table is full.
  static absl::StatusOr<BasicReceiver> Open(std::shared_ptr<void> memory, const RingConstants& constants, Wait wait) {
    BasicReceiver receiver(RingView<Atomic>(std::move(memory), constants, wait));
    absl::Status entered = receiver.Enter();
    if (!entered.ok()) return entered;
    return receiver;
  }
  BasicReceiver(BasicReceiver&&) noexcept = default;
  BasicReceiver& operator=(BasicReceiver&&) = delete;
  ~BasicReceiver() {
    if (!this->entered()) return;
    if (holds_) GiveBack();
    this->Leave();
  }

  IoResult Receive(std::span<std::byte> buffer, Deadline deadline) noexcept {
    const IoResult taken = Take(buffer.size(), deadline);
    if (!taken.ok()) return taken;
    const uint32_t bytes = held_bytes_;
    if (bytes != 0) memcpy(buffer.data(), ring_.PayloadOf(held_slot_), bytes);
    Release();
    return IoResult::Ok(bytes);
  }

  // Takes the message out of the other receivers' sight, but only Release makes room for another one. Closing with a
  // view gives the message back.
  ViewResult View(Deadline deadline) noexcept {
    const IoResult taken = Take(kAnyRoom, deadline);
    if (!taken.ok()) return {{}, taken};
    return {{ring_.PayloadOf(held_slot_), held_bytes_}, IoResult::Ok(held_bytes_)};
  }

  // Does nothing without a view.
  void Release() noexcept {
    if (!holds_) return;
    holds_ = false;
    HandBack(ring_.PayloadOf(held_slot_), held_bytes_, kPastCacheBytes);
    // A plain store: nobody else changes a slot that a living end has taken.
    const uint64_t next = held_position_ + static_cast<uint64_t>(ring_.depth());
    this->StoreAndWake(ring_.WordOf(held_slot_), SlotWord(next, SlotState::kFree, 0), ring_.header().senders);
  }

 private:
  using End = BasicEnd<Atomic>;
  using End::held_bytes_;
  using End::held_position_;
  using End::held_slot_;
  using End::holds_;
  using End::ring_;

  static constexpr size_t kAnyRoom = std::numeric_limits<size_t>::max();

  explicit BasicReceiver(RingView<Atomic> ring) : End(std::move(ring), Side::kReceiver) {}

  // Gets hold of the next message if it fits `room`.
  IoResult Take(size_t room, Deadline deadline) noexcept {
    if (holds_) return held_bytes_ <= room ? IoResult::Ok(0) : IoResult::Of(Outcome::kTooBig, EMSGSIZE, held_bytes_);
    Attempt take = TryTake(room);
    if (take == Attempt::kNotYet) {
      const IoResult message = this->Await(deadline, &take, [this, room]() noexcept { return TryTake(room); });
      if (!message.ok()) return message;
    }
    if (take == Attempt::kTooBig) return IoResult::Of(Outcome::kTooBig, EMSGSIZE, held_bytes_);
    return take == Attempt::kDone ? IoResult::Ok(0) : IoResult::Of(Outcome::kError, EBADMSG);
  }

  // Terminates whatever the memory holds: MaxSteps. (Unless the memory is damaged, each step but the last means that
  // another end has got on, or mends a hint.)
  Attempt TryTake(size_t room) noexcept {
    RingHeader<Atomic>& header = ring_.header();
    for (int step = 0; step < this->MaxSteps(); ++step) {
      // Sequentially consistent for the handshake with GiveBack (see StoreAndWake).
      const uint64_t announced = header.returns_announced.load(std::memory_order_seq_cst);
      if (announced != header.returns_settled.load(std::memory_order_relaxed)) [[unlikely]] {
        const Attempt returned = TryTakeReturned(announced, room);
        if (returned != Attempt::kNotYet) return returned;
      }
      // Acquire: MoveOn says what it is for.
      const uint64_t position = header.head.load(std::memory_order_acquire);
      const uint64_t slot = ring_.SlotOf(position);
      // Acquires the payload that the sender released; sequentially consistent for the handshake (StoreAndWake).
      const uint64_t word = ring_.WordOf(slot).load(std::memory_order_seq_cst);
      const int64_t ahead = Ahead(word, position);
      const SlotState state = StateOf(word);
      if (ahead == 0 && state == SlotState::kCommitted) {
        const Attempt taken = TryTakeSlot(slot, word, position, room);
        if (taken == Attempt::kNotYet) continue;
        if (taken == Attempt::kDone) End::MoveOn(header.head, position);
        return taken;
      }
      if (ahead == 0 && state == SlotState::kTaken) {  // the hint lags
        End::MoveOn(header.head, position);
        continue;
      }
      // Anything else counts only if it is still the head's slot. Acquire, and a word further on than the head allows
      // was written after the head had moved on, so we see that.
      if (header.head.load(std::memory_order_acquire) != position) continue;
      const int64_t depth = ring_.depth();
      if (ahead > 0 && ahead % depth == 0) {
        // Laps ahead, where senders gave up claims and no receiver came by. That the slot is free `ahead` after
        // `position`, or further on, means that the position a lap before that was claimed, hence (senders claim in
        // order, each slot once it is free) that every position two laps before that is done with.
        End::MoveOn(header.head, position, std::max<int64_t>(1, ahead - 2 * depth + 1));
        continue;
      }
      if (ahead == 0) {  // free, or being written: empty
        if (state == SlotState::kClaimed) this->BlockedBy(slot, word);
        return Attempt::kNotYet;
      }
      // A message of the lap before, still in a receiver's hands or given back: there is no newer one.
      const bool lapped = ahead == -depth && (state == SlotState::kTaken || state == SlotState::kCommitted);
      return lapped ? Attempt::kNotYet : Attempt::kDamaged;
    }
    return Attempt::kNotYet;
  }

  // `word` says that the slot is committed. kNotYet: somebody else was faster.
  Attempt TryTakeSlot(uint64_t slot, uint64_t word, uint64_t position, size_t room) noexcept {
    const uint32_t bytes = DetailOf(word);
    if (bytes > ring_.max_message_bytes()) return Attempt::kDamaged;
    held_bytes_ = bytes;
    if (bytes > room) return Attempt::kTooBig;
    const uint64_t taken = SlotWord(position, SlotState::kTaken, this->owner());
    // Acquire: the payload. Release: who finds us in the word finds our entry open, with our generation.
    if (!ring_.WordOf(slot).compare_exchange_strong(word, taken, std::memory_order_acq_rel,
                                                    std::memory_order_relaxed)) {
      return Attempt::kNotYet;
    }
    holds_ = true;
    held_slot_ = slot;
    held_position_ = position;
    return Attempt::kDone;
  }

  // Puts a viewed message back. Three steps, so that a kill between any two of them loses nothing but the message in
  // our hands: mark the slot, announce, put back. As long as TryTakeReturned finds the mark it looks again.
  void GiveBack() noexcept {
    holds_ = false;
    RingHeader<Atomic>& header = ring_.header();
    Atomic<uint64_t>& at = ring_.WordOf(held_slot_);
    // Release, with the announcement's: who sees the announcement sees the mark, or what came after it; and sees a head
    // beyond this position, since we moved it there ourselves.
    at.store(SlotWord(held_position_, SlotState::kTaken, this->owner() | kReturning), std::memory_order_release);
    header.returns_announced.fetch_add(1, std::memory_order_seq_cst);
    this->StoreAndWake(at, SlotWord(held_position_, SlotState::kCommitted, held_bytes_), header.receivers);
    // A sender that waits for the slot need not know: it still is occupied.
  }

  // Looks through all slots for a message that a receiver gave back, below the head, and takes the oldest one. When
  // there is none, and none can come of what was `announced`, settles that.
  Attempt TryTakeReturned(uint64_t announced, size_t room) noexcept {
    RingHeader<Atomic>& header = ring_.header();
    const uint64_t head = header.head.load(std::memory_order_acquire);
    bool found = false;
    bool pending = false;
    int64_t oldest = 0;
    uint64_t oldest_slot = 0;
    uint64_t oldest_word = 0;
    for (int64_t slot = 0; slot < ring_.depth(); ++slot) {
      // Acquires the payload of a message; sequentially consistent for the handshake (StoreAndWake).
      const uint64_t word = ring_.WordOf(slot).load(std::memory_order_seq_cst);
      const int64_t ahead = Ahead(word, head);
      if (StateOf(word) == SlotState::kTaken && (DetailOf(word) & kReturning) != 0) {
        // Pending whatever became of it: it may be put back at this moment. The next search tells.
        pending = true;
        this->MendSlot(slot, word);
      } else if (StateOf(word) == SlotState::kCommitted && ahead < 0 && (!found || ahead < oldest)) {
        found = true;
        oldest = ahead;
        oldest_slot = slot;
        oldest_word = word;
      }
    }
    if (found) return TryTakeSlot(oldest_slot, oldest_word, head + static_cast<uint64_t>(oldest), room);
    if (pending) return Attempt::kNotYet;
    uint64_t settled = header.returns_settled.load(std::memory_order_relaxed);
    // Forward only: another receiver may have settled a later announcement. Relaxed: it only spares us this search.
    if (announced > settled) {
      header.returns_settled.compare_exchange_strong(settled, announced, std::memory_order_relaxed,
                                                     std::memory_order_relaxed);
    }
    return Attempt::kNotYet;
  }
};

}  // namespace ipcmark::shm_mpmc

#endif  // IPCMARK_IPC_SHM_MPMC_RING_RECEIVER_H_
