#ifndef IPCMARK_IPC_MMAP_QUEUE_QUEUE_LAYOUT_H_
#define IPCMARK_IPC_MMAP_QUEUE_QUEUE_LAYOUT_H_

// What the queue looks like in its file. Drawn once, here:
//
//   QueueHeader | tails[kPriorityLevels] | slots[depth + stages] | links[depth + stages] |
//   spare[depth] | returned[RingSize(depth)] |
//   stages[stages] | payloads[depth + stages] of payload_bytes each
//
// THE SLOTS ARE THE TRUTH. A slot whose state is kCommitted holds an accepted message, every other one is free; `state`
// is one word and changes with one store. Everything else (rings, lists, bitmaps, counts) is an index over the slots,
// may be half-changed when its owner dies, and is rebuilt from them by whoever gets a lock next (EOWNERDEAD).
//
// TWO LOCKS, so that senders and receivers need not meet. Senders hold the send lock, receivers the receive lock, and
// what passes between the two is a pair of rings with one writer and one reader each:
//
//   inbox      committed slots, senders to receivers. A cell says of which message it is (CellOf).
//   returned   freed slots, receivers to senders, of which `received` is the writer's count.
//
// A receiver moves what lies in the inbox to the lists of its priorities before it takes the first of the highest one,
// but only when something of a higher priority may have come (`raised`) or the lists hold nothing as high as the
// message that was moved last: else the lines of the inbox stay with the senders, who fill them in peace. Where the
// lists are empty and nothing was raised, the order of the inbox is that of receiving: then a part of it is moved to
// the RUN instead, an array that is read from its front. The run goes to the lists before anything else does, and as
// soon as something was raised. The inbox is of one size, so that moving is O(1); a sender that finds it full moves it
// itself. Who needs both locks takes the send lock first: to go to sleep, to register or tell a notification, to
// rebuild.
//
// Messages of one priority form a circular singly linked list over links, of which tails[priority] is the newest and
// links[tails[priority]] the oldest; a three-level bitmap finds the highest priority in use. The bits of the
// priority that was emptied last stay set, so that traffic of one priority does not write to them. Send and Receive are
// O(1) whatever the depth and the mix of priorities.
//
// A queue for large messages has some slots more than it holds messages, one for each of its STAGES, of which the first
// half is for senders and the other for receivers. Who has a stage's lock may write and read the payload of the stage's
// slot without the queue's locks: a sender copies its message in and then swaps the slot for a free one of the queue, a
// receiver swaps it for the slot of the message that it takes and then copies that out. Which slot is a stage's changes
// only under its lock and its side's. Many copies at once instead of one after the other.

#include <pthread.h>

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "ipc/lead.h"
#include "ipc/os/cpu.h"

