#include "results/statistics/harrell_davis.h"

#include <algorithm>
#include <cmath>

namespace ipcmark::results {
namespace {

// The continued fraction of I_x(a, b) (Abramowitz and Stegun 26.5.8) by Lentz's method; converges fast for
// x < (a + 1) / (a + b + 2).
double Fraction(double a, double b, double x) {
  constexpr double tiny = 1e-300;
  constexpr double precision = 1e-15;
  constexpr int max_steps = 10000;
  const auto nonzero = [](double value) { return std::abs(value) < tiny ? tiny : value; };
  double c = 1;
  double d = 1 / nonzero(1 - (a + b) * x / (a + 1));
  double result = d;
  for (int m = 1; m <= max_steps; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / nonzero(1 + even * d);
    c = nonzero(1 + even / c);
    result *= d * c;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / nonzero(1 + odd * d);
    c = nonzero(1 + odd / c);
    result *= d * c;
    if (std::abs(d * c - 1) < precision) break;
  }
  return result;
}

// std::lgamma writes a global, signgam.
double LogGamma(double x) {
  int sign = 0;
  return lgamma_r(x, &sign);
}

}  // namespace

double IncompleteBeta(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - IncompleteBeta(b, a, 1 - x);
  const double log_front = LogGamma(a + b) - LogGamma(a) - LogGamma(b) + a * std::log(x) + b * std::log1p(-x);
  return std::exp(log_front) * Fraction(a, b, x) / a;
}

double HarrellDavis(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  const auto count = static_cast<double>(values.size());
  const double a = (count + 1) * q;
  const double b = (count + 1) * (1 - q);
  double below = 0;
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    const double up_to = i + 1 == values.size() ? 1 : IncompleteBeta(a, b, static_cast<double>(i + 1) / count);
    sum += (up_to - below) * values[i];
    below = up_to;
  }
  return sum;
}

}  // namespace ipcmark::results
