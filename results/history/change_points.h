// Where a series of measurements changed its level or its spread: E-divisive of Matteson and James, "A Nonparametric
// Approach for Multiple Change Point Analysis of Multivariate Data" (JASA 109, 2014), in one dimension.
//
//   ChangePointOptions   error rate, smallest segment, permutations, seed
//   ChangePoint          where, and how sure
//   FindChangePoints     all of them, in the order of the series
//
// Two parts of a series are compared by the energy distance of their values, which is zero only for equal
// distributions: no normal noise is assumed. The best split of all segments is accepted when hardly a random
// permutation of the values inside the segments splits as well, and then the parts are split in turn. The whole search
// is inside the permutation test, so `alpha` bounds the share of series without a change in which anything at all is
// reported. It holds for values that may be exchanged with each other: a drift, or runs that depend on their
// neighbours, is reported as steps.
#ifndef IPCMARK_RESULTS_HISTORY_CHANGE_POINTS_H_
#define IPCMARK_RESULTS_HISTORY_CHANGE_POINTS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ipcmark::results {

struct ChangePointOptions {
  double alpha = 0.01;
  // Values on either side of a change point, at least 2. No change is seen before so many values follow it.
  size_t min_segment = 5;
  // The smallest p-value that can come out is 1 / (permutations + 1): it must not be above alpha.
  size_t permutations = 999;
  uint64_t seed = 1;
};

struct ChangePoint {
  // Index of the first value after the change.
  size_t index = 0;
  // Of the permutation test that accepted it, when it was found.
  double p_value = 0;
};

// `values` must be finite. The same values, options and seed give the same answer on every machine. Takes time in
// proportion to permutations * values^2 for each change point.
std::vector<ChangePoint> FindChangePoints(const std::vector<double>& values, const ChangePointOptions& options);

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_HISTORY_CHANGE_POINTS_H_
