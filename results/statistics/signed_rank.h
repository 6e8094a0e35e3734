// The exact Wilcoxon signed-rank test of paired differences, and the estimate that belongs to it.
//
//   SignedRankTail   P(W >= w) under the null hypothesis, exactly
//   PValueAbove      one-sided: are the differences larger than `shift`?
//   PValueBelow      one-sided: are they smaller?
//   HodgesLehmann    the median of all Walsh averages (means of two differences, each also with itself)
//   LowerBound, SignedRankInterval   bounds of the shift that invert the test
//
// W is counted as the number of Walsh averages beyond the shift, which equals the sum of the ranks when there are no
// ties. It assumes only that the differences are independent and symmetric about their shift, which the random order
// within each pair provides when nothing has changed. Ties and differences of exactly `shift` count against rejecting,
// so that the error is at most what is claimed.
#ifndef IPCMARK_RESULTS_STATISTICS_SIGNED_RANK_H_
#define IPCMARK_RESULTS_STATISTICS_SIGNED_RANK_H_

#include <cstddef>
#include <vector>

#include "results/statistics/interval.h"

namespace ipcmark::results {

// 2^-1000 still is a double.
constexpr size_t kMaxPairs = 1000;

// Index w = 0 .. pairs * (pairs + 1) / 2; cached, for 400 pairs it costs 20 ms once. `pairs` is at most kMaxPairs. Not
// to be called by two threads at once.
const std::vector<double>& SignedRankTail(size_t pairs);

// Small when the differences lie above `shift`. 1 for no differences.
double PValueAbove(const std::vector<double>& differences, double shift);
double PValueBelow(const std::vector<double>& differences, double shift);

// `differences` must not be empty.
double HodgesLehmann(const std::vector<double>& differences);

// What the shift exceeds with confidence 1 - level: PValueAbove(differences, x) <= level for every x below it. Minus
// infinity when there are too few differences.
double LowerBound(const std::vector<double>& differences, double level);

// Two-sided, kConfidence; infinite where there are too few differences (less than six).
Interval SignedRankInterval(const std::vector<double>& differences);

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_STATISTICS_SIGNED_RANK_H_
