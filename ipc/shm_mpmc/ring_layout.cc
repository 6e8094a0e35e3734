#include "ipc/shm_mpmc/ring_layout.h"

#include <cstring>

namespace ipcmark::shm_mpmc {

std::optional<RingConstants> ReadConstants(const void* memory, uint64_t mapped_bytes) {
  if (mapped_bytes < sizeof(RingHeader<std::atomic>)) return std::nullopt;
  RingConstants copy;
  memcpy(&copy, memory, sizeof(copy));
  // For the compiler only: behind this it must take the memory for changed, so it cannot check one reading of a size
  // and use another.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  // Sizes first: what Create would refuse has no layout to compare with.
  if (copy.depth_messages == 0 || copy.depth_messages > kMaxDepthMessages ||
      copy.max_message_bytes > kMaxMessageBytes ||
      copy != RingConstantsOf(copy.depth_messages, copy.max_message_bytes) || copy.total_bytes > mapped_bytes) {
    return std::nullopt;
  }
  return copy;
}

}  // namespace ipcmark::shm_mpmc
