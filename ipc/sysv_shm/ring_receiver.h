#ifndef IPCMARK_IPC_SYSV_SHM_RING_RECEIVER_H_
#define IPCMARK_IPC_SYSV_SHM_RING_RECEIVER_H_

// The receiving end of the ring. One at a time; OpenReceiver takes over from one that died, at the message that it had
// not released. What it promises: sysv_shm.h.

#include <algorithm>
#include <cerrno>
#include <cstring>
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
class BasicReceiver {
 public:
  // The caller has claimed header().receiver.peer.
  explicit BasicReceiver(RingView<Atomic> view);
  BasicReceiver(BasicReceiver&&) noexcept = default;
  BasicReceiver& operator=(BasicReceiver&&) = delete;
  ~BasicReceiver();

  IoResult Receive(std::span<std::byte> buffer, Deadline deadline) noexcept {
    const ViewResult view = View(deadline);
    if (!view.result.ok()) return view.result;
    const size_t bytes = view.message.size();
    if (bytes > buffer.size()) return IoResult::Of(Outcome::kTooBig, EMSGSIZE, bytes);
    CopyOut(buffer.data(), view.message.data(), bytes);
    Release();
    return IoResult::Ok(bytes);
  }

  ViewResult View(Deadline deadline) noexcept {
    // Acquire: pairs with Publish; what follows reads the payload.
    uint64_t commit = slot_.commit->load(std::memory_order_acquire);
    if (!IsCommitted(commit, next_)) {
      const IoResult message = AwaitMessage(deadline, &commit);
      if (!message.ok()) return {{}, message};
    } else if (next_ >= next_look_) [[unlikely]] {
      KeepDistance(deadline);
    }
    const uint32_t bytes = CommittedBytes(commit);
    if (bytes > view_.max_message_bytes()) return {{}, IoResult::Of(Outcome::kError, EBADMSG)};
    viewed_bytes_ = bytes;
    return {{slot_.payload, bytes}, IoResult::Ok(bytes)};
  }

  void Release() noexcept {
    GiveLinesBack();
    ++next_;
    view_.Step(slot_);
    if (view_.light()) {
      // Release: our reads of the payload are done before the sender, which acquires head, overwrites the slot.
      view_.header().head.store(next_, std::memory_order_release);
      // The light side of the handshake. Relaxed: the fences order it.
      os::LightFence();
      if (SomebodySleeps(view_.header().sender.sleep, std::memory_order_relaxed)) WakeSender();
    } else {
      // Sequentially consistent, which includes that release: the other half of the handshake, with AwaitRoom.
      view_.header().head.store(next_, std::memory_order_seq_cst);
      if (SomebodySleeps(view_.header().sender.sleep)) WakeSender();
    }
  }

 private:
  // HandBack for the due message. Of packed ones, the lines on which no later message lies; and not where each message
  // costs a full fence anyway: that would wait for these lines.
  void GiveLinesBack() noexcept {
    if (view_.packed() && !view_.light()) return;
    HandBack(slot_.payload, view_.packed() ? viewed_bytes_ - viewed_bytes_ % kCopiedLineBytes : viewed_bytes_);
  }

  // Waits until the due message is committed and returns its commit word.
  [[gnu::noinline]] IoResult AwaitMessage(Deadline deadline, uint64_t* commit) noexcept;
  [[gnu::noinline]] void WakeSender() noexcept { WakeSleepers<Sleepers::kOne>(view_.header().sender.sleep); }

  // Whether the message so far behind the due one comes within so many rounds of 25 ns.
  bool ComesAhead(uint64_t ahead, int rounds, int rounds_per_look) const noexcept {
    const uint64_t message = next_ + ahead;
    const Atomic<uint64_t>& its_commit = *view_.SlotOf(message).commit;
    // Relaxed: only whether; View acquires what it takes.
    const auto has_come = [&]() noexcept { return IsCommitted(its_commit.load(std::memory_order_relaxed), message); };
    for (; !has_come(); rounds -= rounds_per_look) {
      if (rounds <= 0) return false;
      Pause(rounds_per_look);
    }
    return true;
  }
  // Now and then, where a message is there. Not of few slots, which come around before that pays.
  [[gnu::noinline]] void KeepDistance(Deadline deadline) noexcept {
    constexpr uint32_t kLeastDepth = 512;
    constexpr uint64_t kMessagesPerLook = 64;
    const bool is_deep = view_.depth() >= kLeastDepth;
    next_look_ = is_deep ? next_ + kMessagesPerLook : UINT64_MAX;
    if (!is_deep || deadline.immediate()) return;
    distance_.BeforeMore(view_.depth(), [this](uint64_t ahead, int rounds) noexcept {
      return ComesAhead(ahead, rounds, kPausesPerLook);
    });
  }

  RingView<Atomic> view_;
  uint64_t next_ = 0;          // number of the message to be taken next; equals head
  RingSlot<Atomic> slot_;      // next_'s
  uint32_t viewed_bytes_ = 0;  // of the message that View returned last
  Lead lead_;
  Distance distance_;
  uint64_t next_look_ = 0;  // from this message on it is time to keep the distance
  os::PeerWatch sender_watch_;
};

template <template <typename> class Atomic>
BasicReceiver<Atomic>::BasicReceiver(RingView<Atomic> view)
    : view_(std::move(view)),
      // Relaxed: only receivers write it, and that the last one has gone was learnt from the kernel or from its release
      // of the peer word, both of which order its store before our load.
      next_(view_.header().head.load(std::memory_order_relaxed)),
      slot_(view_.SlotOf(next_)) {}

template <template <typename> class Atomic>
BasicReceiver<Atomic>::~BasicReceiver() {
  if (!view_.attached()) return;
  os::ReleasePeer(view_.header().receiver.peer);
  WakeSender();  // so that it learns at once, not at its next look
}

template <template <typename> class Atomic>
IoResult BasicReceiver<Atomic>::AwaitMessage(Deadline deadline, uint64_t* commit) noexcept {
  RingHeader<Atomic>& header = view_.header();
  const Atomic<uint64_t>& due = *slot_.commit;
  const std::byte* const near_end = slot_.payload + std::min(view_.max_message_bytes(), kPrefetchedBytes);
  const auto ready = [&]() noexcept {
    // Sequentially consistent for the handshake with Publish; it also acquires, as in View.
    *commit = due.load(std::memory_order_seq_cst);
    if (IsCommitted(*commit, next_)) return true;
    // A small message lies on two lines: have the second one on its way while the first is polled, else it would be
    // missed only then, which doubles the latency.
    if (view_.packed()) os::PrefetchLine(near_end);
    return false;
  };
  const auto look = [&]() noexcept { return LookAtPeer(header.sender.peer, sender_watch_, ready); };
  if (view_.wait() != Wait::kBlock && !deadline.immediate()) {
    lead_.BeforeWait(view_.depth(), [this](uint64_t ahead, int rounds) noexcept {
      return ComesAhead(ahead, rounds, /*rounds_per_look=*/1);
    });
  }
  return Await<Sleepers::kOne>({view_.wait(), view_.fences()}, header.receiver.sleep, deadline, ready, look);
}

}  // namespace ipcmark::sysv_shm

#endif  // IPCMARK_IPC_SYSV_SHM_RING_RECEIVER_H_
