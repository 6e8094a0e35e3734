#ifndef IPCMARK_IPC_MMAP_QUEUE_CORE_INLINE_H_
#define IPCMARK_IPC_MMAP_QUEUE_CORE_INLINE_H_

// What happens in every send and receive: the parts of a Core (core.h) that its callers have inline. Calls of functions
// this small cost a fifth of a message.

#include <algorithm>
#include <atomic>

#include "ipc/copy.h"
#include "ipc/mmap_queue/core.h"
#include "ipc/mmap_queue/once.h"
#include "ipc/os/cpu.h"

namespace ipcmark::mmap_queue {

// Slots. A line takes as long to come from another CPU as a few calls take.
inline constexpr uint32_t kPrefetchedAhead = 4;
// How many more slots are taken from spare[] each time that none has come back: a queue that is seldom deep stays in
// few pages, and one that is does not look at the receivers' line for each message.
inline constexpr uint32_t kCirculationStep = 16;

inline uint32_t Core::count() const noexcept {
  // In this order the difference is not negative, and clamped what came in between is not seen.
  const uint64_t received = header_->receive.received.load(std::memory_order_acquire);
  const uint64_t sent = header_->send.sent.load(std::memory_order_relaxed);
  return static_cast<uint32_t>(std::min<uint64_t>(sent - received, depth_));
}

inline bool Core::IsStaged() const noexcept {
  return stage_count_ != 0 && std::atomic_ref(header_->is_staged).load(std::memory_order_relaxed) != 0;
}

inline bool Core::MayHoldMessages() const noexcept {
  const uint64_t drained = header_->receive.drained.load(std::memory_order_relaxed);
  return drained != header_->receive.received.load(std::memory_order_relaxed) ||
         IsCellOf(header_->inbox[drained % kInboxCells].load(std::memory_order_relaxed), drained);
}

inline bool Core::MayHaveRoom() const noexcept { return count() < depth_; }

inline bool Core::HasEndedRun() const noexcept {
#ifdef __SANITIZE_THREAD__  // As PrefetchSend.
  return false;
#else
  const uint32_t end = Once(header_->receive.run_end);
  return end != 0 && end == Once(header_->receive.run_next);
#endif
}

inline bool Core::IsInboxFull() noexcept {
  SendSide& side = header_->send;
  // Modulo 2^32: there are never as many.
  const auto sent = static_cast<uint32_t>(side.sent.load(std::memory_order_relaxed));
  if (sent - side.drained_seen < kInboxCells) return false;
  side.drained_seen = static_cast<uint32_t>(header_->receive.drained.load(std::memory_order_acquire));
  return sent - side.drained_seen >= kInboxCells;
}

inline bool Core::HoldsMessage(uint32_t index) const noexcept {
  const Slot& slot = slots_[index];
  // Acquire: pairs with Commit's release in a process that may have died right after it.
  return slot.state.load(std::memory_order_acquire) == kCommitted && Once(slot.priority) < kPriorityLevels &&
         Once(slot.bytes) <= max_message_bytes_;
}

inline void Core::PrefetchSlot(uint32_t index) const noexcept {
  if (index >= slot_count_) return;
  os::PrefetchForWrite(&slots_[index]);
  os::PrefetchForWrite(payloads_ + index * payload_bytes_);
}

inline uint32_t Core::NextFree(bool* damaged) noexcept {
  SendSide& side = header_->send;
  const uint32_t reclaimed = Once(side.reclaimed);
  const uint32_t spare = Once(side.spare_count);
  if (spare > depth_) {
    *damaged = true;
    return kNoSlot;
  }
  if (reclaimed == side.received_seen && (spare == 0 || depth_ - spare >= side.circulating)) {
    // Acquire: what was written to returned[] and read from the slots before that count is done.
    const auto received = static_cast<uint32_t>(header_->receive.received.load(std::memory_order_acquire));
    if (received != reclaimed) {
      side.received_seen = received;
    } else if (spare != 0) {
      side.circulating = depth_ - spare + kCirculationStep;
    } else {
      return kNoSlot;
    }
  }
  const uint32_t returned = Once(side.received_seen) - reclaimed;
  const uint32_t index = returned != 0 ? Once(returned_[reclaimed & ring_mask_]) : Once(spare_[spare - 1]);
  if (returned > depth_ || index >= slot_count_ || slots_[index].state.load(std::memory_order_relaxed) != kFree) {
    *damaged = true;
    return kNoSlot;
  }
  if (returned > kPrefetchedAhead) {
    PrefetchSlot(Once(returned_[(reclaimed + kPrefetchedAhead) & ring_mask_]));
  } else if (returned == 0 && spare > kPrefetchedAhead) {
    PrefetchSlot(Once(spare_[spare - 1 - kPrefetchedAhead]));
  }
  return index;
}

inline void Core::Describe(Slot& slot, size_t bytes, uint32_t priority) const noexcept {
  slot.bytes = static_cast<uint32_t>(bytes);
  slot.priority = priority;
  slot.sequence = header_->send.sent.load(std::memory_order_relaxed);
}

inline uint32_t Core::Prepare(std::span<const std::byte> message, uint32_t priority, bool* damaged) noexcept {
  const uint32_t index = NextFree(damaged);
  if (index == kNoSlot) return kNoSlot;
  CopyFresh(SlotMemory(index), message.data(), message.size());
  Describe(slots_[index], message.size(), priority);
  return index;
}

inline void Core::PrefetchSend() const noexcept {
#ifndef __SANITIZE_THREAD__  // It would rightly call this reading without the lock a race; only a guess is made of it.
  const SendSide& side = header_->send;
  os::PrefetchForWrite(&side.lock);
  os::PrefetchForWrite(&header_->inbox[side.sent.load(std::memory_order_relaxed) % kInboxCells]);
  const uint32_t reclaimed = Once(side.reclaimed);
  const uint32_t spare = Once(side.spare_count);
  if (reclaimed != side.received_seen) {
    PrefetchSlot(Once(returned_[reclaimed & ring_mask_]));
  } else if (spare > 0 && spare <= depth_) {
    PrefetchSlot(Once(spare_[spare - 1]));
  }
#endif
}

inline void Core::Commit(uint32_t index) noexcept {
  SendSide& side = header_->send;
  Slot& slot = slots_[index];
  const uint32_t priority = Once(slot.priority);
  // Release: a rebuild after our death that sees kCommitted sees the payload and the fields above too.
  slot.state.store(kCommitted, std::memory_order_release);
  if (side.reclaimed != side.received_seen) {
    ++side.reclaimed;
  } else {
    --side.spare_count;
  }
  if (stage_count_ != 0) {
    const uint32_t is_staged = slot.bytes < kStagedBytes ? 0 : 1;
    std::atomic_ref hint(header_->is_staged);
    if (hint.load(std::memory_order_relaxed) != is_staged) hint.store(is_staged, std::memory_order_relaxed);
  }
  const uint64_t sequence = side.sent.load(std::memory_order_relaxed);
  side.sent.store(sequence + 1, std::memory_order_relaxed);
  // Release: the receiver that finds the slot here sees all of it.
  header_->inbox[sequence % kInboxCells].store(CellOf(sequence, priority, index), std::memory_order_release);
  const uint32_t before = side.last_priority;
  if (priority == before) return;
  side.last_priority = priority;
  // After the inbox: whoever sees that it was raised finds the message there. Who does not see it takes another message
  // first, while this send is still under way.
  if (priority > before) {
    header_->raised.store(header_->raised.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }
}

inline uint64_t Core::listed() const noexcept {
  const ReceiveSide& side = header_->receive;
  return side.drained.load(std::memory_order_relaxed) - side.received.load(std::memory_order_relaxed);
}

inline uint32_t Core::NextOfRun(bool* damaged) const noexcept {
  const uint32_t next = Once(header_->receive.run_next);
  const uint32_t end = Once(header_->receive.run_end);
  if (next == end) return kNoSlot;
  const uint32_t index = next < kRunSlots ? Once(header_->run[next]) : kNoSlot;
  if (next > end || end > kRunSlots || index >= slot_count_ || !HoldsMessage(index)) {
    *damaged = true;
    return kNoSlot;
  }
  return index;
}

inline uint32_t Core::Highest(bool* damaged) noexcept {
  const ReceiveSide& side = header_->receive;
  // Acquire, and before the run is looked at: every message that raised it is there.
  const bool is_raised = side.raised_seen != header_->raised.load(std::memory_order_acquire);
  uint32_t index = NextOfRun(damaged);
  if (index == kNoSlot || is_raised) [[unlikely]] {
    if (*damaged) return kNoSlot;
    index = HighestOfLists(damaged);
  }
  return index;
}

inline std::span<const std::byte> Core::Payload(uint32_t slot) const noexcept {
  return {payloads_ + slot * payload_bytes_, std::min(Once(slots_[slot].bytes), max_message_bytes_)};
}

inline void Core::Take(uint32_t index, uint32_t freed) noexcept {
  ReceiveSide& side = header_->receive;
  Slot& slot = slots_[index];
  // The commit of a receive: from here on the message is the caller's, and a rebuild finds the slot free.
  slot.state.store(kFree, std::memory_order_release);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  // Not before. That of a stage's slot is its holder's to hand back.
  if (freed == index) HandBack(SlotMemory(index), std::min(Once(slot.bytes), max_message_bytes_));
  if (side.run_next != side.run_end) {
    ++side.run_next;
  } else {
    Unlink(index);
  }
  const uint64_t received = side.received.load(std::memory_order_relaxed);
  uint32_t& entry = returned_[received & ring_mask_];
  // Often it is there already, and a line that nobody writes to stays in both caches.
  if (Once(entry) != freed) entry = freed;
  // Release: the sender that sees the count finds the entry, and writes to the slot after we have read it.
  side.received.store(received + 1, std::memory_order_release);
}

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_CORE_INLINE_H_
