#include "bench/validation/agreement.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ipcmark::bench {

MedianRatio MedianOfRatios(std::vector<double> ratios) {
  if (ratios.empty()) return {NAN, 0, std::numeric_limits<double>::infinity()};
  std::sort(ratios.begin(), ratios.end());
  const size_t n = ratios.size();
  const double median = n % 2 == 1 ? ratios[n / 2] : (ratios[n / 2 - 1] + ratios[n / 2]) / 2;
  // The k-th smallest and the k-th largest miss the median when fewer than k fall on one of its sides.
  double probability = std::pow(0.5, static_cast<double>(n));
  double below = probability;
  size_t k = 0;
  while (2 * below <= 0.05) {
    ++k;
    probability *= static_cast<double>(n - k + 1) / static_cast<double>(k);
    below += probability;
  }
  if (k == 0) return {median, 0, std::numeric_limits<double>::infinity()};
  return {median, ratios[k - 1], ratios[n - k]};
}

Agreement Judge(const MedianRatio& ratio, double lowest, double highest) {
  if (ratio.low >= lowest && ratio.high <= highest) return Agreement::kAgrees;
  if (ratio.high < lowest || ratio.low > highest) return Agreement::kDiffers;
  return Agreement::kUndecided;
}

}  // namespace ipcmark::bench
