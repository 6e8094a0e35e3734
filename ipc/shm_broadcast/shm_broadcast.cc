#include "ipc/shm_broadcast/shm_broadcast.h"

namespace ipcmark::shm_broadcast {

bool IsValidRing(const Constants& constants, uint64_t mapped_bytes) {
  // Sizes first: what Create would refuse has no layout to compare with.
  if (constants.depth_messages == 0 || constants.receivers == 0 || constants.receivers > kMaxReceivers ||
      constants.max_message_bytes > Channel::kCapabilities.max_message_bytes ||
      constants.slow_receiver > static_cast<uint32_t>(SlowReceiver::kMissesMessages)) {
    return false;
  }
  const Constants expected = ConstantsOf({.depth_messages = constants.depth_messages,
                                          .max_message_bytes = constants.max_message_bytes,
                                          .receivers = constants.receivers,
                                          .slow_receiver = static_cast<SlowReceiver>(constants.slow_receiver)});
  return memcmp(&constants, &expected, sizeof(expected)) == 0 && expected.total_bytes <= mapped_bytes;
}

template class BasicSender<std::atomic>;
template class BasicReceiver<std::atomic>;
template class BasicChannel<std::atomic>;

}  // namespace ipcmark::shm_broadcast
