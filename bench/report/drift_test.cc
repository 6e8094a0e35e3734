#include "bench/report/drift.h"

#include <cmath>
#include <random>

#include "gtest/gtest.h"

namespace ipcmark::bench {
namespace {

constexpr uint32_t kSeed = 20261127;

// Latencies as machines have them: a lognormal body, one in a hundred ten times as long. `trend`: by which share the
// last is longer than the first.
std::vector<int64_t> Samples(std::mt19937& random, size_t count, double trend) {
  std::lognormal_distribution<double> body(7, 0.1);
  std::uniform_real_distribution<double> chance(0, 1);
  std::vector<int64_t> samples;
  for (size_t i = 0; i < count; ++i) {
    const double outlier = chance(random) < 0.01 ? 10 : 1;
    const double factor = 1 + trend * static_cast<double>(i) / static_cast<double>(count);
    samples.push_back(static_cast<int64_t>(body(random) * outlier * factor));
  }
  return samples;
}

TEST(MannKendall, HasTheExactProbabilitiesOfSmallOrders) {
  EXPECT_DOUBLE_EQ(MannKendallP({1, 2, 3}), 2.0 / 6);
  EXPECT_DOUBLE_EQ(MannKendallP({3, 2, 1}), 2.0 / 6);
  EXPECT_DOUBLE_EQ(MannKendallP({1, 3, 2}), 1);
  EXPECT_NEAR(MannKendallP({1, 2, 3, 4, 5}), 2.0 / 120, 1e-15);
  EXPECT_NEAR(MannKendallP({1, 2, 3, 5, 4}), 2 * (1 + 4.0) / 120, 1e-15);
  EXPECT_DOUBLE_EQ(MannKendallP({7, 7, 7, 7}), 1);
}

TEST(Drift, RaisesAFalseAlarmInAtMostOneRunOfAThousand) {
  std::mt19937 random(kSeed);
  std::normal_distribution<double> noise;
  int alarms = 0;
  constexpr int runs = 20'000;
  for (int run = 0; run < runs; ++run) {
    std::vector<double> blocks(kDriftBlocks);
    for (double& block : blocks) block = noise(random);
    if (MannKendallP(blocks) <= kDriftAlpha) ++alarms;
  }
  // 20 are due; five standard deviations more would be no chance.
  EXPECT_LE(alarms, runs * kDriftAlpha + 5 * std::sqrt(runs * kDriftAlpha)) << "seed " << kSeed;
  EXPECT_GT(alarms, 0) << "an exact test comes near its rate";
}

TEST(Drift, IsNoneInASteadyRun) {
  std::mt19937 random(kSeed);
  for (int run = 0; run < 200; ++run) EXPECT_EQ(DriftOf(Samples(random, 2000, 0)), 0) << "seed " << kSeed;
}

TEST(Drift, IsSeenAndNamedInBothDirections) {
  std::mt19937 random(kSeed);
  for (int run = 0; run < 200; ++run) {
    // The middle of the last third of a rise by a half lies at 1.42, that of the first at 1.08.
    EXPECT_NEAR(DriftOf(Samples(random, 2000, 0.5)).value_or(-1), 1.42 / 1.08 - 1, 0.06) << "seed " << kSeed;
    EXPECT_NEAR(DriftOf(Samples(random, 2000, -0.5)).value_or(1), 0.58 / 0.92 - 1, 0.06) << "seed " << kSeed;
  }
}

TEST(Drift, TooSmallToMatterIsNone) {
  std::mt19937 random(kSeed);
  EXPECT_EQ(DriftOf(Samples(random, 100'000, 0.05)), 0);
}

TEST(Drift, SaysNothingOfTooFewSamples) {
  std::mt19937 random(kSeed);
  EXPECT_FALSE(DriftOf({}).has_value());
  EXPECT_FALSE(DriftOf(Samples(random, kDriftBlocks * kDriftBlockSamples - 1, 1)).has_value());
  EXPECT_TRUE(DriftOf(Samples(random, kDriftBlocks * kDriftBlockSamples, 1)).has_value());
}

}  // namespace
}  // namespace ipcmark::bench
