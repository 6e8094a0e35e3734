#ifndef IPCMARK_IPC_SYSV_SHM_SYSV_SHM_H_
#define IPCMARK_IPC_SYSV_SHM_SYSV_SHM_H_

// A single-producer single-consumer ring over a System V shared-memory segment: lock-free, one copy in and one copy
// out, or none with Loan/Publish and View/Release. It promises: no system call while the other end keeps up (in the
// waiting modes: while the other end is awake), messages in order, and recovery from the death of either end at any
// instruction. It is broken by: a second process writing where only one may (OpenSender refuses it), or one that
// scribbles in the segment (a receiver then gets kError with EBADMSG, and never reads outside the mapping).
//
// ring_layout.h draws the memory; ring.cc has the slow paths.

#include <cstring>
#include <memory>

#include "ipc/channel.h"
#include "ipc/sysv_shm/ring_layout.h"
#include "ipc/sysv_shm/ring_wait.h"
#include "ipc/sysv_shm/segment.h"

namespace ipcmark::sysv_shm {

// What both ends know of the ring, copied out of the shared header once, so that a damaged header changes nothing
// later.
class RingView {
 public:
  RingView() = default;
  RingView(std::shared_ptr<const Attachment> attachment, Wait wait);

  [[nodiscard]] RingHeader& header() const { return *static_cast<RingHeader*>(attachment_->address()); }
  [[nodiscard]] std::atomic<uint64_t>& CommitOf(uint64_t slot) const {
    return *reinterpret_cast<std::atomic<uint64_t>*>(slots_ + slot * slot_bytes_);
  }
  [[nodiscard]] std::byte* PayloadOf(uint64_t slot) const { return slots_ + slot * slot_bytes_ + payload_offset_; }
  [[nodiscard]] bool attached() const { return attachment_ != nullptr; }
  [[nodiscard]] uint32_t depth() const { return depth_; }
  [[nodiscard]] uint32_t max_message_bytes() const { return max_message_bytes_; }
  [[nodiscard]] Wait wait() const { return wait_; }

 private:
  std::shared_ptr<const Attachment> attachment_;
  std::byte* slots_ = nullptr;
  uint64_t slot_bytes_ = 0;
  uint32_t payload_offset_ = 0;
  uint32_t depth_ = 0;
  uint32_t max_message_bytes_ = 0;
  Wait wait_ = Wait::kBlock;
};

// The sending end. One at a time; OpenSender takes over from one that died.
class Sender {
 public:
  explicit Sender(RingView view);
  Sender(Sender&&) = default;
  Sender& operator=(Sender&&) = delete;
  ~Sender();

  IoResult Send(std::span<const std::byte> message, Deadline deadline) noexcept {
    if (message.size() > view_.max_message_bytes()) return IoResult::Of(Outcome::kTooBig, EMSGSIZE);
    const LoanResult loan = Loan(deadline);
    if (!loan.result.ok()) return loan.result;
    if (!message.empty()) memcpy(loan.room.data(), message.data(), message.size());
    return Publish(message.size());
  }

  LoanResult Loan(Deadline deadline) noexcept {
    if (next_ - cached_head_ >= view_.depth()) {
      const IoResult room = AwaitRoom(deadline);
      if (!room.ok()) return {{}, room};
    }
    return {{view_.PayloadOf(slot_), view_.max_message_bytes()}, IoResult::Ok(0)};
  }

  IoResult Publish(size_t bytes) noexcept {
    if (bytes > view_.max_message_bytes()) return IoResult::Of(Outcome::kTooBig, EMSGSIZE);
    const uint64_t commit = CommitWord(next_, static_cast<uint32_t>(bytes));
    if (view_.wait() == Wait::kSpin) {
      // Release: publishes the payload to Receive's acquire of this word; without it a reader may see the length before
      // the bytes.
      view_.CommitOf(slot_).store(commit, std::memory_order_release);
    } else {
      // Sequentially consistent, for Dekker's handshake with the receiver's AwaitMessage: either it sees this commit
      // when it looks once more, or we see it asleep. Release alone lets the load below pass the store.
      view_.CommitOf(slot_).store(commit, std::memory_order_seq_cst);
      if (SomebodySleeps(view_.header().receiver.sleep)) WakeReceiver();
    }
    ++next_;
    slot_ = slot_ + 1 == view_.depth() ? 0 : slot_ + 1;
    return IoResult::Ok(bytes);
  }

 private:
  // Reads head anew and waits until there is room.
  IoResult AwaitRoom(Deadline deadline) noexcept;
  void WakeReceiver() noexcept;

