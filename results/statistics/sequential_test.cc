#include "results/statistics/sequential.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <tuple>
#include <utility>

#include "gtest/gtest.h"
#include "results/statistics/noise_for_test.h"

namespace ipcmark::results {
namespace {

// scipy: 2 * norm.sf(norm.isf(a / 2) / sqrt(n / 400)), a = 0.05 and 0.05 / 30.
TEST(Spending, IsThatOfOBrienAndFleming) {
  GateRules rules;
  for (const auto& [pairs, one, thirty] :
       std::vector<std::tuple<size_t, double, double>>{{20, 1.864033326095568e-18, 6.659641772248217e-45},
                                                       {80, 1.172644684252109e-05, 2.0630623646549724e-12},
                                                       {120, 0.00034571958016904234, 9.46226657848089e-09},
                                                       {200, 0.005574596680784402, 8.737836358829553e-06},
                                                       {400, 0.05, 0.05 / 30}}) {
    rules.benchmarks = 1;
    EXPECT_NEAR(SpentAlpha(rules, pairs) / one, 1, 1e-9) << pairs;
    rules.benchmarks = 30;
    EXPECT_NEAR(SpentAlpha(rules, pairs) / thirty, 1, 1e-9) << pairs;
  }
}

TEST(Looks, EndAtTheLastPair) {
  EXPECT_EQ(LooksUpTo(400), GateRules().looks);
  EXPECT_EQ(LooksUpTo(100), (std::vector<size_t>{12, 20, 40, 80, 100}));
  EXPECT_EQ(LooksUpTo(5), (std::vector<size_t>{5}));
}

Decision Feed(SequentialTest& test, double change, size_t pairs) {
  for (size_t i = 0; i < pairs && test.decision() == Decision::kUndecided; ++i) {
    test.Add(change + (static_cast<double>(i % 7) - 3) * 0.0011);
  }
  return test.decision();
}

TEST(SequentialTest, PassesAtTheFirstLookWhenNothingChanged) {
  SequentialTest test((GateRules()));
  EXPECT_EQ(Feed(test, 0, 11), Decision::kUndecided);
  EXPECT_EQ(Feed(test, 0, 1), Decision::kPass);
}

TEST(SequentialTest, FailsOnceTheSpentAlphaAllows) {
  SequentialTest test((GateRules()));
  EXPECT_EQ(Feed(test, 0.5, 400), Decision::kFail);
  EXPECT_EQ(test.differences().size(), 40U) << "2^-12 and 2^-20 are more than the first two looks may spend";
  EXPECT_NEAR(test.Summarise().ratio, std::exp(0.5), 0.001);
}

TEST(SequentialTest, AChangeBetweenTheLimitsIsAFailOnlyBeyondTheDeadBand) {
  SequentialTest in_band((GateRules()));
  EXPECT_EQ(Feed(in_band, 0.01, 400), Decision::kPass);
  SequentialTest faster((GateRules()));
  EXPECT_EQ(Feed(faster, -0.5, 400), Decision::kPass);
}

TEST(SequentialTest, TheLastLookSpendsAllThatIsLeft) {
  GateRules rules;
  rules.benchmarks = 30;
  SequentialTest test(rules);
  EXPECT_EQ(Feed(test, 0.2, 15), Decision::kUndecided);
  EXPECT_EQ(test.Finish(), Decision::kFail);
  SequentialTest too_few(rules);
  Feed(too_few, 0.2, 5);
  EXPECT_EQ(too_few.Finish(), Decision::kInconclusive);
  SequentialTest none(rules);
  EXPECT_EQ(none.Finish(), Decision::kInconclusive);
}

TEST(SequentialTest, SmallestVisibleChangeWouldHaveFailedIt) {
  SequentialTest test((GateRules()));
  Feed(test, 0, 12);
  const Estimate estimate = test.Summarise();
  for (const auto& [factor, decision] : {std::pair(1.02, Decision::kFail), std::pair(0.98, Decision::kInconclusive)}) {
    GateRules rules;
    rules.looks = {400};
    rules.pass_alpha = 0;
    SequentialTest shifted(rules);
    const double shift = std::log1p(estimate.smallest_visible * factor) - std::log(estimate.ratio);
    for (const double d : test.differences()) shifted.Add(d + shift);
    EXPECT_EQ(shifted.Finish(), decision) << factor;
  }
}

struct Suites {
  int alarms = 0;
  int caught = 0;
  int passed = 0;
  double pairs = 0;
};

// Five minutes of two slices of 100 ms each, and what it takes to start them.
constexpr int kFiveMinutes = 1300;
constexpr int kUnbounded = 1'000'000;

// Suites of 30 benchmarks of which one has changed, in blocks of one pair of every undecided benchmark.
Suites Simulate(const Noise& noise, double change, int count, int max_suite_pairs, uint64_t seed) {
  constexpr size_t benchmarks = 30;
  GateRules rules;
  rules.benchmarks = benchmarks;
  Suites suites;
  for (int suite = 0; suite < count; ++suite) {
    std::vector<SequentialTest> tests(benchmarks, SequentialTest(rules));
    std::vector<NoisyMachine> machines;
    for (size_t i = 0; i < benchmarks; ++i) {
      machines.emplace_back(noise, (seed * 1'000'003 + static_cast<uint64_t>(suite)) * benchmarks + i);
    }
    int pairs = 0;
    bool undecided = true;
    while (undecided && pairs < max_suite_pairs) {
      undecided = false;
      for (size_t i = 0; i < benchmarks; ++i) {
        if (tests[i].decision() != Decision::kUndecided) continue;
        tests[i].Add(machines[i].Pair(i == 0 ? change : 0));
        undecided = undecided || tests[i].decision() == Decision::kUndecided;
        ++pairs;
      }
    }
    for (SequentialTest& test : tests) test.Finish();
    const bool alarm = std::any_of(tests.begin() + 1, tests.end(),
                                   [](const SequentialTest& test) { return test.decision() == Decision::kFail; });
    suites.alarms += alarm ? 1 : 0;
    suites.caught += tests[0].decision() == Decision::kFail ? 1 : 0;
    suites.passed += tests[0].decision() == Decision::kPass ? 1 : 0;
    suites.pairs += pairs;
  }
  return suites;
}

// The goal: at most 1 % of the suites.
TEST(Simulation, SuitesWithoutAChangeRaiseNoAlarm) {
  for (const Noise& noise : {kQuiet, kShared, kHarsh}) {
    constexpr int count = 2000;
    const Suites suites = Simulate(noise, 0, count, kFiveMinutes, 7);
    const int alarms = suites.alarms + suites.caught;
    std::cout << noise.name << ": " << alarms << " of " << count << " suites raise an alarm, " << suites.pairs / count
              << " pairs a suite\n";
    EXPECT_LE(alarms, count / 100) << noise.name;
  }
}

TEST(Simulation, SlowdownsAreCaught) {
  constexpr int count = 1000;
  for (const auto& [noise, slowdown, least] :
       {std::tuple(kQuiet, 0.05, 0.95), std::tuple(kQuiet, 0.10, 0.99), std::tuple(kShared, 0.05, 0.5),
        std::tuple(kShared, 0.10, 0.95), std::tuple(kHarsh, 0.05, 0.05), std::tuple(kHarsh, 0.10, 0.7)}) {
    const Suites suites = Simulate(noise, std::log1p(slowdown), count, kFiveMinutes, 11);
    std::cout << noise.name << ", " << slowdown * 100 << " %: caught " << suites.caught << " of " << count
              << ", passed " << suites.passed << ", false alarms " << suites.alarms << ", " << suites.pairs / count
              << " pairs a suite\n";
    EXPECT_GE(suites.caught, least * count) << noise.name;
    // What time does not suffice for is inconclusive, not a pass.
    EXPECT_LE(suites.passed, 0.06 * count) << noise.name;
    EXPECT_LE(suites.alarms, count / 100) << noise.name;
  }
}

TEST(Simulation, GivenTimeAFivePercentSlowdownIsCaughtUnderHarshNoiseToo) {
  constexpr int count = 200;
  const Suites suites = Simulate(kHarsh, std::log1p(0.05), count, kUnbounded, 17);
  std::cout << "harsh, unbounded: caught " << suites.caught << " of " << count << ", passed " << suites.passed << ", "
            << suites.pairs / count << " pairs a suite\n";
  EXPECT_GE(suites.caught, 0.8 * count);
}

// At the edge of the dead band itself, where the levels are what holds: the suite may fail in 5 % at most.
TEST(Simulation, ASuiteAtTheEdgeOfTheDeadBandFailsAtMostAsOftenAsItClaims) {
  constexpr int count = 3000;
  const Suites suites = Simulate(kQuiet, std::log1p(GateRules().dead_band), count, kFiveMinutes, 13);
  EXPECT_LE(suites.caught, count / 100) << "one of 30 benchmarks has 1/30 of 5 %";
}

}  // namespace
}  // namespace ipcmark::results
