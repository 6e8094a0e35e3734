#include "ipc/mmap_queue/core.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

#include "ipc/copy.h"
#include "ipc/mmap_queue/literal.h"
#include "ipc/mmap_queue/lock.h"
#include "ipc/os/cpu.h"

namespace ipcmark::mmap_queue {
namespace {

std::byte* At(void* mapping, uint64_t offset) { return static_cast<std::byte*>(mapping) + offset; }

// Reads shared memory once: the compiler may otherwise read it again after the check.
template <typename T>
T Once(const T& shared) {
  return *static_cast<const volatile T*>(&shared);
}

uint32_t LockKindOf(Policy policy) {
  return static_cast<uint32_t>(policy == Policy::kPosix ? LiteralLockKind() : LockKind());
}

// Slots. A line takes as long to come from another CPU as a few calls take.
constexpr uint32_t kPrefetchedAhead = 4;

int HighestBit(uint64_t word) { return 63 - std::countl_zero(word); }

}  // namespace

Core::Core(void* mapping, const Sizes& sizes)
    : header_(static_cast<QueueHeader*>(mapping)),
      tails_(reinterpret_cast<uint32_t*>(At(mapping, TailsOffset()))),
      slots_(reinterpret_cast<Slot*>(At(mapping, SlotsOffset()))),
      free_(reinterpret_cast<uint32_t*>(
          At(mapping, FreeOffset(SlotCount(sizes.depth_messages, sizes.max_message_bytes))))),
      stages_(reinterpret_cast<Stage*>(At(mapping, StagesOffset(sizes.depth_messages, sizes.max_message_bytes)))),
      payloads_(At(mapping, PayloadsOffset(sizes.depth_messages, sizes.max_message_bytes))),
      depth_(sizes.depth_messages),
      stage_count_(sizes.policy == Policy::kRobust ? StageCount(sizes.max_message_bytes) : 0),
      slot_count_(sizes.depth_messages + stage_count_),
      max_message_bytes_(sizes.max_message_bytes),
      payload_bytes_(sizes.payload_bytes),
      policy_(sizes.policy) {}

Core::Core(void* mapping) : Core(mapping, Check(mapping, UINT64_MAX).value_or(Sizes{})) {}

int Core::Initialise(void* mapping, uint32_t depth, uint32_t max_message_bytes, Policy policy) {
  auto* header = new (mapping) QueueHeader{};
  header->version = kQueueVersion;
  header->depth_messages = depth;
  header->max_message_bytes = max_message_bytes;
  header->policy = policy;
  header->lock_kind = LockKindOf(policy);
  header->payload_bytes = PayloadBytes(max_message_bytes);
  header->total_bytes = QueueBytes(depth, max_message_bytes);
  int err = 0;
  if (policy == Policy::kRobust) {
    err = InitialiseLock(&header->lock);
  } else {
    err = InitialiseLiterally(&header->lock);
    if (err == 0) err = InitialiseLiterally(&header->not_empty.literal);
    if (err == 0) err = InitialiseLiterally(&header->not_full.literal);
  }
  if (err != 0) return err;
  header->magic = kQueueMagic;
  Core core(mapping);
  for (uint32_t stage = 0; stage < core.stage_count(); ++stage) {
    err = InitialiseLock(core.StageLock(stage));
    if (err != 0) return err;
  }
  core.Rebuild();
  return 0;
}

std::optional<Sizes> Core::Check(const void* mapping, uint64_t mapped_bytes) {
  const auto* header = static_cast<const QueueHeader*>(mapping);
  if (mapped_bytes < sizeof(QueueHeader)) return std::nullopt;
  const Sizes sizes = {.depth_messages = Once(header->depth_messages),
                       .max_message_bytes = Once(header->max_message_bytes),
                       .payload_bytes = Once(header->payload_bytes),
                       .total_bytes = Once(header->total_bytes),
                       .policy = Once(header->policy)};
  const bool valid = header->magic == kQueueMagic && header->version == kQueueVersion &&
                     (sizes.policy == Policy::kRobust || sizes.policy == Policy::kPosix) &&
                     Once(header->lock_kind) == LockKindOf(sizes.policy) && sizes.depth_messages > 0 &&
                     sizes.depth_messages < kNoSlot - kStages && sizes.max_message_bytes <= kMaxMessageBytes &&
                     sizes.payload_bytes == PayloadBytes(sizes.max_message_bytes) &&
                     sizes.total_bytes == QueueBytes(sizes.depth_messages, sizes.max_message_bytes) &&
                     sizes.total_bytes <= mapped_bytes;
  return valid ? std::optional(sizes) : std::nullopt;
}

uint32_t Core::NextFree(bool* damaged) const noexcept {
  const uint32_t used = count();
  if (used == depth_) {
    // Nobody would ever wake a sender that took a damaged count for a full queue.
    if (header_->priorities.top == 0) *damaged = true;
    return kNoSlot;
  }
  const uint32_t index = used < depth_ ? Once(free_[used]) : kNoSlot;
  if (index >= slot_count_ || slots_[index].state.load(std::memory_order_relaxed) != kFree) {
    *damaged = true;
    return kNoSlot;
  }
  if (used + kPrefetchedAhead < depth_) PrefetchSlot(Once(free_[used + kPrefetchedAhead]));
  return index;
}

void Core::Describe(Slot& slot, size_t bytes, uint32_t priority) const noexcept {
  slot.bytes = static_cast<uint32_t>(bytes);
  slot.priority = priority;
  slot.sequence = header_->next_sequence;
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

bool Core::IsStaged() const noexcept {
  return stage_count_ != 0 && std::atomic_ref(header_->is_staged).load(std::memory_order_relaxed) != 0;
}

void Core::PrefetchFirst() const noexcept {
#ifndef __SANITIZE_THREAD__  // It would rightly call this reading without the lock a race; only a guess is made of it.
  os::PrefetchForWrite(&header_->lock);
  const uint32_t priority = HighestUsed();
  if (priority < kPriorityLevels) os::PrefetchForWrite(&tails_[priority]);
  PrefetchSlot(Once(free_[0]));
#endif
}

void Core::PrefetchSlot(uint32_t index) const noexcept {
  if (index >= slot_count_) return;
  os::PrefetchForWrite(&slots_[index]);
  os::PrefetchForWrite(payloads_ + index * payload_bytes_);
}

void Core::Commit(uint32_t index) noexcept {
  Slot& slot = slots_[index];
  // Release: a rebuild after our death that sees kCommitted sees the payload and the fields above too. The living are
  // ordered by the lock.
  slot.state.store(kCommitted, std::memory_order_release);
  header_->next_sequence = slot.sequence + 1;
  if (stage_count_ != 0) {
    const uint32_t is_staged = slot.bytes < kStagedBytes ? 0 : 1;
    std::atomic_ref hint(header_->is_staged);
    if (hint.load(std::memory_order_relaxed) != is_staged) hint.store(is_staged, std::memory_order_relaxed);
  }
  Link(index);
}

void Core::Link(uint32_t index) noexcept {
  Slot& slot = slots_[index];
  const uint32_t priority = Once(slot.priority) % kPriorityLevels;
  const uint32_t tail = Once(tails_[priority]);
  if (tail < slot_count_) {
    slot.next = slots_[tail].next;
    slots_[tail].next = index;
  } else {
    slot.next = index;
    if (priority == header_->emptied) {
      header_->emptied = kNoPriority;
    } else {
      SetUsed(priority);
    }
  }
  tails_[priority] = index;
  header_->count.store(header_->count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

uint32_t Core::Highest(bool* damaged) noexcept {
  uint32_t priority = HighestUsed();
  if (count() == 0) {
    if (priority != kNoPriority && priority != header_->emptied) *damaged = true;
    return kNoSlot;
  }
  if (priority == header_->emptied) {
    ForgetEmptied();
    priority = HighestUsed();
  }
  const uint32_t tail = priority < kPriorityLevels ? Once(tails_[priority]) : kNoSlot;
  const uint32_t oldest = tail < slot_count_ ? Once(slots_[tail].next) : kNoSlot;
  if (oldest >= slot_count_ || slots_[oldest].state.load(std::memory_order_relaxed) != kCommitted ||
      slots_[oldest].bytes > max_message_bytes_ || slots_[oldest].priority != priority) {
    *damaged = true;
    return kNoSlot;
  }
  if (oldest != tail) PrefetchSlot(Once(slots_[oldest].next));
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
  const uint32_t emptied = Once(header_->emptied);
  if (emptied >= kPriorityLevels) return;
  header_->emptied = kNoPriority;
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
  Slot& slot = slots_[index];
  const uint32_t priority = Once(slot.priority) % kPriorityLevels;
  // The commit of a receive: from here on the message is the caller's, and a rebuild finds the slot free.
  slot.state.store(kFree, std::memory_order_release);
  const uint32_t tail = Once(tails_[priority]);
  if (tail == index) {
    tails_[priority] = kNoSlot;
    ForgetEmptied();
    header_->emptied = priority;
  } else if (tail < slot_count_) {
    slots_[tail].next = slot.next;
  }
  const uint32_t used = std::clamp(count(), 1U, depth_) - 1;
  // Most often it is there already, and a line that nobody writes to stays in both caches.
  if (Once(free_[used]) != freed) free_[used] = freed;
  header_->count.store(used, std::memory_order_relaxed);
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

void Core::Rebuild() noexcept {
  header_->priorities = PriorityMap{};
  std::fill_n(tails_, kPriorityLevels, kNoSlot);
  header_->count.store(0, std::memory_order_relaxed);
  header_->emptied = kNoPriority;
  // The slots of stages stay theirs: copies are under way there. Only who died in the middle of a swap has left one
  // that is somebody else's: a message's, or another stage's.
  uint32_t staged[kStages];
  for (uint32_t stage = 0; stage < stage_count_; ++stage) {
    const uint32_t slot = Once(stages_[stage].slot);
    const bool is_its =
        slot < slot_count_ && !HoldsMessage(slot) && std::find(staged, staged + stage, slot) == staged + stage;
    staged[stage] = is_its ? slot : kNoSlot;
  }
  // The committed ones fill free_ from the front, where it is of no use while they are there; the others from the back.
  uint32_t committed = 0;
  uint32_t first_free = depth_;
  uint64_t next_sequence = 0;
  // Downwards, so that low slots are handed out first and a shallow queue stays in few pages. What would not fit is
  // damage: the slots are as many as there is room for.
  for (uint32_t index = slot_count_; index-- > 0;) {
    Slot& slot = slots_[index];
    if (HoldsMessage(index) && committed < first_free) {
      free_[committed++] = index;
      next_sequence = std::max(next_sequence, slot.sequence + 1);
      continue;
    }
    slot.state.store(kFree, std::memory_order_relaxed);
    uint32_t* const end = staged + stage_count_;
    if (std::find(staged, end, index) != end) continue;
    uint32_t* const without = std::find(staged, end, kNoSlot);
    if (without != end) {
      *without = index;
      stages_[without - staged].slot = index;
    } else if (committed < first_free) {
      free_[--first_free] = index;
    }
  }
  header_->next_sequence = next_sequence;
  // Heap sort: in place, no allocation, O(n log n) whatever the order. Linking in order of acceptance keeps the order
  // within every priority.
  // Bounded: this is shared memory too.
  const auto sequence = [this](uint32_t index) { return slots_[std::min(index, slot_count_ - 1)].sequence; };
  const auto older = [&](uint32_t a, uint32_t b) { return sequence(a) < sequence(b); };
  std::make_heap(free_, free_ + committed, older);
  std::sort_heap(free_, free_ + committed, older);
  for (uint32_t i = 0; i < committed; ++i) Link(std::min(Once(free_[i]), slot_count_ - 1));
}

}  // namespace ipcmark::mmap_queue
