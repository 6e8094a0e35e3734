#include <cerrno>
#include <new>

#include "absl/strings/str_format.h"
#include "ipc/os/error.h"
#include "ipc/sysv_shm/ring_wait.h"
#include "ipc/sysv_shm/sysv_shm.h"

namespace ipcmark::sysv_shm {
bool IsValidRing(const RingHeader& header, uint64_t mapped_bytes) {
  return mapped_bytes >= sizeof(RingHeader) && header.magic == kRingMagic && header.version == kRingVersion &&
         header.depth_messages > 0 && header.max_message_bytes <= kMaxMessageBytes &&
         header.payload_offset == PayloadOffset(header.max_message_bytes) &&
         header.slot_bytes == SlotBytes(header.max_message_bytes) &&
         header.total_bytes == RingBytes(header.depth_messages, header.max_message_bytes) &&
         header.total_bytes <= mapped_bytes;
}

RingView::RingView(std::shared_ptr<const Attachment> attachment, Wait wait)
    : attachment_(std::move(attachment)), wait_(wait) {
  const RingHeader& shared = header();
  slots_ = static_cast<std::byte*>(attachment_->address()) + kSlotsOffset;
  slot_bytes_ = shared.slot_bytes;
  payload_offset_ = shared.payload_offset;
  depth_ = shared.depth_messages;
  max_message_bytes_ = shared.max_message_bytes;
}

Sender::Sender(RingView view) : view_(std::move(view)) {
  // Where the last sender stopped: behind the last committed message. Acquire: the slots before head are free for us.
  cached_head_ = view_.header().head.load(std::memory_order_acquire);
  next_ = cached_head_;
  while (next_ - cached_head_ < view_.depth() &&
         IsCommitted(view_.CommitOf(next_ % view_.depth()).load(std::memory_order_acquire), next_)) {
    ++next_;
  }
  slot_ = next_ % view_.depth();
}

Sender::~Sender() {
  if (!view_.attached()) return;
  os::ReleasePeer(view_.header().sender.peer);
  WakeReceiver();  // so that it learns at once, not at its next look
}

IoResult Sender::AwaitRoom(Deadline deadline) noexcept {
  RingHeader& header = view_.header();
  // Sequentially consistent for the handshake with Release; it also acquires, so the slot's last reader is done with
  // it.
  // A head beyond what was sent is damage: the subtraction is then huge, and it looks like a full ring that no receiver
  // can empty. That ends the wait, too.
  const auto ready = [&]() noexcept {
    cached_head_ = header.head.load(std::memory_order_seq_cst);
    return next_ - cached_head_ < view_.depth() || cached_head_ > next_;
  };
  const auto look = [&]() noexcept { return LookAtPeer(header.receiver.peer, receiver_watch_, ready); };
  const IoResult result = Await<Sleepers::kOne>(view_.wait(), header.sender.sleep, deadline, ready, look);
  return cached_head_ > next_ ? IoResult::Of(Outcome::kError, EBADMSG) : result;
}

void Sender::WakeReceiver() noexcept { WakeSleepers<Sleepers::kOne>(view_.header().receiver.sleep); }

Receiver::Receiver(RingView view) : view_(std::move(view)) {
  next_ = view_.header().head.load(std::memory_order_acquire);
  slot_ = next_ % view_.depth();
}

Receiver::~Receiver() {
  if (!view_.attached()) return;
  os::ReleasePeer(view_.header().receiver.peer);
  WakeSender();
}

IoResult Receiver::AwaitMessage(Deadline deadline, uint64_t* commit) noexcept {
  RingHeader& header = view_.header();
  const std::atomic<uint64_t>& due = view_.CommitOf(slot_);
  const auto ready = [&]() noexcept {
    *commit = due.load(std::memory_order_seq_cst);
    return IsCommitted(*commit, next_);
  };
  const auto look = [&]() noexcept { return LookAtPeer(header.sender.peer, sender_watch_, ready); };
  return Await<Sleepers::kOne>(view_.wait(), header.receiver.sleep, deadline, ready, look);
}

void Receiver::WakeSender() noexcept { WakeSleepers<Sleepers::kOne>(view_.header().sender.sleep); }

absl::StatusOr<Channel> Channel::Create(const Geometry& geometry) {
  absl::Status fits = CheckGeometry("sysv_shm", kCapabilities, geometry);
  if (!fits.ok()) return fits;
  const uint64_t bytes = RingBytes(geometry.depth_messages, geometry.max_message_bytes);
  absl::StatusOr<Segment> segment = Segment::Create(bytes);
  if (!segment.ok()) return segment.status();
  absl::StatusOr<Attachment> attachment = segment->Attach();
  absl::Status removed = segment->Remove();
  if (!attachment.ok()) return attachment.status();
  if (!removed.ok()) return removed;
  auto* header = new (attachment->address()) RingHeader{};
  header->magic = kRingMagic;
  header->version = kRingVersion;
  header->depth_messages = geometry.depth_messages;
  header->max_message_bytes = geometry.max_message_bytes;
  header->payload_offset = PayloadOffset(geometry.max_message_bytes);
  header->slot_bytes = SlotBytes(geometry.max_message_bytes);
  header->total_bytes = bytes;
  return Channel(geometry, *std::move(segment), *std::move(attachment));
}

absl::StatusOr<RingView> Channel::Open() {
  if (attachment_ == nullptr) return absl::FailedPreconditionError("sysv_shm: open ends before ReleaseEnds");
  if (!IsValidRing(*static_cast<const RingHeader*>(attachment_->address()), attachment_->bytes())) {
    return absl::DataLossError(absl::StrFormat(
        "shm segment %d holds no valid ring (magic, version or sizes are off); create a new one", segment_.id()));
  }
  return RingView(attachment_, geometry_.wait);
}

absl::StatusOr<Sender> Channel::OpenSender() {
  absl::StatusOr<RingView> view = Open();
  if (!view.ok()) return view.status();
  pid_t holder = 0;
  if (!os::ClaimPeer(view->header().sender.peer, &holder)) {
    return absl::FailedPreconditionError(
        absl::StrFormat("sysv_shm: process %d is this ring's sender; a second one needs a ring of its own", holder));
  }
  return Sender(*std::move(view));
}

absl::StatusOr<Receiver> Channel::OpenReceiver() {
  absl::StatusOr<RingView> view = Open();
  if (!view.ok()) return view.status();
  pid_t holder = 0;
  if (!os::ClaimPeer(view->header().receiver.peer, &holder)) {
    return absl::FailedPreconditionError(
        absl::StrFormat("sysv_shm: process %d is this ring's receiver; a second one needs a ring of its own", holder));
  }
  return Receiver(*std::move(view));
}

}  // namespace ipcmark::sysv_shm
