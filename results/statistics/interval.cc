#include "results/statistics/interval.h"

#include <algorithm>
#include <cmath>

namespace ipcmark::results {
namespace {

constexpr size_t kMaxExactPairs = 2500;
constexpr double kNormalQuantile = 1.959963984540054;  // of 0.975

// How many of the differences head - base are at most `limit`. Both are sorted, so the border moves one way only.
size_t CountAtMost(const std::vector<double>& base, const std::vector<double>& head, double limit) {
  size_t count = 0;
  size_t below = 0;  // of head, for the present value of base
  for (const double b : base) {
    while (below < head.size() && head[below] - b <= limit) ++below;
    count += below;
  }
  return count;
}

// The k-th smallest difference (k from 1), by bisection over the doubles: thousands of repetitions would make millions
// of differences, which need not be stored. Exact: it ends when no double lies between the borders.
double KthDifference(const std::vector<double>& base, const std::vector<double>& head, size_t k) {
  double high = head.back() - base.front();
  double low = head.front() - base.back();
  if (CountAtMost(base, head, low) >= k) return low;
  // Invariant: fewer than k differences are <= low, at least k are <= high.
  while (true) {
    const double middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) return high;
    (CountAtMost(base, head, middle) >= k ? high : low) = middle;
  }
}

}  // namespace

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  const double lower = *std::max_element(values.begin(), middle);
  return lower + (*middle - lower) / 2;
}

std::vector<double> MannWhitneyProbabilities(size_t m, size_t n) {
  // P(i, j, u) = i / (i + j) P(i - 1, j, u - j) + j / (i + j) P(i, j - 1, u): the largest of all is of the first sample
  // (and exceeds j others) or of the second. Only sums of positive terms, so nothing cancels.
  std::vector<std::vector<double>> previous(n + 1, std::vector<double>{1.0});  // i = 0: U is 0
  for (size_t i = 1; i <= m; ++i) {
    std::vector<std::vector<double>> current(n + 1);
    current[0] = {1.0};
    for (size_t j = 1; j <= n; ++j) {
      current[j].assign(i * j + 1, 0.0);
      const double share = static_cast<double>(i) / static_cast<double>(i + j);
      for (size_t u = 0; u < previous[j].size(); ++u) current[j][u + j] += share * previous[j][u];
      for (size_t u = 0; u < current[j - 1].size(); ++u) current[j][u] += (1 - share) * current[j - 1][u];
    }
    previous = std::move(current);
  }
  return previous[n];
}

size_t MannWhitneyRank(size_t m, size_t n) {
  if (m == 0 || n == 0) return 0;
  const auto pairs = static_cast<double>(m) * static_cast<double>(n);
  if (pairs > kMaxExactPairs) {
    const double deviation = std::sqrt(pairs * static_cast<double>(m + n + 1) / 12);
    // The floor errs to the wide side.
    return static_cast<size_t>(std::max(0.0, std::floor(pairs / 2 - kNormalQuantile * deviation)));
  }
  constexpr double tail = (1 - kConfidence) / 2;
  size_t rank = 0;
  double cumulative = 0;
  for (const double probability : MannWhitneyProbabilities(m, n)) {
    cumulative += probability;
    if (cumulative > tail) break;
    ++rank;
  }
  return rank;
}

std::optional<Interval> ShiftInterval(std::vector<double> base, std::vector<double> head) {
  if (base.size() < kMinRepetitionsForInterval || head.size() < kMinRepetitionsForInterval) return std::nullopt;
  const size_t rank = MannWhitneyRank(base.size(), head.size());
  if (rank == 0) return std::nullopt;
  std::sort(base.begin(), base.end());
  std::sort(head.begin(), head.end());
  const size_t pairs = base.size() * head.size();
  return Interval{KthDifference(base, head, rank), KthDifference(base, head, pairs + 1 - rank)};
}

}  // namespace ipcmark::results
