#ifndef IPCMARK_STRESS_SMALLER_H_
#define IPCMARK_STRESS_SMALLER_H_

// A trial that is smaller than its scenario and its seed make it: what minimisation (minimize.h) finds, and what the
// flags of its replay ask for.

#include <cstdint>
#include <limits>

#include "ipc/channel.h"

namespace ipcmark::stress {

struct Smaller {
  static constexpr uint64_t kAll = std::numeric_limits<uint64_t>::max();

  // 0: as the scenario says.
  uint32_t senders = 0;
  uint32_t receivers = 0;
  uint32_t depth_messages = 0;
  uint32_t message_bytes = 0;
  uint64_t messages = kAll;  // that traffic has at most, over all senders
  uint64_t strikes = kAll;   // bit n: strike n happens

  [[nodiscard]] Geometry Of(Geometry geometry) const {
    if (senders != 0) geometry.senders = senders;
    if (receivers != 0) geometry.receivers = receivers;
    if (depth_messages != 0) geometry.depth_messages = depth_messages;
    if (message_bytes != 0) geometry.max_message_bytes = message_bytes;
    return geometry;
  }
  [[nodiscard]] bool HasStrike(size_t n) const { return n >= 64 || (strikes >> n & 1U) != 0; }
  friend bool operator==(const Smaller&, const Smaller&) = default;
};

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_SMALLER_H_
