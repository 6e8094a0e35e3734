#include "bench/cases.h"

#include <set>

#include "bench/fake_primitives_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ipcmark::bench {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

Options SizesOf(std::vector<uint32_t> bytes) {
  Options options;
  options.suite = "smoke";
  options.message_bytes = std::move(bytes);
  return options;
}

std::vector<std::string> NamesOf(const CaseList& list, const std::string& beginning) {
  std::vector<std::string> names;
  for (const Case& one : list.cases) {
    if (one.name.rfind(beginning, 0) == 0) names.push_back(one.name);
  }
  return names;
}

TEST(Cases, AreNamedByScenarioPrimitiveWaitAndBytes) {
  const absl::StatusOr<CaseList> list = BuildCases(SizesOf({64, 8}));
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_THAT(
      NamesOf(*list, "RoundTrip/"),
      ElementsAre("RoundTrip/sysv_shm/spin/64", "RoundTrip/sysv_shm/spin/8", "RoundTrip/sysv_shm/spin_then_block/64",
                  "RoundTrip/sysv_shm/spin_then_block/8", "RoundTrip/sysv_shm/block/64", "RoundTrip/sysv_shm/block/8",
                  "RoundTrip/narrow/block/64", "RoundTrip/narrow/block/8"));
  EXPECT_THAT(NamesOf(*list, "Throughput/narrow/"),
              ElementsAre("Throughput/narrow/block/64", "Throughput/narrow/block/8"));
  EXPECT_THAT(NamesOf(*list, "FanIn/narrow/"),
              ElementsAre("FanIn/narrow/block/64/senders:8", "FanIn/narrow/block/8/senders:8"));
  EXPECT_THAT(NamesOf(*list, "Attach/sysv_shm/shmdt/"),
              ElementsAre("Attach/sysv_shm/shmdt/1048576/attached:1", "Attach/sysv_shm/shmdt/1048576/attached:64"));
}

TEST(Cases, HaveNamesOfTheirOwnInEverySuite) {
  for (const char* suite : {"smoke", "quick", "full"}) {
    Options options;
    options.suite = suite;
    const absl::StatusOr<CaseList> list = BuildCases(options);
    ASSERT_TRUE(list.ok()) << list.status();
    std::set<std::string> names;
    for (const Case& one : list->cases) EXPECT_TRUE(names.insert(one.name).second) << one.name;
    EXPECT_THAT(names, Contains(StartsWith("Attach/")));
    const absl::StatusOr<SuiteTiming> timing = TimingOf(suite);
    ASSERT_TRUE(timing.ok());
    EXPECT_GT(timing->min_seconds, 0);
    EXPECT_GE(timing->repetitions, 1);
  }
}

TEST(Cases, OfASizeAskedForTwiceAreThereOnce) {
  const absl::StatusOr<CaseList> list = BuildCases(SizesOf({64, 8, 64}));
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_THAT(NamesOf(*list, "RoundTrip/narrow/"),
              ElementsAre("RoundTrip/narrow/block/64", "RoundTrip/narrow/block/8"));
}

TEST(Cases, WhatAPrimitiveCannotIsSkippedWithItsReason) {
  const absl::StatusOr<CaseList> list = BuildCases(SizesOf({8, 2048}));
  ASSERT_TRUE(list.ok()) << list.status();
  std::vector<std::string> skipped;
  for (const SkippedCase& one : list->skipped) skipped.push_back(one.name + ": " + one.reason);
  EXPECT_THAT(skipped, AllOf(Contains("RoundTrip/narrow/spin/8: narrow only blocks"),
                             Contains("RoundTrip/narrow/block/2048: narrow carries 1024 bytes"),
                             Contains("Throughput/narrow/block/2048: narrow carries 1024 bytes"),
                             Contains("Loan/narrow/block/8: narrow hands nothing over in place (no Loan and View)"),
                             Contains("Broadcast/narrow/block/8/receivers:8: narrow does not broadcast"),
                             Not(Contains(HasSubstr("RoundTrip/sysv_shm")))));
}

