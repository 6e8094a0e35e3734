// How a benchmark went over the runs of a history: one series per machine and benchmark, with the points where it
// changed (change_points.h, on logarithms: what matters is a percent, not a nanosecond).
//
//   TrendOptions           what is asked
//   Trend, TrendChange     the answer for one series
//   FindTrends             all of them
//   TrendText, TrendJson   for people, for programs
#ifndef IPCMARK_RESULTS_HISTORY_TREND_H_
#define IPCMARK_RESULTS_HISTORY_TREND_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "results/history/change_points.h"
#include "results/history/store.h"

namespace ipcmark::results {

struct TrendOptions {
  // POSIX extended regular expression.
  std::string benchmarks;
  // Empty: p50_ns where any run of the series has it, real_time elsewhere.
  std::string metric;
  // The newest so many runs of each series; the search takes time in proportion to its square.
  size_t last = 300;
  ChangePointOptions search;
};

struct TrendChange {
  ChangePoint point;
  // Medians of the segments before and after it.
  double before = 0;
  double after = 0;
  // Above 1 always means worse: after / before, before / after for a rate (*_per_second).
  double ratio = 0;
};

struct Trend {
  SeriesKey key;
  std::string metric;
  // In the order of time; all above zero, for what is not is no measurement.
  std::vector<SeriesPoint> points;
  std::vector<TrendChange> changes;
};

// InvalidArgument for a bad expression, for one that finds no benchmark, and when no benchmark found has the metric.
absl::StatusOr<std::vector<Trend>> FindTrends(const Store& store, const TrendOptions& options);

// Whether the newest segment is worse than the one before it.
bool EndsWorse(const Trend& trend);

std::string TrendText(const std::vector<Trend>& trends, const TrendOptions& options);
std::string TrendJson(const std::vector<Trend>& trends, const TrendOptions& options);

// "2026-11-23 13:02" in UTC.
std::string ShownTime(int64_t unix_seconds);

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_HISTORY_TREND_H_
