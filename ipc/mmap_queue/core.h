#ifndef IPCMARK_IPC_MMAP_QUEUE_CORE_H_
#define IPCMARK_IPC_MMAP_QUEUE_CORE_H_

// The queue's data structure in its mapping: what happens while the lock is held. No locking, no waiting, no system
// call, no allocation. Every index is read from shared memory once, checked, and then used, so that whoever scribbles
// there leads nobody outside the mapping.

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
  // How many messages there are; without the lock a hint.
  [[nodiscard]] uint32_t count() const noexcept { return header_->count.load(std::memory_order_relaxed); }
  // 0 unless it is a queue of the policy robust for large messages.
  [[nodiscard]] uint32_t stage_count() const { return stage_count_; }
  [[nodiscard]] pthread_mutex_t* StageLock(uint32_t stage) const noexcept { return &stages_[stage].lock; }
  // Whether the next message is large, and worth a stage; without the lock a hint.
  [[nodiscard]] bool IsStaged() const noexcept;

  // The steps of a send, in this order: Prepare, (wake receivers), Commit. Death before Commit's store leaves no
  // message, death after it leaves a whole one.
  //
  // Fills a free slot; kNoSlot when there is none, or when the count or an index is damaged (then *damaged is set).
  uint32_t Prepare(std::span<const std::byte> message, uint32_t priority, bool* damaged) noexcept;
  // The same for a message of `bytes` that lies in the slot of a stage already (StageSlot, SlotMemory) whose lock the
  // caller has. The stage gets a free slot in exchange.
  uint32_t PrepareStaged(uint32_t stage, uint32_t slot, uint32_t bytes, uint32_t priority, bool* damaged) noexcept;
  void Commit(uint32_t slot) noexcept;

  // Asks for what the sending or receiving of a queue's only message needs, all at once. Without the lock: a hint.
  void PrefetchFirst() const noexcept;

  // The steps of a receive, in this order: Highest, (copy Payload), (wake senders), Take.
  //
  // The oldest message of the highest priority; kNoSlot when empty, or when an index is damaged (then *damaged is set).
  [[nodiscard]] uint32_t Highest(bool* damaged) noexcept;
  [[nodiscard]] const Slot& SlotAt(uint32_t slot) const noexcept { return slots_[slot]; }
  [[nodiscard]] std::span<const std::byte> Payload(uint32_t slot) const noexcept;
  void Take(uint32_t slot) noexcept { Take(slot, slot); }
  // The same, but the slot becomes that of `stage`, whose lock the caller has: its payload can be read until the stage
  // is given back.
  void TakeStaged(uint32_t slot, uint32_t stage) noexcept;

  // What the holder of a stage's lock may write to and read from; kNoSlot when its index is damaged.
  [[nodiscard]] uint32_t StageSlot(uint32_t stage) const noexcept;
  [[nodiscard]] std::byte* SlotMemory(uint32_t slot) const noexcept { return payloads_ + slot * payload_bytes_; }

  // Makes lists, bitmaps and counts anew from the slots. May itself be cut short by death and run again.
  void Rebuild() noexcept;

 private:
  void Link(uint32_t slot) noexcept;
  // The free slot that is used next; as Prepare.
  uint32_t NextFree(bool* damaged) const noexcept;
  void Describe(Slot& slot, size_t bytes, uint32_t priority) const noexcept;
  // Take, and `freed` is the slot that is free now.
  void Take(uint32_t slot, uint32_t freed) noexcept;
  [[nodiscard]] bool HoldsMessage(uint32_t slot) const noexcept;
  // Asks for what will be used a few calls later: it mostly lies in the cache of whoever used it last.
  void PrefetchSlot(uint32_t index) const noexcept;
  [[nodiscard]] uint32_t HighestUsed() const noexcept;
  // Clears the bits of the priority that was emptied last.
  void ForgetEmptied() noexcept;
  void SetUsed(uint32_t priority) noexcept;
  void ClearUsed(uint32_t priority) noexcept;

  QueueHeader* header_ = nullptr;
  uint32_t* tails_ = nullptr;
  Slot* slots_ = nullptr;
  uint32_t* free_ = nullptr;
  Stage* stages_ = nullptr;
  std::byte* payloads_ = nullptr;
  uint32_t depth_ = 0;
  uint32_t stage_count_ = 0;
  uint32_t slot_count_ = 0;
  uint32_t max_message_bytes_ = 0;
  uint64_t payload_bytes_ = 0;
  Policy policy_ = Policy::kRobust;
};

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_CORE_H_
