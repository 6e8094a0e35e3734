#ifndef IPCMARK_IPC_SYSV_SHM_RING_LAYOUT_H_
#define IPCMARK_IPC_SYSV_SHM_RING_LAYOUT_H_

// What the ring looks like in the segment. Drawn once, here:
//
//   offset 0                 RingHeader   (read-mostly line, sender's line, receiver's line, head line)
//   offset kSlotsOffset      depth_messages commit words (8 bytes), slot_bytes apart
//   offset payloads_offset   depth_messages payloads (max_message_bytes), payload_bytes apart
//
//   up to 256 bytes   commit word and payload side by side: word 0 | payload 0 | word 1 | payload 1 | ...
//   below 1 KiB       every commit word on a cache line of its own; every payload begins with one
//   1 KiB and more    every commit word on a cache line of its own; every payload begins with a page
//
// Small ones are packed, so that a 64-byte message touches two lines and not more. Large payloads begin where pages
// do: a payload a little ahead of the caller's buffer, modulo 4 KiB, makes the processor take each load of the copy for
// one of bytes just stored. And at least 2 KiB between two of them are empty, else the prefetcher of a receiver that
// comes to the end of one takes the beginning of the next from the sender, which is to write it. Side by side, messages
// of 1 to 3 KiB took 1.5 to 1.7 times as long there and back, and of 1 KiB in streams between far CPUs 2.1 times.
//
// Message n (0, 1, 2, ...) lies in slot n mod depth. Its commit word holds n + 1 in the upper half and its length in
// the lower one, so a slot says by itself whether it holds the message that the receiver is due: an empty ring costs
// the receiver one polled line, which is the line that the message arrives in. A fresh segment is all zero, and zero is
// never a due commit word.
//
// Invariants: head <= (messages committed) <= head + depth. Only the sender writes slots, and only a slot n with
// n < head + depth; only the receiver writes head, after it has finished reading message head - 1.
// Everything a dead end leaves behind follows from slots and head: the sender's position is not stored at all.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "ipc/os/cpu.h"
#include "ipc/os/peer.h"
#include "ipc/sysv_shm/ring_wait.h"

namespace ipcmark::sysv_shm {

inline constexpr uint64_t kRingMagic = 0x676e69722d637069;  // "ipc-ring" in memory order
inline constexpr uint32_t kRingVersion = 5;
// Keeps every product of sizes below 2^64, whatever a damaged header says.
inline constexpr uint32_t kMaxMessageBytes = uint32_t{1} << 30;
// The largest message that is packed.
inline constexpr uint32_t kPackedMessageBytes = 256;
// The smallest whose payload begins with a page, and the least that lies between two such payloads.
inline constexpr uint32_t kPagedMessageBytes = 1024;
inline constexpr uint64_t kPageBytes = 4096;
inline constexpr uint64_t kGapBytes = 2048;

// Of a message that is waited for, so many bytes behind the commit word are fetched along with it.
inline constexpr uint32_t kPrefetchedBytes = 63;

// What no end changes after Create.
struct RingConstants {
  uint64_t magic;
  uint32_t version;
  uint32_t depth_messages;
  uint32_t max_message_bytes;
  uint32_t fences;           // a Fences of ring_wait.h: how all ends shake hands before they sleep
  uint64_t slot_bytes;       // from one commit word to the next
  uint64_t payloads_offset;  // in the segment
  uint64_t payload_bytes;    // from one payload to the next
  uint64_t total_bytes;

