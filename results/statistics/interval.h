// Statistics of two samples of one benchmark.
//
//   Median           of a sample
//   MannWhitneyRank  which pairwise differences bound the interval
//   ShiftInterval    a distribution-free confidence interval of the shift between two samples
//
// The interval inverts the exact two-sided Mann-Whitney test (Hodges and Lehmann 1963; Hollander and Wolfe, section
// 4.3): with all pairwise differences head - base in order, it reaches from the k-th smallest to the k-th largest. It
// assumes only that both samples are independent draws from distributions of one shape that is shifted, not that they
// are normal; with ties it covers at least as often as it claims. Given logarithms, the shift is that of a ratio.
#ifndef IPCMARK_RESULTS_STATISTICS_INTERVAL_H_
#define IPCMARK_RESULTS_STATISTICS_INTERVAL_H_

#include <cstddef>
#include <optional>
#include <vector>

namespace ipcmark::results {

// Of the two-sided interval. The attained one is at least this: ranks are whole numbers.
constexpr double kConfidence = 0.95;

// Three against three cannot reach 95 %: the most extreme of their 20 orders has 1/20 on each side.
constexpr size_t kMinRepetitionsForInterval = 4;

struct Interval {
  double low = 0;
  double high = 0;
};

// The mean of the two in the middle when their number is even. `values` must not be empty.
double Median(std::vector<double> values);

// P(U = u) for u = 0 .. m * n under the null hypothesis. Costs (m * n)^2 steps.
std::vector<double> MannWhitneyProbabilities(size_t m, size_t n);

// The largest k with P(U <= k - 1) <= (1 - kConfidence) / 2, or 0 when there is none. Exact up to m * n = 2,500, the
// normal approximation beyond.
size_t MannWhitneyRank(size_t m, size_t n);

// Of head minus base. None when a side has fewer than kMinRepetitionsForInterval values. All values must be finite.
std::optional<Interval> ShiftInterval(std::vector<double> base, std::vector<double> head);

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_STATISTICS_INTERVAL_H_
