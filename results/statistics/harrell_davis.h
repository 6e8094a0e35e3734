// The Harrell-Davis quantile (1982): a weighted mean of all order statistics, the weights from a beta distribution.
// Where a sample quantile is one observed value, which a coarse clock makes equal in slice after slice, this one is
// continuous.
#ifndef IPCMARK_RESULTS_STATISTICS_HARRELL_DAVIS_H_
#define IPCMARK_RESULTS_STATISTICS_HARRELL_DAVIS_H_

#include <vector>

namespace ipcmark::results {

// `values` must not be empty; 0 < q < 1.
double HarrellDavis(std::vector<double> values, double q);

// The regularised incomplete beta function I_x(a, b): the distribution function of a beta variable. a, b > 0, x in
// 0..1.
double IncompleteBeta(double a, double b, double x);

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_STATISTICS_HARRELL_DAVIS_H_
