// The queue's data structure while nobody dies and nothing is damaged, and the rebuild after somebody has died.

#include "ipc/mmap_queue/core.h"

#include <gtest/gtest.h>

#include <random>

#include "ipc/mmap_queue/core_for_test.h"

namespace ipcmark::mmap_queue {
namespace {

using conformance::MessageOf;
using conformance::Seed;

constexpr uint32_t kMaxBytes = 200;
constexpr uint32_t kStagedMaxBytes = 2100;  // a queue with stages

// Random sends and receives; leaves the queue about half full.
void Mix(const PlainQueue& queue, Model& model, std::mt19937_64& random, int steps, uint64_t& n) {
  Core core = queue.core();
  for (int step = 0; step < steps; ++step) {
    if (random() % 2 == 0) {
      SendToBoth(core, model, random, n++);
    } else {
      ASSERT_NO_FATAL_FAILURE(ReceiveFromBoth(core, model));
    }
  }
}

TEST(Core, AgreesWithAModel) {
  std::mt19937_64 random(Seed());
  uint64_t n = 0;
  for (uint32_t max_bytes : {kMaxBytes, kStagedMaxBytes}) {
    for (uint32_t depth : {1, 2, 3, 50, 1000}) {
      SCOPED_TRACE(testing::Message() << "depth " << depth << ", messages up to " << max_bytes);
      const PlainQueue queue(depth, max_bytes);
      Model model;
      ASSERT_NO_FATAL_FAILURE(Mix(queue, model, random, max_bytes == kMaxBytes ? 20'000 : 4000, n));
      // Also from full to empty: a random walk seldom gets there in a deep queue.
      while (SendToBoth(queue.core(), model, random, n++)) {
      }
      ExpectHolds(queue, model);
    }
  }
}

TEST(Core, KeepsOrderWithinEachOfAllPriorities) {
  const PlainQueue queue(3 * 8, 8);
  Core core = queue.core();
  Model model;
  uint64_t n = 0;
  for (int lap = 0; lap < 3; ++lap) {
    for (uint32_t priority : {0U, 63U, 64U, 4095U, 4096U, 16384U, 32704U, kPriorityLevels - 1}) {
      bool damaged = false;
      core.Commit(core.Prepare(MessageOf(0, n, conformance::LengthOf(n, 8)), priority, &damaged));
      model.Send(priority, n++);
    }
  }
  ExpectHolds(queue, model);
}

// Where no message is of a higher priority than the one before it, they are received from the run; one that is, in the
// middle of a run, or more of them than a run holds, send the rest to the lists.
TEST(Core, ARunKeepsTheOrderOfAllPriorities) {
  std::mt19937_64 random(Seed());
  uint64_t n = 0;
  uint64_t of_runs = 0;
  for (uint32_t depth : {2U, 50U, 3 * kRunSlots, 2 * kInboxCells}) {
    SCOPED_TRACE(testing::Message() << "depth " << depth);
    const PlainQueue queue(depth, kMaxBytes);
    Model model;
    for (int burst = 0; burst < 1000; ++burst) {
      uint32_t priority = random() % 8 == 0 ? RandomPriority(random) : 7;
      const bool falls = random() % 4 == 0;
      for (uint64_t sends = random() % (uint64_t{2} * kRunSlots); sends > 0; --sends) {
        SendToBoth(queue.core(), model, random, n++, priority);
        if (falls && priority > 0 && random() % 4 == 0) --priority;
      }
      for (uint64_t receives = random() % (uint64_t{2} * kRunSlots); receives > 0; --receives) {
        ASSERT_NO_FATAL_FAILURE(ReceiveFromBoth(queue.core(), model));
        if (queue.header().receive.run_next != queue.header().receive.run_end) ++of_runs;
      }
    }
    ExpectHolds(queue, model);
  }
  EXPECT_GT(of_runs, 1000U);
}

// Overwrites everything that is not a slot's truth.
void ScrambleIndices(const PlainQueue& queue, std::mt19937_64& random) {
  QueueHeader& header = queue.header();
  header.send.sent = random();
  for (uint32_t* word :
       {&header.send.spare_count, &header.send.reclaimed, &header.send.received_seen, &header.send.last_priority,
        &header.send.drained_seen, &header.send.circulating, &header.receive.emptied, &header.receive.ceiling,
        &header.receive.raised_seen, &header.receive.run_next, &header.receive.run_end}) {
    *word = static_cast<uint32_t>(random());
  }
  for (uint32_t& slot : header.run) slot = static_cast<uint32_t>(random());
  header.receive.received = random();
  header.receive.drained = random();
  header.raised = static_cast<uint32_t>(random());
  for (std::atomic<uint64_t>& cell : header.inbox) cell = random();
  header.priorities.top = random();
  for (uint64_t& word : header.priorities.middle) word = random();
  for (uint64_t& word : header.priorities.used) word = random();
  for (uint32_t i = 0; i < kPriorityLevels; ++i) queue.tails()[i] = static_cast<uint32_t>(random());
  const uint32_t depth = header.depth_messages;
  for (uint32_t i = 0; i < depth; ++i) queue.spare()[i] = static_cast<uint32_t>(random());
  for (uint32_t i = 0; i < RingSize(depth); ++i) queue.returned()[i] = static_cast<uint32_t>(random());
  const auto slots = static_cast<uint32_t>(SlotCount(depth, header.max_message_bytes));
  // Somebody else's slot, or none.
  for (uint32_t i = 0; i < StageCount(header.max_message_bytes); ++i) {
    if (random() % 2 == 0) queue.stages()[i].slot = static_cast<uint32_t>(random() % (slots + 1));
  }
  for (uint32_t i = 0; i < slots; ++i) {
    Slot& slot = queue.slots()[i];
    queue.links()[i] = static_cast<uint32_t>(random());
    if (slot.state.load() == kCommitted) continue;
    // What a sender may have left in a slot that it had not committed.
    slot.bytes = static_cast<uint32_t>(random());
    slot.priority = static_cast<uint32_t>(random());
    slot.sequence = random();
  }
}

TEST(Core, RebuildMakesEveryIndexAnewFromTheSlots) {
  std::mt19937_64 random(Seed());
  uint64_t n = 0;
  for (uint32_t depth : {1, 2, 33, 300}) {
    for (int trial = 0; trial < 10; ++trial) {
      SCOPED_TRACE(testing::Message() << "depth " << depth << ", trial " << trial);
      const PlainQueue queue(depth, trial % 2 == 0 ? kMaxBytes : kStagedMaxBytes);
      Model model;
      ASSERT_NO_FATAL_FAILURE(Mix(queue, model, random, 1000, n));
      ScrambleIndices(queue, random);
      queue.core().Rebuild();
      // Not only what was there: new messages queue up behind it.
      ASSERT_NO_FATAL_FAILURE(Mix(queue, model, random, 100, n));
      ExpectHolds(queue, model);
    }
  }
}

TEST(Core, RebuildLeavesCopiesUnderWayAlone) {
  std::mt19937_64 random(Seed());
  const PlainQueue queue(5, kStagedMaxBytes);
  Model model;
  uint64_t n = 0;
  ASSERT_NO_FATAL_FAILURE(Mix(queue, model, random, 1000, n));
  Core core = queue.core();
  std::vector<uint32_t> before;
  for (uint32_t stage = 0; stage < core.stage_count(); ++stage) before.push_back(core.StageSlot(stage));
  // Another stage's holder died when it had swapped: both name one slot, and the first keeps it. The
  // other gets any that is free.
  queue.stages()[3].slot = before[2];
  core.Rebuild();
  for (uint32_t stage = 0; stage < core.stage_count(); ++stage) {
    if (stage != 3) {
      EXPECT_EQ(core.StageSlot(stage), before[stage]) << stage;
    }
  }
  EXPECT_NE(core.StageSlot(3), kNoSlot);
  EXPECT_EQ(std::count(before.begin(), before.begin() + 3, core.StageSlot(3)), 0);
  ExpectHolds(queue, model);
}

TEST(Core, RebuildMayItselfBeCutShort) {
  std::mt19937_64 random(Seed());
  const PlainQueue queue(20, kMaxBytes);
  Model model;
  uint64_t n = 0;
  ASSERT_NO_FATAL_FAILURE(Mix(queue, model, random, 1000, n));
  ScrambleIndices(queue, random);
  const std::vector<uint32_t> before = queue.Snapshot();
  queue.core().Rebuild();
  const std::vector<uint32_t> after = queue.Snapshot();
  for (int trial = 0; trial < 50; ++trial) {
    // A rebuild that died somewhere has done some of its stores.
    std::vector<uint32_t> cut = before;
    for (size_t word = 0; word < cut.size(); ++word) {
      if (random() % 2 == 0) cut[word] = after[word];
    }
    queue.Restore(cut);
    queue.core().Rebuild();
    ASSERT_NO_FATAL_FAILURE(ExpectHolds(queue, model)) << "trial " << trial;
  }
}

// The positions of the words that differ.
std::vector<size_t> Changed(const std::vector<uint32_t>& before, const std::vector<uint32_t>& after) {
  std::vector<size_t> changed;
  for (size_t word = 0; word < before.size(); ++word) {
    if (before[word] != after[word]) changed.push_back(word);
  }
  return changed;
}

// Whatever subset of `before` -> `after`'s stores a death leaves done, a rebuild finds the message in or out, and
// nothing else, by the word `state` alone. Index words only: the slot's own fields are written before it, and its
// payload may change after it.
void ExpectAllOrNothing(const PlainQueue& queue, const std::vector<uint32_t>& before,
                        const std::vector<uint32_t>& after, size_t state, const Model& without_store,
                        const Model& with_store) {
  std::vector<size_t> changed = Changed(before, after);
  const size_t payloads = PayloadsOffset(queue.header().depth_messages, kMaxBytes) / sizeof(uint32_t);
  const std::vector<size_t> payload(std::lower_bound(changed.begin(), changed.end(), payloads), changed.end());
  changed.resize(changed.size() - payload.size());
  ASSERT_LE(changed.size(), 14U);
  for (uint32_t subset = 0; subset < (1U << changed.size()); ++subset) {
    std::vector<uint32_t> crashed = before;
    bool stored = false;
    for (size_t i = 0; i < changed.size(); ++i) {
      if ((subset >> i & 1U) == 0) continue;
      crashed[changed[i]] = after[changed[i]];
      stored |= changed[i] == state;
    }
    for (size_t word : payload) {
      if (stored) crashed[word] = after[word];
    }
    queue.Restore(crashed);
    queue.core().Rebuild();
    ASSERT_NO_FATAL_FAILURE(ExpectHolds(queue, stored ? with_store : without_store)) << "stores " << subset;
  }
}

size_t StateWord(uint32_t slot) { return (SlotsOffset() + slot * sizeof(Slot)) / sizeof(uint32_t); }

class CrashTest : public testing::TestWithParam<int> {
 protected:
  // Three messages of equal priority, of higher, or of lower; or none.
  CrashTest() {
    if (GetParam() == 0) return;
    for (uint64_t n = 0; n < 3; ++n) {
      bool damaged = false;
      Core core = queue_.core();
      core.Commit(core.Prepare(MessageOf(0, n, conformance::LengthOf(n, kMaxBytes)), Priority(), &damaged));
      model_.Send(Priority(), n);
    }
  }
  static uint32_t Priority() { return GetParam() == 1 ? 100 : GetParam() == 2 ? 101 : 9; }

  PlainQueue queue_{5, kMaxBytes};
  Model model_;
};

INSTANTIATE_TEST_SUITE_P(Contents, CrashTest, testing::Range(0, 4));

TEST_P(CrashTest, ASendThatDiesBetweenAnyTwoStoresLeavesTheMessageOrNone) {
  const std::vector<std::byte> message = MessageOf(0, 3, conformance::LengthOf(3, kMaxBytes));
  Model with = model_;
  with.Send(100, 3);
  const std::vector<uint32_t> untouched = queue_.Snapshot();
  bool damaged = false;
  Core core = queue_.core();
  const uint32_t slot = core.Prepare(message, 100, &damaged);
  ASSERT_NE(slot, kNoSlot);
  const std::vector<uint32_t> prepared = queue_.Snapshot();
  core.Commit(slot);
  const std::vector<uint32_t> committed = queue_.Snapshot();
  ExpectAllOrNothing(queue_, prepared, committed, StateWord(slot), model_, with);
  // Before that, nothing that Prepare writes counts.
  std::vector<uint32_t> torn = untouched;
  const std::vector<size_t> changed = Changed(untouched, prepared);
  for (size_t i = 0; i < changed.size(); ++i) {
    torn[changed[i]] = prepared[changed[i]];
    queue_.Restore(torn);
    core.Rebuild();
    ASSERT_NO_FATAL_FAILURE(ExpectHolds(queue_, model_)) << "after " << i + 1 << " words";
  }
}

TEST_P(CrashTest, AReceiveThatDiesBetweenAnyTwoStoresLeavesTheMessageOrNone) {
  if (model_.empty()) GTEST_SKIP() << "nothing to receive";
  bool damaged = false;
  Core core = queue_.core();
  const std::vector<uint32_t> before = queue_.Snapshot();
  const uint32_t slot = core.Highest(&damaged);
  ASSERT_NE(slot, kNoSlot);
  const std::vector<uint32_t> found = queue_.Snapshot();
  core.Take(slot);
  const std::vector<uint32_t> after = queue_.Snapshot();
  Model taken = model_;
  taken.Receive();
  ASSERT_NO_FATAL_FAILURE(ExpectAllOrNothing(queue_, before, found, StateWord(slot), model_, taken));
  ExpectAllOrNothing(queue_, found, after, StateWord(slot), model_, taken);
}

}  // namespace
}  // namespace ipcmark::mmap_queue
