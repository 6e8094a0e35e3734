// Many processes on one side, messages in place, and what bounds them.

#include "bench/fan.h"

#include "bench/faulty_for_test.h"
#include "bench/loan.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ipc/mmap_queue/mmap_queue.h"
#include "ipc/shm_broadcast/shm_broadcast.h"
#include "ipc/sysv_shm/sysv_shm.h"

namespace ipcmark::bench {
namespace {

using testing::Each;
using testing::Gt;
using testing::HasSubstr;
using testing::SizeIs;

TEST(FanIn, CountsTheMessagesOfEverySenderOnce) {
  const absl::StatusOr<SliceResult> result = Fan<FanMode::kThroughput, mmap_queue::Channel>(SmallSpec(3, 1));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->messages, 603U);  // 600 / 3 + 1 each
  EXPECT_EQ(result->messages_per_sample, 64U);
  EXPECT_GT(result->nanos, 0);
  EXPECT_GT(result->sender->cpu_nanos, 0);
  EXPECT_GT(result->receiver->cpu_nanos, 0);
  EXPECT_GT(result->roofline_nanos, 0);
}

TEST(FanInLatency, HasASampleOfEveryMessage) {
  const absl::StatusOr<SliceResult> result = Fan<FanMode::kLatency, mmap_queue::Channel>(SmallSpec(3, 1));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->messages_per_sample, 1U);
  EXPECT_THAT(result->samples_nanos, SizeIs(603));
  EXPECT_EQ(result->samples_per_event, 1U);
  EXPECT_EQ(result->roofline_nanos, 0) << "nothing stands for all its pairs of processes";
  EXPECT_THAT(result->samples_nanos, Each(Gt(0)));
}

TEST(Broadcast, CountsAMessageOnceHoweverManyReceiveIt) {
  const absl::StatusOr<SliceResult> result = Fan<FanMode::kThroughput, shm_broadcast::Channel>(SmallSpec(1, 3));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->messages, 601U);
  EXPECT_GT(result->roofline_nanos, 0);
}

TEST(BroadcastLatency, HasASampleOfEveryReceiver) {
  const absl::StatusOr<SliceResult> result = Fan<FanMode::kLatency, shm_broadcast::Channel>(SmallSpec(1, 3));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->samples_nanos, SizeIs(3 * 601));
  EXPECT_EQ(result->samples_per_event, 3U) << "three receivers tell of the same message";
  EXPECT_THAT(result->samples_nanos, Each(Gt(0)));
}

TEST(FanIn, AMessageThatIsNotTheOneDueIsNoticed) {
  for (const faulty::Fault fault : {faulty::Fault::kLost, faulty::Fault::kDuplicated, faulty::Fault::kFlippedWord}) {
    faulty::g_plan = {.fault = fault, .at = 100};
    const absl::Status status = Fan<FanMode::kThroughput, faulty::Channel>(SmallSpec(3, 1)).status();
    faulty::g_plan = {};
    EXPECT_THAT(std::string(status.message()), HasSubstr("of another message"));
  }
}

TEST(Loan, HandsEveryMessageOverInPlace) {
  for (const Wait wait : {Wait::kSpinThenBlock, Wait::kBlock}) {
    SliceSpec spec = SmallSpec(1, 1);
    spec.geometry.wait = wait;
    const absl::StatusOr<SliceResult> result = LoanOf<sysv_shm::Channel>()(spec);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->messages, 600U);
    EXPECT_EQ(result->roofline_nanos, 0);
  }
  EXPECT_EQ(LoanOf<mmap_queue::Channel>(), nullptr);
}

TEST(Stamps, AreThoseOfTheirMessageOnly) {
  for (const size_t bytes : {8, 16, 64}) {
    std::vector<std::byte> room(bytes);
    WriteStamps(room, 7);
    EXPECT_TRUE(HasStamps(room, 7));
    EXPECT_FALSE(HasStamps(room, 8));
    room.back() ^= std::byte{1};
    EXPECT_FALSE(HasStamps(room, 7));
  }
}

// Runs both sides of a roofline in processes of their own.
template <typename Bound>
void RunBursts(Bound& bound, int bursts) {
  absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(2);
  ASSERT_TRUE(group.ok());
  const auto repeat = [bursts](os::Gate& gate, const auto& burst) {
    gate.Arrive();
    for (int i = 0; i < bursts; ++i) burst();
    return absl::OkStatus();
  };
  const auto lead = [&](os::Gate& gate) { return repeat(gate, [&] { bound.Lead(); }); };
  const auto follow = [&](os::Gate& gate) { return repeat(gate, [&] { bound.Follow(); }); };
  ASSERT_TRUE(group->Spawn("leader", os::kAnyCpu, lead).ok());
  ASSERT_TRUE(group->Spawn("follower", os::kAnyCpu, follow).ok());
  ASSERT_TRUE(group->Start(os::After(kSliceWatchdogNanos)).ok());
  const absl::Status end = group->Join(os::After(kSliceWatchdogNanos));
  ASSERT_TRUE(end.ok()) << end;
}

TEST(Roofline, OfARoundTripIsMeasuredBurstByBurst) {
  absl::StatusOr<LinePingPong> bound = LinePingPong::Create(/*messages=*/100'000);
  ASSERT_TRUE(bound.ok());
  EXPECT_EQ(bound->Nanos(), 0);
  RunBursts(*bound, 2);
  EXPECT_GT(bound->Nanos(), 0);
}

TEST(Roofline, OfACopyIsMeasuredForEverySizeAndDepth) {
  for (const auto& [bytes, depth] : {std::pair(8U, 1U), {64U, 1024U}, {4096U, 64U}, {5000U, 3U}, {1U << 20, 4U}}) {
    absl::StatusOr<OneCopy> bound = OneCopy::Create(bytes, depth, /*messages=*/1'000);
    ASSERT_TRUE(bound.ok());
    EXPECT_EQ(bound->NanosPerMessage(), 0);
    RunBursts(*bound, 2);
    // 0 would also mean that a payload came out wrong.
    EXPECT_GT(bound->NanosPerMessage(), 0) << bytes;
  }
}

}  // namespace
}  // namespace ipcmark::bench
