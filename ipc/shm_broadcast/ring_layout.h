#ifndef IPCMARK_IPC_SHM_BROADCAST_RING_LAYOUT_H_
#define IPCMARK_IPC_SHM_BROADCAST_RING_LAYOUT_H_

// What the broadcast ring looks like in the segment. Drawn once, here:
//
//   offset 0                  Header: constants, the sender's line, the receivers' line, the count
//   offset kReceiversOffset   `receivers` entries of one cache line: who reads, and how far it has come
//   offset slots_offset       depth_messages slots of slot_bytes each
//
//   slot:  sequence (8 bytes) | length (8) | pad up to payload_offset | payload (max_message_bytes) | pad to slot_bytes
//
// Message n (0, 1, 2, ...) lies in slot n mod depth. Its sequence word holds n + 1 once it is whole, so a slot says by
// itself whether it holds the message that a receiver is due, and polling an empty ring reads the line in which the
// message will arrive. The word has all 64 bits, unlike sysv_shm's: a receiver that may be lapped must not take message
// n + 2^32, seven minutes later at ten million a second, for message n. A fresh slot is all zero, never a due word.
//
// Invariants
//   Only the sender writes slots and `sent`. sent <= (messages committed) <= sent + 1, and they differ only between two
//     stores of a sender or because it died there; the next sender makes them equal.
//   Only a receiver writes its entry, and nobody a stranger's: a dead one's entry stays until a new receiver claims it.
//   SlowReceiver::kBlocksSender: the sender writes message n only when n < head + depth for every entry that reads and
//     whose process lives. A slot that a receiver may look at is therefore never written.
//   SlowReceiver::kMissesMessages: the sender writes when it likes. It marks the slot with Writing(n) first, so nobody
//     takes the new bytes for the old message or half of them for the new one.
//   Everything that a dead end leaves behind follows from slots and `sent`: the sender's position is not stored.

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "ipc/channel.h"
#include "ipc/os/cpu.h"
#include "ipc/os/peer.h"

