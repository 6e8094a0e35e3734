#ifndef IPCMARK_IPC_MMAP_QUEUE_CORE_H_
#define IPCMARK_IPC_MMAP_QUEUE_CORE_H_

// The queue's data structure in its mapping: what happens while a lock is held. No locking, no waiting, no system
// call, no allocation. Every index is read from shared memory once, checked, and then used, so that whoever scribbles
// there leads nobody outside the mapping.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "ipc/mmap_queue/queue_layout.h"

namespace ipcmark::mmap_queue {

// Copied out of the header once and checked: a header that is damaged later changes nothing for those who have it.
struct Sizes {
  uint32_t depth_messages;
  uint32_t max_message_bytes;
  uint64_t payload_bytes;
  uint64_t total_bytes;
  Policy policy;
};

// Of a queue; each has a lock.
enum class Side : uint8_t { kSend, kReceive };
constexpr Side Other(Side side) { return side == Side::kSend ? Side::kReceive : Side::kSend; }

class Core {
 public:
  Core() = default;
  // `mapping`: an initialised queue.
  explicit Core(void* mapping);
  Core(void* mapping, const Sizes& sizes);

  // Makes a queue out of zeroed memory of QueueBytes(depth, max_message_bytes) bytes, the lock included. Returns 0 or
  // the errno of the lock's initialisation.
  static int Initialise(void* mapping, uint32_t depth, uint32_t max_message_bytes, Policy policy = Policy::kRobust);
  // What the header says, when it describes a queue that fits in `mapped_bytes`.
  static std::optional<Sizes> Check(const void* mapping, uint64_t mapped_bytes);
  static bool IsValid(const void* mapping, uint64_t mapped_bytes) { return Check(mapping, mapped_bytes).has_value(); }

  [[nodiscard]] QueueHeader& header() const { return *header_; }
  [[nodiscard]] uint32_t depth() const { return depth_; }
  [[nodiscard]] uint32_t max_message_bytes() const { return max_message_bytes_; }
  [[nodiscard]] Policy policy() const { return policy_; }
  // How many messages there are; without both locks a hint.
  [[nodiscard]] uint32_t count() const noexcept;
  // 0 unless it is a queue of the policy robust for large messages.
  [[nodiscard]] uint32_t stage_count() const { return stage_count_; }
  [[nodiscard]] pthread_mutex_t* StageLock(uint32_t stage) const noexcept { return &stages_[stage].lock; }
  // Whether the next message is large, and worth a stage; without the lock a hint.
  [[nodiscard]] bool IsStaged() const noexcept;
  // So large, or smaller, the next message probably is; without the lock a hint.
  [[nodiscard]] uint32_t LikelyBytes() const noexcept {
    return std::min(max_message_bytes_, IsStaged() ? kLikelyStagedBytes : kStagedBytes - 1);
  }
  // Hints, without a lock: whether there may be a message to receive, or room to send one.
  [[nodiscard]] bool MayHoldMessages() const noexcept;
  // Whether the one `ahead` behind the next of the inbox is there.
  [[nodiscard]] bool HasComeAhead(uint64_t ahead) const noexcept;
  [[nodiscard]] bool MayHaveRoom() const noexcept;
  // Whether a receiver has come to the end of a run: the next message is to come out of the inbox.
  [[nodiscard]] bool HasEndedRun() const noexcept;

  // With the send lock. The steps of a send, in this order: Prepare, (wake receivers), Commit. Death before Commit's
  // store leaves no message, death after it leaves a whole one.
  //
  // Whether the inbox is full. Prepare must not be called then; with the receive lock too, Drain makes room.
  [[nodiscard]] bool IsInboxFull() noexcept;
  // Fills a free slot; kNoSlot when there is none, or when a count or an index is damaged (then *damaged is set).
  uint32_t Prepare(std::span<const std::byte> message, uint32_t priority, bool* damaged) noexcept;
  // The same for a message of `bytes` that lies in the slot of a stage already (StageSlot, SlotMemory) whose lock the
  // caller has. The stage gets a free slot in exchange.
  uint32_t PrepareStaged(uint32_t stage, uint32_t slot, uint32_t bytes, uint32_t priority, bool* damaged) noexcept;
  void Commit(uint32_t slot) noexcept;

