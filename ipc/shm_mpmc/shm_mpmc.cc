#include "ipc/shm_mpmc/shm_mpmc.h"

#include <optional>

#include "absl/strings/str_format.h"

namespace ipcmark::shm_mpmc {

template class BasicEnd<std::atomic>;
template class BasicSender<std::atomic>;
template class BasicReceiver<std::atomic>;

absl::StatusOr<Channel> Channel::Create(const Geometry& geometry) {
  absl::Status fits = CheckGeometry("shm_mpmc", kCapabilities, geometry);
  if (!fits.ok()) return fits;
  if (geometry.depth_messages > kMaxDepthMessages) {
    return absl::UnimplementedError(
        absl::StrFormat("shm_mpmc holds up to %d messages, not %d", kMaxDepthMessages, geometry.depth_messages));
  }
  const uint64_t bytes = RingBytes(geometry.depth_messages, geometry.max_message_bytes);
  absl::StatusOr<sysv_shm::Segment> segment = sysv_shm::Segment::Create(bytes);
  if (!segment.ok()) return segment.status();
  absl::StatusOr<sysv_shm::Attachment> attachment = segment->Attach();
  absl::Status removed = segment->Remove();
  if (!attachment.ok()) return attachment.status();
  if (!removed.ok()) return removed;
  FormatRing<std::atomic>(attachment->address(), geometry.depth_messages, geometry.max_message_bytes, /*first=*/0);
  return Channel(geometry, *std::move(segment), *std::move(attachment));
}

absl::StatusOr<Channel::Ring> Channel::Open() const {
  if (attachment_ == nullptr) return absl::FailedPreconditionError("shm_mpmc: open ends before ReleaseEnds");
  const std::optional<RingConstants> constants = ReadConstants(attachment_->address(), attachment_->bytes());
  if (!constants.has_value()) {
    return absl::DataLossError(absl::StrFormat(
        "shm segment %d holds no valid ring (magic, version or sizes are off); create a new one", segment_.id()));
  }
  // Shares the attachment's count: the segment stays attached while an end lives.
  return Ring{std::shared_ptr<void>(attachment_, attachment_->address()), *constants};
}

absl::StatusOr<Sender> Channel::OpenSender() {
  absl::StatusOr<Ring> ring = Open();
  if (!ring.ok()) return ring.status();
  return Sender::Open(std::move(ring->memory), ring->constants, geometry_.wait);
}

absl::StatusOr<Receiver> Channel::OpenReceiver() {
  absl::StatusOr<Ring> ring = Open();
  if (!ring.ok()) return ring.status();
  return Receiver::Open(std::move(ring->memory), ring->constants, geometry_.wait);
}

}  // namespace ipcmark::shm_mpmc
