#include "bench/flags.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ipc/os/cpu.h"

namespace ipcmark::bench {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

TEST(Flags, WithoutArgumentsAreTheQuickSuitePinnedToTheFirstTwoCpus) {
  const absl::StatusOr<Flags> flags = ParseFlags({});
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_EQ(flags->options.suite, "quick");
  EXPECT_THAT(flags->options.primitives, IsEmpty());
  EXPECT_THAT(flags->options.message_bytes, IsEmpty());
  EXPECT_EQ(flags->options.depth_messages, kAutoDepth);
  const std::vector<int> cpus = os::AllowedCpus();
  EXPECT_EQ(flags->options.sender_cpu, cpus.front());
  EXPECT_EQ(flags->options.receiver_cpu, cpus[std::min<size_t>(1, cpus.size() - 1)]);
  EXPECT_FALSE(flags->help);
  EXPECT_FALSE(flags->list_only);
  EXPECT_EQ(flags->out, "");
  EXPECT_EQ(flags->out_format, "json");
  EXPECT_THAT(flags->passed, IsEmpty());
}

TEST(Flags, OfOursAreUnderstood) {
  const int cpu = os::AllowedCpus().back();
  const absl::StatusOr<Flags> flags = ParseFlags({"--suite=smoke", "--primitives=pipe,sysv_shm", "--bytes=8,4096",
                                                  "--depth=7", absl::StrCat("--cpus=", cpu, ",", cpu), "--help"});
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_EQ(flags->options.suite, "smoke");
  EXPECT_THAT(flags->options.primitives, ElementsAre("pipe", "sysv_shm"));
  EXPECT_THAT(flags->options.message_bytes, ElementsAre(8, 4096));
  EXPECT_EQ(flags->options.depth_messages, 7U);
  EXPECT_EQ(flags->options.sender_cpu, cpu);
  EXPECT_EQ(flags->options.receiver_cpu, cpu);
  EXPECT_TRUE(flags->help);
  EXPECT_THAT(flags->passed, IsEmpty());
  EXPECT_TRUE(ParseFlags({"-h"})->help);
}

TEST(Flags, PlacementsAreThoseNamedOrAllOrNone) {
  EXPECT_THAT(ParseFlags({"--placement=unpinned,same_cpu"})->placements,
              ElementsAre(Placement::kUnpinned, Placement::kSameCpu));
  EXPECT_EQ(ParseFlags({"--placement=all"})->placements.size(), std::size(kAllPlacements));
  EXPECT_THAT(ParseFlags({"--placement=auto"})->placements, IsEmpty());
}

TEST(Flags, FormatChoosesWhatIsShown) {
  EXPECT_EQ(ParseFlags({"--format=json"})->format, "json");
  EXPECT_THAT(ParseFlags({"--format=json"})->passed, ElementsAre("--benchmark_format=json"));
  EXPECT_EQ(ParseFlags({"--format=csv"})->format, "csv");
  EXPECT_TRUE(ParseFlags({"--format=benchstat"})->benchstat);
  EXPECT_EQ(ParseFlags({"--format=table"})->format, "");
  EXPECT_EQ(ParseFlags({"--samples=a=b"})->samples, "a=b");
  EXPECT_TRUE(ParseFlags({})->roofline);
  EXPECT_FALSE(ParseFlags({"--noroofline"})->roofline);
}

TEST(Flags, UnpinnedLeavesThePlacementToTheScheduler) {
  const absl::StatusOr<Flags> flags = ParseFlags({"--unpinned"});
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_EQ(flags->options.sender_cpu, os::kAnyCpu);
  EXPECT_EQ(flags->options.receiver_cpu, os::kAnyCpu);
}

TEST(Flags, OfGoogleBenchmarkArePassedOnExceptThoseOfTheFile) {
  const absl::StatusOr<Flags> flags =
      ParseFlags({"--benchmark_filter=-x", "--benchmark_out=a=b.csv", "--benchmark_out_format=csv",
                  "--benchmark_format=json", "--benchmark_repetitions=3", "--v=2", "--benchmark_filter="});
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_EQ(flags->out, "a=b.csv");
  EXPECT_EQ(flags->out_format, "csv");
  EXPECT_EQ(flags->format, "json");
  EXPECT_THAT(flags->passed, ElementsAre("--benchmark_filter=-x", "--benchmark_format=json",
                                         "--benchmark_repetitions=3", "--v=2", "--benchmark_filter="));
}

TEST(Flags, InterleavesSeveralRepetitionsAtRandomUnlessTheUserSaysOtherwise) {
  const char* on = "--benchmark_enable_random_interleaving=true";
  const char* off = "--benchmark_enable_random_interleaving=false";
  const auto arguments = [](const std::vector<std::string>& given, int of_suite) {
    return BenchmarkArguments(*ParseFlags(given), {.min_seconds = 0.2, .repetitions = of_suite});
  };
  EXPECT_THAT(arguments({}, 3), testing::Contains(on));
  EXPECT_THAT(arguments({"--benchmark_repetitions=3"}, 1), testing::Contains(on));
  EXPECT_THAT(arguments({}, 1), Not(testing::Contains(on)));
  EXPECT_THAT(arguments({"--benchmark_repetitions=1"}, 3), Not(testing::Contains(on)));
  // The last one counts.
  EXPECT_EQ(arguments({off, "--benchmark_repetitions=3"}, 1).back(), "--benchmark_repetitions=3");
  const std::vector<std::string> refused = arguments({"--benchmark_repetitions=3", off}, 1);
  EXPECT_LT(std::find(refused.begin(), refused.end(), on), std::find(refused.begin(), refused.end(), off));
  EXPECT_EQ(refused.back(), off);
}

TEST(Flags, GoodValuesOfGoogleBenchmarksFlagsArePassedOn) {
  for (const char* good : {"--benchmark_color=auto", "--benchmark_color=FALSE", "--benchmark_time_unit=us",
                           "--benchmark_min_time=1e-3", "--benchmark_min_time=86400", "--v=2",
                           "--benchmark_enable_random_interleaving=true", "--benchmark_counters_tabular=off"}) {
    const absl::StatusOr<Flags> flags = ParseFlags({good});
    ASSERT_TRUE(flags.ok()) << flags.status();
    EXPECT_THAT(flags->passed, ElementsAre(good));
  }
  // The last one counts.
  EXPECT_EQ(ParseFlags({"--benchmark_min_time=5x", "--benchmark_min_time=2"})->messages, 0);
  EXPECT_EQ(ParseFlags({"--benchmark_min_time=5x", "--benchmark_min_time=2"})->min_seconds, 2);
}

TEST(Flags, TheWatchdogFollowsWhatIsAskedFor) {
  const SuiteTiming timing = {.min_seconds = 0.2, .repetitions = 1};
  constexpr int64_t second = 1'000'000'000;
  EXPECT_EQ(WatchdogNanos(*ParseFlags({}), timing), 62 * second);
  EXPECT_EQ(WatchdogNanos(*ParseFlags({"--benchmark_min_time=100"}), timing), 1060 * second);
  EXPECT_EQ(WatchdogNanos(*ParseFlags({"--benchmark_min_time=100000x"}), timing), 160 * second);
  EXPECT_GT(WatchdogNanos(*ParseFlags({"--benchmark_min_time=9000000000000000000x"}), timing), 60 * second);
}

TEST(Flags, ListTestsIsUnderstoodAsGoogleBenchmarkDoes) {
  for (const char* on : {"", "=true", "=True", "=1", "=yes", "=on", "=y"}) {
    EXPECT_TRUE(ParseFlags({absl::StrCat("--benchmark_list_tests", on)})->list_only) << on;
  }
  for (const char* off : {"=false", "=FALSE", "=0", "=no", "=off", "=n", "=f"}) {
    EXPECT_FALSE(ParseFlags({absl::StrCat("--benchmark_list_tests", off)})->list_only) << off;
  }
}

TEST(Flags, WithABadValueGetOneSentenceThatNamesThem) {
  for (const char* bad : {"--frobnicate",
                          "extra",
                          "-x",
                          "--",
                          "--suites=smoke",
                          "--suite",
                          "--bytes",
                          "--bytes=",
                          "--bytes=x",
                          "--bytes=8,",
                          "--bytes=8,,16",
                          "--bytes=-8",
                          "--bytes=8.5",
                          "--bytes=4294967296",
                          "--depth=",
                          "--depth=0",
                          "--depth=1,2",
                          "--depth=-1",
                          "--depth=4294967296",
                          "--cpus=",
                          "--cpus=0",
                          "--cpus=0,0,0",
                          "--cpus=a,b",
                          "--cpus=-1,0",
                          "--cpus=99999,0",
                          "--placement=",
                          "--placement=smt,smt",
                          "--placement=far",
                          "--format=",
                          "--format=xml",
                          "--samples=",
                          "--unpinned=1",
                          "--help=1",
                          "--benchmark_format=xml",
                          "--benchmark_format=",
                          "--benchmark_out_format=xml",
                          "--benchmark_out_format=",
                          "--benchmark_min_time=0x",
                          "--benchmark_min_time=x",
                          "--benchmark_repetitions=0",
                          "--benchmark_repetitions=-1",
                          "--benchmark_repetitions=x",
                          "--benchmark_color=",
                          "--benchmark_color=banana",
                          "--benchmark_time_unit=x",
                          "--benchmark_min_time=nan",
                          "--benchmark_min_time=inf",
                          "--benchmark_min_time=1e400",
                          "--benchmark_min_time=86401",
                          "--benchmark_min_time=-1",
                          "--benchmark_min_time=0",
                          "--benchmark_min_time=0.1s",
                          "--benchmark_enable_random_interleaving=x",
                          "--benchmark_report_aggregates_only=2",
                          "--benchmark_display_aggregates_only=maybe",
                          "--benchmark_counters_tabular=x",
                          "--benchmark_list_tests=x",
                          "--benchmark_out=",
                          "--v=x",
                          "--benchmark_min_time="}) {
    const absl::Status status = ParseFlags({bad}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("\n")));
  }
}

TEST(Flags, HelpNamesEveryFlagSuiteAndPrimitive) {
  const std::string help = HelpText();
  for (const char* word : {"--suite=",
                           "smoke",
                           "quick",
                           "full",
                           "--primitives=",
                           "sysv_shm, narrow",
                           "--bytes=",
                           "--depth=",
                           "--cpus=",
                           "--unpinned",
                           "--placement=",
                           "--format=",
                           "--samples=",
                           "--benchmark_filter=",
                           "--benchmark_repetitions=",
                           "--benchmark_min_time=",
                           "--benchmark_list_tests",
                           "--benchmark_format=",
                           "--benchmark_out=",
                           "--benchmark_out_format=",
                           "exit codes",
                           "bazel run //my:bench -- [flags]",
                           "bazel run //my:bench -- --suite=smoke"}) {
    EXPECT_THAT(help, HasSubstr(word));
  }
}

}  // namespace
}  // namespace ipcmark::bench
