#ifndef IPCMARK_IPC_SHM_BROADCAST_SENDER_H_
#define IPCMARK_IPC_SHM_BROADCAST_SENDER_H_

// The sending end of the broadcast ring. One at a time; OpenSender takes over from one that died, exactly behind its
// last committed message. What it promises: shm_broadcast.h.

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "ipc/copy.h"
#include "ipc/shm_broadcast/ring_view.h"
#include "ipc/sysv_shm/ring_wait.h"

namespace ipcmark::shm_broadcast {

template <template <typename> class Atomic>
class BasicSender {
 public:
  // The caller has claimed header().sender.peer.
  explicit BasicSender(RingView<Atomic> view);
  BasicSender(BasicSender&&) noexcept = default;
  BasicSender& operator=(BasicSender&&) = delete;
  ~BasicSender();

  IoResult Send(std::span<const std::byte> message, Deadline deadline) noexcept {
    if (message.size() > view_.max_message_bytes()) return IoResult::Of(Outcome::kTooBig, EMSGSIZE);
    if (view_.overwrites()) return Overwrite(message);
    const LoanResult loan = Loan(deadline);
    if (!loan.result.ok()) return loan.result;
    // Receivers hand nothing back: a line that one of them writes to is taken from all others.
    CopyAcross(loan.room.data(), message.data(), message.size(), kSharedAcrossBytes);
    return Publish(message.size());
  }

  // With kMissesMessages the room is the sender's own, and Publish copies: what a receiver may still be reading can
  // only be written word by word, and the message that is there stays readable until Publish.
  LoanResult Loan(Deadline deadline) noexcept {
    if (view_.overwrites()) return {{draft_.get(), view_.max_message_bytes()}, IoResult::Ok(0)};
    if (next_ - lowest_head_ >= view_.depth()) {
      const IoResult room = AwaitRoom(deadline);
      if (!room.ok()) return {{}, room};
    }
    return {{view_.PayloadOf(slot_), view_.max_message_bytes()}, IoResult::Ok(0)};
  }

  IoResult Publish(size_t bytes) noexcept {
    if (bytes > view_.max_message_bytes()) return IoResult::Of(Outcome::kTooBig, EMSGSIZE);
    if (view_.overwrites()) return Overwrite({draft_.get(), bytes});
    // Relaxed: the sequence word publishes it.
    view_.SlotOf(slot_).length_bytes.store(bytes, std::memory_order_relaxed);
    Commit();
    return IoResult::Ok(bytes);
  }

 private:
  // Sends without asking anybody (kMissesMessages).
  IoResult Overwrite(std::span<const std::byte> message) noexcept {
    SlotHeader<Atomic>& slot = view_.SlotOf(slot_);
    // From here on the message of one lap ago is gone. Release: who sees this mark also sees `sent` at next_, which
    // Receiver::Missed counts by. That the mark is seen before the new bytes is the business of their own releases.
    slot.sequence.store(Writing(next_), std::memory_order_release);
    slot.length_bytes.store(message.size(), std::memory_order_release);  // as CopyIntoWords
    CopyIntoWords<Atomic>(view_.WordsOf(slot_), message);
    Commit();
    return IoResult::Ok(message.size());
  }

  void Commit() noexcept {
    Header<Atomic>& header = view_.header();
    const bool spins = view_.wait() == Wait::kSpin;
    // Release: publishes length and payload to the acquire in Receiver. Sequentially consistent where receivers may
    // sleep, for the handshake in ring_wait.h: either they see this commit when they look once more, or we see them.
    view_.SlotOf(slot_).sequence.store(Whole(next_), spins ? std::memory_order_release : std::memory_order_seq_cst);
    ++next_;
    slot_ = slot_ + 1 == view_.depth() ? 0 : slot_ + 1;
    // Release: a receiver that opens here sees all slots as they were left, and none older.
    header.count.sent.store(next_, std::memory_order_release);
    if (!spins && sysv_shm::SomebodySleeps(header.receivers.sleep)) WakeReceivers();
  }

  [[gnu::noinline]] void WakeReceivers() noexcept {
    sysv_shm::WakeSleepers<sysv_shm::Sleepers::kAll>(view_.header().receivers.sleep);
  }

  // Reads the heads anew and waits until no living receiver is a whole depth behind.
  [[gnu::noinline]] IoResult AwaitRoom(Deadline deadline) noexcept;
  // True when there is room; lowest_head_ is then what a receiver may still need.
  bool FindRoom() noexcept;
  // Finds out which receivers in our way are dead. Not ok: the table is damaged.
  IoResult LookAtLaggards() noexcept;

  [[nodiscard]] bool Lags(uint64_t head) const noexcept {
    // A head beyond next_ is damage: the subtraction is then huge, and LookAtLaggards says so.
    return head != kNotReading && next_ - head >= view_.depth();
  }
  [[nodiscard]] bool IsKnownDead(uint32_t index) const noexcept {
    // Relaxed: the head that made us ask was acquired, and with it the claim of whoever stored it.
    return dead_owners_[index] != 0 &&
           dead_owners_[index] == view_.EntryOf(index).peer.owner.load(std::memory_order_relaxed);
  }
  // Entries that may read. Sequentially consistent: see Receiver::Join. Never beyond the table.
  [[nodiscard]] uint32_t EntriesUsed() const noexcept {
    return std::min(view_.header().receivers.entries_used.load(std::memory_order_seq_cst), view_.receivers());
  }

