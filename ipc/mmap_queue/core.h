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

  // The steps of a send, in this order: Prepare, (wake receivers), Commit. Death before Commit's store leaves no
  // message, death after it leaves a whole one.
  //
  // Fills a free slot; kNoSlot when there is none, or when the count or an index is damaged (then *damaged is set).
  uint32_t Prepare(std::span<const std::byte> message, uint32_t priority, bool* damaged) noexcept;
  void Commit(uint32_t slot) noexcept;

  // Asks for what the sending or receiving of a queue's only message needs, all at once. Without the lock: a hint.
  void PrefetchFirst() const noexcept;

  // The steps of a receive, in this order: Highest, (copy Payload), (wake senders), Take.
  //
  // The oldest message of the highest priority; kNoSlot when empty, or when an index is damaged (then *damaged is set).
  [[nodiscard]] uint32_t Highest(bool* damaged) noexcept;
  [[nodiscard]] const Slot& SlotAt(uint32_t slot) const noexcept { return slots_[slot]; }
  [[nodiscard]] std::span<const std::byte> Payload(uint32_t slot) const noexcept;
  void Take(uint32_t slot) noexcept;

  // Makes lists, bitmaps and counts anew from the slots. May itself be cut short by death and run again.
  void Rebuild() noexcept;

 private:
  void Link(uint32_t slot) noexcept;
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
  std::byte* payloads_ = nullptr;
  uint32_t depth_ = 0;
  uint32_t max_message_bytes_ = 0;
  uint64_t payload_bytes_ = 0;
  Policy policy_ = Policy::kRobust;
};

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_CORE_H_
