// What a ring does when somebody has scribbled in its segment: it says so, and never leaves the mapping.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "ipc/conformance/support.h"
#include "ipc/os/clock.h"
#include "ipc/os/process_group.h"
#include "ipc/sysv_shm/sysv_shm.h"

namespace ipcmark::sysv_shm {
namespace {

using conformance::IsMessageOf;
using conformance::MessageOf;

constexpr int64_t kWatchdogNanos = 20 * os::kNanosPerSecond;
constexpr uint32_t kDepth = 4;
constexpr uint32_t kMaxBytes = 1000;

TEST(RingLayout, IsAsDrawn) {
  EXPECT_EQ(PayloadsOffset(3, 256), 256U + 8) << "small messages are packed";
  EXPECT_EQ(PayloadsOffset(3, 257), 256U + 3 * 64) << "larger ones have lines of their own";
  EXPECT_EQ(PayloadsOffset(3, 1023), 256U + 3 * 64);
  EXPECT_EQ(PayloadsOffset(3, 1024), 4096U) << "large ones have pages of their own";
  EXPECT_EQ(PayloadsOffset(64, 4096), 8192U);
  EXPECT_EQ(PayloadBytes(64), 72U);
  EXPECT_EQ(PayloadBytes(257), 320U);
  EXPECT_EQ(PayloadBytes(1023), 1024U);
  EXPECT_EQ(PayloadBytes(1024), 4096U);
  EXPECT_EQ(PayloadBytes(2049), 8192U);
  EXPECT_EQ(PayloadBytes(4097), 8192U);
  EXPECT_EQ(PayloadBytes(16384), 16384U + 4096);
  EXPECT_EQ(SlotBytes(0), 8U);
  EXPECT_EQ(SlotBytes(1), 16U);
  EXPECT_EQ(SlotBytes(64), 72U);
  EXPECT_EQ(SlotBytes(256), 264U);
  EXPECT_EQ(SlotBytes(257), 64U);
  EXPECT_EQ(RingBytes(3, 64), 256U + 3 * 72);
  EXPECT_EQ(RingBytes(3, 257), 256U + 3 * 64 + 3 * 320);
  EXPECT_EQ(RingBytes(3, 4096), 4096U + 3 * 8192);
}

TEST(RingLayout, CommitWordsNameTheirMessageAcrossTheWrapAround) {
  for (uint64_t n : {uint64_t{0}, uint64_t{1}, (uint64_t{1} << 32) - 2, (uint64_t{1} << 32) - 1, uint64_t{1} << 32}) {
    EXPECT_TRUE(IsCommitted(CommitWord(n, 77), n)) << n;
    EXPECT_FALSE(IsCommitted(CommitWord(n, 77), n + 1)) << n;
    EXPECT_EQ(CommittedBytes(CommitWord(n, UINT32_MAX)), UINT32_MAX) << n;
  }
  EXPECT_FALSE(IsCommitted(0, 0)) << "an empty slot holds nothing";
}

struct Damage {
  const char* what;
  void (*apply)(RingConstants&);
};

constexpr Damage kDamages[] = {
    {"no magic", [](RingConstants& h) { h.magic = 0; }},
    {"another magic", [](RingConstants& h) { h.magic ^= 1; }},
    {"an older version", [](RingConstants& h) { h.version = kRingVersion - 1; }},
    {"a newer version", [](RingConstants& h) { h.version = kRingVersion + 1; }},
    {"depth 0", [](RingConstants& h) { h.depth_messages = 0; }},
    {"one slot more", [](RingConstants& h) { ++h.depth_messages; }},
    {"a huge depth", [](RingConstants& h) { h.depth_messages = UINT32_MAX; }},
    {"larger messages", [](RingConstants& h) { h.max_message_bytes += 100; }},
    {"huge messages", [](RingConstants& h) { h.max_message_bytes = UINT32_MAX; }},
    {"smaller slots", [](RingConstants& h) { h.slot_bytes -= 64; }},
    {"huge slots", [](RingConstants& h) { h.slot_bytes = UINT64_MAX; }},
    {"payloads in the header", [](RingConstants& h) { h.payloads_offset = 0; }},
    {"payloads beyond the segment", [](RingConstants& h) { h.payloads_offset = UINT64_MAX; }},
    {"payloads that overlap", [](RingConstants& h) { h.payload_bytes = 8; }},
    {"huge payloads", [](RingConstants& h) { h.payload_bytes = UINT64_MAX; }},
    {"fewer bytes", [](RingConstants& h) { h.total_bytes = kSlotsOffset; }},
    {"an unknown handshake", [](RingConstants& h) { h.fences = 2; }},
    {"more bytes", [](RingConstants& h) { ++h.total_bytes; }},
    {"more slots than the mapping has, consistently",
     [](RingConstants& h) {
       h.depth_messages *= 2;
       h.total_bytes = RingBytes(h.depth_messages, h.max_message_bytes);
     }},
};

// A ring, and its memory as a scribbler sees it.
class RingDamageTest : public testing::Test {
 protected:
  explicit RingDamageTest(Wait wait = Wait::kBlock)
      : channel_(*Channel::Create({.depth_messages = kDepth, .max_message_bytes = kMaxBytes, .wait = wait})),
        attachment_(*channel_.segment().Attach()) {}

