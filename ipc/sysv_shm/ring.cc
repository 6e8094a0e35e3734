#include "ipc/os/mapping.h"
#include "ipc/sysv_shm/sysv_shm.h"

namespace ipcmark::sysv_shm {

bool IsValidRing(const RingConstants& constants, uint64_t mapped_bytes) {
  // Sizes first: what Create would refuse has no layout to compare with.
  return constants.depth_messages > 0 && constants.max_message_bytes <= kMaxMessageBytes &&
         constants.fences <= static_cast<uint32_t>(Fences::kAsymmetric) &&
         constants == RingConstantsOf(constants.depth_messages, constants.max_message_bytes,
                                      static_cast<Fences>(constants.fences)) &&
         constants.total_bytes <= mapped_bytes;
}

std::optional<RingConstants> ReadConstants(const void* memory, uint64_t mapped_bytes) {
  if (mapped_bytes < sizeof(RingConstants)) return std::nullopt;
  const auto copy = os::CopyOnce<RingConstants>(memory);
  if (!IsValidRing(copy, mapped_bytes)) return std::nullopt;
  return copy;
}

template class BasicSender<std::atomic>;
template class BasicReceiver<std::atomic>;
template class BasicChannel<std::atomic>;

}  // namespace ipcmark::sysv_shm
