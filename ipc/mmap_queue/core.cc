#include "ipc/mmap_queue/core.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "ipc/copy.h"
#include "ipc/mmap_queue/once.h"
#include "ipc/os/cpu.h"

namespace ipcmark::mmap_queue {
namespace {

// Slots. A line takes as long to come from another CPU as a few calls take.
constexpr uint32_t kPrefetchedAhead = 4;
// How many more slots are taken from spare[] each time that none has come back: a queue that is seldom deep stays in
// few pages, and one that is does not look at the receivers' line for each message.
constexpr uint32_t kCirculationStep = 16;

// Messages that are moved from the inbox at once, unless one of a higher priority may be among those behind.
constexpr uint32_t kDrainedAtOnce = 64;
constexpr uint64_t kCellsPerLine = os::kCacheLineBytes / sizeof(uint64_t);

int HighestBit(uint64_t word) { return 63 - std::countl_zero(word); }

}  // namespace

uint32_t Core::count() const noexcept {
  // In this order the difference is not negative, and clamped what came in between is not seen.
  const uint64_t received = header_->receive.received.load(std::memory_order_acquire);
  const uint64_t sent = header_->send.sent.load(std::memory_order_relaxed);
  return static_cast<uint32_t>(std::min<uint64_t>(sent - received, depth_));
}

bool Core::IsStaged() const noexcept {
  return stage_count_ != 0 && std::atomic_ref(header_->is_staged).load(std::memory_order_relaxed) != 0;
}

bool Core::MayHoldMessages() const noexcept {
  const uint64_t drained = header_->receive.drained.load(std::memory_order_relaxed);
  return drained != header_->receive.received.load(std::memory_order_relaxed) ||
         IsCellOf(header_->inbox[drained % kInboxCells].load(std::memory_order_relaxed), drained);
}

bool Core::HasComeAhead(uint64_t ahead) const noexcept {
  const uint64_t sequence = header_->receive.drained.load(std::memory_order_relaxed) + ahead;
  return IsCellOf(header_->inbox[sequence % kInboxCells].load(std::memory_order_relaxed), sequence);
}

bool Core::MayHaveRoom() const noexcept { return count() < depth_; }

bool Core::IsInboxFull() noexcept {
  SendSide& side = header_->send;
  // Modulo 2^32: there are never as many.
  const auto sent = static_cast<uint32_t>(side.sent.load(std::memory_order_relaxed));
  if (sent - side.drained_seen < kInboxCells) return false;
  side.drained_seen = static_cast<uint32_t>(header_->receive.drained.load(std::memory_order_acquire));
  return sent - side.drained_seen >= kInboxCells;
}

uint32_t Core::NextFree(bool* damaged) noexcept {
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

void Core::Describe(Slot& slot, size_t bytes, uint32_t priority) const noexcept {
  slot.bytes = static_cast<uint32_t>(bytes);
  slot.priority = priority;
  slot.sequence = header_->send.sent.load(std::memory_order_relaxed);
}

uint32_t Core::Prepare(std::span<const std::byte> message, uint32_t priority, bool* damaged) noexcept {
  const uint32_t index = NextFree(damaged);
  if (index == kNoSlot) return kNoSlot;
  CopyFresh(SlotMemory(index), message.data(), message.size());
  Describe(slots_[index], message.size(), priority);
  return index;
}

uint32_t Core::PrepareStaged(uint32_t stage, uint32_t slot, uint32_t bytes, uint32_t priority, bool* damaged) noexcept {
  const uint32_t index = NextFree(damaged);
  if (index == kNoSlot) return kNoSlot;
  if (StageSlot(stage) != slot) {
    *damaged = true;
    return kNoSlot;
  }
  // Whoever dies between this line and the commit leaves `slot` to nobody, and the rebuild finds it.
  stages_[stage].slot = index;
  Describe(slots_[slot], bytes, priority);
  return slot;
}

uint32_t Core::StageSlot(uint32_t stage) const noexcept {
  const uint32_t index = Once(stages_[stage].slot);
  return index < slot_count_ && slots_[index].state.load(std::memory_order_relaxed) == kFree ? index : kNoSlot;
}

void Core::PrefetchSend() const noexcept {
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

void Core::PrefetchReceive() const noexcept {
#ifndef __SANITIZE_THREAD__
  os::PrefetchForWrite(&header_->receive.lock);
  const uint64_t drained = header_->receive.drained.load(std::memory_order_relaxed);
  PrefetchSlot(SlotOfCell(header_->inbox[drained % kInboxCells].load(std::memory_order_relaxed)));
#endif
}

void Core::PrefetchSlot(uint32_t index) const noexcept {
  if (index >= slot_count_) return;
  os::PrefetchForWrite(&slots_[index]);
  os::PrefetchForWrite(payloads_ + index * payload_bytes_);
}

void Core::Commit(uint32_t index) noexcept {
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

void Core::Link(uint32_t index, uint32_t priority) noexcept {
  const uint32_t tail = Once(tails_[priority]);
  if (tail < slot_count_) {
    links_[index] = Once(links_[tail]);
    links_[tail] = index;
  } else {
    links_[index] = index;
    if (priority == header_->receive.emptied) {
      header_->receive.emptied = kNoPriority;
    } else {
      SetUsed(priority);
    }
  }
  tails_[priority] = index;
  header_->receive.ceiling = priority;
}

void Core::Drain(bool* damaged) noexcept {
  ReceiveSide& side = header_->receive;
  // Acquire, and before the inbox is looked at: every message that raised it is there.
  const uint32_t raised = header_->raised.load(std::memory_order_acquire);
  uint64_t drained = side.drained.load(std::memory_order_relaxed);
  // As long as nothing was raised, what lies behind is of no higher priority than what lies before.
  const uint64_t end = drained + (raised == side.raised_seen ? kDrainedAtOnce : kInboxCells);
  for (; drained != end; ++drained) {
    std::atomic<uint64_t>& its_cell = header_->inbox[drained % kInboxCells];
    const uint64_t cell = its_cell.load(std::memory_order_acquire);
    if (!IsCellOf(cell, drained)) break;
    const uint32_t index = SlotOfCell(cell);
    if (index >= slot_count_ || listed() >= depth_) {
      *damaged = true;
      break;
    }
    PrefetchSlot(index);
    Link(index, PriorityOfCell(cell));
    // Hands the line back (copy.h). Before a sender can hear that the cell is free: it would lose the next message.
    if ((drained + 1) % kCellsPerLine == 0) its_cell.store(EmptiedCell(cell), std::memory_order_relaxed);
    side.drained.store(drained + 1, std::memory_order_release);
  }
  side.raised_seen = raised;
}

uint64_t Core::listed() const noexcept {
  const ReceiveSide& side = header_->receive;
  return side.drained.load(std::memory_order_relaxed) - side.received.load(std::memory_order_relaxed);
}

uint32_t Core::Highest(bool* damaged) noexcept {
  ReceiveSide& side = header_->receive;
  uint32_t priority = HighestUsed();
  if (priority == kNoPriority || priority < side.ceiling || priority == side.emptied ||
      side.raised_seen != header_->raised.load(std::memory_order_acquire)) {
    Drain(damaged);
    if (*damaged) return kNoSlot;
    priority = HighestUsed();
  }
  if (listed() == 0) {
    if (priority != kNoPriority && priority != side.emptied) *damaged = true;
    return kNoSlot;
  }
  if (priority == side.emptied) {
    ForgetEmptied();
    priority = HighestUsed();
  }
  const uint32_t tail = priority < kPriorityLevels ? Once(tails_[priority]) : kNoSlot;
  const uint32_t oldest = tail < slot_count_ ? Once(links_[tail]) : kNoSlot;
  if (oldest >= slot_count_ || !HoldsMessage(oldest) || slots_[oldest].priority != priority) {
    *damaged = true;
    return kNoSlot;
  }
  return oldest;
}

uint32_t Core::HighestUsed() const noexcept {
  const PriorityMap& map = header_->priorities;
  const uint64_t top = Once(map.top);
  if (top == 0) return kNoPriority;
  // Each mask keeps a damaged word from leading outside its table.
  const unsigned middle = static_cast<unsigned>(HighestBit(top)) & 7U;
  const uint64_t middle_word = Once(map.middle[middle]);
  const unsigned used = middle_word == 0 ? 0 : middle * 64 + HighestBit(middle_word);
  const uint64_t used_word = Once(map.used[used]);
  return used_word == 0 ? kNoPriority : used * 64 + HighestBit(used_word);
}

void Core::ForgetEmptied() noexcept {
  const uint32_t emptied = Once(header_->receive.emptied);
  if (emptied >= kPriorityLevels) return;
  header_->receive.emptied = kNoPriority;
  ClearUsed(emptied);
}

std::span<const std::byte> Core::Payload(uint32_t slot) const noexcept {
  return {payloads_ + slot * payload_bytes_, std::min(Once(slots_[slot].bytes), max_message_bytes_)};
}

void Core::TakeStaged(uint32_t slot, uint32_t stage) noexcept {
  const uint32_t freed = Once(stages_[stage].slot);
  Take(slot, freed);
  stages_[stage].slot = slot;
}

void Core::Take(uint32_t index, uint32_t freed) noexcept {
  ReceiveSide& side = header_->receive;
  Slot& slot = slots_[index];
  const uint32_t priority = Once(slot.priority) % kPriorityLevels;
  // The commit of a receive: from here on the message is the caller's, and a rebuild finds the slot free.
  slot.state.store(kFree, std::memory_order_release);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  // Not before. That of a stage's slot is its holder's to hand back.
  if (freed == index) HandBack(SlotMemory(index), std::min(Once(slot.bytes), max_message_bytes_));
  const uint32_t tail = Once(tails_[priority]);
  if (tail == index) {
    tails_[priority] = kNoSlot;
    ForgetEmptied();
    side.emptied = priority;
  } else if (tail < slot_count_) {
    links_[tail] = Once(links_[index]);
  }
  const uint64_t received = side.received.load(std::memory_order_relaxed);
  uint32_t& entry = returned_[received & ring_mask_];
  // Often it is there already, and a line that nobody writes to stays in both caches.
  if (Once(entry) != freed) entry = freed;
  // Release: the sender that sees the count finds the entry, and writes to the slot after we have read it.
  side.received.store(received + 1, std::memory_order_release);
}

void Core::SetUsed(uint32_t priority) noexcept {
  PriorityMap& map = header_->priorities;
  map.used[priority / 64] |= uint64_t{1} << (priority % 64);
  map.middle[priority / 4096] |= uint64_t{1} << (priority / 64 % 64);
  map.top |= uint64_t{1} << (priority / 4096);
}

void Core::ClearUsed(uint32_t priority) noexcept {
  PriorityMap& map = header_->priorities;
  map.used[priority / 64] &= ~(uint64_t{1} << (priority % 64));
  if (map.used[priority / 64] != 0) return;
  map.middle[priority / 4096] &= ~(uint64_t{1} << (priority / 64 % 64));
  if (map.middle[priority / 4096] != 0) return;
  map.top &= ~(uint64_t{1} << (priority / 4096));
}

bool Core::HoldsMessage(uint32_t index) const noexcept {
  const Slot& slot = slots_[index];
  // Acquire: pairs with Commit's release in a process that may have died right after it.
  return slot.state.load(std::memory_order_acquire) == kCommitted && Once(slot.priority) < kPriorityLevels &&
         Once(slot.bytes) <= max_message_bytes_;
}

}  // namespace ipcmark::mmap_queue
