#include "bench/report/drift.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace ipcmark::bench {
namespace {

double MedianOf(std::vector<int64_t> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return static_cast<double>(*middle);
}

double MedianOfPart(const std::vector<int64_t>& samples, size_t part, size_t parts) {
  const auto at = [&](size_t i) { return samples.begin() + static_cast<std::ptrdiff_t>(samples.size() * i / parts); };
  return MedianOf({at(part), at(part + 1)});
}

// Element i: the probability that a random order of `n` values has i inversions (the Mahonian numbers over n!).
std::vector<double> InversionProbabilities(size_t n) {
  std::vector<double> probabilities = {1};
  for (size_t size = 2; size <= n; ++size) {
    std::vector<double> next(probabilities.size() + size - 1, 0);
    for (size_t i = 0; i < probabilities.size(); ++i) {
      for (size_t more = 0; more < size; ++more) next[i + more] += probabilities[i] / static_cast<double>(size);
    }
    probabilities = std::move(next);
  }
  return probabilities;
}

}  // namespace

double MannKendallP(const std::vector<double>& values) {
  int score = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    for (size_t j = i + 1; j < values.size(); ++j) score += (values[j] > values[i]) - (values[j] < values[i]);
  }
  const std::vector<double> probabilities = InversionProbabilities(values.size());
  const int pairs = static_cast<int>(probabilities.size()) - 1;
  double p = 0;
  for (int inversions = 0; inversions <= pairs; ++inversions) {
    if (std::abs(pairs - 2 * inversions) >= std::abs(score)) p += probabilities[inversions];
  }
  return std::min(1.0, p);
}

std::optional<double> DriftOf(const std::vector<int64_t>& samples_in_order) {
  if (samples_in_order.size() < size_t{kDriftBlocks} * kDriftBlockSamples) return std::nullopt;
  std::vector<double> blocks;
  for (size_t i = 0; i < kDriftBlocks; ++i) blocks.push_back(MedianOfPart(samples_in_order, i, kDriftBlocks));
  if (MannKendallP(blocks) > kDriftAlpha) return 0;
  const double first = MedianOfPart(samples_in_order, 0, 3);
  const double last = MedianOfPart(samples_in_order, 2, 3);
  const bool matters = std::max(first, last) > (1 + kDriftBand) * std::min(first, last);
  return matters && first > 0 ? last / first - 1 : 0;
}

}  // namespace ipcmark::bench
