// A segment that somebody scribbled in: every word that an end reads, set to what no end writes there. The answer is
// kDataLoss at open or EBADMSG later, and never a wait beyond the deadline or an access outside the mapping.

#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "ipc/conformance/support.h"
#include "ipc/shm_broadcast/shm_broadcast.h"

namespace ipcmark::shm_broadcast {
namespace {

using conformance::MessageOf;

constexpr uint32_t kDepth = 4;
constexpr uint32_t kMaxBytes = 100;

// A ring and a second mapping of it for the attacker, so that the ends' own one is where the kernel put it.
struct Victim {
  Channel channel;
  sysv_shm::Attachment memory;

  static Victim Of(SlowReceiver slow_receiver, Wait wait = Wait::kBlock) {
    auto channel = Channel::Create({.depth_messages = kDepth,
                                    .max_message_bytes = kMaxBytes,
                                    .wait = wait,
                                    .receivers = 2,
                                    .slow_receiver = slow_receiver});
    EXPECT_TRUE(channel.ok()) << channel.status();
    auto memory = channel->segment().Attach();
    EXPECT_TRUE(memory.ok()) << memory.status();
    return {*std::move(channel), *std::move(memory)};
  }
  [[nodiscard]] Header<std::atomic>& header() const { return *static_cast<Header<std::atomic>*>(memory.address()); }
  [[nodiscard]] RingView<std::atomic> View() const {
    // Not owned: the victim's memory outlives the view.
    const std::shared_ptr<const sysv_shm::Attachment> alias(std::shared_ptr<void>(), &memory);
    return {alias, header().constants, Wait::kBlock};
  }
};

struct BadConstant {
  const char* name;
  std::function<void(Constants&)> damage;
};

TEST(ShmBroadcastDamage, ABadHeaderIsDataLossAtOpen) {
  const BadConstant cases[] = {{"all zero", [](Constants& c) { c = {}; }},
                               {"all ones", [](Constants& c) { memset(&c, 0xff, sizeof(c)); }},
                               {"magic", [](Constants& c) { c.magic ^= 1; }},
                               {"version", [](Constants& c) { c.version += 1; }},
                               {"depth 0", [](Constants& c) { c.depth_messages = 0; }},
                               {"depth + 1", [](Constants& c) { c.depth_messages += 1; }},
                               {"depth huge", [](Constants& c) { c.depth_messages = UINT32_MAX; }},
                               {"message size", [](Constants& c) { c.max_message_bytes = UINT32_MAX; }},
                               {"message size + 16", [](Constants& c) { c.max_message_bytes += 16; }},
                               {"payload offset", [](Constants& c) { c.payload_offset = 64; }},
                               {"payload offset huge", [](Constants& c) { c.payload_offset = UINT32_MAX; }},
                               {"slot size", [](Constants& c) { c.slot_bytes += 8; }},
                               {"slot size huge", [](Constants& c) { c.slot_bytes = UINT64_MAX / 2; }},
                               {"slots offset", [](Constants& c) { c.slots_offset += 64; }},
                               {"slots offset huge", [](Constants& c) { c.slots_offset = UINT64_MAX - 8; }},
                               {"total", [](Constants& c) { c.total_bytes -= 1; }},
                               {"receivers 0", [](Constants& c) { c.receivers = 0; }},
                               {"receivers + 1", [](Constants& c) { c.receivers += 1; }},
                               {"receivers beyond the bound", [](Constants& c) { c.receivers = kMaxReceivers + 1; }},
                               {"receivers huge", [](Constants& c) { c.receivers = UINT32_MAX; }},
                               {"slow receiver", [](Constants& c) { c.slow_receiver = 2; }},
                               // Consistent in itself, and larger than the segment.
                               {"a larger ring", [](Constants& c) {
                                  c = ConstantsOf({.depth_messages = 1000, .max_message_bytes = 4096, .receivers = 2});
                                }}};
  for (const BadConstant& bad : cases) {
    SCOPED_TRACE(bad.name);
    Victim victim = Victim::Of(SlowReceiver::kBlocksSender);
    bad.damage(victim.header().constants);
    EXPECT_EQ(victim.channel.OpenSender().status().code(), absl::StatusCode::kDataLoss);
    EXPECT_EQ(victim.channel.OpenReceiver().status().code(), absl::StatusCode::kDataLoss);
  }
}

TEST(ShmBroadcastDamage, ACountThatNobodyReachesIsDataLossAtOpen) {
  for (uint64_t sent : {kMaxMessages + 1, uint64_t{1} << 63, UINT64_MAX}) {
    Victim victim = Victim::Of(SlowReceiver::kMissesMessages);
    victim.header().count.sent = sent;
    EXPECT_EQ(victim.channel.OpenSender().status().code(), absl::StatusCode::kDataLoss);
    EXPECT_EQ(victim.channel.OpenReceiver().status().code(), absl::StatusCode::kDataLoss);
  }
}

struct BadSlot {
  const char* name;
  bool only_blocking;
  uint64_t sequence;
  uint64_t length_bytes;
  uint64_t sent;
};

// A receiver that is due message 5 of 5 sent, in slot 1.
TEST(ShmBroadcastDamage, ABadSlotIsBadMessage) {
  const BadSlot cases[] = {{"a byte too long", false, Whole(5), kMaxBytes + 1, 6},
                           {"a length of 64 bits", false, Whole(5), (uint64_t{1} << 32) + 1, 6},
                           {"the largest length", false, Whole(5), UINT64_MAX, 6},
                           {"another slot's message", false, Whole(6), 1, 6},
                           {"another slot's message is written", false, Writing(6), 1, 6},
                           {"two laps older", false, Whole(5) - kDepth - kDepth, 1, 6},
                           {"the mark alone", false, uint64_t{1} << 63, 1, 6},
                           {"all ones", false, UINT64_MAX, 1, 6},
                           {"lapped where nobody is", true, Whole(5 + kDepth), 1, 6 + kDepth},
                           {"lapped, says the slot; not the count", false, Whole(5 + kDepth), 1, 8},
                           {"lapped, says the slot; the count has gone back", false, Whole(5 + kDepth), 1, 0},
                           {"lapped by more than can be", false, Whole(5 + kDepth), 1, kMaxMessages + 1}};
  for (const BadSlot& bad : cases) {
    for (SlowReceiver mode : {SlowReceiver::kBlocksSender, SlowReceiver::kMissesMessages}) {
      if (bad.only_blocking && mode != SlowReceiver::kBlocksSender) continue;
      SCOPED_TRACE(testing::Message() << bad.name << ", mode " << static_cast<int>(mode));
      Victim victim = Victim::Of(mode);
      auto sender = victim.channel.OpenSender();
      for (int n = 0; n < 5; ++n) ASSERT_TRUE(sender->Send(MessageOf(0, n, 10), Deadline::Immediate()).ok());
      auto receiver = victim.channel.OpenReceiver();
      SlotHeader<std::atomic>& slot = victim.View().SlotOf(1);
      slot.sequence = bad.sequence;
      slot.length_bytes = bad.length_bytes;
      victim.header().count.sent = bad.sent;
      std::vector<std::byte> buffer(kMaxBytes);
      for (int attempt = 0; attempt < 2; ++attempt) {
        const IoResult received = receiver->Receive(buffer, Deadline::Never());
        EXPECT_EQ(received.outcome, Outcome::kError);
        EXPECT_EQ(received.err, EBADMSG);
        const ViewResult view = receiver->View(Deadline::Never());
        EXPECT_EQ(view.result.err, EBADMSG);
        EXPECT_TRUE(view.message.empty());
      }
    }
  }
}

TEST(ShmBroadcastDamage, ABadHeadIsBadMessageForASenderThatNeedsIt) {
  struct BadHead {
    const char* name;
    uint32_t entry;  // 0 is open, 1 has never been
    uint64_t head;
  };
  const BadHead cases[] = {{"ahead of the sender", 0, kDepth + 1},
                           {"far ahead", 0, kNotReading - 1},
                           {"in an entry that nobody has opened", 1, 0}};
  for (Wait wait : kAllWaits) {
    for (const BadHead& bad : cases) {
      SCOPED_TRACE(testing::Message() << bad.name << ", " << WaitName(wait));
      Victim victim = Victim::Of(SlowReceiver::kBlocksSender, wait);
      auto receiver = victim.channel.OpenReceiver();
      auto sender = victim.channel.OpenSender();
      for (uint32_t n = 0; n < kDepth; ++n) ASSERT_TRUE(sender->Send({}, Deadline::Immediate()).ok());
      std::vector<std::byte> buffer(kMaxBytes);
      ASSERT_TRUE(receiver->Receive(buffer, Deadline::Immediate()).ok());
      victim.header().receivers.entries_used = UINT32_MAX;
      victim.View().EntryOf(bad.entry).head = bad.head;
      const IoResult sent = sender->Send({}, Deadline::Never());
      EXPECT_EQ(sent.outcome, Outcome::kError);
      EXPECT_EQ(sent.err, EBADMSG);
    }
  }
}

TEST(ShmBroadcastDamage, BadSleepWordsCostTimeAndNothingElse) {
  for (uint32_t garbage : {1U, 2U, UINT32_MAX, UINT32_MAX - 1}) {
    Victim victim = Victim::Of(SlowReceiver::kBlocksSender);
    auto receiver = victim.channel.OpenReceiver();
    auto sender = victim.channel.OpenSender();
    std::vector<std::byte> buffer(kMaxBytes);
    for (int n = 0; n < 20; ++n) {
      victim.header().sender.sleep = garbage;
      victim.header().sender.awaits = n;
      victim.header().receivers.sleep = garbage;
      EXPECT_TRUE(sender->Send(MessageOf(0, n, 10), Deadline::Immediate()).ok());
      victim.header().receivers.sleep = garbage;
      EXPECT_TRUE(receiver->Receive(buffer, Deadline::Never()).ok());
      EXPECT_EQ(receiver->Receive(buffer, os::After(1'000'000)).outcome, Outcome::kDeadline);
    }
  }
}

// Random words over the whole segment, between the calls of open ends: any outcome will do, but for a crash and a hang.
TEST(ShmBroadcastDamage, EndsSurviveRandomMemory) {
  std::mt19937_64 random(conformance::Seed());
  for (int trial = 0; trial < 200; ++trial) {
    Victim victim =
        Victim::Of(trial % 2 == 0 ? SlowReceiver::kBlocksSender : SlowReceiver::kMissesMessages, kAllWaits[trial % 3]);
    auto sender = victim.channel.OpenSender();
    auto receiver = victim.channel.OpenReceiver();
    ASSERT_TRUE(sender.ok() && receiver.ok());
    std::vector<std::byte> buffer(kMaxBytes);
    auto* words = static_cast<std::atomic<uint64_t>*>(victim.memory.address());
    const uint64_t count = victim.header().constants.total_bytes / sizeof(*words);
    for (int step = 0; step < 100; ++step) {
      // Small numbers and marks are nearer to what is expected than any 64 random bits.
      uint64_t value = random();
      if (value % 2 == 0) value = (value >> 8) % 64 | (value & uint64_t{1} << 63);
      words[random() % count].store(value);
      const Deadline deadline = step % 8 == 0 ? os::After(10'000) : Deadline::Immediate();
      sender->Send(std::span(buffer).first(random() % (kMaxBytes + 1)), deadline);
      receiver->Receive(buffer, deadline);
      const ViewResult view = receiver->View(deadline);
      ASSERT_LE(view.message.size(), kMaxBytes);
      if (view.result.ok()) receiver->Release();
    }
  }
}

}  // namespace
}  // namespace ipcmark::shm_broadcast
