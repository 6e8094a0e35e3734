// Loads, bursts, depths, wake-ups, deaths and shared objects: what the scenarios count, and what they must notice.

#include "bench/burst.h"
#include "bench/depth.h"
#include "bench/faulty_for_test.h"
#include "bench/hardware.h"
#include "bench/open_loop.h"
#include "bench/recovery.h"
#include "bench/share.h"
#include "bench/wake.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ipc/mmap_queue/mmap_queue.h"
#include "ipc/sysv_shm/sysv_shm.h"

namespace ipcmark::bench {
namespace {

using faulty::Fault;
using testing::Each;
using testing::Gt;
using testing::HasSubstr;
using testing::SizeIs;

double Extra(const SliceResult& result, const std::string& name) {
  for (const auto& [key, value] : result.extras) {
    if (name == key) return value;
  }
  ADD_FAILURE() << name << " is not there";
  return 0;
}

// What a slice over the faulty pipe says, whose fault is at message number `at`.
template <typename Run>
std::string WithFault(Fault fault, uint64_t at, const Run& run) {
  faulty::g_plan = {.fault = fault, .at = at, .peers_notice_death = true};
  const absl::Status status = run().status();
  faulty::g_plan = {};
  return std::string(status.message());
}

constexpr Fault kDamages[] = {Fault::kLost, Fault::kDuplicated, Fault::kTorn, Fault::kFlippedWord};

TEST(Fairness, IsOneForEqualSharesAndLessForOthers) {
  EXPECT_DOUBLE_EQ(Fairness(std::vector<double>{3, 3, 3}), 1);
  EXPECT_DOUBLE_EQ(Fairness(std::vector<double>{1, 0, 0, 0}), 0.25);
  EXPECT_EQ(Fairness(std::vector<double>{}), 0);
}

TEST(Share, CountsEveryMessageOnceAndSaysHowFair) {
  for (const auto& [senders, receivers] : {std::pair(1U, 3U), {3U, 3U}, {1U, 1U}}) {
    const absl::StatusOr<SliceResult> result = Share<mmap_queue::Channel>(SmallSpec(senders, receivers));
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->messages, (600 / senders + 1) * senders);
    EXPECT_GT(result->nanos, 0);
    EXPECT_GT(Extra(*result, "fairness"), 0);
    EXPECT_LE(Extra(*result, "fairness"), 1 + 1e-9);
  }
}

TEST(Share, WhatIsLostOrDamagedIsNoticed) {
  for (const Fault fault : kDamages) {
    EXPECT_NE(WithFault(fault, 300, [] { return Share<faulty::Channel>(SmallSpec(2, 1)); }), "")
        << static_cast<int>(fault);
  }
  EXPECT_THAT(WithFault(Fault::kSenderDies, 300, [] { return Share<faulty::Channel>(SmallSpec(2, 1)); }),
              testing::AnyOf(HasSubstr("killed by signal 9"), HasSubstr("closed")));
}

TEST(Burst, HasASampleOfEveryBurst) {
  SliceSpec spec = SmallSpec(1, 1, 40);
  spec.burst_messages = 4;
  const absl::StatusOr<SliceResult> result = Burst<mmap_queue::Channel>(spec);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->messages, 40U);
  EXPECT_THAT(result->samples_nanos, SizeIs(10));
  EXPECT_GT(result->roofline_nanos, 0);
  EXPECT_FALSE(result->bounds_median) << "a burst's time per message, over that of a copy";
  EXPECT_THAT(result->samples_nanos, Each(Gt(0)));
  for (const Fault fault : {Fault::kDuplicated, Fault::kTorn, Fault::kFlippedWord}) {
    EXPECT_THAT(WithFault(fault, 30, [&] { return Burst<faulty::Channel>(spec); }), HasSubstr("of another message"));
  }
}