  [[nodiscard]] RingHeader<std::atomic>& header() const {
    return *static_cast<RingHeader<std::atomic>*>(attachment_.address());
  }
  [[nodiscard]] std::byte* Slot(uint32_t slot) const {
    return static_cast<std::byte*>(attachment_.address()) + kSlotsOffset + slot * SlotBytes(kMaxBytes);
  }
  [[nodiscard]] std::atomic<uint64_t>& Commit(uint32_t slot) const {
    return *reinterpret_cast<std::atomic<uint64_t>*>(Slot(slot));
  }

  Channel channel_;
  Attachment attachment_;
};

TEST_F(RingDamageTest, RefusesToOpenADamagedHeader) {
  const RingConstants intact = header().constants;
  for (const Damage& damage : kDamages) {
    SCOPED_TRACE(damage.what);
    damage.apply(header().constants);
    EXPECT_FALSE(IsValidRing(header().constants, attachment_.bytes()));
    EXPECT_TRUE(absl::IsDataLoss(channel_.OpenSender().status()));
    EXPECT_TRUE(absl::IsDataLoss(channel_.OpenReceiver().status()));
    header().constants = intact;
    ASSERT_TRUE(IsValidRing(header().constants, attachment_.bytes()));
  }
  EXPECT_TRUE(channel_.OpenSender().ok());
}

// Room for exactly kDepth messages, and their contents.
void ExpectAWorkingRing(Sender& sender, Receiver& receiver) {
  std::vector<std::byte> buffer(kMaxBytes);
  for (uint64_t n = 0; n < kDepth; ++n) {
    ASSERT_TRUE(sender.Send(MessageOf(0, n, kMaxBytes), Deadline::Immediate()).ok()) << n;
  }
  ASSERT_EQ(sender.Send({}, Deadline::Immediate()).outcome, Outcome::kWouldBlock);
  for (uint64_t n = 0; n < kDepth; ++n) {
    ASSERT_TRUE(receiver.Receive(buffer, Deadline::Immediate()).ok()) << n;
    ASSERT_TRUE(IsMessageOf(buffer, 0, n)) << n;
  }
}

TEST_F(RingDamageTest, AHeaderThatIsDamagedLaterChangesNothing) {
  auto sender = channel_.OpenSender();
  auto receiver = channel_.OpenReceiver();
  ASSERT_TRUE(sender.ok() && receiver.ok());
  const RingConstants intact = header().constants;
  for (const Damage& damage : kDamages) {
    SCOPED_TRACE(damage.what);
    damage.apply(header().constants);
    ASSERT_NO_FATAL_FAILURE(ExpectAWorkingRing(*sender, *receiver));
    header().constants = intact;
  }
}

TEST_F(RingDamageTest, RefusesAMappingThatIsTooSmall) {
  const uint64_t needed = RingBytes(kDepth, kMaxBytes);
  EXPECT_TRUE(ReadConstants(attachment_.address(), needed).has_value());
  for (uint64_t bytes : {uint64_t{0}, sizeof(RingConstants) - 1, sizeof(RingConstants), needed - 1}) {
    EXPECT_FALSE(ReadConstants(attachment_.address(), bytes).has_value()) << bytes;
  }
}

TEST_F(RingDamageTest, RefusesSizesWhoseProductOverflows) {
  // 4294967233 slots of 2^32 + 64 bytes are 2^64 + 2^32 - 4032 bytes.
  RingConstants& constants = header().constants;
  constants.depth_messages = 4'294'967'233;
  constants.max_message_bytes = UINT32_MAX;
  constants.payloads_offset = PayloadsOffset(constants.depth_messages, UINT32_MAX);
  constants.payload_bytes = PayloadBytes(UINT32_MAX);
  constants.slot_bytes = SlotBytes(UINT32_MAX);
  constants.total_bytes = RingBytes(constants.depth_messages, UINT32_MAX);
  EXPECT_FALSE(IsValidRing(constants, uint64_t{1} << 40));
}

TEST_F(RingDamageTest, ReceiverReportsALengthThatNoMessageHasAndTakesNothing) {
  auto receiver = channel_.OpenReceiver();
  ASSERT_TRUE(receiver.ok());
  std::vector<std::byte> buffer(size_t{2} * kMaxBytes);
  for (uint32_t bytes : {kMaxBytes + 1, uint32_t{1} << 31, UINT32_MAX}) {
    Commit(0) = CommitWord(0, bytes);
    for (int again = 0; again < 2; ++again) {
      const IoResult result = receiver->Receive(buffer, Deadline::Immediate());
      EXPECT_EQ(result.outcome, Outcome::kError);
      EXPECT_EQ(result.err, EBADMSG);
    }
    EXPECT_TRUE(receiver->View(Deadline::Immediate()).message.empty());
  }
  EXPECT_EQ(header().head.load(), 0U);
}

TEST_F(RingDamageTest, ReceiverWaitsWhileACommitWordIsNotTheOneDue) {
  auto receiver = channel_.OpenReceiver();
  ASSERT_TRUE(receiver.ok());
  std::vector<std::byte> buffer(kMaxBytes);
  for (uint64_t word : {CommitWord(kDepth, 8), CommitWord(UINT32_MAX, 8), uint64_t{8}, UINT64_MAX}) {
    Commit(0) = word;
    EXPECT_EQ(receiver->Receive(buffer, Deadline::Immediate()).outcome, Outcome::kWouldBlock) << word;
  }
}

TEST_F(RingDamageTest, SenderReportsAHeadBeyondWhatWasSentAndWritesNothing) {
  auto sender = channel_.OpenSender();
  ASSERT_TRUE(sender.ok());
  for (uint32_t n = 0; n < kDepth; ++n) ASSERT_TRUE(sender->Send(MessageOf(0, n, 8), Deadline::Immediate()).ok());
  std::vector<std::byte> slots(Slot(0), Slot(kDepth));
  for (uint64_t head : {uint64_t{kDepth + 1}, uint64_t{1} << 40, UINT64_MAX}) {
    header().head = head;
    for (Deadline deadline : {Deadline::Immediate(), os::After(1'000'000)}) {
      const IoResult result = sender->Send(MessageOf(0, 9, 8), deadline);
      EXPECT_EQ(result.outcome, Outcome::kError) << head;
      EXPECT_EQ(result.err, EBADMSG) << head;
    }
  }
  EXPECT_TRUE(std::equal(slots.begin(), slots.end(), Slot(0)));
}

// It must not wait for ever for room that no receiver can make.
class RingDamageOfAWaitingSenderTest : public RingDamageTest, public testing::WithParamInterface<Wait> {
 protected:
  RingDamageOfAWaitingSenderTest() : RingDamageTest(GetParam()) {}
};

TEST_P(RingDamageOfAWaitingSenderTest, IsReportedWhateverTheDeadline) {
  auto receiver = channel_.OpenReceiver();
  ASSERT_TRUE(receiver.ok());
  absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(1);
  ASSERT_TRUE(group.ok());
  auto send = [&](os::Gate& gate) {
    auto sender = channel_.OpenSender();
    if (!sender.ok()) return sender.status();
    gate.Arrive();
    for (uint32_t n = 0; n < kDepth; ++n) {
      const IoResult result = sender->Send(MessageOf(0, n, 8), Deadline::Never());
      if (!result.ok()) return conformance::IoError("Send", n, result);
    }
    header().head = 1000;
    const IoResult result = sender->Send(MessageOf(0, kDepth, 8), Deadline::Never());
    return result.err == EBADMSG ? absl::OkStatus() : conformance::IoError("Send", kDepth, result);
  };
  ASSERT_TRUE(group->Spawn("sender", os::kAnyCpu, send).ok());
  ASSERT_TRUE(group->Start(os::After(kWatchdogNanos)).ok());
  EXPECT_EQ(group->Join(os::After(kWatchdogNanos)), absl::OkStatus());
}

INSTANTIATE_TEST_SUITE_P(AllWaits, RingDamageOfAWaitingSenderTest, testing::ValuesIn(kAllWaits),
                         [](const auto& info) { return WaitName(info.param); });

TEST_F(RingDamageTest, OpensOnAnyHeadInsideTheMapping) {
  for (uint64_t head : {uint64_t{1}, uint64_t{1} << 32, UINT64_MAX - 1}) {
    header().head = head;
    auto sender = channel_.OpenSender();
    auto receiver = channel_.OpenReceiver();
    ASSERT_TRUE(sender.ok() && receiver.ok());
    std::vector<std::byte> buffer(kMaxBytes);
    ASSERT_TRUE(sender->Send(MessageOf(0, head, kMaxBytes), Deadline::Immediate()).ok()) << head;
    ASSERT_TRUE(receiver->Receive(buffer, Deadline::Immediate()).ok()) << head;
    EXPECT_TRUE(IsMessageOf(buffer, 0, head)) << head;
  }
}

}  // namespace
}  // namespace ipcmark::sysv_shm
