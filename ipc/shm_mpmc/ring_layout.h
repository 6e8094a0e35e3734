#ifndef IPCMARK_IPC_SHM_MPMC_RING_LAYOUT_H_
#define IPCMARK_IPC_SHM_MPMC_RING_LAYOUT_H_

// What the many-sender many-receiver ring looks like in the segment. Drawn once, here:
//
//   offset 0              RingHeader   fixed line | tail line | head line | senders' line | receivers' line
//                                      | table of senders' ends | table of receivers' ends
//   offset kSlotsOffset   depth_messages slots of slot_bytes each, every one on cache lines of its own
//
//   slot:  word (8 bytes) | pad up to payload_offset | payload (max_message_bytes) | pad to slot_bytes
//
//   word:  position, low 32 bits | detail, 30 bits | state, 2 bits
//
//   state       detail                        meaning, for position p
//   kFree       0                             ready for message p
//   kClaimed    owner (a sender's end)        that sender writes message p
//   kCommitted  length in bytes               message p is accepted and nobody has it
//   kTaken      owner (a receiver's end)      that receiver reads message p, and may give it back
//
//   owner:  returning (bit 29) | generation of the entry (19 bits) | index in the table (10 bits)
//
// Message p lies in slot p mod depth. A slot goes  free(p) -> claimed(p) -> committed(p) -> taken(p) -> free(p +
// depth); from claimed(p) and taken(p) also at once to free(p + depth), when the owner gives up or is found dead; and
// from taken(p) back to committed(p), when a receiver closes with a message that it has viewed but not released.
//
// Everything follows from the slots. The other words are hints that anybody mends:
//   tail   no slot below is free for its position: slot tail mod depth is where the next message goes, unless its word
//          shows that tail lags; then whoever sees it moves tail on. It lags by one at most.
//   head   the same for receivers: below it, every message has been taken or given up. It lags by one, and by any
//          number of positions that were given up since a receiver last came by.
//   returns_announced != returns_settled   a message may lie committed below head, because a receiver gave it back.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>

#include "ipc/os/cpu.h"
#include "ipc/os/peer.h"

namespace ipcmark::shm_mpmc {

inline constexpr uint64_t kRingMagic = 0x636d706d2d637069;  // "ipc-mpmc" in memory order
inline constexpr uint32_t kRingVersion = 2;
inline constexpr uint32_t kMaxEnds = 1024;  // of each side, open at once
// Two laps must differ by less than half of a word's 32 bits of position.
inline constexpr uint32_t kMaxDepthMessages = 1U << 30;
inline constexpr uint32_t kMaxMessageBytes = (1U << 30) - 1;  // what a word's detail holds
// Payloads larger than this start on a cache line of their own, so that copies are aligned; smaller ones share the
// word's line.
inline constexpr uint32_t kInlineMessageBytes = 256;
// ipc/copy.h: messages from this size on go past the cache. Sooner than elsewhere: slots follow each other closely, and
// a prefetcher at the end of one takes the beginning of the next from who writes it.
inline constexpr uint32_t kPastCacheBytes = 16384;

enum class SlotState : uint32_t { kFree = 0, kClaimed = 1, kCommitted = 2, kTaken = 3 };

constexpr uint64_t SlotWord(uint64_t position, SlotState state, uint32_t detail) {
  return position << 32 | uint64_t{detail} << 2 | static_cast<uint64_t>(state);
}
constexpr SlotState StateOf(uint64_t word) { return static_cast<SlotState>(word & 3); }
constexpr uint32_t DetailOf(uint64_t word) { return static_cast<uint32_t>(word) >> 2; }
// The low 32 bits of the position, and what they are ahead of `position` (negative: behind).
constexpr uint32_t PositionOf(uint64_t word) { return static_cast<uint32_t>(word >> 32); }
constexpr int64_t Ahead(uint64_t word, uint64_t position) {
  return static_cast<int32_t>(PositionOf(word) - static_cast<uint32_t>(position));
}

inline constexpr uint32_t kEndIndexBits = 10;
inline constexpr uint32_t kGenerationBits = 19;
inline constexpr uint32_t kReturning = 1U << (kEndIndexBits + kGenerationBits);
static_assert(kMaxEnds == 1U << kEndIndexBits, "every index that a word can hold is in the table");

constexpr uint32_t Generation(uint32_t count) { return count & ((1U << kGenerationBits) - 1); }
constexpr uint32_t Owner(uint32_t index, uint32_t generation) {
  return Generation(generation) << kEndIndexBits | index;
}
constexpr uint32_t IndexOf(uint32_t owner) { return owner & (kMaxEnds - 1); }
constexpr uint32_t GenerationOf(uint32_t owner) { return Generation(owner >> kEndIndexBits); }

// What no end changes after Create.
struct RingConstants {
  uint64_t magic;
  uint32_t version;
  uint32_t depth_messages;
  uint32_t max_message_bytes;
  uint32_t payload_offset;  // in the slot
  uint64_t slot_bytes;
  uint64_t total_bytes;

