#include "ipc/mmap_queue/core.h"

#include <algorithm>
#include <bit>

#include "ipc/mmap_queue/core_inline.h"
#include "ipc/mmap_queue/once.h"
#include "ipc/os/cpu.h"

namespace ipcmark::mmap_queue {
namespace {

// Messages that are moved from the inbox to the lists at once, unless one of a higher priority may be among those
// behind.
constexpr uint32_t kDrainedAtOnce = 64;
constexpr uint64_t kCellsPerLine = os::kCacheLineBytes / sizeof(uint64_t);

int HighestBit(uint64_t word) { return 63 - std::countl_zero(word); }
constexpr uint64_t BitOf(uint32_t of_64) { return uint64_t{1} << (of_64 % 64); }

}  // namespace

bool Core::HasComeAhead(uint64_t ahead) const noexcept {
  const uint64_t sequence = header_->receive.drained.load(std::memory_order_relaxed) + ahead;
  return IsCellOf(header_->inbox[sequence % kInboxCells].load(std::memory_order_relaxed), sequence);
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

void Core::PrefetchReceive() const noexcept {
#ifndef __SANITIZE_THREAD__
  os::PrefetchForWrite(&header_->receive.lock);
  const uint64_t drained = header_->receive.drained.load(std::memory_order_relaxed);
  PrefetchSlot(SlotOfCell(header_->inbox[drained % kInboxCells].load(std::memory_order_relaxed)));
#endif
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

template <typename Put>
void Core::MoveFromInbox(uint64_t most, bool* damaged, const Put& put) noexcept {
  ReceiveSide& side = header_->receive;
  uint64_t drained = side.drained.load(std::memory_order_relaxed);
  for (const uint64_t end = drained + most; drained != end; ++drained) {
    std::atomic<uint64_t>& its_cell = header_->inbox[drained % kInboxCells];
    const uint64_t cell = its_cell.load(std::memory_order_acquire);
    if (!IsCellOf(cell, drained)) break;
    const uint32_t index = SlotOfCell(cell);
    if (index >= slot_count_ || listed() >= depth_) {
      *damaged = true;
      break;
    }
    PrefetchSlot(index);
    put(index, PriorityOfCell(cell));
    // Hands the line back (copy.h). Before a sender can hear that the cell is free: it would lose the next message.
    if ((drained + 1) % kCellsPerLine == 0) its_cell.store(EmptiedCell(cell), std::memory_order_relaxed);
    side.drained.store(drained + 1, std::memory_order_release);
  }
}

void Core::Drain(bool* damaged) noexcept {
  ReceiveSide& side = header_->receive;
  // Acquire, and before the inbox is looked at: every message that raised it is there.
  const uint32_t raised = header_->raised.load(std::memory_order_acquire);
  const bool is_raised = raised != side.raised_seen;
  if (!is_raised && listed() == 0) {
    // None of them is of a higher priority than one before it.
    side.run_next = side.run_end = 0;
    MoveFromInbox(kRunSlots, damaged, [this, &side](uint32_t index, uint32_t) noexcept {
      header_->run[side.run_end % kRunSlots] = index;
      ++side.run_end;
    });
    return;
  }
  LinkRun();
  // As long as nothing was raised, what lies behind is of no higher priority than what lies before.
  MoveFromInbox(is_raised ? kInboxCells : kDrainedAtOnce, damaged,
                [this](uint32_t index, uint32_t priority) noexcept { Link(index, priority); });
  side.raised_seen = raised;
}

void Core::LinkRun() noexcept {
  ReceiveSide& side = header_->receive;
  const uint32_t end = std::min(Once(side.run_end), kRunSlots);
  for (uint32_t at = Once(side.run_next); at < end; ++at) {
    const uint32_t index = std::min(Once(header_->run[at]), slot_count_ - 1);
    Link(index, Once(slots_[index].priority) % kPriorityLevels);
  }
  side.run_next = side.run_end = 0;
}

void Core::Unlink(uint32_t index) noexcept {
  const uint32_t priority = Once(slots_[index].priority) % kPriorityLevels;
  const uint32_t tail = Once(tails_[priority]);
  if (tail == index) {
    tails_[priority] = kNoSlot;
    ForgetEmptied();
    header_->receive.emptied = priority;
  } else if (tail < slot_count_) {
    links_[tail] = Once(links_[index]);
  }
}

uint32_t Core::HighestOfLists(bool* damaged) noexcept {
  const ReceiveSide& side = header_->receive;
  const auto drain = [&]() noexcept {
    Drain(damaged);
    return *damaged ? kNoSlot : NextOfRun(damaged);
  };
  const bool is_due = listed() == 0 || side.raised_seen != header_->raised.load(std::memory_order_acquire);
  if (is_due) {
    const uint32_t index = drain();
    if (*damaged || index != kNoSlot) return index;
  }
  uint32_t priority = HighestUsed();
  if (!is_due && (priority == kNoPriority || priority < side.ceiling || priority == side.emptied)) {
    const uint32_t index = drain();
    if (*damaged || index != kNoSlot) return index;
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

void Core::TakeStaged(uint32_t slot, uint32_t stage) noexcept {
  const uint32_t freed = Once(stages_[stage].slot);
  Take(slot, freed);
  stages_[stage].slot = slot;
}

void Core::SetUsed(uint32_t priority) noexcept {
  PriorityMap& map = header_->priorities;
  map.used[priority / 64] |= BitOf(priority);
  map.middle[priority / 4096] |= BitOf(priority / 64);
  map.top |= BitOf(priority / 4096);
}

void Core::ClearUsed(uint32_t priority) noexcept {
  PriorityMap& map = header_->priorities;
  map.used[priority / 64] &= ~BitOf(priority);
  if (map.used[priority / 64] != 0) return;
  map.middle[priority / 4096] &= ~BitOf(priority / 64);
  if (map.middle[priority / 4096] != 0) return;
  map.top &= ~BitOf(priority / 4096);
}

}  // namespace ipcmark::mmap_queue
