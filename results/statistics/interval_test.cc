#include "results/statistics/interval.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <tuple>

#include "gtest/gtest.h"

namespace ipcmark::results {
namespace {

TEST(Median, IsTheMiddleOrTheMeanOfTheTwoInTheMiddle) {
  EXPECT_EQ(Median({3}), 3);
  EXPECT_EQ(Median({9, 1, 3}), 3);
  EXPECT_EQ(Median({4, 1, 3, 100}), 3.5);
}

// Every order of m + n values, counted one by one.
TEST(MannWhitney, ProbabilitiesEqualACountOfAllOrders) {
  for (size_t m = 1; m <= 6; ++m) {
    for (size_t n = 1; n <= 6; ++n) {
      std::vector<int> is_head(m, 0);
      is_head.resize(m + n, 1);
      std::vector<double> counts(m * n + 1, 0.0);
      double orders = 0;
      do {
        size_t u = 0;
        size_t heads = 0;
        for (const int head : is_head) (head == 1 ? heads : u) += head == 1 ? 1 : heads;
        ++counts[u];
        ++orders;
      } while (std::next_permutation(is_head.begin(), is_head.end()));
      const std::vector<double> probabilities = MannWhitneyProbabilities(m, n);
      ASSERT_EQ(probabilities.size(), counts.size());
      for (size_t u = 0; u < counts.size(); ++u)
        EXPECT_NEAR(probabilities[u], counts[u] / orders, 1e-14) << m << ' ' << n;
    }
  }
}

// Critical values of the printed tables (two-sided, 5 %); the rank is one more, and 0 where the table has a dash.
TEST(MannWhitney, RankIsOneAboveTheCriticalValueOfTheTables) {
  for (const auto& [m, n, rank] : std::vector<std::tuple<size_t, size_t, size_t>>{{0, 9, 0},
                                                                                  {3, 3, 0},
                                                                                  {3, 4, 0},
                                                                                  {4, 4, 1},
                                                                                  {4, 5, 2},
                                                                                  {5, 5, 3},
                                                                                  {6, 6, 6},
                                                                                  {4, 10, 6},
                                                                                  {8, 8, 14},
                                                                                  {9, 9, 18},
                                                                                  {10, 10, 24},
                                                                                  {15, 15, 65},
                                                                                  {20, 20, 128}}) {
    EXPECT_EQ(MannWhitneyRank(m, n), rank) << m << " against " << n;
    EXPECT_EQ(MannWhitneyRank(n, m), rank) << n << " against " << m;
  }
}

TEST(MannWhitney, RankIsContinuousWhereTheApproximationTakesOver) {
  EXPECT_LE(MannWhitneyRank(50, 50), MannWhitneyRank(50, 51));
  EXPECT_LE(MannWhitneyRank(50, 51), MannWhitneyRank(50, 50) + 26);
  EXPECT_GT(MannWhitneyRank(4, 1'000'000), 0U);
}

TEST(ShiftInterval, NeedsFourValuesOnBothSides) {
  EXPECT_FALSE(ShiftInterval({1, 2, 3}, {1, 2, 3, 4, 5, 6}).has_value());
  EXPECT_FALSE(ShiftInterval({}, {}).has_value());
  EXPECT_TRUE(ShiftInterval({1, 2, 3, 4}, {1, 2, 3, 4}).has_value());
}

TEST(ShiftInterval, OfFourAndFourReachesFromTheSmallestToTheLargestDifference) {
  const Interval interval = ShiftInterval({4, 1, 3, 2}, {13, 11, 12, 17}).value();
  EXPECT_EQ(interval.low, 7);
  EXPECT_EQ(interval.high, 16);
}

TEST(ShiftInterval, OfEqualConstantsIsAPoint) {
  const Interval interval = ShiftInterval({2, 2, 2, 2, 2}, {2, 2, 2, 2, 2}).value();
  EXPECT_EQ(interval.low, 0);
  EXPECT_EQ(interval.high, 0);
}

TEST(ShiftInterval, EndsAreTheSortedDifferencesOfThatRank) {
  constexpr unsigned seed = 7;
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  for (size_t round = 0; round < 100; ++round) {
    std::vector<double> base(4 + random() % 20);
    std::vector<double> head(4 + random() % 20);
    // Rounded, so that there are ties.
    for (double& b : base) b = std::round(normal(random) * 4) / 4;
    for (double& h : head) h = std::round(normal(random) * 4) / 4 + 0.3;
    std::vector<double> differences;
    for (const double b : base) {
      for (const double h : head) differences.push_back(h - b);
    }
    std::sort(differences.begin(), differences.end());
    const size_t rank = MannWhitneyRank(base.size(), head.size());
    const Interval interval = ShiftInterval(base, head).value();
    ASSERT_EQ(interval.low, differences[rank - 1]) << "seed " << seed << " round " << round;
    ASSERT_EQ(interval.high, differences[differences.size() - rank]) << "seed " << seed << " round " << round;
  }
}

// Six against six attains 95.9 % exactly; 4,000 draws put the observed share within 1.3 % of that.
TEST(ShiftInterval, CoversTheTrueShiftAsOftenAsItClaims) {
  constexpr unsigned seed = 20261123;
  constexpr double shift = 0.2;
  constexpr int draws = 4000;
  std::mt19937_64 random(seed);
  std::exponential_distribution<double> skewed;
  int covered = 0;
  for (int draw = 0; draw < draws; ++draw) {
    std::vector<double> base(6);
    std::vector<double> head(6);
    for (double& b : base) b = skewed(random);
    for (double& h : head) h = skewed(random) + shift;
    const Interval interval = ShiftInterval(base, head).value();
    if (interval.low <= shift && shift <= interval.high) ++covered;
  }
  EXPECT_NEAR(covered / static_cast<double>(draws), 0.9589, 0.013) << "seed " << seed;
}

TEST(ShiftInterval, OfAHundredThousandRepetitionsNeedsNoHugeMemory) {
  std::vector<double> values(100'000);
  std::iota(values.begin(), values.end(), 0.0);
  const Interval interval = ShiftInterval(values, values).value();
  EXPECT_LT(interval.low, 0);
  EXPECT_EQ(interval.low, -interval.high);
}

}  // namespace
}  // namespace ipcmark::results