TEST(OpenLoop, CountsFromTheInstantWhenAMessageWasDue) {
  // All at once: the last one waits for all others.
  const absl::StatusOr<SliceResult> at_once = OpenLoopAt<mmap_queue::Channel>(SmallSpec(1, 1), 0);
  ASSERT_TRUE(at_once.ok()) << at_once.status();
  ASSERT_THAT(at_once->samples_nanos, SizeIs(600));
  EXPECT_EQ(at_once->samples_nanos.back(), at_once->nanos);
  EXPECT_GT(at_once->roofline_nanos, 0);
  EXPECT_TRUE(at_once->bounds_median);
  // 600 messages at 60,000 a second take 10 ms, however fast the queue is.
  const absl::StatusOr<SliceResult> paced = OpenLoopAt<mmap_queue::Channel>(SmallSpec(1, 1), 60'000);
  ASSERT_TRUE(paced.ok()) << paced.status();
  EXPECT_GT(paced->nanos, 5'000'000);
  EXPECT_THAT(paced->samples_nanos, Each(Gt(0)));
}

TEST(OpenLoop, AReceiverThatIsTooSlowDelaysWhatIsDueBehind) {
  faulty::g_plan = {.fault = Fault::kSpinsInReceive, .spin_nanos = 100'000};
  const absl::StatusOr<SliceResult> result = OpenLoopAt<faulty::Channel>(SmallSpec(1, 1, 100), 1e6);
  faulty::g_plan = {};
  ASSERT_TRUE(result.ok()) << result.status();
  // 100 messages due within 0.1 ms, taken in 10 ms: no message is spared.
  EXPECT_GT(result->samples_nanos.back(), 9'000'000);
  EXPECT_GT(result->samples_nanos[50], 4'000'000);
}

TEST(OpenLoop, FixedArrivalsAreEquallyFarApart) {
  const absl::StatusOr<Schedule> fixed = Schedule::Create(1'000, 20'000, Arrivals::kFixed);
  ASSERT_TRUE(fixed.ok()) << fixed.status();
  for (int64_t n = 0; n < 1'000; ++n) EXPECT_EQ(fixed->due_nanos()[n], n * 50'000);
  const absl::StatusOr<Schedule> random = Schedule::Create(1'000, 20'000, Arrivals::kPoisson);
  ASSERT_TRUE(random.ok()) << random.status();
  int shorter = 0;
  for (int64_t n = 1; n < 1'000; ++n) shorter += random->due_nanos()[n] - random->due_nanos()[n - 1] < 50'000 ? 1 : 0;
  // 1 - 1/e of exponential gaps are below their mean.
  EXPECT_NEAR(shorter, 632, 60);
  EXPECT_NEAR(static_cast<double>(random->due_nanos()[999]), 50e6, 5e6);
}

// Coordinated omission would show one late message; due were a thousand meanwhile.
TEST(OpenLoop, AStallOfTheReceiverShowsInAllThatWasDueMeanwhile) {
  constexpr int64_t stall_nanos = 20'000'000;
  for (const Arrivals arrivals : {Arrivals::kPoisson, Arrivals::kFixed}) {
    faulty::g_plan = {.fault = Fault::kStalls, .at = 1'500, .spin_nanos = stall_nanos};
    SliceSpec spec = SmallSpec(1, 1, 5'000);
    spec.arrivals = arrivals;
    const absl::StatusOr<SliceResult> result = OpenLoopAt<faulty::Channel>(spec, 50'000);
    faulty::g_plan = {};
    ASSERT_TRUE(result.ok()) << result.status();
    ASSERT_THAT(result->samples_nanos, SizeIs(5'000));
    const std::optional<int64_t> p999 = Quantile(result->samples_nanos, 0.999);
    ASSERT_TRUE(p999.has_value());
    EXPECT_GT(*p999, stall_nanos * 9 / 10);
    // A thousand messages were due while it stood still, evenly: half of them half a stall late or more.
    const auto late = std::count_if(result->samples_nanos.begin(), result->samples_nanos.end(),
                                    [](int64_t nanos) { return nanos > stall_nanos / 2; });
    EXPECT_GT(late, 400);
  }
}

TEST(OpenLoop, MeasuresTheCapacityOnceAndSearchesBelowIt) {
  double capacity = 0;
  SliceSpec spec = SmallSpec(1, 1);
  spec.capacity_per_second = &capacity;
  spec.load = 0.5;
  const absl::StatusOr<SliceResult> half = OpenLoop<mmap_queue::Channel>(spec);
  ASSERT_TRUE(half.ok()) << half.status();
  EXPECT_GT(capacity, 0);
  EXPECT_EQ(Extra(*half, "capacity_per_second"), capacity);
  EXPECT_EQ(Extra(*half, "load"), 0.5);
  spec.load = 0;
  // A search takes as long as 630,000 messages at the capacity: on a busy machine that would be minutes.
  const double before = capacity = std::max(capacity, 1e6);
  for (const Arrivals arrivals : {Arrivals::kPoisson, Arrivals::kFixed}) {
    spec.arrivals = arrivals;
    const absl::StatusOr<SliceResult> highest = OpenLoop<mmap_queue::Channel>(spec);
    ASSERT_TRUE(highest.ok()) << highest.status();
    EXPECT_EQ(capacity, before);
    EXPECT_GE(Extra(*highest, "highest_rate"), 0);
    EXPECT_LE(Extra(*highest, "highest_rate"), capacity);
    EXPECT_EQ(Extra(*highest, "highest_rate") > 0, IsInTime(*highest)) << "its slice is the one that was in time";
  }
}

TEST(OpenLoop, WhereNoLoadIsInTimeTheRowIsOfTheLowestOneTried) {
  // Each slice of the search stands still for so long that far more than a thousandth of its messages are late.
  faulty::g_plan = {.fault = Fault::kStalls, .at = 1'500, .spin_nanos = 100'000'000};
  const absl::StatusOr<SliceResult> none = SearchHighestLoad<faulty::Channel>(SmallSpec(1, 1), 1e6);
  faulty::g_plan = {};
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_EQ(Extra(*none, "highest_rate"), 0);
  EXPECT_EQ(Extra(*none, "load"), 1.0 / (1 << kSearchSteps));
  EXPECT_FALSE(IsInTime(*none));
}

TEST(OpenLoop, AMessageThatIsNotTheOneDueIsNoticed) {
  for (const Fault fault : {Fault::kLost, Fault::kDuplicated, Fault::kTorn}) {
    EXPECT_THAT(WithFault(fault, 200, [] { return OpenLoopAt<faulty::Channel>(SmallSpec(1, 1), 0); }),
                HasSubstr("of another message"));
  }
}

TEST(Wake, HasSamplesOfAReceiverThatSlept) {
  const absl::StatusOr<SliceResult> result = Wake<mmap_queue::Channel>(SmallSpec(1, 1, 50));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_GT(result->messages, 25U);
  EXPECT_THAT(result->samples_nanos, SizeIs(result->messages));
  EXPECT_THAT(result->samples_nanos, Each(Gt(0)));
  EXPECT_GE(result->receiver->voluntary_switches, static_cast<int64_t>(result->messages));
  EXPECT_GT(result->roofline_nanos, 0);
  EXPECT_THAT(WithFault(Fault::kDuplicated, 30, [] { return Wake<faulty::Channel>(SmallSpec(1, 1, 50)); }),
              HasSubstr("of another message"));
}

TEST(Depth, KeepsTheQueueFilledInEveryOrder) {
  for (const Priorities priorities :
       {Priorities::kConstant, Priorities::kRising, Priorities::kFalling, Priorities::kRandom}) {
    SliceSpec spec = SmallSpec(1, 1, 1000);
    spec.geometry.depth_messages = 100;
    spec.priorities = priorities;
    const absl::StatusOr<SliceResult> result = Depth<mmap_queue::Channel>(spec);
    ASSERT_TRUE(result.ok()) << PrioritiesName(priorities) << ": " << result.status();
    EXPECT_EQ(result->messages, 1000U);
    EXPECT_THAT(result->samples_nanos, SizeIs(15));
    EXPECT_GT(result->sender->cpu_nanos, 0);
    EXPECT_FALSE(result->receiver.has_value()) << "one process is both";
  }
}

TEST(Depth, NeedsPrioritiesAndRoom) {
  EXPECT_TRUE(absl::IsUnimplemented(CanStayFilled<sysv_shm::Channel>(SmallSpec(1, 1).geometry, Priorities::kRising)));
  EXPECT_TRUE(CanStayFilled<sysv_shm::Channel>(SmallSpec(1, 1).geometry, Priorities::kConstant).ok());
  for (const Fault fault : kDamages) {
    EXPECT_THAT(WithFault(fault, 100, [] { return Depth<faulty::Channel>(SmallSpec(1, 1)); }),
                testing::AnyOf(HasSubstr("of another message"), HasSubstr("would-block")));
  }
}

TEST(Recovery, IsTimedForEveryVictim) {
  for (const Victim victim : {Victim::kSender, Victim::kReceiver, Victim::kHolder}) {
    SliceSpec spec = SmallSpec(1, 1, 2);
    spec.victim = victim;
    if (victim == Victim::kHolder) {
      spec.message_bytes = spec.geometry.max_message_bytes = kHoldersBytes;
      spec.geometry.depth_messages = kHoldersDepth;
    }
    const absl::StatusOr<SliceResult> result = Recovery<mmap_queue::Channel>(spec);
    ASSERT_TRUE(result.ok()) << VictimName(victim) << ": " << result.status();
    EXPECT_THAT(result->samples_nanos, SizeIs(2));
    EXPECT_THAT(result->samples_nanos, Each(Gt(0)));
    EXPECT_THAT(result->samples_in_order, testing::UnorderedElementsAreArray(result->samples_nanos));
    EXPECT_FALSE(result->sender.has_value());
    EXPECT_FALSE(result->receiver.has_value());
    EXPECT_GT(result->other_cpu_nanos, 0);
  }
}

TEST(Recovery, AMessageThatIsDamagedBehindTheKillIsNoticed) {
  for (const Victim victim : {Victim::kSender, Victim::kReceiver}) {
    SliceSpec spec = SmallSpec(1, 1, 1);
    spec.victim = victim;
    faulty::g_plan = {.fault = Fault::kFlippedWord,
                      .is_due =
                          [](std::span<const std::byte> message) {
                            uint64_t first = 0;
                            memcpy(&first, message.data(), sizeof(first));
                            return (NumberOf(first) & kAfterKill) != 0;
                          },
                      .word = 3};
    const absl::Status status = Recovery<faulty::Channel>(spec).status();
    faulty::g_plan = {};
    EXPECT_THAT(std::string(status.message()), HasSubstr("of another message")) << VictimName(victim);
  }
}

TEST(Recovery, OfARingIsThatOfTheEndThatTakesOver) {
  for (const Victim victim : {Victim::kSender, Victim::kReceiver}) {
    SliceSpec spec = SmallSpec(1, 1, 1);
    spec.victim = victim;
    const absl::StatusOr<SliceResult> result = Recovery<sysv_shm::Channel>(spec);
    ASSERT_TRUE(result.ok()) << VictimName(victim) << ": " << result.status();
    EXPECT_THAT(result->samples_nanos, SizeIs(1));
  }
}

TEST(Limits, AreMeasured) {
  for (const Limit limit : kAllLimits) {
    SliceSpec spec = SmallSpec(1, 1, 400);
    const absl::StatusOr<SliceResult> result = MeasureLimit(limit, spec);
    ASSERT_TRUE(result.ok()) << LimitName(limit) << ": " << result.status();
    EXPECT_GT(result->messages, 0U) << LimitName(limit);
    EXPECT_GT(result->nanos, 0) << LimitName(limit);
    EXPECT_EQ(result->samples_nanos.empty(), limit == Limit::kCopy) << LimitName(limit);
    EXPECT_THAT(result->samples_in_order, testing::UnorderedElementsAreArray(result->samples_nanos));
  }
}

// Usage is divided by the messages that were copied, not by those asked for: bursts have a length of their own.
TEST(Limits, OfACopyCountWhatWasCopied) {
  for (const uint64_t asked_for : {1, 4'000, 100'000}) {
    SliceSpec spec = SmallSpec(1, 1, asked_for);
    spec.message_bytes = 64 << 10;
    const absl::StatusOr<SliceResult> result = MeasureLimit(Limit::kCopy, spec);
    ASSERT_TRUE(result.ok()) << result.status();
    // Two times three bursts of 2 MiB, or of eight messages.
    EXPECT_EQ(result->messages, 6U * (asked_for == 1 ? 8 : 32));
  }
}

}  // namespace
}  // namespace ipcmark::bench
