#include "results/statistics/signed_rank.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

namespace ipcmark::results {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<double> Probabilities(size_t pairs) {
  // Rank k is in W or not, with probability one half each: a sum of positive terms, so nothing cancels.
  std::vector<double> probabilities(pairs * (pairs + 1) / 2 + 1, 0.0);
  probabilities[0] = 1;
  size_t largest = 0;
  for (size_t rank = 1; rank <= pairs; ++rank) {
    largest += rank;
    for (size_t w = largest + 1; w-- > 0;) {
      probabilities[w] = (probabilities[w] + (w >= rank ? probabilities[w - rank] : 0)) / 2;
    }
  }
  return probabilities;
}

std::vector<double> SortedWithout(const std::vector<double>& differences, double shift, double sign) {
  std::vector<double> rest;
  rest.reserve(differences.size());
  for (const double d : differences) rest.push_back(sign * (d - shift));
  std::sort(rest.begin(), rest.end());
  return rest;
}

// How many Walsh averages of sorted values are above zero; the border moves one way only.
size_t CountPositive(const std::vector<double>& sorted) {
  size_t count = 0;
  size_t first = sorted.size();  // the smallest partner that makes the sum positive
  for (size_t i = 0; i < sorted.size(); ++i) {
    while (first > 0 && sorted[i] + sorted[first - 1] > 0) --first;
    count += sorted.size() - std::max(first, i);
  }
  return count;
}

std::vector<double> WalshAverages(const std::vector<double>& differences) {
  std::vector<double> averages;
  averages.reserve(differences.size() * (differences.size() + 1) / 2);
  for (size_t i = 0; i < differences.size(); ++i) {
    for (size_t j = i; j < differences.size(); ++j) averages.push_back((differences[i] + differences[j]) / 2);
  }
  return averages;
}

// The largest k with P(W <= k - 1) <= level, or 0.
size_t RankOf(size_t pairs, double level) {
  const std::vector<double>& tail = SignedRankTail(pairs);
  size_t rank = 0;
  while (rank < tail.size() && tail[tail.size() - 1 - rank] <= level) ++rank;
  return rank;
}

}  // namespace

const std::vector<double>& SignedRankTail(size_t pairs) {
  static auto* const cache = new std::map<size_t, std::vector<double>>();
  std::vector<double>& tail = (*cache)[pairs];
  if (tail.empty()) {
    tail = Probabilities(pairs);
    for (size_t w = tail.size() - 1; w-- > 0;) tail[w] += tail[w + 1];
  }
  return tail;
}

double PValueAbove(const std::vector<double>& differences, double shift) {
  return SignedRankTail(differences.size())[CountPositive(SortedWithout(differences, shift, 1))];
}

double PValueBelow(const std::vector<double>& differences, double shift) {
  return SignedRankTail(differences.size())[CountPositive(SortedWithout(differences, shift, -1))];
}

double HodgesLehmann(const std::vector<double>& differences) { return Median(WalshAverages(differences)); }

double LowerBound(const std::vector<double>& differences, double level) {
  const size_t rank = RankOf(differences.size(), level);
  std::vector<double> averages = WalshAverages(differences);
  if (rank == 0 || averages.empty()) return -kInfinity;
  const auto bound = averages.begin() + static_cast<std::ptrdiff_t>(std::min(rank, averages.size()) - 1);
  std::nth_element(averages.begin(), bound, averages.end());
  return *bound;
}

Interval SignedRankInterval(const std::vector<double>& differences) {
  constexpr double level = (1 - kConfidence) / 2;
  std::vector<double> negated = differences;
  for (double& d : negated) d = -d;
  return {LowerBound(differences, level), -LowerBound(negated, level)};
}

}  // namespace ipcmark::results