TEST(Cases, OpenLoopSearchesTheHighestRateForBothArrivals) {
  Options options = SizesOf({64});
  options.suite = "quick";
  const absl::StatusOr<CaseList> list = BuildCases(options);
  ASSERT_TRUE(list.ok()) << list.status();
  std::vector<std::string> rows;
  for (const Case& one : list->cases) {
    if (one.name.find("/narrow/block/64/load:highest") != std::string::npos) rows.push_back(one.name + one.size);
  }
  EXPECT_THAT(rows, ElementsAre("OpenLoop/narrow/block/64/load:highest64 B highest",
                                "OpenLoop/narrow/block/64/load:highest/arrivals:fixed64 B highest fixed"));
}

TEST(Cases, CarryWhatTheirRowShows) {
  Options options = SizesOf({1 << 20});
  options.sender_cpu = 3;
  options.receiver_cpu = 5;
  const absl::StatusOr<CaseList> list = BuildCases(options);
  ASSERT_TRUE(list.ok()) << list.status();
  const Case& message = list->cases.front();
  EXPECT_EQ(message.scenario, "RoundTrip");
  EXPECT_EQ(message.subject, "sysv_shm");
  EXPECT_EQ(message.variant, "spin");
  EXPECT_EQ(message.size, "1 MiB");
  EXPECT_EQ(message.bytes, 1U << 20);
  EXPECT_EQ(message.depth_messages, 4U);
  EXPECT_EQ(message.attached, 0);
  EXPECT_EQ(message.pages, 0U);
  EXPECT_EQ(message.sender_cpu, 3);
  EXPECT_EQ(message.receiver_cpu, 5);
  for (const Case& one : list->cases) {
    if (one.name != "Attach/sysv_shm/shmat/1048576/attached:64") continue;
    EXPECT_EQ(one.size, "1 MiB x64");
    EXPECT_EQ(one.per, "call");
    EXPECT_EQ(one.attached, 64);
    EXPECT_EQ(one.depth_messages, 0U);
    EXPECT_GT(one.pages, 0U);
  }
}

TEST(Cases, SayOnlyOfProcessesThatTheyHaveWhereTheyAre) {
  Options options = SizesOf({8, 64});
  options.suite = "quick";
  options.sender_cpu = 3;
  options.receiver_cpu = 5;
  const absl::StatusOr<CaseList> list = BuildCases(options);
  ASSERT_TRUE(list.ok()) << list.status();
  int recoveries = 0;
  for (const Case& one : list->cases) {
    if (one.scenario == "Recovery") {
      ++recoveries;
      EXPECT_EQ(one.senders + one.receivers, 3U) << one.name;
      EXPECT_EQ(one.sender_cpu, os::kAnyCpu) << one.name;
      EXPECT_EQ(one.receiver_cpu, os::kAnyCpu) << one.name;
      EXPECT_FALSE(one.has_rate) << one.name;
    } else if (one.scenario == "Depth") {
      EXPECT_EQ(one.sender_cpu, 3) << one.name;
      EXPECT_EQ(one.receivers, 0U) << one.name;
    } else if (one.scenario == "RoundTrip") {
      EXPECT_EQ(one.receiver_cpu, 5) << one.name;
    }
  }
  EXPECT_GT(recoveries, 0);
}

TEST(Cases, OfAKilledHolderAreOfItsOwnMessagesOnce) {
  Options options = SizesOf({8, 64});
  options.primitives = {"narrow"};
  const absl::StatusOr<CaseList> list = BuildCases(options);
  ASSERT_TRUE(list.ok()) << list.status();
  std::vector<std::string> skipped;
  for (const SkippedCase& one : list->skipped) skipped.push_back(one.name);
  // A pipe has no lock to hold; its senders die in every size.
  EXPECT_EQ(std::count(skipped.begin(), skipped.end(), "Recovery/narrow/block/1024/holder"), 1);
  EXPECT_THAT(skipped, Not(Contains("Recovery/narrow/block/64/holder")));
  EXPECT_THAT(NamesOf(*list, "Recovery/narrow/block/"),
              ElementsAre("Recovery/narrow/block/8/sender", "Recovery/narrow/block/64/sender"));
}

