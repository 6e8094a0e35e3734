// Series whose changes are known, and how often there is an alarm where nothing changed.
#include "results/history/change_points.h"

#include <cmath>
#include <cstdlib>
#include <iostream>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ipcmark::results {
namespace {

using testing::IsEmpty;

// IPCMARK_SEED replays.
uint64_t Seed() {
  const char* given = std::getenv("IPCMARK_SEED");
  const uint64_t seed = given == nullptr ? std::random_device()() : std::strtoull(given, nullptr, 10);
  std::cout << "seed " << seed << "; replay with --test_env=IPCMARK_SEED=" << seed << "\n";
  return seed;
}

std::vector<double> Noise(size_t count, double deviation, std::mt19937_64& random) {
  std::normal_distribution<double> normal(0, deviation);
  std::vector<double> values(count);
  for (double& value : values) value = normal(random);
  return values;
}

void Raise(std::vector<double>& values, size_t from, double by) {
  for (size_t i = from; i < values.size(); ++i) values[i] += by;
}

std::vector<size_t> Indices(const std::vector<ChangePoint>& points) {
  std::vector<size_t> indices;
  indices.reserve(points.size());
  for (const ChangePoint& point : points) indices.push_back(point.index);
  return indices;
}

TEST(ChangePoints, FindsALargeStepWhereItIs) {
  std::mt19937_64 random(Seed());
  for (const size_t at : {5U, 6U, 20U, 34U, 35U}) {
    std::vector<double> values = Noise(40, 0.01, random);
    Raise(values, at, 0.5);
    const std::vector<ChangePoint> points = FindChangePoints(values, {});
    // A second one may come with the probability alpha.
    ASSERT_FALSE(points.empty()) << at;
    EXPECT_THAT(Indices(points), testing::Contains(at));
    for (const ChangePoint& point : points) EXPECT_LE(point.p_value, 0.01);
  }
}

TEST(ChangePoints, FindsAStepOfTwoDeviationsNearby) {
  std::mt19937_64 random(Seed());
  int found = 0;
  constexpr int trials = 40;
  for (int trial = 0; trial < trials; ++trial) {
    std::vector<double> values = Noise(60, 0.05, random);
    Raise(values, 30, 0.1);
    for (const size_t index : Indices(FindChangePoints(values, {}))) {
      if (index >= 26 && index <= 34) {
        ++found;
        break;
      }
    }
  }
  // About 97 % are; fewer than 80 % of 40 happens once in a million.
  EXPECT_GE(found, trials * 8 / 10);
}

TEST(ChangePoints, FindsTwoStepsAlsoWhenTheSecondTakesTheFirstBack) {
  std::mt19937_64 random(Seed());
  for (const double second : {0.4, -0.4}) {
    std::vector<double> values = Noise(60, 0.01, random);
    Raise(values, 20, 0.4);
    Raise(values, 40, second);
    EXPECT_THAT(Indices(FindChangePoints(values, {})), testing::IsSupersetOf({20U, 40U})) << second;
  }
}

TEST(ChangePoints, SeesAChangeOfTheSpreadAlone) {
  std::mt19937_64 random(Seed());
  std::vector<double> values = Noise(80, 0.01, random);
  const std::vector<double> wide = Noise(80, 0.3, random);
  values.insert(values.end(), wide.begin(), wide.end());
  EXPECT_FALSE(FindChangePoints(values, {}).empty());
}

TEST(ChangePoints, FindsNothingWhereThereIsNoSpread) {
  EXPECT_THAT(FindChangePoints({}, {}), IsEmpty());
  EXPECT_THAT(FindChangePoints({1}, {}), IsEmpty());
  EXPECT_THAT(FindChangePoints(std::vector<double>(100, 0), {}), IsEmpty());
  EXPECT_THAT(FindChangePoints(std::vector<double>(100, std::log(231.7)), {}), IsEmpty());
}

TEST(ChangePoints, NeedsASegmentOnEitherSide) {
  std::vector<double> values(9, 0);
  Raise(values, 5, 1);
  EXPECT_THAT(FindChangePoints(values, {}), IsEmpty()) << "four values after it are too few";
  ChangePointOptions options;
  options.min_segment = 2;
  options.alpha = 0.05;
  EXPECT_THAT(Indices(FindChangePoints(values, options)), testing::ElementsAre(5U));
}

TEST(ChangePoints, ADriftIsStepsUpAndNothingElse) {
  std::mt19937_64 random(Seed());
  std::vector<double> values = Noise(100, 0.01, random);
  for (size_t i = 0; i < values.size(); ++i) values[i] += 0.01 * static_cast<double>(i);
  const std::vector<ChangePoint> points = FindChangePoints(values, {});
  EXPECT_GE(points.size(), 2U);
}

TEST(ChangePoints, TheSameSeedGivesTheSameAnswer) {
  std::mt19937_64 random(Seed());
  std::vector<double> values = Noise(50, 0.05, random);
  Raise(values, 25, 0.06);
  ChangePointOptions options;
  options.alpha = 0.2;
  const std::vector<ChangePoint> once = FindChangePoints(values, options);
  const std::vector<ChangePoint> again = FindChangePoints(values, options);
  ASSERT_EQ(Indices(once), Indices(again));
  for (size_t i = 0; i < once.size(); ++i) EXPECT_EQ(once[i].p_value, again[i].p_value);
}

// The promise of the header. A permutation test keeps it exactly, whatever the noise is.
TEST(ChangePoints, FalseAlarmsAreNoMoreThanAlpha) {
  std::mt19937_64 random(Seed());
  std::cauchy_distribution<double> heavy(0, 1);
  ChangePointOptions options;
  options.alpha = 0.05;
  options.permutations = 199;
  constexpr int series = 600;
  int alarms = 0;
  for (int i = 0; i < series; ++i) {
    std::vector<double> values = Noise(30, 1, random);
    if (i % 2 == 1) {
      for (double& value : values) value = heavy(random);
    }
    options.seed = random();
    if (!FindChangePoints(values, options).empty()) ++alarms;
  }
  std::cout << alarms << " alarms in " << series << " series\n";
  // 30 are expected, with a deviation of 5.3: outside of five deviations once in a million.
  EXPECT_LE(alarms, 30 + 27);
  EXPECT_GE(alarms, 30 - 27) << "alpha is not used up: the test would be blind";
}

}  // namespace
}  // namespace ipcmark::results
