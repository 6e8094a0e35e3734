// One benchmark's sequential test: pairs come in, and at fixed looks it says whether head is slower than base.
//
//   GateRules        the limits and error rates, the same for every benchmark of a suite
//   Decision         what a look says
//   Estimate         ratio, interval, and what the test could have seen
//   SequentialTest   the pairs of one benchmark
//
// A pair is d = ln(head / base), positive when head is worse. At a look the test says
//   FAIL           when the exact signed-rank test rejects "ratio <= 1 + dead_band",
//   PASS           when it rejects "ratio >= 1 + slowdown" at pass_alpha,
//   INCONCLUSIVE   at the last look when neither holds.
// FAIL's level at a look is what the spending function of O'Brien and Fleming's type (Lan and DeMets 1983),
// 2 - 2 Phi(z(alpha / 2K) / sqrt(t)) with t = pairs / last look, has granted since the look before. The levels of all
// looks add up to alpha / K, so by Bonferroni's inequality a suite of K benchmarks without a change fails with a
// probability below alpha whatever the noise is, and by far below where the ratio is 1 and not 1 + dead_band.
#ifndef IPCMARK_RESULTS_STATISTICS_SEQUENTIAL_H_
#define IPCMARK_RESULTS_STATISTICS_SEQUENTIAL_H_

#include <cstddef>
#include <vector>

#include "results/statistics/interval.h"

namespace ipcmark::results {

struct GateRules {
  double dead_band = 0.015;
  double slowdown = 0.05;
  double alpha = 0.05;
  double pass_alpha = 0.01;
  // K: how many are tested side by side.
  size_t benchmarks = 1;
  // Ascending, at most kMaxPairs.
  std::vector<size_t> looks = {12, 20, 40, 80, 120, 200, 400};
};

// The looks below `max_pairs`, and max_pairs itself as the last.
std::vector<size_t> LooksUpTo(size_t max_pairs);

// Spent by the look after `pairs`, of all of alpha / K.
double SpentAlpha(const GateRules& rules, size_t pairs);

enum class Decision { kUndecided, kPass, kFail, kInconclusive };

struct Estimate {
  // Of head over base: the Hodges-Lehmann estimate and its exact 95 % interval.
  double ratio = 1;
  Interval interval;
  // A slowdown of this share would have been reported as a FAIL with about even odds; infinite with too few pairs.
  double smallest_visible = 0;
};

class SequentialTest {
 public:
  explicit SequentialTest(GateRules rules) : rules_(std::move(rules)) {}

  // Adds d and, if a look is due, looks. Must not be called once decided.
  Decision Add(double log_ratio);

  // No more pairs will come: one last look, which spends all that is left of alpha / K. Allowed because the levels
  // still add up to it; the reason to stop (the time is up) must not be this benchmark's result.
  Decision Finish();

  Decision decision() const { return decision_; }
  const std::vector<double>& differences() const { return differences_; }
  // Of the pairs so far, of which there must be one.
  Estimate Summarise() const;

 private:
  void Look(double level);

  GateRules rules_;
  std::vector<double> differences_;
  double spent_ = 0;
  Decision decision_ = Decision::kUndecided;
};

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_STATISTICS_SEQUENTIAL_H_