  friend bool operator==(const RingConstants&, const RingConstants&) = default;
};
static_assert(sizeof(RingConstants) == 40);

// One end, in the table of its side.
template <template <typename> class Atomic>
struct EndEntry {
  os::PeerWord peer;
  // How often this entry has been opened. Written by the process that holds `peer` only. A slot whose owner names
  // another generation belonged to an end that is gone.
  Atomic<uint32_t> generation;
  uint32_t unused;
};

template <template <typename> class Atomic>
struct alignas(os::kCacheLineBytes) RingSide {
  Atomic<uint32_t> sleep;  // ring_wait.h; ends of this side sleep on this very word
  Atomic<uint32_t> used;   // entries of this side's table that have ever been open lie below this one
};

// Padded on purpose: what different ends write lies on lines of its own.
template <template <typename> class Atomic>
struct RingHeader {  // NOLINT(clang-analyzer-optin.performance.Padding)
  RingConstants constants;
  alignas(os::kCacheLineBytes) Atomic<uint64_t> tail;  // full 64 bits, so it never repeats
  alignas(os::kCacheLineBytes) Atomic<uint64_t> head;  // likewise
  Atomic<uint64_t> returns_announced;
  Atomic<uint64_t> returns_settled;
  RingSide<Atomic> senders;
  RingSide<Atomic> receivers;
  EndEntry<Atomic> sender_ends[kMaxEnds];
  EndEntry<Atomic> receiver_ends[kMaxEnds];
};

inline constexpr size_t kSlotsOffset = 5 * 64 + 2 * kMaxEnds * 16;
static_assert(std::atomic<uint64_t>::is_always_lock_free && std::atomic<uint32_t>::is_always_lock_free);
static_assert(sizeof(EndEntry<std::atomic>) == 16 && sizeof(RingHeader<std::atomic>) == kSlotsOffset);
static_assert(offsetof(RingHeader<std::atomic>, tail) == 64 && offsetof(RingHeader<std::atomic>, head) == 128);
static_assert(offsetof(RingHeader<std::atomic>, senders) == 192 && offsetof(RingHeader<std::atomic>, receivers) == 256);
static_assert(offsetof(RingHeader<std::atomic>, sender_ends) == 320);
static_assert(kSlotsOffset % os::kCacheLineBytes == 0);

constexpr uint32_t PayloadOffset(uint32_t max_message_bytes) {
  return max_message_bytes > kInlineMessageBytes ? os::kCacheLineBytes : sizeof(uint64_t);
}
constexpr uint64_t SlotBytes(uint32_t max_message_bytes) {
  const uint64_t bytes = uint64_t{PayloadOffset(max_message_bytes)} + max_message_bytes;
  return (bytes + os::kCacheLineBytes - 1) / os::kCacheLineBytes * os::kCacheLineBytes;
}
// Cannot overflow: both factors are below 2^32.
constexpr uint64_t RingBytes(uint32_t depth_messages, uint32_t max_message_bytes) {
  return kSlotsOffset + depth_messages * SlotBytes(max_message_bytes);
}

// The one ring with this depth and message size. Needs max_message_bytes <= kMaxMessageBytes.
constexpr RingConstants RingConstantsOf(uint32_t depth_messages, uint32_t max_message_bytes) {
  return {.magic = kRingMagic,
          .version = kRingVersion,
          .depth_messages = depth_messages,
          .max_message_bytes = max_message_bytes,
          .payload_offset = PayloadOffset(max_message_bytes),
          .slot_bytes = SlotBytes(max_message_bytes),
          .total_bytes = RingBytes(depth_messages, max_message_bytes)};
}

// The constants of the ring in `mapped_bytes` of shared memory, copied once: no index derived from them leaves the
// mapping, whatever others do to the memory meanwhile or later. nullopt when there is no valid ring.
std::optional<RingConstants> ReadConstants(const void* memory, uint64_t mapped_bytes);

// Makes `memory`, RingBytes zeroed bytes of it on a cache line, an empty ring whose first message has the position
// `first` (0, but for tests of the wrap).
template <template <typename> class Atomic>
void FormatRing(void* memory, uint32_t depth_messages, uint32_t max_message_bytes, uint64_t first) {
  auto& header = *new (memory) RingHeader<Atomic>{};
  header.constants = RingConstantsOf(depth_messages, max_message_bytes);
  // Relaxed: nobody else knows the ring yet; who is told of it (by fork, ...) sees all of this.
  header.tail.store(first, std::memory_order_relaxed);
  header.head.store(first, std::memory_order_relaxed);
  std::byte* slots = static_cast<std::byte*>(memory) + kSlotsOffset;
  for (uint64_t position = first; position < first + depth_messages; ++position) {
    new (slots + position % depth_messages * header.constants.slot_bytes)
        Atomic<uint64_t>(SlotWord(position, SlotState::kFree, 0));
  }
}

}  // namespace ipcmark::shm_mpmc

#endif  // IPCMARK_IPC_SHM_MPMC_RING_LAYOUT_H_
