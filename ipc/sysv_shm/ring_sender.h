#ifndef IPCMARK_IPC_SYSV_SHM_RING_SENDER_H_
#define IPCMARK_IPC_SYSV_SHM_RING_SENDER_H_

// The sending end of the ring. One at a time; OpenSender takes over from one that died, exactly behind its last
// committed message. What it promises: sysv_shm.h.

#include <algorithm>
#include <cerrno>
#include <span>
#include <utility>

#include "ipc/channel.h"
#include "ipc/copy.h"
#include "ipc/lead.h"
#include "ipc/os/peer.h"
#include "ipc/sysv_shm/ring_view.h"
#include "ipc/sysv_shm/ring_wait.h"

namespace ipcmark::sysv_shm {

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
    const LoanResult loan = Loan(deadline);
    if (!loan.result.ok()) return loan.result;
    CopyAcross(slot_.payload, message.data(), message.size());
    Commit(message.size());
    return IoResult::Ok(message.size());
  }

  LoanResult Loan(Deadline deadline) noexcept {
    if (next_ - cached_head_ >= view_.depth()) {
      const IoResult room = AwaitRoom(deadline);
      if (!room.ok()) return {{}, room};
    }
    return {{slot_.payload, view_.max_message_bytes()}, IoResult::Ok(0)};
  }

  IoResult Publish(size_t bytes) noexcept {
    if (bytes > view_.max_message_bytes()) return IoResult::Of(Outcome::kTooBig, EMSGSIZE);
    Commit(bytes);
    return IoResult::Ok(bytes);
  }

 private:
  // `bytes`: at most max_message_bytes.
  void Commit(size_t bytes) noexcept {
    const uint64_t commit = CommitWord(next_, static_cast<uint32_t>(bytes));
    if (view_.light()) {
      // Release: publishes the payload to View's acquire of this word; without it a reader may see the length before
      // the bytes.
      slot_.commit->store(commit, std::memory_order_release);
      // The light side of the handshake in ring_wait.h. Relaxed: the fences order it.
      os::LightFence();
      if (SomebodySleeps(view_.header().receiver.sleep, std::memory_order_relaxed)) WakeReceiver();
    } else {
      // Sequentially consistent, for the handshake in ring_wait.h with the receiver's AwaitMessage: either it sees this
      // commit when it looks once more, or we see its mark. Release alone lets the load below pass the store.
      slot_.commit->store(commit, std::memory_order_seq_cst);
      if (SomebodySleeps(view_.header().receiver.sleep)) WakeReceiver();
    }
    ++next_;
    view_.Step(slot_);
  }

  // Reads head anew and waits until there is room.
  [[gnu::noinline]] IoResult AwaitRoom(Deadline deadline) noexcept;
  [[gnu::noinline]] void WakeReceiver() noexcept { WakeSleepers<Sleepers::kOne>(view_.header().receiver.sleep); }

  RingView<Atomic> view_;
  uint64_t next_ = 0;         // number of the message to be sent next
  RingSlot<Atomic> slot_;     // next_'s
  uint64_t cached_head_ = 0;  // head as last read: a lower bound, re-read only when the ring seems full
  os::PeerWatch receiver_watch_;
};

template <template <typename> class Atomic>
BasicSender<Atomic>::BasicSender(RingView<Atomic> view) : view_(std::move(view)) {
  // Acquire: the receiver that wrote this head is done with the slots before it, which are free for us.
  cached_head_ = view_.header().head.load(std::memory_order_acquire);
  next_ = cached_head_;
  // Where the last sender stopped: behind its last committed message. Relaxed: the words alone tell; what else that
  // sender wrote is the receiver's business, and that it has gone was learnt from the kernel or from its release of the
  // peer word, both of which order its stores before our loads.
  while (next_ - cached_head_ < view_.depth() &&
         IsCommitted(view_.SlotOf(next_).commit->load(std::memory_order_relaxed), next_)) {
    ++next_;
  }
  slot_ = view_.SlotOf(next_);
}

template <template <typename> class Atomic>
BasicSender<Atomic>::~BasicSender() {
  if (!view_.attached()) return;
  os::ReleasePeer(view_.header().sender.peer);
  WakeReceiver();  // so that it learns at once, not at its next look
}

template <template <typename> class Atomic>
IoResult BasicSender<Atomic>::AwaitRoom(Deadline deadline) noexcept {
  RingHeader<Atomic>& header = view_.header();
  const auto ready = [&]() noexcept {
    // Sequentially consistent for the handshake with Release; it also acquires, so the slot's last reader is done with
    // it.
    cached_head_ = header.head.load(std::memory_order_seq_cst);
    // A head beyond what was sent is damage: the subtraction is then huge, and it looks like a full ring that no
    // receiver can empty. That ends the wait, too.
    return next_ - cached_head_ < view_.depth() || cached_head_ > next_;
  };
  const auto look = [&]() noexcept { return LookAtPeer(header.receiver.peer, receiver_watch_, ready); };
  const IoResult result =
      Await<Sleepers::kOne>({view_.wait(), view_.fences()}, header.sender.sleep, deadline, ready, look);
  if (cached_head_ > next_) return IoResult::Of(Outcome::kError, EBADMSG);
  if (result.ok() && view_.wait() != Wait::kBlock && !deadline.immediate()) {
    AwaitMoreRoom(view_.depth(), [&]() noexcept {
      // Acquire: as in `ready`. A head beyond what was sent is damage: it counts as full, and the next AwaitRoom says
      // so.
      cached_head_ = header.head.load(std::memory_order_acquire);
      return std::min<uint64_t>(next_ - cached_head_, view_.depth());
    });
  }
  return result;
}

}  // namespace ipcmark::sysv_shm

#endif  // IPCMARK_IPC_SYSV_SHM_RING_SENDER_H_
