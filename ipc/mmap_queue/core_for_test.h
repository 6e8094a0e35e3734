#ifndef IPCMARK_IPC_MMAP_QUEUE_CORE_FOR_TEST_H_
#define IPCMARK_IPC_MMAP_QUEUE_CORE_FOR_TEST_H_

// A queue's core in plain memory, and a reference to compare it with.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <random>
#include <vector>

#include "ipc/conformance/support.h"
#include "ipc/mmap_queue/core_inline.h"

namespace ipcmark::mmap_queue {

// Memory of exactly QueueBytes: AddressSanitizer sees every access beyond it.
class PlainQueue {
 public:
  PlainQueue(uint32_t depth, uint32_t max_message_bytes)
      : bytes_(QueueBytes(depth, max_message_bytes)), memory_(::operator new(bytes_, kAlignment)) {
    memset(memory_.get(), 0, bytes_);
    EXPECT_EQ(Core::Initialise(memory_.get(), depth, max_message_bytes), 0);
  }

  [[nodiscard]] Core core() const { return Core(memory_.get()); }
  [[nodiscard]] QueueHeader& header() const { return *static_cast<QueueHeader*>(memory_.get()); }
  [[nodiscard]] std::byte* At(uint64_t offset) const { return static_cast<std::byte*>(memory_.get()) + offset; }
  [[nodiscard]] uint32_t* tails() const { return reinterpret_cast<uint32_t*>(At(TailsOffset())); }
  [[nodiscard]] Slot* slots() const { return reinterpret_cast<Slot*>(At(SlotsOffset())); }
  [[nodiscard]] uint32_t* links() const { return Table(LinksOffset); }
  [[nodiscard]] uint32_t* spare() const { return Table(SpareOffset); }
  [[nodiscard]] uint32_t* returned() const { return Table(ReturnedOffset); }
  [[nodiscard]] Stage* stages() const {
    return reinterpret_cast<Stage*>(At(StagesOffset(header().depth_messages, header().max_message_bytes)));
  }
  [[nodiscard]] size_t bytes() const { return bytes_; }

  // The memory in 32-bit words: what a crash can leave half-changed.
  [[nodiscard]] std::vector<uint32_t> Snapshot() const {
    std::vector<uint32_t> words(bytes_ / sizeof(uint32_t));
    memcpy(words.data(), memory_.get(), words.size() * sizeof(uint32_t));
    return words;
  }
  void Restore(const std::vector<uint32_t>& words) const {
    memcpy(memory_.get(), words.data(), words.size() * sizeof(uint32_t));
  }

 private:
  uint32_t* Table(uint64_t (*offset)(uint64_t, uint32_t)) const {
    return reinterpret_cast<uint32_t*>(At(offset(header().depth_messages, header().max_message_bytes)));
  }

  static constexpr std::align_val_t kAlignment{os::kCacheLineBytes};
  struct Free {
    void operator()(void* memory) const { ::operator delete(memory, kAlignment); }
  };
  size_t bytes_;
  std::unique_ptr<void, Free> memory_;
};

// What a queue should hold: numbers of messages, highest priority first, oldest first within it.
class Model {
 public:
  void Send(uint32_t priority, uint64_t n) {
    queue_[priority].push_back(n);
    ++size_;
  }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] size_t size() const { return size_; }
  struct Next {
    uint32_t priority;
    uint64_t n;
  };
  [[nodiscard]] Next Peek() const { return {queue_.begin()->first, queue_.begin()->second.front()}; }
  Next Receive() {
    const Next next = Peek();
    queue_.begin()->second.pop_front();
    if (queue_.begin()->second.empty()) queue_.erase(queue_.begin());
    --size_;
    return next;
  }

 private:
  std::map<uint32_t, std::deque<uint64_t>, std::greater<>> queue_;
  size_t size_ = 0;
};

