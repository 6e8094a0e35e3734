#ifndef IPCMARK_IPC_SHM_MPMC_RING_SENDER_H_
#define IPCMARK_IPC_SHM_MPMC_RING_SENDER_H_

// The sending end of the ring, for any Atomic. Any number of them may send at once. See shm_mpmc.h for what it promises
// and ring_layout.h for the words.

#include <cstring>

#include "ipc/copy.h"
#include "ipc/shm_mpmc/ring_end.h"

namespace ipcmark::shm_mpmc {

template <template <typename> class Atomic>
class BasicSender : private BasicEnd<Atomic> {
 public:
  // `memory` keeps a ring mapped, of which ReadConstants returned `constants`. kResourceExhausted: the table is full.
  static absl::StatusOr<BasicSender> Open(std::shared_ptr<void> memory, const RingConstants& constants, Wait wait) {
    BasicSender sender(RingView<Atomic>(std::move(memory), constants, wait));
    absl::Status entered = sender.Enter();
    if (!entered.ok()) return entered;
    return sender;
  }
  BasicSender(BasicSender&&) noexcept = default;
  BasicSender& operator=(BasicSender&&) = delete;
  ~BasicSender() {
    if (!this->entered()) return;
    if (holds_) GiveUpClaim();
    this->Leave();
  }

  IoResult Send(std::span<const std::byte> message, Deadline deadline) noexcept {
    if (message.size() > ring_.max_message_bytes()) return IoResult::Of(Outcome::kTooBig, EMSGSIZE);
    const LoanResult loan = Loan(deadline);
    if (!loan.result.ok()) return loan.result;
    // Not CopyFresh: receivers poll this very line, and take it away between its stores more often the more they are.
    if (message.size() >= kPastCacheBytes) {
      CopyAcross(loan.room.data(), message.data(), message.size(), kPastCacheBytes);
    } else if (!message.empty()) {
      memcpy(loan.room.data(), message.data(), message.size());
    }
    return Publish(message.size());
  }

  // Claims the next position. Receivers wait for it: messages that others send after a Loan are delivered after it.
  LoanResult Loan(Deadline deadline) noexcept {
    if (!holds_) {
      Attempt claim = TryClaim();
      if (claim == Attempt::kNotYet) {
        const IoResult room = this->Await(deadline, &claim, [this]() noexcept { return TryClaim(); });
        if (!room.ok()) return {{}, room};
      }
      if (claim != Attempt::kDone) return {{}, IoResult::Of(Outcome::kError, EBADMSG)};
    }
    return {{ring_.PayloadOf(held_slot_), ring_.max_message_bytes()}, IoResult::Ok(0)};
  }

  // kError with EINVAL without a Loan.
  IoResult Publish(size_t bytes) noexcept {
    if (bytes > ring_.max_message_bytes()) return IoResult::Of(Outcome::kTooBig, EMSGSIZE);
    if (!holds_) return IoResult::Of(Outcome::kError, EINVAL);
    holds_ = false;
    // A plain store: nobody else changes a slot that a living end has claimed.
    const uint64_t word = SlotWord(held_position_, SlotState::kCommitted, static_cast<uint32_t>(bytes));
    this->StoreAndWake(ring_.WordOf(held_slot_), word, ring_.header().receivers);
    return IoResult::Ok(bytes);
  }

 private:
  using End = BasicEnd<Atomic>;
  using End::held_position_;
  using End::held_slot_;
  using End::holds_;
  using End::ring_;

  explicit BasicSender(RingView<Atomic> ring) : End(std::move(ring), Side::kSender) {}

  // Terminates whatever the memory holds: MaxSteps. (Unless the memory is damaged, each step but the last means that
  // another end has got on.)
  Attempt TryClaim() noexcept {
    Atomic<uint64_t>& tail = ring_.header().tail;
    for (int step = 0; step < this->MaxSteps(); ++step) {
      // Acquire: MoveOn says what it is for.
      const uint64_t position = tail.load(std::memory_order_acquire);
      const uint64_t slot = ring_.SlotOf(position);
      Atomic<uint64_t>& at = ring_.WordOf(slot);
      // Acquires what the slot's last reader released; sequentially consistent for the handshake (StoreAndWake).
      uint64_t word = at.load(std::memory_order_seq_cst);
      const int64_t ahead = Ahead(word, position);
      if (ahead == 0 && StateOf(word) == SlotState::kFree) {
        const uint64_t claimed = SlotWord(position, SlotState::kClaimed, this->owner());
        // Acquire, as above. Release: who finds us in the word finds our entry open, with our generation.
        if (!at.compare_exchange_strong(word, claimed, std::memory_order_acq_rel, std::memory_order_relaxed)) continue;
        holds_ = true;
        held_slot_ = slot;
        held_position_ = position;
        End::MoveOn(tail, position);
        return Attempt::kDone;
      }
      if (ahead == 0 || ahead == ring_.depth()) {  // claimed at least: the hint lags
        End::MoveOn(tail, position);
        continue;
      }
      // Anything else counts only if it is still the tail's slot. Acquire, and a word further on than the tail allows
      // was written after the tail had moved on, so we see that.
      if (tail.load(std::memory_order_acquire) != position) continue;
      if (ahead != -ring_.depth() || StateOf(word) == SlotState::kFree) return Attempt::kDamaged;
      // The message of the lap before is still there: full.
      if (StateOf(word) != SlotState::kCommitted) this->BlockedBy(slot, word);
      return Attempt::kNotYet;
    }
    return Attempt::kNotYet;
  }

  // Nobody gets the position of the loan: receivers pass over it.
  void GiveUpClaim() noexcept {
    holds_ = false;
    const uint64_t next = held_position_ + static_cast<uint64_t>(ring_.depth());
    this->StoreAndWake(ring_.WordOf(held_slot_), SlotWord(next, SlotState::kFree, 0), ring_.header().receivers);
    this->WakeAll(ring_.header().senders);
  }
};

}  // namespace ipcmark::shm_mpmc

#endif  // IPCMARK_IPC_SHM_MPMC_RING_SENDER_H_
