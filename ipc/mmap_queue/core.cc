#include "ipc/mmap_queue/core.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

namespace ipcmark::mmap_queue {
namespace {

std::byte* At(void* mapping, uint64_t offset) { return static_cast<std::byte*>(mapping) + offset; }

// The lock lives in shared memory and outlasts its owners.
int InitialiseLock(pthread_mutex_t* lock) {
  pthread_mutexattr_t attributes;
  int err = pthread_mutexattr_init(&attributes);
  if (err != 0) return err;
  err = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  if (err == 0) err = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  if (err == 0) err = pthread_mutex_init(lock, &attributes);
  pthread_mutexattr_destroy(&attributes);
  return err;
}

int HighestBit(uint64_t word) { return 63 - std::countl_zero(word); }

}  // namespace

Core::Core(void* mapping)
    : header_(static_cast<QueueHeader*>(mapping)),
      tails_(reinterpret_cast<uint32_t*>(At(mapping, TailsOffset()))),
      slots_(reinterpret_cast<Slot*>(At(mapping, SlotsOffset()))),
      scratch_(reinterpret_cast<uint32_t*>(At(mapping, ScratchOffset(header_->depth_messages)))),
      payloads_(At(mapping, PayloadsOffset(header_->depth_messages))),
      depth_(header_->depth_messages),
      max_message_bytes_(header_->max_message_bytes),
      payload_bytes_(header_->payload_bytes) {}

int Core::Initialise(void* mapping, uint32_t depth, uint32_t max_message_bytes) {
  auto* header = new (mapping) QueueHeader{};
  header->version = kQueueVersion;
  header->depth_messages = depth;
  header->max_message_bytes = max_message_bytes;
  header->payload_bytes = PayloadBytes(max_message_bytes);
  header->total_bytes = QueueBytes(depth, max_message_bytes);
  const int err = InitialiseLock(&header->lock);
  if (err != 0) return err;
  Core(mapping).Rebuild();
  header->magic = kQueueMagic;
  return 0;
}

bool Core::IsValid(const void* mapping, uint64_t mapped_bytes) {
  const auto* header = static_cast<const QueueHeader*>(mapping);
  return mapped_bytes >= sizeof(QueueHeader) && header->magic == kQueueMagic && header->version == kQueueVersion &&
         header->depth_messages > 0 && header->depth_messages < kNoSlot &&
         header->max_message_bytes <= kMaxMessageBytes &&
         header->payload_bytes == PayloadBytes(header->max_message_bytes) &&
         header->total_bytes == QueueBytes(header->depth_messages, header->max_message_bytes) &&
         header->total_bytes <= mapped_bytes;
}

uint32_t Core::Prepare(std::span<const std::byte> message, uint32_t priority, bool* damaged) noexcept {
  const uint32_t index = header_->free_head;
  if (index == kNoSlot) {
    // Nobody would ever wake a sender that took a lost free list for a full queue.
    if (header_->count.load(std::memory_order_relaxed) != depth_) *damaged = true;
    return kNoSlot;
  }
  if (index >= depth_ || slots_[index].state.load(std::memory_order_relaxed) != kFree) {
    *damaged = true;
    return kNoSlot;
  }
  Slot& slot = slots_[index];
  if (!message.empty()) memcpy(payloads_ + index * payload_bytes_, message.data(), message.size());
  slot.bytes = static_cast<uint32_t>(message.size());
  slot.priority = priority;
  slot.sequence = header_->next_sequence;
  return index;
}

void Core::Commit(uint32_t index) noexcept {
  Slot& slot = slots_[index];
  const uint32_t next_free = slot.next;
  // Release: a rebuild after our death that sees kCommitted sees the payload and the fields above too. The living are
  // ordered by the lock.
  slot.state.store(kCommitted, std::memory_order_release);
  header_->free_head = next_free;
  header_->next_sequence = slot.sequence + 1;
  Link(index);
}

void Core::Link(uint32_t index) noexcept {
  Slot& slot = slots_[index];
  uint32_t& tail = tails_[slot.priority];
  if (tail < depth_) {
    slot.next = slots_[tail].next;
    slots_[tail].next = index;
  } else {
    slot.next = index;
    SetUsed(slot.priority);
  }
  tail = index;
  header_->count.store(header_->count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

uint32_t Core::Highest(bool* damaged) const noexcept {
  const PriorityMap& map = header_->priorities;
  if (map.top == 0) {
    if (header_->count.load(std::memory_order_relaxed) != 0) *damaged = true;
    return kNoSlot;
  }
  // Each mask keeps a damaged word from leading outside its table.
  const unsigned middle = static_cast<unsigned>(HighestBit(map.top)) & 7U;
  const unsigned used = map.middle[middle] == 0 ? 0 : middle * 64 + HighestBit(map.middle[middle]);
  const unsigned priority = map.used[used] == 0 ? 0 : used * 64 + HighestBit(map.used[used]);
  const uint32_t tail = tails_[priority];
  const uint32_t oldest = tail < depth_ ? slots_[tail].next : kNoSlot;
  if (oldest >= depth_ || slots_[oldest].state.load(std::memory_order_relaxed) != kCommitted ||
      slots_[oldest].bytes > max_message_bytes_ || slots_[oldest].priority != priority) {
    *damaged = true;
    return kNoSlot;
  }
  return oldest;
}

std::span<const std::byte> Core::Payload(uint32_t slot) const noexcept {
  return {payloads_ + slot * payload_bytes_, std::min(slots_[slot].bytes, max_message_bytes_)};
}

void Core::Take(uint32_t index) noexcept {
  Slot& slot = slots_[index];
  const uint32_t priority = slot.priority;
  // The commit of a receive: from here on the message is the caller's, and a rebuild finds the slot free.
  slot.state.store(kFree, std::memory_order_release);
  uint32_t& tail = tails_[priority];
  if (tail == index) {
    tail = kNoSlot;
    ClearUsed(priority);
  } else {
    slots_[tail].next = slot.next;
  }
  slot.next = header_->free_head;
  header_->free_head = index;
  header_->count.store(header_->count.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
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

void Core::Rebuild() noexcept {
  header_->priorities = PriorityMap{};
  std::fill_n(tails_, kPriorityLevels, kNoSlot);
  header_->count.store(0, std::memory_order_relaxed);
  header_->free_head = kNoSlot;
  uint32_t committed = 0;
  uint64_t next_sequence = 0;
  // Downwards, so that the free list hands out low slots first and a shallow queue stays in few pages.
  for (uint32_t index = depth_; index-- > 0;) {
    Slot& slot = slots_[index];
    // Acquire: pairs with Commit's release in a process that may have died right after it.
    const bool intact = slot.priority < kPriorityLevels && slot.bytes <= max_message_bytes_;
    if (slot.state.load(std::memory_order_acquire) == kCommitted && intact) {
      scratch_[committed++] = index;
      next_sequence = std::max(next_sequence, slot.sequence + 1);
    } else {
      slot.state.store(kFree, std::memory_order_relaxed);
      slot.next = header_->free_head;
      header_->free_head = index;
    }
  }
  header_->next_sequence = next_sequence;
  // Heap sort: in place, no allocation, O(n log n) whatever the order. Linking in order of acceptance keeps the order
  // within every priority.
  const auto older = [this](uint32_t a, uint32_t b) { return slots_[a].sequence < slots_[b].sequence; };
  std::make_heap(scratch_, scratch_ + committed, older);
  std::sort_heap(scratch_, scratch_ + committed, older);
  for (uint32_t i = 0; i < committed; ++i) Link(scratch_[i]);
}

}  // namespace ipcmark::mmap_queue
