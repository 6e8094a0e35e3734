#ifndef IPCMARK_BENCH_VALIDATION_AGREEMENT_H_
#define IPCMARK_BENCH_VALIDATION_AGREEMENT_H_

// Whether two ways of measuring the same work agree: the median of the ratios of interleaved pairs, its confidence
// interval, and what that says about a limit.

#include <cstdint>
#include <vector>

namespace ipcmark::bench {

// The interval holds the true median of a continuous distribution in at least 95 %: the order statistics that the
// binomial distribution gives. From 0 to infinity below six ratios, of which no two do.
struct MedianRatio {
  double median;
  double low;
  double high;
};
MedianRatio MedianOfRatios(std::vector<double> ratios);

enum class Agreement : uint8_t {
  kAgrees,     // the whole interval lies between the limits
  kDiffers,    // the whole interval lies beyond one
  kUndecided,  // neither
};
Agreement Judge(const MedianRatio& ratio, double lowest, double highest);

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_VALIDATION_AGREEMENT_H_