  // Asks for what the sending or receiving of a queue's only message needs, all at once. Without a lock: a hint.
  void PrefetchSend() const noexcept;
  void PrefetchReceive() const noexcept;

  // With the receive lock. The steps of a receive, in this order: Highest, (copy Payload), (wake senders), Take.
  //
  // The oldest message of the highest priority; kNoSlot when empty, or when an index is damaged (then *damaged is set).
  [[nodiscard]] uint32_t Highest(bool* damaged) noexcept;
  [[nodiscard]] const Slot& SlotAt(uint32_t slot) const noexcept { return slots_[slot]; }
  [[nodiscard]] std::span<const std::byte> Payload(uint32_t slot) const noexcept;
  void Take(uint32_t slot) noexcept { Take(slot, slot); }
  // The same, but the slot becomes that of `stage`, whose lock the caller has: its payload can be read until the stage
  // is given back.
  void TakeStaged(uint32_t slot, uint32_t stage) noexcept;
  // Moves what lies in the inbox to the run or the lists, or the oldest part of it if that is as good. *damaged is set
  // when there is something that is no message.
  void Drain(bool* damaged) noexcept;

  // What the holder of a stage's lock may write to and read from; kNoSlot when its index is damaged.
  [[nodiscard]] uint32_t StageSlot(uint32_t stage) const noexcept;
  [[nodiscard]] std::byte* SlotMemory(uint32_t slot) const noexcept { return payloads_ + slot * payload_bytes_; }

  // With both locks.
  //
  // Whether the queue really holds as many messages as whoever wants to sleep has found: 0 or depth(). Otherwise
  // nobody would ever wake it.
  [[nodiscard]] bool Holds(uint32_t messages) const noexcept;
  // Makes rings, lists, bitmaps and counts anew from the slots. May itself be cut short by death and run again.
  void Rebuild() noexcept;

 private:
  void Link(uint32_t slot, uint32_t priority) noexcept;
  // The free slot that is used next; as Prepare.
  uint32_t NextFree(bool* damaged) noexcept;
  void Describe(Slot& slot, size_t bytes, uint32_t priority) const noexcept;
  // Take, and `freed` is the slot that is free now.
  void Take(uint32_t slot, uint32_t freed) noexcept;
  [[nodiscard]] bool HoldsMessage(uint32_t slot) const noexcept;
  // Messages in the run or the lists.
  [[nodiscard]] uint64_t listed() const noexcept;
  // Asks for what will be used a few calls later: it mostly lies in the cache of whoever used it last.
  void PrefetchSlot(uint32_t index) const noexcept;
  // The next message of the run; kNoSlot when it has come to its end, or when it is damaged.
  uint32_t NextOfRun(bool* damaged) const noexcept;
  // As Highest, when there is no run, or something higher may have come.
  uint32_t HighestOfLists(bool* damaged) noexcept;
  // Moves `most` messages of the inbox at most: put(slot, priority) each.
  template <typename Put>
  void MoveFromInbox(uint64_t most, bool* damaged, const Put& put) noexcept;
  // Moves what is left of the run to the lists.
  void LinkRun() noexcept;
  void Unlink(uint32_t slot) noexcept;
  [[nodiscard]] uint32_t HighestUsed() const noexcept;
  // Clears the bits of the priority that was emptied last.
  void ForgetEmptied() noexcept;
  void SetUsed(uint32_t priority) noexcept;
  void ClearUsed(uint32_t priority) noexcept;
  // The committed slots, oldest first, in returned_; the free ones in spare_. Returns how many there are.
  struct Sorted {
    uint32_t committed;
    uint32_t spare;
    uint64_t next_sequence;
  };
  Sorted SortSlots() noexcept;

  QueueHeader* header_ = nullptr;
  uint32_t* tails_ = nullptr;
  Slot* slots_ = nullptr;
  uint32_t* links_ = nullptr;
  uint32_t* spare_ = nullptr;
  uint32_t* returned_ = nullptr;
  Stage* stages_ = nullptr;
  std::byte* payloads_ = nullptr;
  uint32_t depth_ = 0;
  uint32_t stage_count_ = 0;
  uint32_t slot_count_ = 0;
  uint32_t max_message_bytes_ = 0;
  uint32_t ring_mask_ = 0;  // of returned_
  uint64_t payload_bytes_ = 0;
  Policy policy_ = Policy::kRobust;
};

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_CORE_H_