namespace ipcmark::mmap_queue {

inline constexpr uint64_t kQueueMagic = 0x6575657571637069;  // "ipcqueue" in memory order
inline constexpr uint32_t kQueueVersion = 9;
inline constexpr uint32_t kPriorityLevels = 32768;  // POSIX: MQ_PRIO_MAX on Linux
inline constexpr uint32_t kNoSlot = UINT32_MAX;
inline constexpr uint32_t kNoPriority = UINT32_MAX;
// Keeps every product of sizes below 2^64, whatever a damaged header says.
inline constexpr uint32_t kMaxMessageBytes = uint32_t{1} << 30;

// Messages from this size on go through a stage: the copy costs more than a second lock does.
inline constexpr uint32_t kStagedBytes = 2048;
// The most that is expected of the next message when the last one went through a stage (Core::LikelyBytes).
inline constexpr uint32_t kLikelyStagedBytes = 16384;
// As many copies can be under way at once; whoever finds no stage copies under its side's lock.
inline constexpr uint32_t kStages = 8;
// Messages that may lie between the two sides.
inline constexpr uint32_t kInboxCells = 1024;
// Messages of a run.
inline constexpr uint32_t kRunSlots = 64;

// How a queue locks and waits; chosen when it is made.
enum class Policy : uint32_t {
  kRobust = 0,  // survives the death of any user at any instruction: lock.h, and `sequence` to sleep on
  kPosix = 1,   // the literal construction, which a death can break: literal.h
};

// A condition variable for processes that may die at any instruction. pthread_cond_t cannot be one: with glibc 2.36 a
// killed waiter leaves a reference behind that lets a later pthread_cond_signal hang for ever. This one holds nothing
// that a dead waiter owes: a sequence word to sleep on, and a flag.
struct Condition {
  std::atomic<uint32_t> sequence;  // changes with every wake-up
  // Set under both locks, cleared under that of who wakes. kRobust: 1 when somebody may be asleep. kPosix: how many
  // are, of those that went to sleep since the last wake-up.
  std::atomic<uint32_t> awaited;
  pthread_cond_t literal;  // kPosix
};

enum SlotState : uint32_t { kFree = 0, kCommitted = 1 };

struct alignas(os::kCacheLineBytes) Slot {
  std::atomic<uint32_t> state;  // SlotState: the commit word
  uint32_t bytes;               // of the payload
  uint32_t priority;            // below kPriorityLevels
  uint64_t sequence;            // acceptance order
};
static_assert(sizeof(Slot) == 64);

// A copy's place (above). A holder that dies gives it to the next one with EOWNERDEAD, who may use it once it has had
// its side's lock: the dead one may have died in the middle of a swap.
struct alignas(os::kCacheLineBytes) Stage {
  pthread_mutex_t lock;  // robust (lock.h)
  uint32_t slot;         // never one that holds a message
};
static_assert(sizeof(Stage) == os::kCacheLineBytes);

// Bit p of `used` says that priority p has messages; each bit of the levels above says that the word below is not zero.
struct PriorityMap {
  uint64_t top;
  uint64_t middle[8];
  uint64_t used[512];
};
static_assert(sizeof(PriorityMap::used) * 8 == kPriorityLevels);

// How the process that registered with mq_notify wants to be told.
enum NoticeKind : uint32_t { kNoNotice = 0, kSilentNotice = 1, kSignalNotice = 2, kThreadNotice = 3 };

// The one registration of mq_notify. That its process still has the queue open is not written here: it holds a record
// lock (fcntl F_SETLK) on byte kNoticeLockStart + id of the file, which the kernel drops when the process closes the
// queue or dies. Changed under both locks; `unannounced` also by a receiver alone, but not while somebody is
// registered.
struct Notice {
  static constexpr unsigned kRemembered = 16;
  std::atomic<uint32_t> kind;  // NoticeKind: the word that makes a registration
  uint32_t signal_number;      // kSignalNotice
  uint64_t value;              // kSignalNotice: the sigval
  uint64_t seal;               // of kind, signal_number, value and id: damaged ones are told nobody
  uint64_t id;                 // of the registration; they count up
  uint32_t announcing;         // 1 from before a notification is sent until its message is committed
  uint32_t unannounced;        // 1 when a message was left to blocked receivers and lies there yet
  // Receivers that a send has woken and that have not had the lock since. Counted up under the send lock, down under
  // the receive lock.
  std::atomic<uint32_t> in_transit;
  std::atomic<uint32_t> changes;  // futex of the threads of kThreadNotice
  int64_t transit_end_nanos;      // CLOCK_MONOTONIC: a receiver that is in transit still then has died
  uint64_t fired[kRemembered];    // fired[id % kRemembered] == id: that registration has been notified
};
inline constexpr int64_t kNoticeLockStart = int64_t{1} << 62;

// What the ends of a side know of how fast the other side is (view.h, PollForOtherSide): guesses, written without a
// lock.
struct alignas(os::kCacheLineBytes) Pace {
  uint32_t has_woken;  // 1 from when one of them has woken the other side until one of them waits for it
  Trials coming;       // waiting for whom one has woken
  Trials streaming;    // receivers: waiting a moment before they sleep
  Lead lead;           // receivers
  Distance distance;   // receivers
};
static_assert(sizeof(Pace) == os::kCacheLineBytes && sizeof(Trials) == 8 && sizeof(Lead) == 8 && sizeof(Distance) == 8);

// What senders need, under the send lock; process-shared (lock.h, literal.h). With kPosix the only lock.
struct SendSide {
  pthread_mutex_t lock;
  std::atomic<uint64_t> sent;  // messages, ever: the next one's sequence. Also read without the lock, as a hint
  uint32_t spare_count;        // slots in spare[]: not in use yet, or not for long
  uint32_t reclaimed;          // entries of returned[], ever, that were used
  uint32_t received_seen;      // `received` as it was when last looked at: up to there returned[] is known to be filled
  uint32_t last_priority;      // of the message that was sent last
  uint32_t drained_seen;       // `drained`, the same
  uint32_t circulating;        // slots are taken from spare[] rather than from a look at `received` while fewer are out
};

// What receivers need, under the receive lock.
struct ReceiveSide {
  pthread_mutex_t lock;
  uint32_t emptied;      // a priority without messages whose bits are set, or kNoPriority
  uint32_t ceiling;      // the priority of the message that came to the lists last
  uint32_t raised_seen;  // `raised` as it was when the inbox was last emptied
  uint32_t run_next;     // run[run_next .. run_end) are messages that wait
  uint32_t run_end;
  // Written under the receive lock, read by senders:
  alignas(os::kCacheLineBytes) std::atomic<uint64_t> received;  // messages, ever
  std::atomic<uint64_t> drained;                                // messages, ever, that came out of the inbox
};

// NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): each part has its cache line
struct QueueHeader {
  uint64_t magic;
  uint32_t version;
  uint32_t depth_messages;
  uint32_t max_message_bytes;
  uint32_t lock_kind;      // glibc's word for the kind of the locks
  uint64_t payload_bytes;  // room for one message
  uint64_t total_bytes;
  Policy policy;
  alignas(os::kCacheLineBytes) SendSide send;
  alignas(os::kCacheLineBytes) ReceiveSide receive;
  // Written by senders, but seldom.
  alignas(os::kCacheLineBytes) std::atomic<uint32_t> raised;  // how often a message was of a higher priority than the
                                                              // one before it
  uint32_t is_staged;   // 1 when the last message was large; also read without the lock, as a hint
  uint32_t recoveries;  // how often an owner died
  alignas(os::kCacheLineBytes) Condition not_empty;
  alignas(os::kCacheLineBytes) Condition not_full;
  alignas(os::kCacheLineBytes) Notice notice;
  Pace pace_of_senders;
  Pace pace_of_receivers;
  alignas(os::kCacheLineBytes) uint32_t run[kRunSlots];                   // the receive lock's
  alignas(os::kCacheLineBytes) PriorityMap priorities;                    // the receive lock's
  alignas(os::kCacheLineBytes) std::atomic<uint64_t> inbox[kInboxCells];  // of message n: cell n % kInboxCells
};
static_assert(offsetof(QueueHeader, send) == 64 && offsetof(QueueHeader, receive) == 192);
static_assert(offsetof(QueueHeader, raised) == 320 && offsetof(QueueHeader, not_empty) == 384);
static_assert(offsetof(QueueHeader, notice) == 512 && sizeof(Notice) == 184);
static_assert(offsetof(QueueHeader, pace_of_senders) == 704);
static_assert(offsetof(QueueHeader, priorities) == 1088 && sizeof(QueueHeader) == 1088 + 4224 + 8 * kInboxCells);

// A cell of the inbox: which message (the lowest bits of its sequence), its priority and slot. One that holds an older
// message, a turn ago mostly, is empty.
inline constexpr unsigned kCellSequenceShift = 32 + std::bit_width(kPriorityLevels - 1);
inline constexpr uint64_t kCellSequences = uint64_t{1} << (64 - kCellSequenceShift);
static_assert(kCellSequences > uint64_t{2} * kInboxCells);
constexpr uint64_t CellOf(uint64_t sequence, uint32_t priority, uint32_t slot) {
  return (sequence + 1) << kCellSequenceShift | uint64_t{priority} << 32 | slot;
}
constexpr bool IsCellOf(uint64_t cell, uint64_t sequence) {
  return (cell ^ CellOf(sequence, 0, 0)) >> kCellSequenceShift == 0;
}
// The cell with its message gone: as if it were half a turn of the counter away.
constexpr uint64_t EmptiedCell(uint64_t cell) {
  return cell ^ uint64_t { 1 } << 63;
}
constexpr uint32_t SlotOfCell(uint64_t cell) { return static_cast<uint32_t>(cell); }
constexpr uint32_t PriorityOfCell(uint64_t cell) { return cell >> 32 & (kPriorityLevels - 1); }

constexpr uint64_t RoundUp(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }
// Large payloads begin where pages do, with at least 2 KiB between two of them: a prefetcher that comes to the end of
// one would else take the beginning of the next from another CPU that is writing it. Worth a third for 8 and 16 KiB
// through near CPUs, more through far ones; smaller ones would need twice the memory and more, for less.
constexpr bool IsPaged(uint32_t max_message_bytes) { return max_message_bytes >= 8192; }
inline constexpr uint64_t kPageBytes = 4096;
inline constexpr uint64_t kGapBytes = 2048;
constexpr uint64_t PayloadBytes(uint32_t max_message_bytes) {
  if (IsPaged(max_message_bytes)) return RoundUp(max_message_bytes + kGapBytes, kPageBytes);
  return RoundUp(max_message_bytes == 0 ? 1 : max_message_bytes, os::kCacheLineBytes);
}
constexpr uint64_t TailsOffset() { return sizeof(QueueHeader); }
constexpr uint64_t SlotsOffset() { return TailsOffset() + uint64_t{kPriorityLevels} * sizeof(uint32_t); }
constexpr uint32_t StageCount(uint32_t max_message_bytes) { return max_message_bytes < kStagedBytes ? 0 : kStages; }
constexpr uint64_t SlotCount(uint64_t depth, uint32_t max_message_bytes) {
  return depth + StageCount(max_message_bytes);
}
constexpr uint64_t LinksOffset(uint64_t depth, uint32_t max_message_bytes) {
  return SlotsOffset() + SlotCount(depth, max_message_bytes) * sizeof(Slot);
}
constexpr uint64_t SpareOffset(uint64_t depth, uint32_t max_message_bytes) {
  return RoundUp(LinksOffset(depth, max_message_bytes) + SlotCount(depth, max_message_bytes) * sizeof(uint32_t),
                 os::kCacheLineBytes);
}
constexpr uint64_t RingSize(uint64_t depth) { return std::bit_ceil(depth); }
constexpr uint64_t ReturnedOffset(uint64_t depth, uint32_t max_message_bytes) {
  return RoundUp(SpareOffset(depth, max_message_bytes) + depth * sizeof(uint32_t), os::kCacheLineBytes);
}
constexpr uint64_t StagesOffset(uint64_t depth, uint32_t max_message_bytes) {
  return RoundUp(ReturnedOffset(depth, max_message_bytes) + RingSize(depth) * sizeof(uint32_t), os::kCacheLineBytes);
}
constexpr uint64_t PayloadsOffset(uint64_t depth, uint32_t max_message_bytes) {
  return RoundUp(StagesOffset(depth, max_message_bytes) + StageCount(max_message_bytes) * sizeof(Stage),
                 IsPaged(max_message_bytes) ? kPageBytes : os::kCacheLineBytes);
}
// Cannot overflow up to kMaxMessageBytes: depth is below 2^32.
constexpr uint64_t QueueBytes(uint64_t depth, uint32_t max_message_bytes) {
  return PayloadsOffset(depth, max_message_bytes) +
         SlotCount(depth, max_message_bytes) * PayloadBytes(max_message_bytes);
}

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_QUEUE_LAYOUT_H_
