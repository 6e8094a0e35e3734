#ifndef IPCMARK_BENCH_REPORT_QUANTILE_H_
#define IPCMARK_BENCH_REPORT_QUANTILE_H_

// Exact quantiles of raw samples.

#include <cstdint>
#include <optional>
#include <span>

namespace ipcmark::bench {

// A quantile needs this many samples on its far side: with fewer it would be one sample's luck.
inline constexpr double kSamplesBeyond = 5;

// The sample of rank ceil(q * n) of the ascending `sorted` (the inverse of the empirical distribution function); empty
// unless kSamplesBeyond samples can be expected on either side of it. 0 < q < 1. Where `of_one_event` samples each tell
// of the same event (one message that many receive), they count as one.
std::optional<int64_t> Quantile(std::span<const int64_t> sorted, double q, uint64_t of_one_event = 1);

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_REPORT_QUANTILE_H_