namespace ipcmark::shm_broadcast {

inline constexpr uint64_t kRingMagic = 0x747361632d637069;  // "ipc-cast" in memory order
inline constexpr uint32_t kRingVersion = 1;
inline constexpr uint32_t kMaxReceivers = 1024;
// No sender comes this far (at 10^9 a second: 146 years), so n + 1, n + depth and the mark below never overflow.
inline constexpr uint64_t kMaxMessages = uint64_t{1} << 62;
// Slots whose messages are larger than this start on a cache line of their own, so that copies are aligned; smaller
// ones are packed, so that a 64-byte message touches two lines and not more.
inline constexpr uint32_t kPackedMessageBytes = 256;

// The head of an entry that holds no sender back.
inline constexpr uint64_t kNotReading = ~uint64_t{0};

// What no end changes after Create. Copied out and checked once per end, so that a damaged header changes nothing
// later.
struct Constants {
  uint64_t magic;
  uint32_t version;
  uint32_t depth_messages;
  uint32_t max_message_bytes;
  uint32_t payload_offset;  // in the slot
  uint64_t slot_bytes;
  uint64_t slots_offset;  // in the segment
  uint64_t total_bytes;
  uint32_t receivers;      // entries in the table
  uint32_t slow_receiver;  // a SlowReceiver
};
static_assert(sizeof(Constants) == 56);

// Templates over the atomic, so that tests run the same algorithm on one that yields or dies before an access.
template <template <typename> class Atomic>
struct Header {
  Constants constants;
  struct alignas(os::kCacheLineBytes) {
    os::PeerWord peer;
    Atomic<uint32_t> sleep;   // ring_wait.h; the sender sleeps here for room. Written by it, and by who wakes it
    Atomic<uint64_t> awaits;  // the head that its laggards have; a receiver that steps off it wakes. Sender writes
  } sender;
  struct alignas(os::kCacheLineBytes) {
    Atomic<uint32_t> sleep;         // ring_wait.h; receivers sleep here for messages
    Atomic<uint32_t> entries_used;  // the sender looks at this many entries; grows only
  } receivers;
  struct alignas(os::kCacheLineBytes) {
    Atomic<uint64_t> sent;  // messages so far. The sender writes it each time: nothing that receivers poll is here
  } count;
};
inline constexpr size_t kReceiversOffset = 256;

template <template <typename> class Atomic>
struct alignas(os::kCacheLineBytes) ReceiverEntry {
  os::PeerWord peer;
  // The number of the message that it takes next; the sender must not overwrite that one. kNotReading: none. With
  // kMissesMessages 0 while open: nobody waits for it. A claimed entry may hold a dead predecessor's until it is set.
  Atomic<uint64_t> head{kNotReading};
};

template <template <typename> class Atomic>
struct SlotHeader {
  Atomic<uint64_t> sequence;
  Atomic<uint64_t> length_bytes;
};

// The layout, asserted for the atomic at hand.
template <template <typename> class Atomic>
constexpr bool HasTheLayout() {
  using H = Header<Atomic>;
  static_assert(sizeof(H) == kReceiversOffset && sizeof(ReceiverEntry<Atomic>) == 64);
  static_assert(offsetof(H, sender) == 64 && offsetof(H, sender.sleep) == 72 && offsetof(H, sender.awaits) == 80);
  static_assert(offsetof(H, receivers) == 128 && offsetof(H, count) == 192);
  static_assert(offsetof(H, receivers.entries_used) == 132 && offsetof(ReceiverEntry<Atomic>, head) == 8);
  static_assert(sizeof(SlotHeader<Atomic>) == 16 && sizeof(Atomic<uint64_t>) == 8);
  return true;
}
static_assert(HasTheLayout<std::atomic>() && std::atomic<uint64_t>::is_always_lock_free);

constexpr uint64_t RoundUp(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }

constexpr uint32_t PayloadOffset(uint32_t max_message_bytes) {
  return max_message_bytes > kPackedMessageBytes ? os::kCacheLineBytes : 16;
}
// A multiple of 16, so that payloads may be copied in words of eight bytes, and an 8-byte message stays in one line.
constexpr uint64_t SlotBytes(uint32_t max_message_bytes) {
  return RoundUp(uint64_t{PayloadOffset(max_message_bytes)} + max_message_bytes, PayloadOffset(max_message_bytes));
}
constexpr uint64_t SlotsOffset(uint32_t receivers) {
  return kReceiversOffset + receivers * sizeof(ReceiverEntry<std::atomic>);
}
// The one ring that fits a geometry. Cannot overflow: depth and size are below 2^32.
constexpr Constants ConstantsOf(const Geometry& geometry) {
  const uint64_t slot_bytes = SlotBytes(geometry.max_message_bytes);
  const uint64_t slots_offset = SlotsOffset(geometry.receivers);
  return {.magic = kRingMagic,
          .version = kRingVersion,
          .depth_messages = geometry.depth_messages,
          .max_message_bytes = geometry.max_message_bytes,
          .payload_offset = PayloadOffset(geometry.max_message_bytes),
          .slot_bytes = slot_bytes,
          .slots_offset = slots_offset,
          .total_bytes = slots_offset + geometry.depth_messages * slot_bytes,
          .receivers = geometry.receivers,
          .slow_receiver = static_cast<uint32_t>(geometry.slow_receiver)};
}

// True when these describe a ring that fits in `mapped_bytes`, so that no index derived from them leaves the mapping.
bool IsValidRing(const Constants& constants, uint64_t mapped_bytes);

// The sequence word of message `message` when it is whole, and while it is being written over an older one.
constexpr uint64_t Whole(uint64_t message) { return message + 1; }
constexpr uint64_t Writing(uint64_t message) { return Whole(message) | uint64_t{1} << 63; }

// What a slot's sequence word means to a receiver that is due `message`.
enum class SlotState : uint8_t {
  kDue,      // it is there
  kNotYet,   // nothing newer than the message before it in this slot
  kLapped,   // overwritten, or being overwritten
  kDamaged,  // no sender leaves such a word here
};

constexpr SlotState StateOf(uint64_t sequence, uint64_t message, uint32_t depth) {
  const uint64_t due = Whole(message);
  if (sequence == due) return SlotState::kDue;
  // Exactly one lap older, because the message before that one was received, or sent before this receiver opened. Zero
  // in a ring that has not come round yet.
  if (sequence == 0 || sequence == due - depth || sequence == Writing(message)) return SlotState::kNotYet;
  const uint64_t number = sequence & ~(uint64_t{1} << 63);
  return number > due && (number - due) % depth == 0 ? SlotState::kLapped : SlotState::kDamaged;
}

}  // namespace ipcmark::shm_broadcast

#endif  // IPCMARK_IPC_SHM_BROADCAST_RING_LAYOUT_H_