// Priorities that meet in one list, in one word of a bitmap, in one branch of it, and nowhere.
inline uint32_t RandomPriority(std::mt19937_64& random) {
  const uint64_t bits = random();
  switch (bits % 4) {
    case 0:
      return (bits >> 8) % 4;
    case 1:
      return 4096 + (bits >> 8) % 130;
    case 2:
      return kPriorityLevels - 1 - (bits >> 8) % 3;
    default:
      return (bits >> 8) % kPriorityLevels;
  }
}

// Sends message `n` with a random length to both. False when the queue is full.
inline bool SendToBoth(Core core, Model& model, std::mt19937_64& random, uint64_t n, uint32_t priority) {
  const auto message = conformance::MessageOf(0, n, conformance::LengthOf(n, core.max_message_bytes()));
  bool damaged = false;
  if (core.IsInboxFull()) core.Drain(&damaged);
  uint32_t slot;
  if (core.stage_count() > 0 && random() % 2 == 0) {
    const auto stage = static_cast<uint32_t>(random() % core.stage_count());
    slot = core.StageSlot(stage);
    EXPECT_NE(slot, kNoSlot);
    if (slot == kNoSlot) return false;
    std::copy(message.begin(), message.end(), core.SlotMemory(slot));
    slot = core.PrepareStaged(stage, slot, static_cast<uint32_t>(message.size()), priority, &damaged);
  } else {
    slot = core.Prepare(message, priority, &damaged);
  }
  EXPECT_FALSE(damaged);
  EXPECT_EQ(slot == kNoSlot, model.size() == core.depth());
  if (slot == kNoSlot) return false;
  core.Commit(slot);
  model.Send(priority, n);
  return true;
}

inline bool SendToBoth(Core core, Model& model, std::mt19937_64& random, uint64_t n) {
  return SendToBoth(core, model, random, n, RandomPriority(random));
}

// Receives from both and compares.
inline void ReceiveFromBoth(Core core, Model& model) {
  bool damaged = false;
  const uint32_t slot = core.Highest(&damaged);
  ASSERT_FALSE(damaged);
  ASSERT_EQ(slot == kNoSlot, model.empty());
  if (slot == kNoSlot) return;
  const Model::Next expected = model.Receive();
  ASSERT_EQ(core.SlotAt(slot).priority, expected.priority);
  ASSERT_EQ(core.Payload(slot).size(), conformance::LengthOf(expected.n, core.max_message_bytes()));
  ASSERT_TRUE(conformance::IsMessageOf(core.Payload(slot), 0, expected.n)) << "message " << expected.n;
  const uint32_t stages = core.stage_count();
  if (stages > 0 && expected.n % 2 == 0) {
    const auto stage = static_cast<uint32_t>(expected.n % stages);
    core.TakeStaged(slot, stage);
    ASSERT_EQ(core.StageSlot(stage), slot);
    ASSERT_TRUE(conformance::IsMessageOf(
        {core.SlotMemory(slot), conformance::LengthOf(expected.n, core.max_message_bytes())}, 0, expected.n));
  } else {
    core.Take(slot);
  }
  ASSERT_EQ(core.count(), model.size());
}

// Empties the queue and expects exactly what the model holds, then fills it to its depth to prove that no slot is lost.
inline void ExpectHolds(const PlainQueue& queue, Model model) {
  Core core = queue.core();
  EXPECT_EQ(core.count(), model.size());
  while (!model.empty()) ASSERT_NO_FATAL_FAILURE(ReceiveFromBoth(core, model));
  ASSERT_NO_FATAL_FAILURE(ReceiveFromBoth(core, model)) << "and nothing more";
  for (uint32_t n = 0; n < core.depth(); ++n) {
    bool damaged = false;
    if (core.IsInboxFull()) core.Drain(&damaged);
    const uint32_t slot = core.Prepare({}, 0, &damaged);
    ASSERT_NE(slot, kNoSlot) << "a slot is lost";
    core.Commit(slot);
  }
}

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_CORE_FOR_TEST_H_
