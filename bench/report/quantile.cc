#include "bench/report/quantile.h"

#include <algorithm>
#include <cmath>

namespace ipcmark::bench {

std::optional<int64_t> Quantile(std::span<const int64_t> sorted, double q, uint64_t of_one_event) {
  const auto count = static_cast<double>(sorted.size());
  // A hair of tolerance: 1 - 0.999 is a little less than 0.001 in binary, and 5,000 samples do suffice.
  const double events = count / static_cast<double>(of_one_event);
  if (events * std::min(q, 1 - q) < kSamplesBeyond - 1e-6) return std::nullopt;
  // The same hair: 0.9 * 10 must have rank 9, also where the product is 9.000000000000002.
  const auto rank = static_cast<size_t>(std::ceil(q * count - 1e-9));
  return sorted[std::clamp<size_t>(rank, 1, sorted.size()) - 1];
}

}  // namespace ipcmark::bench
