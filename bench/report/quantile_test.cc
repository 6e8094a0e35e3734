#include "bench/report/quantile.h"

#include <numeric>
#include <vector>

#include "gtest/gtest.h"

namespace ipcmark::bench {
namespace {

// 1, 2, ..., count: the sample of rank r is r.
std::vector<int64_t> UpTo(int64_t count) {
  std::vector<int64_t> samples(count);
  std::iota(samples.begin(), samples.end(), 1);
  return samples;
}

TEST(Quantile, IsTheSampleOfRankCeilingOfQTimesN) {
  struct Row {
    int64_t count;
    double q;
    int64_t rank;
  };
  for (const Row& row :
       {Row{10, 0.5, 5}, Row{11, 0.5, 6}, Row{12, 0.5, 6}, Row{50, 0.9, 45}, Row{51, 0.9, 46}, Row{500, 0.99, 495},
        Row{501, 0.99, 496}, Row{5000, 0.999, 4995}, Row{5001, 0.999, 4996}, Row{1'000'000, 0.999, 999'000}}) {
    EXPECT_EQ(Quantile(UpTo(row.count), row.q), row.rank) << row.q << " of " << row.count;
  }
}

TEST(Quantile, IsLeftOutWithoutFiveSamplesOnTheFarSide) {
  for (const auto& [q, enough] : std::vector<std::pair<double, int64_t>>{
           {0.5, 10}, {0.9, 50}, {0.1, 50}, {0.99, 500}, {0.01, 500}, {0.999, 5000}}) {
    EXPECT_FALSE(Quantile(UpTo(enough - 1), q).has_value()) << q << " of " << enough - 1;
    EXPECT_TRUE(Quantile(UpTo(enough), q).has_value()) << q << " of " << enough;
  }
  EXPECT_FALSE(Quantile({}, 0.5).has_value());
}

TEST(Quantile, CountsSamplesOfOneEventOnce) {
  EXPECT_FALSE(Quantile(UpTo(64 * 4'999), 0.999, 64).has_value());
  EXPECT_EQ(Quantile(UpTo(64 * 5'000), 0.999, 64), 319'680);  // of all samples
}

TEST(Quantile, OfTiesIsTheTie) {
  EXPECT_EQ(Quantile(std::vector<int64_t>(100, 7), 0.5), 7);
  std::vector<int64_t> two_modes(100, 7);
  two_modes.insert(two_modes.end(), 100, 9);
  EXPECT_EQ(Quantile(two_modes, 0.5), 7);  // rank 100, the last 7: never a value that was not measured
  EXPECT_EQ(Quantile(two_modes, 0.9), 9);
}

// The definition itself: the smallest sample that at least a share of q of all samples does not exceed.
TEST(Quantile, AgreesWithTheInverseOfTheEmpiricalDistribution) {
  for (int64_t count = 1; count <= 700; ++count) {
    const std::vector<int64_t> samples = UpTo(count);
    for (const int64_t per_mille : {100, 500, 900, 990}) {
      const std::optional<int64_t> found = Quantile(samples, static_cast<double>(per_mille) / 1000);
      if (!found.has_value()) continue;
      EXPECT_GE(*found * 1000, per_mille * count);
      EXPECT_LT((*found - 1) * 1000, per_mille * count);
    }
  }
}

}  // namespace
}  // namespace ipcmark::bench
