#include "results/calibrate.h"

#include <cmath>

#include "gtest/gtest.h"
#include "results/statistics/noise_for_test.h"

namespace ipcmark::results {
namespace {

// scipy: beta.ppf(0.975, 1, 100), beta.ppf(0.025, 95, 6) and beta.ppf(0.975, 96, 5).
TEST(Bounds, AreThoseOfClopperAndPearson) {
  EXPECT_NEAR(Bounds({0, 100}).high, 0.03621669264517641, 1e-12);
  EXPECT_EQ(Bounds({0, 100}).low, 0);
  EXPECT_NEAR(Bounds({95, 100}).low, 0.8871650888945373, 1e-12);
  EXPECT_NEAR(Bounds({95, 100}).high, 0.9835681208179479, 1e-12);
  EXPECT_EQ(Bounds({7, 7}).high, 1);
  EXPECT_EQ(Bounds({0, 0}).low, 0);
  EXPECT_EQ(Bounds({0, 0}).high, 1);
}

Recording Record(const Noise& noise, size_t pairs) {
  Recording recording;
  for (uint64_t benchmark = 0; benchmark < 5; ++benchmark) {
    NoisyMachine machine(noise, 100 + benchmark);
    std::vector<double>& log_ratios = recording.log_ratios.emplace_back();
    for (size_t i = 0; i < pairs; ++i) log_ratios.push_back(machine.Pair(0));
  }
  return recording;
}

TEST(ReplaySuites, OfTheSameProgramRaiseNoAlarmAndSlowdownsAreCaught) {
  const Recording recording = Record(kQuiet, 100);
  ReplayOptions options;
  options.suites = 300;
  EXPECT_LE(ReplaySuites(recording, 0, options).alarms.count, 3U);
  const Replay slow = ReplaySuites(recording, 0.05, options);
  EXPECT_GE(slow.caught.value(), 0.9);
  EXPECT_LE(slow.alarms.count, 3U);
  EXPECT_LT(slow.seconds, options.budget_seconds);
}

TEST(ReplaySuites, WithoutTimeNothingIsCaught) {
  ReplayOptions options;
  options.suites = 20;
  options.budget_seconds = 0;
  const Replay replay = ReplaySuites(Record(kQuiet, 20), 0.1, options);
  EXPECT_EQ(replay.caught.count, 0U);
  EXPECT_EQ(replay.passed.count, 0U);
}

}  // namespace
}  // namespace ipcmark::results
