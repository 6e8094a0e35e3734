#include "ipc/moodycamel/moodycamel.h"

#include <bit>

namespace ipcmark::moodycamel {
namespace {

// Of ReaderWriterQueue's own template argument MAX_BLOCK_SIZE.
constexpr uint64_t kMaxBlockElements = 512;

// Elements that the constructor makes room for; mirrors its rounding.
uint64_t RoomFor(uint64_t depth) {
  const uint64_t block = std::bit_ceil(depth + 1);
  if (block <= kMaxBlockElements * 2) return block;
  return (depth + kMaxBlockElements * 2 - 3) / (kMaxBlockElements - 1) * kMaxBlockElements;
}

uint64_t ElementBytes(uint32_t max_message_bytes) {
  if (max_message_bytes <= kSmallBytes) return sizeof(Element<kSmallBytes>);
  if (max_message_bytes <= kMediumBytes) return sizeof(Element<kMediumBytes>);
  return sizeof(Element<kLargeBytes>);
}

}  // namespace

absl::StatusOr<Channel> Channel::Create(const Geometry& geometry) {
  absl::Status fits = CheckGeometry("moodycamel", kCapabilities, geometry);
  if (!fits.ok()) return fits;
  const uint64_t room = RoomFor(geometry.depth_messages);
  // The elements, and per block its header and what aligns it.
  const uint64_t bytes = sizeof(Queue<kLargeBytes>) + room * ElementBytes(geometry.max_message_bytes) +
                         (room / kMaxBlockElements + 1) * 1024 + 4096;
  absl::StatusOr<os::Mapping> mapping = os::Mapping::SharedAnonymous(bytes);
  if (!mapping.ok()) return mapping.status();
  auto* start = static_cast<std::byte*>(mapping->address());
  arena = {start + (sizeof(Queue<kLargeBytes>) + 63) / 64 * 64, start + bytes};
  try {
    WithQueue(start, geometry.max_message_bytes,
              [&]<typename Q>(Q& queue) { new (&queue) Q(geometry.depth_messages); });
  } catch (const std::bad_alloc&) {
    return absl::InternalError("moodycamel: the library wants more memory than its rounding says");
  }
  arena = {};
  return Channel(geometry, std::make_shared<const os::Mapping>(*std::move(mapping)), room);
}

absl::StatusOr<Sender> Channel::OpenSender() {
  if (mapping_ == nullptr) return absl::FailedPreconditionError("moodycamel: open ends before ReleaseEnds");
  return Sender(mapping_, geometry_.max_message_bytes);
}

absl::StatusOr<Receiver> Channel::OpenReceiver() {
  if (mapping_ == nullptr) return absl::FailedPreconditionError("moodycamel: open ends before ReleaseEnds");
  return Receiver(mapping_, geometry_.max_message_bytes);
}

}  // namespace ipcmark::moodycamel
