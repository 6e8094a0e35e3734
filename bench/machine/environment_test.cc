#include "bench/machine/environment.h"

#include <sys/utsname.h>

#include <cstdlib>
#include <fstream>
#include <map>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ipcmark::bench {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

const ChosenClock kTsc = {.clock = Clock::Tsc(0, 0, 2.5e9), .ticks_per_second = 2.5e9};

std::map<std::string, std::string> Context(const Options& options, const std::vector<SkippedCase>& skipped,
                                           const ChosenClock& clock = {}) {
  const auto pairs = Environment(options, skipped, clock);
  std::map<std::string, std::string> context(pairs.begin(), pairs.end());
  EXPECT_EQ(context.size(), pairs.size()) << "a key is there twice";
  return context;
}

// Those of results/schema.md, "The context".
TEST(Environment, HasEveryKeyOfTheSchema) {
  const auto context = Context(Options(), {});
  for (const char* key : {"ipcmark_schema", "suite",          "kernel",      "cpu_model",    "git_revision",
                          "build",          "compiler_flags", "clock",       "system_calls", "sender_cpu",
                          "receiver_cpu",   "skipped",        "microcode",   "cores",        "cpu_caches",
                          "mitigations",    "governor",       "clocksource", "hypervisor",   "transparent_hugepages",
                          "ipc_limits"}) {
    EXPECT_EQ(context.count(key), 1U) << key;
  }
}

TEST(Environment, SaysWhatItRunsOnAndWith) {
  Options options;
  options.suite = "smoke";
  options.sender_cpu = 3;
  auto context = Context(options, {{"a/b", "no"}, {"c", "not \"that\""}});
  utsname name;
  ASSERT_EQ(uname(&name), 0);
  EXPECT_EQ(context["ipcmark_schema"], "1");
  EXPECT_EQ(context["suite"], "smoke");
  EXPECT_EQ(context["kernel"], name.release);
  EXPECT_EQ(context["sender_cpu"], "3");
  EXPECT_EQ(context["receiver_cpu"], "-1");
  EXPECT_EQ(context["skipped"], "a/b: no\nc: not \"that\"");
  for (const char* key : {"cpu_model", "compiler", "libc", "governor", "clocksource"})
    EXPECT_NE(context[key], "") << key;
  EXPECT_GT(std::stod(context["clock_read_ns"]), 0);
}

TEST(Environment, SaysWhichClockTimesAndHowGoodItIs) {
  const auto tsc =
      Context(Options(), {},
              {.clock = Clock::Tsc(0, 0, 2.5e9), .ticks_per_second = 2.5e9, .error_ppm = 3.14, .skew_bound_nanos = 77});
  EXPECT_EQ(tsc.at("clock"), "tsc");
  EXPECT_EQ(tsc.at("clock_hz"), "2500000000");
  EXPECT_EQ(tsc.at("clock_error_ppm"), "3.1");
  EXPECT_EQ(tsc.at("clock_skew_bound_ns"), "77");
  EXPECT_EQ(tsc.count("clock_not_tsc"), 0U);
  const auto monotonic = Context(Options(), {}, {.clock = Clock(), .why = "no promise"});
  EXPECT_EQ(monotonic.at("clock"), "CLOCK_MONOTONIC");
  EXPECT_EQ(monotonic.at("clock_not_tsc"), "no promise");
  EXPECT_EQ(monotonic.count("clock_hz"), 0U);
}

// EXPECTED_BUILD comes from the BUILD file, which knows the configuration.
TEST(Environment, NamesTheBuildAndWarnsOfOneThatMeasuresNothing) {
  const std::string build = Context(Options(), {})["build"];
  EXPECT_EQ(build, EXPECTED_BUILD);
  const std::vector<std::string> warnings = Warnings(Options(), ClockChoice::kAuto, kTsc);
  if (build == "optimized") {
    EXPECT_THAT(warnings, Not(Contains(HasSubstr("its times mean nothing"))));
  } else {
    EXPECT_THAT(warnings, Contains("this is a " + build + " build: its times mean nothing; leave out --config and -c"));
  }
}

TEST(Environment, WarnsOfTwoSidesOnOneCpu) {
  Options options;
  options.sender_cpu = options.receiver_cpu = 0;
  EXPECT_THAT(Warnings(options, ClockChoice::kAuto, kTsc),
              Contains(HasSubstr("one CPU, where spinning waits for the scheduler: name two in --cpus")));
}

TEST(Environment, WarnsOfAClockThatNobodyAskedForAndSaysWhatToDo) {
  const ChosenClock monotonic = {.clock = Clock(), .why = "it is not invariant"};
  const auto warned = [](ClockChoice wanted, const ChosenClock& clock) { return Warnings(Options(), wanted, clock); };
  EXPECT_THAT(
      warned(ClockChoice::kAuto, monotonic),
      Contains(testing::AllOf(HasSubstr("it is not invariant; "), HasSubstr("--clock=monotonic if that is meant"))));
  EXPECT_THAT(warned(ClockChoice::kMonotonic, monotonic), testing::Not(Contains(HasSubstr("CLOCK_MONOTONIC"))));
  EXPECT_THAT(warned(ClockChoice::kAuto, kTsc), testing::Not(Contains(HasSubstr("CLOCK_MONOTONIC"))));
}

TEST(Environment, TakesNoRevisionFromOutsideOfAWorkspace) {
  unsetenv("BUILD_WORKSPACE_DIRECTORY");
  EXPECT_EQ(Context(Options(), {})["git_revision"], "unknown");
  setenv("BUILD_WORKSPACE_DIRECTORY", "/nonexistent'; touch owned; '", 1);
  EXPECT_EQ(Context(Options(), {})["git_revision"], "unknown");
  unsetenv("BUILD_WORKSPACE_DIRECTORY");
  EXPECT_FALSE(std::ifstream("owned").is_open());
}

}  // namespace
}  // namespace ipcmark::bench
