// What the queue's data structure does when somebody has scribbled in it: it says so, and never leaves the mapping
// (AddressSanitizer watches: the memory is as long as the queue and not longer).

#include <gtest/gtest.h>

#include <random>

#include "ipc/mmap_queue/core.h"
#include "ipc/mmap_queue/core_for_test.h"

namespace ipcmark::mmap_queue {
namespace {

using conformance::MessageOf;
using conformance::Seed;

constexpr uint32_t kDepth = 8;
constexpr uint32_t kMaxBytes = 100;
constexpr uint32_t kPriority = 5000;

struct HeaderDamage {
  const char* what;
  void (*apply)(QueueHeader&);
};

constexpr HeaderDamage kHeaderDamages[] = {
    {"no magic", [](QueueHeader& h) { h.magic = 0; }},
    {"another magic", [](QueueHeader& h) { h.magic ^= 1; }},
    {"a newer version", [](QueueHeader& h) { ++h.version; }},
    {"depth 0", [](QueueHeader& h) { h.depth_messages = 0; }},
    {"one slot more", [](QueueHeader& h) { ++h.depth_messages; }},
    {"one slot less", [](QueueHeader& h) { --h.depth_messages; }},
    {"a huge depth", [](QueueHeader& h) { h.depth_messages = UINT32_MAX - 1; }},
    {"the depth that means no slot", [](QueueHeader& h) { h.depth_messages = kNoSlot; }},
    {"larger messages", [](QueueHeader& h) { h.max_message_bytes += 64; }},
    {"huge messages", [](QueueHeader& h) { h.max_message_bytes = UINT32_MAX; }},
    {"smaller payloads", [](QueueHeader& h) { h.payload_bytes -= 64; }},
    {"huge payloads", [](QueueHeader& h) { h.payload_bytes = UINT64_MAX; }},
    {"more bytes", [](QueueHeader& h) { ++h.total_bytes; }},
    {"more slots than the mapping has, consistently",
     [](QueueHeader& h) {
       h.depth_messages *= 2;
       h.total_bytes = QueueBytes(h.depth_messages, h.max_message_bytes);
     }},
    {"sizes whose product overflows to something small",
     [](QueueHeader& h) {
       h.depth_messages = 4'294'967'260;
       h.max_message_bytes = UINT32_MAX;
       h.payload_bytes = PayloadBytes(UINT32_MAX);
       h.total_bytes = QueueBytes(h.depth_messages, UINT32_MAX);
     }},
};

TEST(CoreDamage, AnyDamageOfTheHeaderMakesTheQueueInvalid) {
  for (const HeaderDamage& damage : kHeaderDamages) {
    SCOPED_TRACE(damage.what);
    const PlainQueue queue(kDepth, kMaxBytes);
    ASSERT_TRUE(Core::IsValid(queue.At(0), queue.bytes()));
    damage.apply(queue.header());
    EXPECT_FALSE(Core::IsValid(queue.At(0), queue.bytes()));
  }
}

TEST(CoreDamage, AMappingThatIsTooSmallIsInvalid) {
  const PlainQueue queue(kDepth, kMaxBytes);
  for (size_t bytes : {size_t{0}, sizeof(QueueHeader) - 1, sizeof(QueueHeader), queue.bytes() - 1}) {
    EXPECT_FALSE(Core::IsValid(queue.At(0), bytes)) << bytes;
  }
}

struct IndexDamage {
  const char* what;
  // `slot` is the one that is next to be received.
  void (*apply)(const PlainQueue& queue, uint32_t slot);
};

constexpr IndexDamage kReceiveDamages[] = {
    {"the tail is just outside", [](const PlainQueue& q, uint32_t) { q.tails()[kPriority] = kDepth; }},
    {"the tail is far outside", [](const PlainQueue& q, uint32_t) { q.tails()[kPriority] = kNoSlot - 1; }},
    {"there is no tail", [](const PlainQueue& q, uint32_t) { q.tails()[kPriority] = kNoSlot; }},
    {"the tail's next is outside", [](const PlainQueue& q, uint32_t) { q.links()[q.tails()[kPriority]] = kDepth; }},
    {"the message is free", [](const PlainQueue& q, uint32_t slot) { q.slots()[slot].state = kFree; }},
    {"the message has a state that there is not",
     [](const PlainQueue& q, uint32_t slot) { q.slots()[slot].state = 7; }},
    {"the message is too long", [](const PlainQueue& q, uint32_t slot) { q.slots()[slot].bytes = kMaxBytes + 1; }},
    {"the message is very long", [](const PlainQueue& q, uint32_t slot) { q.slots()[slot].bytes = UINT32_MAX; }},
    {"another priority", [](const PlainQueue& q, uint32_t slot) { ++q.slots()[slot].priority; }},
    {"a priority that there is not", [](const PlainQueue& q, uint32_t slot) { q.slots()[slot].priority = UINT32_MAX; }},
    {"a bit of the top that stands for nothing",
     [](const PlainQueue& q, uint32_t) { q.header().priorities.top = uint64_t{1} << 63; }},
    {"an empty middle below the top",
     [](const PlainQueue& q, uint32_t) {
       for (uint64_t& word : q.header().priorities.middle) word = 0;
     }},
    {"empty words below the middle",
     [](const PlainQueue& q, uint32_t) {
       for (uint64_t& word : q.header().priorities.used) word = 0;
     }},
    {"messages and no bit for any", [](const PlainQueue& q, uint32_t) { q.header().priorities.top = 0; }},
};

TEST(CoreDamage, AReceiveReportsADamagedIndexAndTakesNothing) {
  for (const IndexDamage& damage : kReceiveDamages) {
    SCOPED_TRACE(damage.what);
    const PlainQueue queue(kDepth, kMaxBytes);
    Core core = queue.core();
    bool damaged = false;
    for (uint64_t n = 0; n < 3; ++n) core.Commit(core.Prepare(MessageOf(0, n, 50), kPriority, &damaged));
    damage.apply(queue, core.Highest(&damaged));
    ASSERT_FALSE(damaged);
    EXPECT_EQ(core.Highest(&damaged), kNoSlot);
    EXPECT_TRUE(damaged);
    EXPECT_EQ(core.count(), 3U);
  }
}

// One message was sent and received, and another lies there; so there are kDepth - 2 spare slots and one that came
// back.
constexpr IndexDamage kSendDamages[] = {
    {"the next spare slot is just outside", [](const PlainQueue& q, uint32_t) { q.spare()[kDepth - 3] = kDepth; }},
    {"the next spare slot is far outside", [](const PlainQueue& q, uint32_t) { q.spare()[kDepth - 3] = kNoSlot - 1; }},
    {"the next spare slot holds a message", [](const PlainQueue& q, uint32_t slot) { q.spare()[kDepth - 3] = slot; }},
    {"more spare slots than there are",
     [](const PlainQueue& q, uint32_t) { q.header().send.spare_count = kDepth + 1; }},
    {"far more spare slots than there are",
     [](const PlainQueue& q, uint32_t) { q.header().send.spare_count = kNoSlot; }},
    {"the slot that came back is outside",
     [](const PlainQueue& q, uint32_t) {
       q.header().send.spare_count = 0;
       q.returned()[0] = kDepth;
     }},
    {"the slot that came back holds a message",
     [](const PlainQueue& q, uint32_t slot) {
       q.header().send.spare_count = 0;
       q.returned()[0] = slot;
     }},
    {"more slots came back than there are",
     [](const PlainQueue& q, uint32_t) {
       q.header().send.spare_count = 0;
       q.header().receive.received = kDepth + 1;
     }},
    {"one came back that was used already", [](const PlainQueue& q, uint32_t) { q.header().send.reclaimed = 2; }},
};

TEST(CoreDamage, ASendReportsADamagedTableOfFreeSlotsAndSendsNothing) {
  for (const IndexDamage& damage : kSendDamages) {
    SCOPED_TRACE(damage.what);
    const PlainQueue queue(kDepth, kMaxBytes);
    Core core = queue.core();
    bool damaged = false;
    for (uint64_t n = 0; n < 2; ++n) core.Commit(core.Prepare(MessageOf(0, n, 50), kPriority, &damaged));
    core.Take(core.Highest(&damaged));
    damage.apply(queue, core.Highest(&damaged));
    ASSERT_FALSE(damaged);
    EXPECT_EQ(core.Prepare(MessageOf(0, 1, 50), kPriority, &damaged), kNoSlot);
    EXPECT_TRUE(damaged);
    EXPECT_EQ(queue.header().send.sent.load(), 2U);
  }
}

struct InboxDamage {
  const char* what;
  void (*apply)(const PlainQueue& queue, std::atomic<uint64_t>& cell);
};

// Of the one message in the inbox.
constexpr InboxDamage kInboxDamages[] = {
    {"its slot is outside",
     [](const PlainQueue&, std::atomic<uint64_t>& cell) { cell = CellOf(0, kPriority, kDepth); }},
    {"its slot is free",
     [](const PlainQueue&, std::atomic<uint64_t>& cell) { cell = CellOf(0, kPriority, kDepth - 1); }},
    {"its priority is not the slot's",
     [](const PlainQueue&, std::atomic<uint64_t>& cell) { cell = CellOf(0, kPriority + 1, SlotOfCell(cell)); }},
    {"more messages in the lists than there can be",
     [](const PlainQueue& q, std::atomic<uint64_t>&) { q.header().receive.received = -uint64_t{kDepth}; }},
};

TEST(CoreDamage, AReceiveReportsADamagedInboxAndTakesNothing) {
  for (const InboxDamage& damage : kInboxDamages) {
    SCOPED_TRACE(damage.what);
    const PlainQueue queue(kDepth, kMaxBytes);
    Core core = queue.core();
    bool damaged = false;
    core.Commit(core.Prepare(MessageOf(0, 0, 50), kPriority, &damaged));
    ASSERT_FALSE(damaged);
    damage.apply(queue, queue.header().inbox[0]);
    EXPECT_EQ(core.Highest(&damaged), kNoSlot);
    EXPECT_TRUE(damaged);
  }
}

// Of a run of three messages, of which one has been taken.
constexpr IndexDamage kRunDamages[] = {
    {"the next slot is just outside", [](const PlainQueue& q, uint32_t) { q.header().run[1] = kDepth; }},
    {"the next slot is far outside", [](const PlainQueue& q, uint32_t) { q.header().run[1] = kNoSlot - 1; }},
    {"the next slot is free", [](const PlainQueue& q, uint32_t) { q.header().run[1] = q.header().run[0]; }},
    {"it goes on beyond its end", [](const PlainQueue& q, uint32_t) { q.header().receive.run_next = 4; }},
    {"it begins far outside", [](const PlainQueue& q, uint32_t) { q.header().receive.run_next = kNoSlot; }},
    {"it ends outside", [](const PlainQueue& q, uint32_t) { q.header().receive.run_end = kRunSlots + 1; }},
};

TEST(CoreDamage, AReceiveReportsADamagedRunAndTakesNothing) {
  for (const IndexDamage& damage : kRunDamages) {
    SCOPED_TRACE(damage.what);
    const PlainQueue queue(kDepth, kMaxBytes);
    Core core = queue.core();
    bool damaged = false;
    for (uint64_t n = 0; n < 3; ++n) core.Commit(core.Prepare(MessageOf(0, n, 50), 0, &damaged));
    core.Take(core.Highest(&damaged));
    damage.apply(queue, core.Highest(&damaged));
    ASSERT_FALSE(damaged);
    EXPECT_EQ(core.Highest(&damaged), kNoSlot);
    EXPECT_TRUE(damaged);
    EXPECT_EQ(core.count(), 2U);
  }
}

// What would let somebody sleep for ever.
TEST(CoreDamage, WhoWantsToSleepFindsCountsThatCannotBe) {
  const auto holds = [](uint32_t messages, void (*apply)(QueueHeader&)) {
    const PlainQueue queue(kDepth, kMaxBytes);
    Core core = queue.core();
    bool damaged = false;
    for (uint32_t n = 0; n < messages; ++n) core.Commit(core.Prepare(MessageOf(0, n, 50), kPriority, &damaged));
    if (messages != 0) static_cast<void>(core.Highest(&damaged));
    EXPECT_FALSE(damaged);
    apply(queue.header());
    return core.Holds(messages);
  };
  EXPECT_TRUE(holds(0, [](QueueHeader&) {}));
  EXPECT_TRUE(holds(kDepth, [](QueueHeader&) {}));
  EXPECT_FALSE(holds(0, [](QueueHeader& h) { ++h.send.sent; }));
  EXPECT_FALSE(holds(0, [](QueueHeader& h) { ++h.receive.drained; }));
  EXPECT_FALSE(holds(kDepth, [](QueueHeader& h) { ++h.receive.received; }));
  EXPECT_FALSE(holds(kDepth, [](QueueHeader& h) { h.priorities.top = 0; }));
}

// Random words into everything but the header's sizes and the send lock; operations must stay inside, whatever they
// return.
void Scribble(const PlainQueue& queue, std::mt19937_64& random) {
  const auto value = [&]() -> uint32_t {
    const uint64_t bits = random();
    return bits % 2 == 0 ? bits >> 32 : (bits >> 32) % (kDepth + 2);
  };
  const uint64_t first = offsetof(QueueHeader, send.sent);
  const uint64_t end = PayloadsOffset(kDepth, kMaxBytes);
  for (int i = 0; i < 20; ++i) {
    // Half of them in the few bytes that matter most.
    const uint64_t from = random() % 2 == 0   ? SlotsOffset()
                          : random() % 2 == 0 ? offsetof(QueueHeader, priorities)
                                              : first;
    const uint64_t to = from == SlotsOffset() ? end : from == first ? offsetof(QueueHeader, not_empty) : SlotsOffset();
    *reinterpret_cast<uint32_t*>(queue.At(from + random() % ((to - from) / 4) * 4)) = value();
  }
  queue.tails()[RandomPriority(random)] = value();
}

TEST(CoreDamage, NoScribblingLeadsOutsideTheMapping) {
  std::mt19937_64 random(Seed());
  for (int trial = 0; trial < 300; ++trial) {
    const PlainQueue queue(kDepth, kMaxBytes);
    Core core = queue.core();
    for (int step = 0; step < 200; ++step) {
      if (step % 10 == 0) Scribble(queue, random);
      bool damaged = false;
      if (random() % 2 == 0) {
        if (core.IsInboxFull()) core.Drain(&damaged);
        const uint32_t slot =
            core.Prepare(MessageOf(0, step, random() % (kMaxBytes + 1)), RandomPriority(random), &damaged);
        if (slot != kNoSlot) core.Commit(slot);
      } else {
        const uint32_t slot = core.Highest(&damaged);
        if (slot == kNoSlot) continue;
        ASSERT_LE(core.Payload(slot).size(), kMaxBytes);
        const std::vector<std::byte> copy(core.Payload(slot).begin(), core.Payload(slot).end());
        core.Take(slot);
      }
    }
    core.Rebuild();
    bool damaged = false;
    for (uint32_t slot = core.Highest(&damaged); slot != kNoSlot; slot = core.Highest(&damaged)) core.Take(slot);
    EXPECT_FALSE(damaged) << "a rebuild mends everything";
  }
}

}  // namespace
}  // namespace ipcmark::mmap_queue
