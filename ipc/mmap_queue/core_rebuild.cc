// Making and checking a queue, and making its indices anew.

#include <algorithm>
#include <new>

#include "ipc/mmap_queue/core.h"
#include "ipc/mmap_queue/core_inline.h"
#include "ipc/mmap_queue/literal.h"
#include "ipc/mmap_queue/lock.h"
#include "ipc/mmap_queue/once.h"

namespace ipcmark::mmap_queue {
namespace {

std::byte* At(void* mapping, uint64_t offset) { return static_cast<std::byte*>(mapping) + offset; }

uint32_t LockKindOf(Policy policy) {
  return static_cast<uint32_t>(policy == Policy::kPosix ? LiteralLockKind() : LockKind());
}

}  // namespace

Core::Core(void* mapping, const Sizes& sizes)
    : header_(static_cast<QueueHeader*>(mapping)),
      tails_(reinterpret_cast<uint32_t*>(At(mapping, TailsOffset()))),
      slots_(reinterpret_cast<Slot*>(At(mapping, SlotsOffset()))),
      links_(reinterpret_cast<uint32_t*>(At(mapping, LinksOffset(sizes.depth_messages, sizes.max_message_bytes)))),
      spare_(reinterpret_cast<uint32_t*>(At(mapping, SpareOffset(sizes.depth_messages, sizes.max_message_bytes)))),
      returned_(
          reinterpret_cast<uint32_t*>(At(mapping, ReturnedOffset(sizes.depth_messages, sizes.max_message_bytes)))),
      stages_(reinterpret_cast<Stage*>(At(mapping, StagesOffset(sizes.depth_messages, sizes.max_message_bytes)))),
      payloads_(At(mapping, PayloadsOffset(sizes.depth_messages, sizes.max_message_bytes))),
      depth_(sizes.depth_messages),
      stage_count_(sizes.policy == Policy::kRobust ? StageCount(sizes.max_message_bytes) : 0),
      slot_count_(sizes.depth_messages + stage_count_),
      max_message_bytes_(sizes.max_message_bytes),
      ring_mask_(static_cast<uint32_t>(RingSize(sizes.depth_messages) - 1)),
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
    err = InitialiseLock(&header->send.lock);
    if (err == 0) err = InitialiseLock(&header->receive.lock);
  } else {
    err = InitialiseLiterally(&header->send.lock);
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

bool Core::Holds(uint32_t messages) const noexcept {
  const uint64_t received = header_->receive.received.load(std::memory_order_relaxed);
  const uint64_t sent = header_->send.sent.load(std::memory_order_relaxed);
  if (sent - received != messages) return false;
  if (messages == 0) return header_->receive.drained.load(std::memory_order_relaxed) == received;
  if (listed() == 0) return MayHoldMessages();
  return header_->receive.run_next != header_->receive.run_end || HighestUsed() != kNoPriority;
}

Core::Sorted Core::SortSlots() noexcept {
  // The slots of stages stay theirs: copies are under way there. Only who died in the middle of a swap has left one
  // that is somebody else's: a message's, or another stage's.
  uint32_t staged[kStages];
  for (uint32_t stage = 0; stage < stage_count_; ++stage) {
    const uint32_t slot = Once(stages_[stage].slot);
    const bool is_its =
        slot < slot_count_ && !HoldsMessage(slot) && std::find(staged, staged + stage, slot) == staged + stage;
    staged[stage] = is_its ? slot : kNoSlot;
  }
  Sorted sorted = {};
  // Downwards, so that low slots are handed out first and a shallow queue stays in few pages. What would not fit is
  // damage: the slots are as many as there is room for.
  for (uint32_t index = slot_count_; index-- > 0;) {
    Slot& slot = slots_[index];
    if (HoldsMessage(index) && sorted.committed < depth_) {
      returned_[sorted.committed++] = index;
      sorted.next_sequence = std::max(sorted.next_sequence, slot.sequence + 1);
      continue;
    }
    slot.state.store(kFree, std::memory_order_relaxed);
    uint32_t* const end = staged + stage_count_;
    if (std::find(staged, end, index) != end) continue;
    uint32_t* const without = std::find(staged, end, kNoSlot);
    if (without != end) {
      *without = index;
      stages_[without - staged].slot = index;
    } else if (sorted.spare < depth_) {
      spare_[sorted.spare++] = index;
    }
  }
  // No more free slots than there is room for messages. Of as many slots as there should be, that is so.
  sorted.spare = std::min(sorted.spare, depth_ - sorted.committed);
  // Heap sort: in place, no allocation, O(n log n) whatever the order. Bounded: this is shared memory too.
  const auto sequence = [this](uint32_t index) { return slots_[std::min(index, slot_count_ - 1)].sequence; };
  const auto older = [&](uint32_t a, uint32_t b) { return sequence(a) < sequence(b); };
  std::make_heap(returned_, returned_ + sorted.committed, older);
  std::sort_heap(returned_, returned_ + sorted.committed, older);
  return sorted;
}

void Core::Rebuild() noexcept {
  SendSide& senders = header_->send;
  ReceiveSide& receivers = header_->receive;
  header_->priorities = PriorityMap{};
  std::fill_n(tails_, kPriorityLevels, kNoSlot);
  receivers.emptied = kNoPriority;
  receivers.run_next = receivers.run_end = 0;
  const Sorted sorted = SortSlots();
  const uint64_t sent = sorted.next_sequence;
  const uint64_t received = sent - sorted.committed;
  senders.sent.store(sent, std::memory_order_relaxed);
  senders.spare_count = sorted.spare;
  senders.reclaimed = static_cast<uint32_t>(received);
  senders.received_seen = static_cast<uint32_t>(received);
  senders.last_priority = 0;
  senders.drained_seen = static_cast<uint32_t>(sent);
  senders.circulating = depth_ - sorted.spare;
  receivers.received.store(received, std::memory_order_relaxed);
  // Everything is moved to the lists at once, oldest first: that keeps the order within every priority.
  receivers.drained.store(sent, std::memory_order_relaxed);
  receivers.ceiling = 0;
  receivers.raised_seen = header_->raised.load(std::memory_order_relaxed);
  for (uint32_t i = 0; i < sorted.committed; ++i) {
    const uint32_t slot = std::min(Once(returned_[i]), slot_count_ - 1);
    Link(slot, Once(slots_[slot].priority) % kPriorityLevels);
  }
  for (uint64_t i = 0; i < kInboxCells; ++i) {
    header_->inbox[(sent + i) % kInboxCells].store(EmptiedCell(CellOf(sent + i, 0, kNoSlot)),
                                                   std::memory_order_relaxed);
  }
}

}  // namespace ipcmark::mmap_queue
