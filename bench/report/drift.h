#ifndef IPCMARK_BENCH_REPORT_DRIFT_H_
#define IPCMARK_BENCH_REPORT_DRIFT_H_

// Whether a run was in a steady state: a test for a trend over its samples in the order in which they were taken. A run
// that drifts is flagged, never hidden or cut: its quantiles are of what happened.
//
// The samples are cut into kDriftBlocks blocks, whose medians (outliers do not count, neighbours may depend on each
// other) go into a Mann-Kendall test with its exact null distribution. Where the blocks are exchangeable it raises a
// false alarm in at most kDriftAlpha of all runs; on top of that the last third must differ from the first by
// kDriftBand, since a machine that wanders a little is significant soon and matters late.

#include <cstdint>
#include <optional>
#include <vector>

namespace ipcmark::bench {

inline constexpr int kDriftBlocks = 24;
inline constexpr int kDriftBlockSamples = 8;  // at least, or nothing is said
inline constexpr double kDriftAlpha = 0.001;
inline constexpr double kDriftBand = 0.1;

// Two-sided: the probability that so many pairs (or more) agree on a direction when every order is equally likely. Ties
// speak for no direction, which makes it larger, never smaller than it is.
double MannKendallP(const std::vector<double>& values);

// The last third's median over the first third's, less 1 (0.25: it took a quarter longer); 0 for a run without a drift;
// nothing for one with too few samples to say.
std::optional<double> DriftOf(const std::vector<int64_t>& samples_in_order);

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_REPORT_DRIFT_H_
