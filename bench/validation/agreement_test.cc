#include "bench/validation/agreement.h"

#include <cmath>
#include <random>

#include "gtest/gtest.h"

namespace ipcmark::bench {
namespace {

TEST(MedianOfRatios, TakesTheOrderStatisticsOfTheBinomialTable) {
  // Conover's table: 6 values, the extremes (96.9 %); 9 values, the second ones (96.1 %); 20 values, the sixth (95.9
  // %).
  const MedianRatio six = MedianOfRatios({6, 5, 4, 3, 2, 1});
  EXPECT_EQ(six.median, 3.5);
  EXPECT_EQ(six.low, 1);
  EXPECT_EQ(six.high, 6);
  const MedianRatio nine = MedianOfRatios({1, 2, 3, 4, 5, 6, 7, 8, 9});
  EXPECT_EQ(nine.median, 5);
  EXPECT_EQ(nine.low, 2);
  EXPECT_EQ(nine.high, 8);
  std::vector<double> twenty;
  for (int i = 1; i <= 20; ++i) twenty.push_back(i);
  EXPECT_EQ(MedianOfRatios(twenty).low, 6);
  EXPECT_EQ(MedianOfRatios(twenty).high, 15);
}

TEST(MedianOfRatios, OfFewIsCertainOfNothing) {
  EXPECT_TRUE(std::isnan(MedianOfRatios({}).median));
  const MedianRatio five = MedianOfRatios({1, 1, 1, 1, 1});
  EXPECT_EQ(five.low, 0);
  EXPECT_TRUE(std::isinf(five.high));
  EXPECT_EQ(Judge(five, 0.95, 1.05), Agreement::kUndecided);
}

TEST(MedianOfRatios, HoldsTheTrueMedianAsOftenAsItSays) {
  constexpr uint32_t seed = 20261127;
  std::mt19937 random(seed);
  std::lognormal_distribution<double> ratio(0, 0.1);
  int holds = 0;
  constexpr int trials = 4000;
  for (int trial = 0; trial < trials; ++trial) {
    std::vector<double> ratios(15);
    for (double& one : ratios) one = ratio(random);
    const MedianRatio found = MedianOfRatios(ratios);
    if (found.low <= 1 && found.high >= 1) ++holds;
  }
  EXPECT_GE(holds, trials * 0.95) << "seed " << seed;  // 96.5 % are due
}

TEST(Judge, NeedsTheWholeIntervalOnOneSide) {
  EXPECT_EQ(Judge({1, 0.96, 1.04}, 0.95, 1.05), Agreement::kAgrees);
  EXPECT_EQ(Judge({1, 0.94, 1.04}, 0.95, 1.05), Agreement::kUndecided);
  EXPECT_EQ(Judge({1.1, 1.04, 1.2}, 0.95, 1.05), Agreement::kUndecided);
  EXPECT_EQ(Judge({1.1, 1.06, 1.2}, 0.95, 1.05), Agreement::kDiffers);
  EXPECT_EQ(Judge({0.9, 0.8, 0.94}, 0.95, 1.05), Agreement::kDiffers);
}

}  // namespace
}  // namespace ipcmark::bench