  RingView view_;
  uint64_t next_ = 0;         // number of the message to be sent next
  uint64_t slot_ = 0;         // next_ mod depth, without the division
  uint64_t cached_head_ = 0;  // head as last read: a lower bound, re-read only when the ring seems full
  os::PeerWatch receiver_watch_;
};

// The receiving end. One at a time; OpenReceiver takes over from one that died, at the message that it had not
// finished.
class Receiver {
 public:
  explicit Receiver(RingView view);
  Receiver(Receiver&&) = default;
  Receiver& operator=(Receiver&&) = delete;
  ~Receiver();

  IoResult Receive(std::span<std::byte> buffer, Deadline deadline) noexcept {
    const ViewResult view = View(deadline);
    if (!view.result.ok()) return view.result;
    const size_t bytes = view.message.size();
    if (bytes > buffer.size()) return IoResult::Of(Outcome::kTooBig, EMSGSIZE, bytes);
    if (bytes != 0) memcpy(buffer.data(), view.message.data(), bytes);
    Release();
    return IoResult::Ok(bytes);
  }

  ViewResult View(Deadline deadline) noexcept {
    // Acquire: pairs with Publish; what follows reads the payload.
    uint64_t commit = view_.CommitOf(slot_).load(std::memory_order_acquire);
    if (!IsCommitted(commit, next_)) {
      const IoResult message = AwaitMessage(deadline, &commit);
      if (!message.ok()) return {{}, message};
    }
    const uint32_t bytes = CommittedBytes(commit);
    if (bytes > view_.max_message_bytes()) return {{}, IoResult::Of(Outcome::kError, EBADMSG)};
    return {{view_.PayloadOf(slot_), bytes}, IoResult::Ok(bytes)};
  }

  void Release() noexcept {
    ++next_;
    slot_ = slot_ + 1 == view_.depth() ? 0 : slot_ + 1;
    if (view_.wait() == Wait::kSpin) {
      // Release: our reads of the payload are done before the sender, which acquires head, overwrites the slot.
      view_.header().head.store(next_, std::memory_order_release);
    } else {
      // The other half of the handshake in Publish, with AwaitRoom.
      view_.header().head.store(next_, std::memory_order_seq_cst);
      if (SomebodySleeps(view_.header().sender.sleep)) WakeSender();
    }
  }

 private:
  // Waits until the due message is committed and returns its commit word.
  IoResult AwaitMessage(Deadline deadline, uint64_t* commit) noexcept;
  void WakeSender() noexcept;

  RingView view_;
  uint64_t next_ = 0;  // number of the message to be taken next; equals head
  uint64_t slot_ = 0;  // next_ mod depth
  os::PeerWatch sender_watch_;
};

// The primitive. Create attaches the segment and marks it for removal at once: Linux keeps it until the last attachment
// goes, so nothing is left behind even when the creator is killed. Forked children inherit the attachment, and all ends
// of a process share it: the segment's attach count is the number of processes.
class Channel {
 public:
  static constexpr Capabilities kCapabilities = {
      .max_senders = 1,
      .max_receivers = 1,
      .max_message_bytes = kMaxMessageBytes,
      .keeps_boundaries = true,
      .has_priorities = false,
      .survives_sigkill = true,
      .reports_peer_death = true,
      .waits = {Wait::kSpin, Wait::kSpinThenBlock, Wait::kBlock},
  };

  static absl::StatusOr<Channel> Create(const Geometry& geometry);

  [[nodiscard]] const Geometry& geometry() const { return geometry_; }
  [[nodiscard]] uint64_t DepthLimit(uint32_t) const { return geometry_.depth_messages; }
  // kFailedPrecondition while another living process holds that end.
  absl::StatusOr<Sender> OpenSender();
  absl::StatusOr<Receiver> OpenReceiver();
  void ReleaseEnds() noexcept { attachment_.reset(); }
  // The kernel's object, for tests and for those who count attachments.
  [[nodiscard]] const Segment& segment() const { return segment_; }

 private:
  Channel(Geometry geometry, Segment segment, Attachment attachment)
      : geometry_(geometry),
        segment_(std::move(segment)),
        attachment_(std::make_shared<const Attachment>(std::move(attachment))) {}
  absl::StatusOr<RingView> Open();

  Geometry geometry_;
  Segment segment_;
  std::shared_ptr<const Attachment> attachment_;  // until ReleaseEnds
};

static_assert(Primitive<Channel> && LoaningSendEnd<Sender> && LoaningReceiveEnd<Receiver>);

}  // namespace ipcmark::sysv_shm

#endif  // IPCMARK_IPC_SYSV_SHM_SYSV_SHM_H_