  RingView<Atomic> view_;
  pid_t opened_by_ = getpid();
  uint64_t next_ = 0;         // number of the message to be sent next
  uint64_t slot_ = 0;         // next_ mod depth, without the division
  uint64_t lowest_head_ = 0;  // no living receiver needs an older message; re-read only when the ring seems full
  uint32_t laggard_ = 0;      // the entry that was in our way last: it is asked first
  std::vector<uint64_t> dead_owners_;   // by entry: the owner word of a process found dead; 0: none
  os::PeerWatch watch_;                 // of the one laggard that lives
  int64_t next_look_nanos_ = 0;         // not before then are laggards' processes looked at again
  std::unique_ptr<std::byte[]> draft_;  // Loan's room, kMissesMessages only
};

template <template <typename> class Atomic>
BasicSender<Atomic>::BasicSender(RingView<Atomic> view) : view_(std::move(view)) {
  // Acquire here and below: the slots are as the last sender left them. That it has gone was learnt from the kernel or
  // from its release of the peer word, both of which order its stores before our loads.
  next_ = view_.header().count.sent.load(std::memory_order_acquire);
  // It may have died after it committed a message and before it counted it. A message half written is not whole: its
  // slot is simply written again.
  if (view_.SlotOf(next_ % view_.depth()).sequence.load(std::memory_order_acquire) == Whole(next_)) ++next_;
  // Before the first Writing(next_), which promises it. Release: as in Commit.
  view_.header().count.sent.store(next_, std::memory_order_release);
  slot_ = next_ % view_.depth();
  lowest_head_ = next_ - view_.depth();  // may wrap; full until the table has been read
  if (view_.overwrites()) {
    // Not make_unique, which would touch every page of it.
    draft_.reset(new std::byte[std::max(view_.max_message_bytes(), 1U)]);
  } else {
    dead_owners_.resize(view_.receivers());
  }
  WakeReceivers();  // whom it may have owed a wake-up
}

template <template <typename> class Atomic>
BasicSender<Atomic>::~BasicSender() {
  // A forked child's copy is not this end.
  if (!view_.attached() || opened_by_ != getpid()) return;
  os::ReleasePeer(view_.header().sender.peer);
  WakeReceivers();  // so that they learn at once, not at their next look
}

template <template <typename> class Atomic>
IoResult BasicSender<Atomic>::AwaitRoom(Deadline deadline) noexcept {
  Header<Atomic>& header = view_.header();
  // Sequentially consistent, before the table is read: the sender's half of the handshake in Receiver::Join.
  header.count.sent.store(next_, std::memory_order_seq_cst);
  // Relaxed: published by the sleep word to who finds us asleep.
  header.sender.awaits.store(next_ - view_.depth(), std::memory_order_relaxed);
  return sysv_shm::Await<sysv_shm::Sleepers::kOne>(
      {view_.wait()}, header.sender.sleep, deadline, [&]() noexcept { return FindRoom(); },
      [&]() noexcept { return LookAtLaggards(); });
}

template <template <typename> class Atomic>
bool BasicSender<Atomic>::FindRoom() noexcept {
  // Sequentially consistent, all loads of heads: for the handshakes with Receiver::Release (ring_wait.h) and with
  // Receiver::Join. They also acquire: the receiver's reads of the slots that it has left are done.
  const uint32_t used = EntriesUsed();
  if (laggard_ < used && Lags(view_.EntryOf(laggard_).head.load(std::memory_order_seq_cst)) && !IsKnownDead(laggard_)) {
    return false;
  }
  uint64_t lowest = next_;
  for (uint32_t index = 0; index < used; ++index) {
    const uint64_t head = view_.EntryOf(index).head.load(std::memory_order_seq_cst);
    if (head == kNotReading) continue;
    if (Lags(head)) {
      // A new owner whose head we have not seen yet will start at our `sent` or later: Receiver::Join.
      if (IsKnownDead(index)) continue;
      laggard_ = index;
      return false;
    }
    lowest = std::min(lowest, head);
  }
  lowest_head_ = lowest;
  return true;
}

template <template <typename> class Atomic>
IoResult BasicSender<Atomic>::LookAtLaggards() noexcept {
  const int64_t now = os::MonotonicNanos();
  const bool look_at_processes = now >= next_look_nanos_;
  if (look_at_processes) next_look_nanos_ = now + sysv_shm::kLookNanos;
  const uint32_t used = EntriesUsed();
  for (uint32_t index = 0; index < used; ++index) {
    ReceiverEntry<Atomic>& entry = view_.EntryOf(index);
    const uint64_t head = entry.head.load(std::memory_order_seq_cst);
    if (!Lags(head) || IsKnownDead(index)) continue;
    if (head > next_) return IoResult::Of(Outcome::kError, EBADMSG);
    if (!look_at_processes) continue;
    // Acquire: what the owner did before it closed, its head above all, is visible below.
    const uint64_t owner = entry.peer.owner.load(std::memory_order_acquire);
    switch (watch_.LookAt(owner)) {
      case os::PeerState::kOpen:
        // It is in our way whatever became of the others: one pidfd at a time is enough.
        return IoResult::Ok(0);
      case os::PeerState::kDead:
        dead_owners_[index] = owner;
        break;
      case os::PeerState::kClosed:
      case os::PeerState::kNever:
        // It closed, or somebody opens it, just now; else nobody will ever move this head.
        if (entry.head.load(std::memory_order_seq_cst) == head &&
            entry.peer.owner.load(std::memory_order_acquire) == owner) {
          return IoResult::Of(Outcome::kError, EBADMSG);
        }
        break;
    }
  }
  return IoResult::Ok(0);
}

}  // namespace ipcmark::shm_broadcast

#endif  // IPCMARK_IPC_SHM_BROADCAST_SENDER_H_
