#ifndef IPCMARK_STRESS_MESSAGE_H_
#define IPCMARK_STRESS_MESSAGE_H_

// What stress sends: messages that prove who sent them and that nobody has touched them.

#include <cstddef>
#include <cstdint>
#include <span>

namespace ipcmark::stress {

enum class Kind : uint32_t {
  kData = 0x61746164,  // "data" in memory order
  kStop = 0x706f7473,  // "stop": its receiver leaves
};

struct MessageHeader {
  uint64_t checksum;  // over all that follows it, payload included, and over the trial's seed
  uint64_t sequence;  // 0, 1, 2, ... per sender
  uint32_t sender;    // index of the sender's log, never used twice in a trial
  uint32_t bytes;     // of the whole message
  uint32_t priority;
  Kind kind;
};
static_assert(sizeof(MessageHeader) == 32);

inline constexpr uint32_t kSmallestMessageBytes = sizeof(MessageHeader);

// Writes a message of header.bytes bytes (at least kSmallestMessageBytes) to the front of `room`. header.checksum is
// computed here, and the payload follows from the trial's seed, sender and sequence.
void WriteMessage(MessageHeader header, uint64_t trial_seed, std::span<std::byte> room);

// True when `message` is what WriteMessage wrote for this trial, to the last byte. `header` is what it says it is, as
// far as it is long enough (zeroes otherwise): a torn message's header is a hint at best.
bool ReadMessage(std::span<const std::byte> message, uint64_t trial_seed, MessageHeader* header);

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_MESSAGE_H_
