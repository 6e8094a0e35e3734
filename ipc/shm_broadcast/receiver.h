#ifndef IPCMARK_IPC_SHM_BROADCAST_RECEIVER_H_
#define IPCMARK_IPC_SHM_BROADCAST_RECEIVER_H_

// A receiving end of the broadcast ring. As many as Geometry::receivers. What it promises: shm_broadcast.h.

#include <unistd.h>

#include <algorithm>
#include <memory>

#include "ipc/shm_broadcast/ring_view.h"
#include "ipc/sysv_shm/ring_wait.h"

namespace ipcmark::shm_broadcast {

template <template <typename> class Atomic>
class BasicReceiver {
 public:
  // The caller has claimed the entry's peer word.
  BasicReceiver(RingView<Atomic> view, uint32_t entry);
  BasicReceiver(BasicReceiver&&) noexcept = default;
  BasicReceiver& operator=(BasicReceiver&&) = delete;
  ~BasicReceiver();

  // `buffer` holds nothing of use unless the result is ok.
  IoResult Receive(std::span<std::byte> buffer, Deadline deadline) noexcept {
    if (view_.overwrites() && !viewed_) {
      const IoResult copied = CopyMessage(buffer, deadline);
      if (copied.ok()) Step();
      return copied;
    }
    const ViewResult view = View(deadline);
    if (!view.result.ok()) return view.result;
    const size_t bytes = view.message.size();
    if (bytes > buffer.size()) return IoResult::Of(Outcome::kTooBig, EMSGSIZE, bytes);
    if (bytes != 0) memcpy(buffer.data(), view.message.data(), bytes);
    Release();
    return IoResult::Ok(bytes);
  }

  // With kMissesMessages the view is of a private copy, so that it stays what it is however far the sender runs ahead,
  // and what was viewed once cannot be missed any more.
  ViewResult View(Deadline deadline) noexcept {
    if (view_.overwrites()) return ViewCopy(deadline);
    const SlotHeader<Atomic>& slot = view_.SlotOf(slot_);
    // Acquire: pairs with Commit; what follows reads length and payload.
    if (slot.sequence.load(std::memory_order_acquire) != Whole(next_)) {
      const IoResult message = AwaitMessage(deadline);
      if (!message.ok()) return {{}, message};
    }
    // Relaxed: ordered by the sequence word. Nobody writes the slot before our head leaves it.
    const uint64_t bytes = slot.length_bytes.load(std::memory_order_relaxed);
    if (bytes > view_.max_message_bytes()) return {{}, IoResult::Of(Outcome::kError, EBADMSG)};
    return {{view_.PayloadOf(slot_), bytes}, IoResult::Ok(bytes)};
  }

  void Release() noexcept {
    Step();
    if (view_.overwrites()) {
      viewed_ = false;
      return;
    }
    Atomic<uint64_t>& head = view_.EntryOf(entry_).head;
    if (view_.wait() == Wait::kSpin) {
      // Release: our reads of the payload are done before the sender, which acquires the head, writes the slot.
      head.store(next_, std::memory_order_release);
      return;
    }
    // Sequentially consistent: the handshake in ring_wait.h, with Sender::AwaitRoom.
    head.store(next_, std::memory_order_seq_cst);
    auto& sender = view_.header().sender;
    // Only a step off the head that the sender awaits can make room. Relaxed: the sender wrote it before the mark that
    // we have just seen; a mark of an earlier sleep means that it will look at our head before it sleeps again.
    if (sysv_shm::SomebodySleeps(sender.sleep) && sender.awaits.load(std::memory_order_relaxed) == next_ - 1) {
      WakeSender();
    }
  }

 private:
  // Makes this end count. What is sent after this has returned reaches it.
  void Join() noexcept;

