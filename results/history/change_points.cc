#include "results/history/change_points.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <utility>

namespace ipcmark::results {
namespace {

// Half-open.
struct Segment {
  size_t begin;
  size_t end;
};

struct Split {
  double energy = 0;
  size_t index = 0;  // 0: there is none
};

// The largest scaled energy distance Q between [begin, split) and [split, stop) over all splits and all stops: letting
// the right part stop early keeps a second change further on from hiding the first.
//
// W[split] is the sum of |a - b| over all pairs inside [split, stop); adding one value to all of them takes one pass
// from the right, so that a segment of n values costs n^2 / 2 steps and n numbers of memory.
Split BestSplit(const std::vector<double>& values, Segment segment, size_t min_segment) {
  const size_t length = segment.end - segment.begin;
  Split best;
  if (length < 2 * min_segment) return best;
  const double* x = &values[segment.begin];
  std::vector<double> within(length, 0);    // W
  std::vector<double> left(length + 1, 0);  // the sum inside [begin, split)
  for (size_t stop = 1; stop <= length; ++stop) {
    double to_last = 0;
    for (size_t split = stop; split-- > 0;) {
      to_last += std::abs(x[split] - x[stop - 1]);
      within[split] += to_last;
    }
    left[stop] = within[0];
    for (size_t split = min_segment; split + min_segment <= stop; ++split) {
      const auto n = static_cast<double>(split);
      const auto m = static_cast<double>(stop - split);
      const double between = within[0] - left[split] - within[split];
      const double distance =
          2 * between / (n * m) - 2 * left[split] / (n * (n - 1)) - 2 * within[split] / (m * (m - 1));
      const double energy = n * m / (n + m) * distance;
      if (energy > best.energy) best = {energy, segment.begin + split};
    }
  }
  return best;
}

Split BestSplit(const std::vector<double>& values, const std::vector<Segment>& segments, size_t min_segment) {
  Split best;
  for (const Segment& segment : segments) {
    const Split split = BestSplit(values, segment, min_segment);
    if (split.energy > best.energy) best = split;
  }
  return best;
}

// Not std::shuffle: its answer to one seed may differ between standard libraries.
void Shuffle(std::vector<double>& values, Segment segment, std::mt19937_64& random) {
  for (size_t i = segment.end - segment.begin; i > 1; --i) {
    // The bias of the remainder is below i / 2^64.
    std::swap(values[segment.begin + i - 1], values[segment.begin + random() % i]);
  }
}

// The p-value of `split`, or 1 as soon as it must be above alpha (Besag and Clifford 1991): a series without a change
// then needs a few dozen permutations, not all of them.
double PValue(std::vector<double> values, const std::vector<Segment>& segments, const Split& split,
              const ChangePointOptions& options, std::mt19937_64& random) {
  // Sums in another order differ in the last bits, and equal must count as equal: it is what keeps a series of two
  // values that alternate, or of one value, from being a discovery.
  const double tie = split.energy * (1 - 1e-9);
  const auto trials = static_cast<double>(options.permutations + 1);
  size_t as_good = 0;
  for (size_t i = 0; i < options.permutations; ++i) {
    for (const Segment& segment : segments) Shuffle(values, segment, random);
    if (BestSplit(values, segments, options.min_segment).energy >= tie) ++as_good;
    if (static_cast<double>(as_good + 1) / trials > options.alpha) return 1;
  }
  return static_cast<double>(as_good + 1) / trials;
}

// What cancellation leaves of a distance between equal values is no distance.
double RoundingError(const std::vector<double>& values) {
  double largest = 0;
  for (const double value : values) largest = std::max(largest, std::abs(value));
  return 1e-12 * largest * static_cast<double>(values.size());
}

}  // namespace

std::vector<ChangePoint> FindChangePoints(const std::vector<double>& values, const ChangePointOptions& options) {
  std::vector<ChangePoint> found;
  std::vector<Segment> segments = {{0, values.size()}};
  std::mt19937_64 random(options.seed);
  const double error = RoundingError(values);
  while (true) {
    const Split split = BestSplit(values, segments, options.min_segment);
    if (split.index == 0 || split.energy <= error) break;
    const double p_value = PValue(values, segments, split, options, random);
    if (p_value > options.alpha) break;
    found.push_back({split.index, p_value});
    const auto inside = [&](const Segment& segment) {
      return segment.begin < split.index && split.index < segment.end;
    };
    Segment& divided = *std::find_if(segments.begin(), segments.end(), inside);
    const size_t end = std::exchange(divided.end, split.index);
    segments.push_back({split.index, end});
  }
  std::sort(found.begin(), found.end(), [](const ChangePoint& a, const ChangePoint& b) { return a.index < b.index; });
  return found;
}

}  // namespace ipcmark::results
