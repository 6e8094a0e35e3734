#include "stress/message.h"

#include <algorithm>
#include <cstring>

#include "stress/random.h"

namespace ipcmark::stress {
namespace {

// Eight bytes a step. Each step multiplies what came before, so that swapped words change the sum, too.
uint64_t Checksum(std::span<const std::byte> bytes, uint64_t seed) {
  uint64_t sum = seed ^ bytes.size();
  while (!bytes.empty()) {
    const size_t step = std::min<size_t>(bytes.size(), sizeof(uint64_t));
    uint64_t word = 0;
    memcpy(&word, bytes.data(), step);
    sum = (sum ^ word) * 0x9e3779b97f4a7c15;
    sum ^= sum >> 32;
    bytes = bytes.subspan(step);
  }
  return Scramble(sum);
}

}  // namespace

void WriteMessage(MessageHeader header, uint64_t trial_seed, std::span<std::byte> room) {
  const std::span<std::byte> message = room.first(header.bytes);
  Random payload(SubSeed(trial_seed ^ header.sequence, header.sender));
  for (std::span<std::byte> rest = message.subspan(sizeof(header)); !rest.empty();) {
    const uint64_t word = payload.Next();
    const size_t step = std::min(rest.size(), sizeof(word));
    memcpy(rest.data(), &word, step);
    rest = rest.subspan(step);
  }
  memcpy(message.data(), &header, sizeof(header));
  header.checksum = Checksum(message.subspan(sizeof(header.checksum)), trial_seed);
  memcpy(message.data(), &header.checksum, sizeof(header.checksum));
}

bool ReadMessage(std::span<const std::byte> message, uint64_t trial_seed, MessageHeader* header) {
  *header = {};
  if (message.size() < sizeof(*header)) return false;
  memcpy(header, message.data(), sizeof(*header));
  return header->bytes == message.size() &&
         header->checksum == Checksum(message.subspan(sizeof(header->checksum)), trial_seed);
}

}  // namespace ipcmark::stress