  // Copies the due message into `buffer` and makes sure that it was not overwritten meanwhile (kMissesMessages).
  IoResult CopyMessage(std::span<std::byte> buffer, Deadline deadline) noexcept;
  ViewResult ViewCopy(Deadline deadline) noexcept {
    if (!viewed_) {
      const IoResult copied = CopyMessage({copy_.get(), view_.max_message_bytes()}, deadline);
      if (!copied.ok()) return {{}, copied};
      viewed_ = true;
      viewed_bytes_ = copied.bytes;
    }
    return {{copy_.get(), viewed_bytes_}, IoResult::Ok(viewed_bytes_)};
  }
  // The due message is gone: goes on with the oldest that is still there and says how many lie between.
  [[gnu::noinline]] IoResult Missed() noexcept;
  // ok when the due message is whole.
  [[gnu::noinline]] IoResult AwaitMessage(Deadline deadline) noexcept;
  [[gnu::noinline]] void WakeSender() noexcept {
    sysv_shm::WakeSleepers<sysv_shm::Sleepers::kOne>(view_.header().sender.sleep);
  }

  void Step() noexcept {
    ++next_;
    slot_ = slot_ + 1 == view_.depth() ? 0 : slot_ + 1;
  }

  RingView<Atomic> view_;
  pid_t opened_by_ = getpid();
  uint32_t entry_;
  bool viewed_ = false;                // copy_ holds message next_ (kMissesMessages)
  uint32_t viewed_bytes_ = 0;          // its length
  uint64_t next_ = 0;                  // number of the message to be taken next; equals our head with kBlocksSender
  uint64_t slot_ = 0;                  // next_ mod depth
  std::unique_ptr<std::byte[]> copy_;  // kMissesMessages only
  os::PeerWatch sender_watch_;
};

template <template <typename> class Atomic>
BasicReceiver<Atomic>::BasicReceiver(RingView<Atomic> view, uint32_t entry) : view_(std::move(view)), entry_(entry) {
  // Not make_unique, which would touch every page of it.
  if (view_.overwrites()) copy_.reset(new std::byte[std::max(view_.max_message_bytes(), 1U)]);
  Join();
  slot_ = next_ % view_.depth();
}

// The sender looks at the table only when the ring seems full by the lowest head that it knows. Why it cannot run over
// a receiver that opens meanwhile, let L be what it computed in its last reading of the table; it writes message n only
// while n < L + depth, then reads again. All accesses named here are sequentially consistent and so in one order:
//   sender:    store sent (AwaitRoom) -> read entries_used, read head
//   receiver:  raise entries_used -> store head = 0 -> load sent, which becomes next_ -> store head = next_
// When a reading misses the store of 0, it comes before it, so the sender's store of `sent` comes before our load of
// it: next_ >= sent >= L. What the sender then writes without another reading is below L + depth <= next_ + depth:
// nothing that we are due. When a reading sees the 0, the sender waits (or has not gone round once and takes 0 for what
// it says), and when it sees next_ it goes by that.
template <template <typename> class Atomic>
void BasicReceiver<Atomic>::Join() noexcept {
  Header<Atomic>& header = view_.header();
  Atomic<uint32_t>& used = header.receivers.entries_used;
  uint32_t seen = used.load(std::memory_order_seq_cst);
  // Each failure means that somebody else has raised it, which ends, unless the memory is hostile.
  for (uint32_t tries = 0; seen <= entry_ && tries < kMaxReceivers; ++tries) {
    if (used.compare_exchange_strong(seen, entry_ + 1, std::memory_order_seq_cst, std::memory_order_seq_cst)) break;
  }
  Atomic<uint64_t>& head = view_.EntryOf(entry_).head;
  head.store(0, std::memory_order_seq_cst);
  // It also acquires: the slots are at least as new as this count.
  next_ = header.count.sent.load(std::memory_order_seq_cst);
  if (view_.overwrites()) return;  // the 0 stays: taken, and nobody looks at it
  head.store(next_, std::memory_order_seq_cst);
  WakeSender();  // it may have gone to sleep at the sight of our 0
}

template <template <typename> class Atomic>
BasicReceiver<Atomic>::~BasicReceiver() {
  // A forked child's copy is not this end.
  if (!view_.attached() || opened_by_ != getpid()) return;
  ReceiverEntry<Atomic>& entry = view_.EntryOf(entry_);
  // Before the entry is given back, and not after: it would be the next owner's head. Sequentially consistent: the
  // handshake in ring_wait.h; it also releases our reads of the slots.
  entry.head.store(kNotReading, std::memory_order_seq_cst);
  os::ReleasePeer(entry.peer);
  WakeSender();
}

template <template <typename> class Atomic>
IoResult BasicReceiver<Atomic>::AwaitMessage(Deadline deadline) noexcept {
  Header<Atomic>& header = view_.header();
  const Atomic<uint64_t>& due = view_.SlotOf(slot_).sequence;
  SlotState state = SlotState::kNotYet;
  const auto ready = [&]() noexcept {
    // Sequentially consistent for the handshake with Sender::Commit; it also acquires, as in View.
    state = StateOf(due.load(std::memory_order_seq_cst), next_, view_.depth());
    return state != SlotState::kNotYet;
  };
  const auto look = [&]() noexcept { return sysv_shm::LookAtPeer(header.sender.peer, sender_watch_, ready); };
  const IoResult result =
      sysv_shm::Await<sysv_shm::Sleepers::kAll>({view_.wait()}, header.receivers.sleep, deadline, ready, look);
  if (!result.ok() || state == SlotState::kDue) return result;
  if (state == SlotState::kLapped && view_.overwrites()) return Missed();
  return IoResult::Of(Outcome::kError, EBADMSG);
}

template <template <typename> class Atomic>
IoResult BasicReceiver<Atomic>::CopyMessage(std::span<std::byte> buffer, Deadline deadline) noexcept {
  const SlotHeader<Atomic>& slot = view_.SlotOf(slot_);
  // Acquire: pairs with Commit, so that what is copied is this message or a newer one, not an older one.
  if (slot.sequence.load(std::memory_order_acquire) != Whole(next_)) {
    const IoResult message = AwaitMessage(deadline);
    if (!message.ok()) return message;
  }
  const uint64_t bytes = slot.length_bytes.load(std::memory_order_acquire);  // acquire: as CopyOutOfWords
  const bool fits = bytes <= view_.max_message_bytes() && bytes <= buffer.size();
  if (fits) CopyOutOfWords<Atomic>(view_.WordsOf(slot_), buffer.first(bytes));
  // Is it all of one message? If any of the loads above saw something newer, it acquired the mark that the sender had
  // stored before; by coherence this load then sees that mark or something newer still, never Whole(next_) again: a
  // number is whole only once. Relaxed suffices, because the acquires above keep it behind them.
  if (slot.sequence.load(std::memory_order_relaxed) != Whole(next_)) return Missed();
  if (bytes > view_.max_message_bytes()) return IoResult::Of(Outcome::kError, EBADMSG);
  return fits ? IoResult::Ok(bytes) : IoResult::Of(Outcome::kTooBig, EMSGSIZE, bytes);
}

template <template <typename> class Atomic>
IoResult BasicReceiver<Atomic>::Missed() noexcept {
  const uint32_t depth = view_.depth();
  // Not through the relaxed load that may have sent us here: the mark of the message that took our slot, acquired,
  // carries `sent` with it, and so sent >= next_ + depth.
  const SlotState state = StateOf(view_.SlotOf(slot_).sequence.load(std::memory_order_acquire), next_, depth);
  const uint64_t sent = view_.header().count.sent.load(std::memory_order_acquire);
  if (state != SlotState::kLapped || sent > kMaxMessages || sent - next_ < depth || sent < next_) {
    return IoResult::Of(Outcome::kError, EBADMSG);
  }
  // `sent` messages are whole, so at most the next one is being written, over message sent - depth.
  uint64_t oldest = sent - depth;
  // Acquire: as in CopyMessage. Where it is our own slot, coherence shows us at least the mark seen above: oldest
  // steps.
  if (view_.SlotOf(oldest % depth).sequence.load(std::memory_order_acquire) != Whole(oldest)) ++oldest;
  // More than fit are told in several results.
  const uint64_t missed = std::min<uint64_t>(oldest - next_, UINT32_MAX);
  if (missed == 0) return IoResult::Of(Outcome::kError, EBADMSG);
  next_ += missed;
  slot_ = next_ % depth;
  return IoResult::Of(Outcome::kMissed, 0, missed);
}

}  // namespace ipcmark::shm_broadcast

#endif  // IPCMARK_IPC_SHM_BROADCAST_RECEIVER_H_
