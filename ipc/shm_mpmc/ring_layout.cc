#include "ipc/shm_mpmc/ring_layout.h"

#include "ipc/os/mapping.h"

namespace ipcmark::shm_mpmc {

std::optional<RingConstants> ReadConstants(const void* memory, uint64_t mapped_bytes) {
  if (mapped_bytes < sizeof(RingHeader<std::atomic>)) return std::nullopt;
  const auto copy = os::CopyOnce<RingConstants>(memory);
  // Sizes first: what Create would refuse has no layout to compare with.
  if (copy.depth_messages == 0 || copy.depth_messages > kMaxDepthMessages ||
      copy.max_message_bytes > kMaxMessageBytes ||
      copy != RingConstantsOf(copy.depth_messages, copy.max_message_bytes) || copy.total_bytes > mapped_bytes) {
    return std::nullopt;
  }
  return copy;
}

}  // namespace ipcmark::shm_mpmc
