#include "results/history/trend.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "rapidjson/prettywriter.h"
#include "rapidjson/stringbuffer.h"
#include "results/compare.h"
#include "results/json_put.h"
#include "results/report_formats.h"
#include "results/statistics/interval.h"
#include "results/text.h"

namespace ipcmark::results {
namespace {

using Writer = rapidjson::PrettyWriter<rapidjson::StringBuffer>;

double MedianOf(const std::vector<double>& logs, size_t begin, size_t end) {
  return std::exp(Median(std::vector<double>(&logs[begin], &logs[begin] + (end - begin))));
}

void FindChanges(Trend& trend, const ChangePointOptions& search) {
  std::vector<double> logs;
  for (const SeriesPoint& point : trend.points) logs.push_back(std::log(point.value));
  const std::vector<ChangePoint> points = FindChangePoints(logs, search);
  const bool is_rate = absl::EndsWith(trend.metric, "_per_second");
  for (size_t i = 0; i < points.size(); ++i) {
    const size_t begin = i == 0 ? 0 : points[i - 1].index;
    const size_t end = i + 1 == points.size() ? logs.size() : points[i + 1].index;
    const double before = MedianOf(logs, begin, points[i].index);
    const double after = MedianOf(logs, points[i].index, end);
    trend.changes.push_back({points[i], before, after, is_rate ? before / after : after / before});
  }
}

std::string Value(const std::string& metric, double value) {
  if (IsTime(metric)) return FormatNanos(value);
  if (absl::EndsWith(metric, "_per_second")) return FormatRate(value, metric == "bytes_per_second" ? "B" : "");
  return FormatNumber(value);
}

// One character a run, the lowest value at the bottom; of a long series the newest.
std::string Sparkline(const std::vector<SeriesPoint>& points) {
  constexpr size_t most = 80;
  static const std::array<const char*, 8> bars = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const size_t first = points.size() - std::min(points.size(), most);
  double low = points[first].value;
  double high = low;
  for (size_t i = first; i < points.size(); ++i) {
    low = std::min(low, points[i].value);
    high = std::max(high, points[i].value);
  }
  // Noise of a percent must not look like mountains: the scale spans at least a tenth.
  const double span = std::max(std::log(high / low), std::log(1.1));
  std::string line;
  for (size_t i = first; i < points.size(); ++i) {
    const double height = std::log(points[i].value / low) / span;
    line += bars[std::min(bars.size() - 1, static_cast<size_t>(height * static_cast<double>(bars.size())))];
  }
  return line;
}

std::string ChangeLine(const Trend& trend, const TrendChange& change) {
  const char* word = change.ratio > 1.0005 ? "worse" : change.ratio < 0.9995 ? "better" : "another spread";
  return absl::StrFormat("  ----- change: %s -> %s, ratio %.3f %s (p %.3g)\n", Value(trend.metric, change.before),
                         Value(trend.metric, change.after), change.ratio, word, change.point.p_value);
}

std::string OneTrend(const Trend& trend) {
  std::string text = absl::StrCat(PrintableUtf8(trend.key.benchmark), "  ", PrintableUtf8(trend.metric), "  on ",
                                  PrintableUtf8(trend.key.machine_text), " (", trend.key.machine, ")\n  ",
                                  Sparkline(trend.points), "\n  ", PadRight("run", kShownIdDigits), "  ",
                                  PadRight("time (UTC)", 16), "  ", PadRight("revision", 18), "      value\n");
  size_t next = 0;
  for (size_t i = 0; i < trend.points.size(); ++i) {
    const SeriesPoint& point = trend.points[i];
    if (next < trend.changes.size() && trend.changes[next].point.index == i) {
      text += ChangeLine(trend, trend.changes[next++]);
    }
    absl::StrAppend(&text, "  ", point.run.substr(0, kShownIdDigits), "  ", ShownTime(point.unix_seconds), "  ",
                    PadRight(ShortenMiddle(PrintableUtf8(point.git_revision), 18), 18), " ",
                    PadLeft(Value(trend.metric, point.value), 10), "\n");
  }
  return text;
}

void WriteTrend(Writer& writer, const Trend& trend) {
  writer.StartObject();
  PutText(writer, "benchmark", trend.key.benchmark);
  PutText(writer, "metric", trend.metric);
  PutText(writer, "machine", trend.key.machine);
  PutText(writer, "machine_text", trend.key.machine_text);
  writer.Key("ends_worse");
  writer.Bool(EndsWorse(trend));
  writer.Key("points");
  writer.StartArray();
  for (const SeriesPoint& point : trend.points) {
    writer.StartObject();
    PutText(writer, "run", point.run);
    writer.Key("unix_seconds");
    writer.Int64(point.unix_seconds);
    PutText(writer, "git_revision", point.git_revision);
    PutNumber(writer, "value", point.value);
    writer.EndObject();
  }
  writer.EndArray();
  writer.Key("changes");
  writer.StartArray();
  for (const TrendChange& change : trend.changes) {
    writer.StartObject();
    PutCount(writer, "index", change.point.index);
    PutText(writer, "run", trend.points[change.point.index].run);
    PutNumber(writer, "before", change.before);
    PutNumber(writer, "after", change.after);
    PutNumber(writer, "ratio", change.ratio);
    PutNumber(writer, "p_value", change.point.p_value);
    writer.EndObject();
  }
  writer.EndArray();
  writer.EndObject();
}

absl::StatusOr<std::vector<SeriesKey>> Select(const Store& store, const TrendOptions& options) {
  absl::StatusOr<std::vector<SeriesKey>> keys = store.SeriesKeys(options.metric.empty() ? "p50_ns" : options.metric);
  if (!keys.ok()) return keys.status();
  std::vector<std::string> names;
  for (const SeriesKey& key : *keys) names.push_back(key.benchmark);
  if (names.empty()) return absl::InvalidArgumentError("the history has no run yet; `history add FILE` adds one");
  if (absl::Status status = KeepMatching(options.benchmarks, names, "", "the history"); !status.ok()) return status;
  const auto differs = [&](const SeriesKey& key) {
    return std::find(names.begin(), names.end(), key.benchmark) == names.end() ||
           (!options.metric.empty() && !key.has_metric);
  };
  keys->erase(std::remove_if(keys->begin(), keys->end(), differs), keys->end());
  if (!keys->empty()) return keys;
  return absl::InvalidArgumentError(absl::StrCat("--metric=", options.metric, ": no run of ", names.front(),
                                                 " has that number; `history show ID` lists what it has"));
}

}  // namespace

std::string ShownTime(int64_t unix_seconds) {
  return absl::FormatTime("%Y-%m-%d %H:%M", absl::FromUnixSeconds(unix_seconds), absl::UTCTimeZone());
}

absl::StatusOr<std::vector<Trend>> FindTrends(const Store& store, const TrendOptions& options) {
  const absl::StatusOr<std::vector<SeriesKey>> keys = Select(store, options);
  if (!keys.ok()) return keys.status();
  std::vector<Trend> trends;
  for (const SeriesKey& key : *keys) {
    Trend trend;
    trend.key = key;
    trend.metric = !options.metric.empty() ? options.metric : key.has_metric ? "p50_ns" : "real_time";
    absl::StatusOr<std::vector<SeriesPoint>> points = store.Series(key, trend.metric, options.last);
    if (!points.ok()) return points.status();
    std::copy_if(points->begin(), points->end(), std::back_inserter(trend.points),
                 [](const SeriesPoint& point) { return point.value > 0; });
    if (trend.points.empty()) continue;
    FindChanges(trend, options.search);
    trends.push_back(std::move(trend));
  }
  return trends;
}

bool EndsWorse(const Trend& trend) { return !trend.changes.empty() && trend.changes.back().ratio > 1; }

std::string TrendText(const std::vector<Trend>& trends, const TrendOptions& options) {
  std::string text;
  size_t worse = 0;
  size_t changes = 0;
  for (const Trend& trend : trends) {
    absl::StrAppend(&text, OneTrend(trend), "\n");
    changes += trend.changes.size();
    worse += EndsWorse(trend) ? 1 : 0;
  }
  absl::StrAppendFormat(&text,
                        "%d series, %d changes, %d end worse than before (alpha %g, at least %d runs a segment, ",
                        trends.size(), changes, worse, options.search.alpha, options.search.min_segment);
  absl::StrAppendFormat(&text, "%d permutations, seed %d)\n", options.search.permutations, options.search.seed);
  return text;
}

std::string TrendJson(const std::vector<Trend>& trends, const TrendOptions& options) {
  rapidjson::StringBuffer buffer;
  Writer writer(buffer);
  writer.StartObject();
  writer.Key("trend_schema");
  writer.Int(1);
  PutNumber(writer, "alpha", options.search.alpha);
  PutCount(writer, "min_segment", options.search.min_segment);
  PutCount(writer, "permutations", options.search.permutations);
  PutCount(writer, "seed", options.search.seed);
  writer.Key("series");
  writer.StartArray();
  for (const Trend& trend : trends) WriteTrend(writer, trend);
  writer.EndArray();
  writer.EndObject();
  return absl::StrCat(buffer.GetString(), "\n");
}

}  // namespace ipcmark::results
