// Expected values: scipy 1.10 (wilcoxon with mode='exact', mstats.hdquantiles, special.betainc, norm) of Debian 12.
#include "results/statistics/signed_rank.h"

#include <cmath>
#include <limits>
#include <tuple>

#include "gtest/gtest.h"
#include "results/statistics/harrell_davis.h"

namespace ipcmark::results {
namespace {

const std::vector<double> kDifferences = {0.031, -0.012, 0.045, 0.027, 0.009,  -0.004,
                                          0.052, 0.018,  0.036, 0.022, -0.021, 0.041};

TEST(SignedRank, PValuesAreThoseOfScipy) {
  for (const auto& [shift, above, below] :
       std::vector<std::tuple<double, double, double>>{{0, 0.008056640625, 0.993896484375},
                                                       {0.016, 0.28466796875, 0.74072265625},
                                                       {0.05, 0.999755859375, 0.00048828125}}) {
    EXPECT_NEAR(PValueAbove(kDifferences, shift), above, 1e-14);
    EXPECT_NEAR(PValueBelow(kDifferences, shift), below, 1e-14);
  }
}

TEST(SignedRank, TailIsExactUpToFourHundredPairs) {
  for (const auto& [pairs, w, tail] :
       std::vector<std::tuple<size_t, size_t, double>>{{12, 60, 0.054931640625},
                                                       {20, 150, 0.048653602600097656},
                                                       {40, 600, 0.0048909988272498595},
                                                       {80, 2500, 6.743501623653854e-06},
                                                       {400, 50000, 8.395850134842897e-06},
                                                       {12, 0, 1.0},
                                                       {12, 78, std::ldexp(1, -12)},
                                                       {0, 0, 1.0}}) {
    EXPECT_NEAR(SignedRankTail(pairs)[w] / tail, 1, 1e-9) << pairs << ' ' << w;
  }
  EXPECT_EQ(SignedRankTail(400).back(), std::ldexp(1, -400));
}

TEST(SignedRank, TiesCountAgainstRejecting) {
  const std::vector<double> all_equal(12, 0.02);
  EXPECT_EQ(PValueAbove(all_equal, 0.02), 1);
  EXPECT_EQ(PValueBelow(all_equal, 0.02), 1);
  EXPECT_EQ(PValueAbove(all_equal, 0.01), std::ldexp(1, -12));
  EXPECT_EQ(PValueAbove({}, 0), 1);
}

TEST(SignedRank, HodgesLehmannAndItsBoundsAreWalshAverages) {
  EXPECT_NEAR(HodgesLehmann(kDifferences), 0.02125, 1e-15);
  const Interval interval = SignedRankInterval(kDifferences);  // the 14th from both ends, as in the printed tables
  EXPECT_NEAR(interval.low, 0.005, 1e-15);
  EXPECT_NEAR(interval.high, 0.0365, 0.0006);
  EXPECT_NEAR(LowerBound(kDifferences, 0.01), 0.0005, 1e-15);  // the tenth
}

TEST(SignedRank, BoundIsWhereTheTestBeginsToReject) {
  for (const double level : {0.2, 0.05, 0.01, 0.001}) {
    const double bound = LowerBound(kDifferences, level);
    EXPECT_LE(PValueAbove(kDifferences, bound - 1e-9), level);
    EXPECT_GT(PValueAbove(kDifferences, bound + 1e-9), level);
  }
}

TEST(SignedRank, FiveDifferencesHaveNoInterval) {
  const Interval interval = SignedRankInterval({1, 2, 3, 4, 5});
  EXPECT_EQ(interval.low, -std::numeric_limits<double>::infinity());
  EXPECT_EQ(interval.high, std::numeric_limits<double>::infinity());
  EXPECT_EQ(SignedRankInterval({1, 2, 3, 4, 5, 6}).low, 1);
}

TEST(HarrellDavis, QuantilesAreThoseOfScipy) {
  const std::vector<double> values = {100, 2.5, 3.1, 4.7, 5.2, 1, 8.8, 9.1, 12, 30};
  EXPECT_NEAR(HarrellDavis(values, 0.5), 7.360520871048061, 1e-11);
  EXPECT_NEAR(HarrellDavis(values, 0.9), 70.10829707058915, 1e-10);
  EXPECT_NEAR(HarrellDavis(values, 0.25), 3.4275684091607594, 1e-11);
  EXPECT_NEAR(HarrellDavis({3, 1, 2}, 0.5), 2, 1e-14);
  EXPECT_EQ(HarrellDavis({7}, 0.5), 7);
  std::vector<double> logarithms;
  for (int i = 1; i <= 101; ++i) logarithms.push_back(std::log(i));
  EXPECT_NEAR(HarrellDavis(logarithms, 0.5), 3.926980673063928, 1e-11);
  EXPECT_NEAR(HarrellDavis(logarithms, 0.99), 4.609232517579115, 1e-11);
}

TEST(HarrellDavis, IncompleteBetaIsThatOfScipy) {
  EXPECT_NEAR(IncompleteBeta(5.5, 5.5, 0.3), 0.08782578773750406, 1e-14);
  EXPECT_NEAR(IncompleteBeta(500, 20, 0.97), 0.8444190533164069, 1e-12);
  EXPECT_NEAR(IncompleteBeta(0.5, 2, 0.01), 0.1495, 1e-14);
  EXPECT_EQ(IncompleteBeta(2, 3, 0), 0);
  EXPECT_EQ(IncompleteBeta(2, 3, 1), 1);
}

}  // namespace
}  // namespace ipcmark::results