  friend bool operator==(const RingConstants&, const RingConstants&) = default;
};
static_assert(sizeof(RingConstants) == 56);

// Templates over the atomic, so that tests run the same algorithm on one that yields or dies before an access.
//
// What one end writes and the other one looks at now and then.
template <template <typename> class Atomic>
struct alignas(os::kCacheLineBytes) RingEnd {
  os::PeerWord peer;
  // ring_wait.h; this end sleeps on this very word. Written by it, and by who wakes it.
  Atomic<uint32_t> sleep;
};

// Padded on purpose: each part has its cache line.
template <template <typename> class Atomic>
struct RingHeader {  // NOLINT(clang-analyzer-optin.performance.Padding)
  RingConstants constants;
  RingEnd<Atomic> sender;
  RingEnd<Atomic> receiver;
  // Messages taken so far. Written by the receiver only.
  alignas(os::kCacheLineBytes) Atomic<uint64_t> head;
};

inline constexpr size_t kSlotsOffset = 256;

// The layout, asserted for the atomic at hand.
template <template <typename> class Atomic>
constexpr bool HasTheLayout() {
  using H = RingHeader<Atomic>;
  static_assert(sizeof(H) == kSlotsOffset && sizeof(Atomic<uint64_t>) == 8);
  static_assert(offsetof(H, sender) == 64 && offsetof(H, receiver) == 128 && offsetof(H, head) == 192);
  static_assert(offsetof(RingEnd<Atomic>, peer) == 0 && offsetof(RingEnd<Atomic>, sleep) == 8);
  return true;
}
static_assert(HasTheLayout<std::atomic>() && std::atomic<uint64_t>::is_always_lock_free);

constexpr uint64_t RoundUp(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }

constexpr bool IsPacked(uint32_t max_message_bytes) { return max_message_bytes <= kPackedMessageBytes; }
constexpr uint64_t SlotBytes(uint32_t max_message_bytes) {
  return IsPacked(max_message_bytes) ? RoundUp(sizeof(uint64_t) + max_message_bytes, sizeof(uint64_t))
                                     : os::kCacheLineBytes;
}
constexpr bool IsPaged(uint32_t max_message_bytes) { return max_message_bytes >= kPagedMessageBytes; }
constexpr uint64_t PayloadAlignment(uint32_t max_message_bytes) {
  return IsPaged(max_message_bytes) ? kPageBytes : os::kCacheLineBytes;
}
constexpr uint64_t PayloadBytes(uint32_t max_message_bytes) {
  if (IsPacked(max_message_bytes)) return SlotBytes(max_message_bytes);
  const uint64_t gap_bytes = IsPaged(max_message_bytes) ? kGapBytes : 0;
  return RoundUp(max_message_bytes + gap_bytes, PayloadAlignment(max_message_bytes));
}
// Cannot overflow, here and below: all factors are below 2^32.
constexpr uint64_t PayloadsOffset(uint32_t depth_messages, uint32_t max_message_bytes) {
  return IsPacked(max_message_bytes) ? kSlotsOffset + sizeof(uint64_t)
                                     : RoundUp(kSlotsOffset + depth_messages * SlotBytes(max_message_bytes),
                                               PayloadAlignment(max_message_bytes));
}
constexpr uint64_t RingBytes(uint32_t depth_messages, uint32_t max_message_bytes) {
  return IsPacked(max_message_bytes)
             ? kSlotsOffset + depth_messages * SlotBytes(max_message_bytes)
             : PayloadsOffset(depth_messages, max_message_bytes) + depth_messages * PayloadBytes(max_message_bytes);
}

constexpr uint64_t CommitWord(uint64_t message, uint32_t bytes) { return (message + 1) << 32 | bytes; }
constexpr bool IsCommitted(uint64_t commit_word, uint64_t message) {
  return static_cast<uint32_t>(commit_word >> 32) == static_cast<uint32_t>(message + 1);
}
constexpr uint32_t CommittedBytes(uint64_t commit_word) { return static_cast<uint32_t>(commit_word); }

// The one ring with this depth, message size and handshake. Needs max_message_bytes <= kMaxMessageBytes.
constexpr RingConstants RingConstantsOf(uint32_t depth_messages, uint32_t max_message_bytes, Fences fences) {
  return {.magic = kRingMagic,
          .version = kRingVersion,
          .depth_messages = depth_messages,
          .max_message_bytes = max_message_bytes,
          .fences = static_cast<uint32_t>(fences),
          .slot_bytes = SlotBytes(max_message_bytes),
          .payloads_offset = PayloadsOffset(depth_messages, max_message_bytes),
          .payload_bytes = PayloadBytes(max_message_bytes),
          .total_bytes = RingBytes(depth_messages, max_message_bytes)};
}

// True when these describe a ring that fits in `mapped_bytes`, so that no index derived from them leaves the mapping.
bool IsValidRing(const RingConstants& constants, uint64_t mapped_bytes);

// The constants of the ring in `mapped_bytes` of shared memory, copied once and valid whatever others do to the memory
// meanwhile or later; nullopt when there is no valid ring.
std::optional<RingConstants> ReadConstants(const void* memory, uint64_t mapped_bytes);

}  // namespace ipcmark::sysv_shm

#endif  // IPCMARK_IPC_SYSV_SHM_RING_LAYOUT_H_
