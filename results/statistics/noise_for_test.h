// A machine that does not exist: pairs of slices with the noise that docs and field notes describe for a shared virtual
// machine. Seeded, so that a run can be repeated.
//
// The logarithm of a slice's time is its benchmark's constant, plus
//   drift      a random walk that both slices of a pair see, except for the step between them,
//   a mode     a second placement of the machine, some percent slower, that comes and goes and sometimes changes
//   between
//              the two slices of a pair,
//   noise      normal, independent from slice to slice,
//   outliers   now and then a slice is slower by a random factor.
#ifndef IPCMARK_RESULTS_STATISTICS_NOISE_FOR_TEST_H_
#define IPCMARK_RESULTS_STATISTICS_NOISE_FOR_TEST_H_

#include <cmath>
#include <cstdint>
#include <random>

namespace ipcmark::results {

struct Noise {
  const char* name;
  double slice_deviation;  // of the logarithm
  double drift_step;       // standard deviation of a step of the random walk
  double mode_slowdown;    // of the logarithm
  double mode_change;      // probability between two slices
  double outlier_share;    // of the slices
  double outlier_scale;    // mean of an outlier's logarithm, exponential
};

// Pair noise of 2.5 % (spinning), 8 to 11 % (pipe, socket, futex), and worse.
constexpr Noise kQuiet = {"quiet", 0.018, 0.002, 0.15, 0.005, 0.01, 0.2};
constexpr Noise kShared = {"shared", 0.05, 0.005, 0.30, 0.02, 0.03, 0.4};
constexpr Noise kHarsh = {"harsh", 0.075, 0.01, 0.50, 0.04, 0.06, 0.7};

class NoisyMachine {
 public:
  NoisyMachine(const Noise& noise, uint64_t seed) : noise_(noise), random_(seed) {}

  // d = ln(head / base) of one pair; `change` is the true ln(head / base).
  double Pair(double change) {
    const bool head_first = (random_() & 1U) != 0;
    const double first = Slice() + (head_first ? change : 0);
    const double second = Slice() + (head_first ? 0 : change);
    return head_first ? first - second : second - first;
  }

 private:
  double Slice() {
    drift_ += noise_.drift_step * normal_(random_);
    if (uniform_(random_) < noise_.mode_change) slow_mode_ = !slow_mode_;
    double time = drift_ + (slow_mode_ ? noise_.mode_slowdown : 0) + noise_.slice_deviation * normal_(random_);
    if (uniform_(random_) < noise_.outlier_share) time -= noise_.outlier_scale * std::log(1 - uniform_(random_));
    return time;
  }

  Noise noise_;
  std::mt19937_64 random_;
  std::normal_distribution<double> normal_;
  std::uniform_real_distribution<double> uniform_;
  double drift_ = 0;
  bool slow_mode_ = false;
};

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_STATISTICS_NOISE_FOR_TEST_H_
