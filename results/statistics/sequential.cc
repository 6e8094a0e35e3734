#include "results/statistics/sequential.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "results/statistics/signed_rank.h"

namespace ipcmark::results {
namespace {

double NormalTail(double z) { return std::erfc(z / std::sqrt(2.0)) / 2; }

// The z with NormalTail(z) = share, for shares below one half: bisection, the tail falls steadily.
double NormalQuantile(double share) {
  constexpr double largest = 38;  // beyond it the tail is no double any more
  double low = 0;
  double high = largest;
  for (double middle = high / 2; middle > low && middle < high; middle = low + (high - low) / 2) {
    (NormalTail(middle) > share ? low : high) = middle;
  }
  return high;
}

double Granted(const GateRules& rules) {
  return rules.alpha / static_cast<double>(std::max<size_t>(1, rules.benchmarks));
}

}  // namespace

std::vector<size_t> LooksUpTo(size_t max_pairs) {
  std::vector<size_t> looks = GateRules().looks;
  looks.erase(std::lower_bound(looks.begin(), looks.end(), max_pairs), looks.end());
  looks.push_back(max_pairs);
  return looks;
}

double SpentAlpha(const GateRules& rules, size_t pairs) {
  if (pairs >= rules.looks.back()) return Granted(rules);
  const double share = static_cast<double>(pairs) / static_cast<double>(rules.looks.back());
  return 2 * NormalTail(NormalQuantile(Granted(rules) / 2) / std::sqrt(share));
}

Decision SequentialTest::Add(double log_ratio) {
  differences_.push_back(log_ratio);
  const size_t pairs = differences_.size();
  if (!std::binary_search(rules_.looks.begin(), rules_.looks.end(), pairs)) return decision_;
  const double spent = SpentAlpha(rules_, pairs);
  Look(spent - spent_);
  spent_ = spent;
  if (decision_ == Decision::kUndecided && pairs >= rules_.looks.back()) decision_ = Decision::kInconclusive;
  return decision_;
}

Decision SequentialTest::Finish() {
  if (decision_ != Decision::kUndecided) return decision_;
  Look(Granted(rules_) - spent_);
  if (decision_ == Decision::kUndecided) decision_ = Decision::kInconclusive;
  return decision_;
}

void SequentialTest::Look(double level) {
  if (differences_.empty()) return;
  if (PValueAbove(differences_, std::log1p(rules_.dead_band)) <= level) {
    decision_ = Decision::kFail;
  } else if (PValueBelow(differences_, std::log1p(rules_.slowdown)) <= rules_.pass_alpha) {
    decision_ = Decision::kPass;
  }
}

Estimate SequentialTest::Summarise() const {
  const double estimate = HodgesLehmann(differences_);
  const Interval interval = SignedRankInterval(differences_);
  const double reach = estimate - LowerBound(differences_, Granted(rules_));
  return {std::exp(estimate),
          {std::exp(interval.low), std::exp(interval.high)},
          std::expm1(std::log1p(rules_.dead_band) + reach)};
}

}  // namespace ipcmark::results