TEST(Cases, RunASliceOfTheirOwnGeometry) {
  Options options = SizesOf({512});
  options.depth_messages = 9;
  options.sender_cpu = 1;
  options.watchdog_nanos = 77;
  const absl::StatusOr<CaseList> list = BuildCases(options);
  ASSERT_TRUE(list.ok()) << list.status();
  const std::atomic<bool> cancel = false;
  TheFakeSystem().runs.clear();
  ASSERT_TRUE(list->cases.front().run(1234, &cancel).ok());
  ASSERT_EQ(TheFakeSystem().runs.size(), 1U);
  const SliceSpec& spec = TheFakeSystem().runs.front();
  EXPECT_EQ(spec.messages, 1234U);
  EXPECT_EQ(spec.message_bytes, 512U);
  EXPECT_EQ(spec.geometry.max_message_bytes, 512U);
  EXPECT_EQ(spec.geometry.depth_messages, 9U);
  EXPECT_EQ(spec.geometry.wait, Wait::kSpin);
  EXPECT_EQ(spec.sender_cpu, 1);
  EXPECT_EQ(spec.receiver_cpu, os::kAnyCpu);
  EXPECT_EQ(spec.cancel, &cancel);
  EXPECT_EQ(spec.watchdog_nanos, 77);
}

TEST(Cases, DepthIsWhatIsWantedUpToFourMebibytesButFourMessages) {
  EXPECT_EQ(DepthFor(kAutoDepth, 8), 1024U);
  EXPECT_EQ(DepthFor(kAutoDepth, 128), 512U);
  EXPECT_EQ(DepthFor(kAutoDepth, 4096), 64U);
  EXPECT_EQ(DepthFor(kAutoDepth, 1 << 20), 4U);
  EXPECT_EQ(DepthFor(64, 8), 64U);
  EXPECT_EQ(DepthFor(64, 65536), 64U);
  EXPECT_EQ(DepthFor(64, 65544), 63U);
  EXPECT_EQ(DepthFor(64, 1 << 20), 4U);
  EXPECT_EQ(DepthFor(64, 1 << 30), 4U);
  EXPECT_EQ(DepthFor(1, 1 << 30), 1U);
  EXPECT_EQ(DepthFor(4'000'000'000, 8), 524288U);
}

TEST(Cases, OfChosenPrimitivesOnly) {
  Options options = SizesOf({8});
  options.primitives = {"narrow", "narrow"};
  const absl::StatusOr<CaseList> list = BuildCases(options);
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_THAT(NamesOf(*list, "RoundTrip/"), ElementsAre("RoundTrip/narrow/block/8"));
  EXPECT_THAT(NamesOf(*list, "Attach/"), ElementsAre());  // about the segment, which was not chosen
}

TEST(Cases, WhatIsUnknownOrCannotBeMeasuredGetsASentence) {
  Options suite;
  suite.suite = "slow";
  EXPECT_EQ(BuildCases(suite).status().message(), "--suite=slow: no such suite; choose one of smoke, quick, full");
  EXPECT_EQ(TimingOf("slow").status(), BuildCases(suite).status());
  Options primitive = SizesOf({8});
  primitive.primitives = {"sysv_shm", "tube"};
  EXPECT_EQ(BuildCases(primitive).status().message(),
            "--primitives=tube: no such primitive; choose from sysv_shm, narrow");
  for (const uint32_t bytes : {0U, 7U, 12U, (1U << 30) + 8}) {
    const absl::Status status = BuildCases(SizesOf({8, bytes})).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), StartsWith("--bytes=" + std::to_string(bytes) + ":"));
  }
}

// One object would do for Throughput: found out here and not in the middle of a run.
TEST(Cases, NeedASystemThatCarriesBothObjectsOfARoundTrip) {
  TheFakeSystem().max_objects = 1;
  const absl::Status status = BuildCases(SizesOf({8})).status();
  TheFakeSystem().max_objects = 1000;
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "fake(): ENOSPC; raise the limit");
}

}  // namespace
}  // namespace ipcmark::bench
