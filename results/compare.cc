#include "results/compare.h"

#include <regex.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace ipcmark::results {
namespace {

// Two readings of one machine's clock rate differ by a little: Google Benchmark measures it where the kernel hides it.
constexpr double kClockRateTolerance = 0.02;

constexpr double kRounding = 1e-12;

// These differ between any two runs and say nothing about the machine, or are what is compared (the revision).
constexpr std::array<const char*, 12> kNoEnvironment = {"clock_error_ppm",
                                                        "clock_hz",
                                                        "clock_not_tsc",
                                                        "clock_read_ns",
                                                        "clock_skew_bound_ns",
                                                        "date",
                                                        "executable",
                                                        "git_revision",
                                                        "host_name",
                                                        "json_schema_version",
                                                        "load_avg",
                                                        "skipped"};

// What one file says about one benchmark.
struct Side {
  enum class State { kMissing, kSkipped, kNoMetric, kFailed, kMeasured };
  State state = State::kMissing;
  std::vector<double> values;
  std::string detail;
};

std::optional<double> MetricOf(const Row& row, const std::string& metric) {
  if (metric == "real_time") return row.real_time_ns;
  if (metric == "cpu_time") return row.cpu_time_ns;
  const auto counter = row.counters.find(metric);
  if (counter == row.counters.end()) return std::nullopt;
  return counter->second;
}

using RowsByName = std::map<std::string, std::vector<const Row*>>;

// The rows that stand for each benchmark; those of other aggregates (BigO, stddev) stand for none.
RowsByName RepresentativeRows(const RunFile& file) {
  RowsByName iterations;
  RowsByName medians;
  RowsByName means;
  for (const Row& row : file.rows) {
    const std::string name = NameNow(row.run_name);
    if (row.run_type == RunType::kIteration) {
      iterations[name].push_back(&row);
    } else if (row.aggregate_name == "median") {
      medians[name].push_back(&row);
    } else if (row.aggregate_name == "mean") {
      means[name].push_back(&row);
    }
  }
  // merge() keeps what is already there.
  iterations.merge(medians);
  iterations.merge(means);
  return iterations;
}

// Our bench names in its context what it left out: lines of "name: reason".
std::string SkipReason(const RunFile& file, const std::string& name) {
  const auto skipped = file.context.find("skipped");
  if (skipped == file.context.end()) return "";
  const std::string prefix = absl::StrCat(name, ": ");
  for (const auto& line : absl::StrSplit(skipped->second, '\n')) {
    if (absl::StartsWith(line, prefix)) return absl::StrCat("skipped: ", line.substr(prefix.size()));
  }
  return "";
}

Side SideOf(const RunFile& file, const RowsByName& rows_by_name, const std::string& name, const std::string& metric) {
  const auto rows = rows_by_name.find(name);
  if (rows == rows_by_name.end()) return {Side::State::kMissing, {}, SkipReason(file, name)};
  Side side;
  size_t without = 0;
  for (const Row* row : rows->second) {
    if (row->error_occurred) {
      const std::string& message = row->error_message;
      return {Side::State::kFailed, {}, message.empty() ? "error without a message" : message};
    }
    if (row->skipped) return {Side::State::kSkipped, {}, absl::StrCat("skipped: ", row->skip_message)};
    const std::optional<double> value = MetricOf(*row, metric);
    if (!value.has_value()) {
      ++without;
    } else if (!std::isfinite(*value) || *value <= 0) {
      return {Side::State::kFailed, {}, absl::StrFormat("no number: %s is %g", metric, *value)};
    } else {
      side.values.push_back(*value);
    }
  }
  // A quantile is left out where it has too few samples, which slow runs have: the rest would be the fast ones.
  if (without > 0) {
    return {Side::State::kNoMetric,
            {},
            absl::StrFormat("no %s in %d of %d repetitions", metric, without, rows->second.size())};
  }
  side.state = Side::State::kMeasured;
  return side;
}

std::vector<double> Logarithms(std::vector<double> values) {
  for (double& value : values) value = std::log(value);
  return values;
}

// Both sides are measured.
void Judge(const Side& base, const Side& head, const CompareOptions& options, Comparison& comparison) {
  const bool is_rate = absl::EndsWith(options.metric, "_per_second");
  const Side& fast = is_rate ? head : base;
  const Side& slow = is_rate ? base : head;
  // A change of exactly the threshold is within it, whatever the logarithms round to.
  const double limit = std::log1p(options.threshold) + kRounding;
  using Limits = std::numeric_limits<double>;
  comparison.ratio = std::clamp(Median(slow.values) / Median(fast.values), Limits::min(), Limits::max());
  const double log_ratio = std::log(comparison.ratio);
  const std::optional<Interval> interval = ShiftInterval(Logarithms(fast.values), Logarithms(slow.values));
  if (interval.has_value()) comparison.interval = Interval{std::exp(interval->low), std::exp(interval->high)};
  const bool slower = log_ratio > limit;
  const bool faster = log_ratio < -limit;
  if (slower && (!interval.has_value() || interval->low > limit)) {
    comparison.verdict = Verdict::kSlower;
  } else if (faster && (!interval.has_value() || interval->high < -limit)) {
    comparison.verdict = Verdict::kFaster;
  } else {
    comparison.verdict = Verdict::kSame;
    comparison.undecided = slower;
  }
}

Comparison CompareOne(const std::string& name, const Side& base, const Side& head, const CompareOptions& options) {
  using State = Side::State;
  Comparison comparison;
  comparison.name = name;
  comparison.base_repetitions = base.values.size();
  comparison.head_repetitions = head.values.size();
  if (base.state == State::kMeasured) comparison.base_values = base.values;
  if (head.state == State::kMeasured) comparison.head_values = head.values;
  if (base.state == State::kMeasured) comparison.base = Median(base.values);
  if (head.state == State::kMeasured) comparison.head = Median(head.values);
  const auto conclude = [&](Verdict verdict, const Side& side) {
    comparison.verdict = verdict;
    comparison.detail = side.detail;
  };
  // Head first: what head lost must not hide behind a base that has not got it either.
  if (head.state == State::kFailed) {
    conclude(Verdict::kFailedInHead, head);
  } else if (head.state != State::kMeasured) {
    const bool base_ran = base.state == State::kMeasured || base.state == State::kFailed;
    if (base.state == State::kMissing) {
      conclude(Verdict::kMissingInBase, head);
    } else if (base_ran || head.state == State::kMissing) {
      conclude(Verdict::kMissingInHead, head);
    } else {
      conclude(Verdict::kLeftOut, head);
    }
  } else if (base.state == State::kFailed) {
    conclude(Verdict::kFailedInBase, base);
  } else if (base.state != State::kMeasured) {
    conclude(Verdict::kMissingInBase, base);
  } else {
    Judge(base, head, options, comparison);
  }
  return comparison;
}

bool IsSameSetting(const std::string& key, const std::string& base, const std::string& head) {
  if (base == head) return true;
  double base_number = 0;
  double head_number = 0;
  return key == "mhz_per_cpu" && absl::SimpleAtod(base, &base_number) && absl::SimpleAtod(head, &head_number) &&
         std::abs(base_number - head_number) <= kClockRateTolerance * std::max(base_number, head_number);
}

// Names in the order of their first row, base before head.
std::vector<std::string> NamesInOrder(const RunFile& base, const RowsByName& base_rows, const RunFile& head,
                                      const RowsByName& head_rows) {
  std::vector<std::string> names;
  std::set<std::string> seen;
  for (const auto& [file, rows] : {std::pair(&base, &base_rows), std::pair(&head, &head_rows)}) {
    for (const Row& row : file->rows) {
      const std::string name = NameNow(row.run_name);
      if (rows->count(name) > 0 && seen.insert(name).second) names.push_back(name);
    }
  }
  return names;
}

absl::Status CheckMetricExists(const RunFile& base, const RunFile& head, const std::string& metric) {
  if (metric == "real_time" || metric == "cpu_time") return absl::OkStatus();
  std::set<std::string> known = {"cpu_time", "real_time"};
  for (const RunFile* file : {&base, &head}) {
    for (const Row& row : file->rows) {
      for (const auto& [name, value] : row.counters) known.insert(name);
    }
  }
  if (known.count(metric) > 0) return absl::OkStatus();
  std::string list;
  for (const std::string& name : known) absl::StrAppend(&list, list.empty() ? "" : ", ", name);
  return absl::InvalidArgumentError(
      absl::StrCat("--metric=", metric, ": no row of either file has that number; they have ", list));
}

absl::Status CheckCommonNames(const RunFile& base, const RowsByName& base_rows, const RunFile& head,
                              const RowsByName& head_rows) {
  for (const auto& [file, rows] : {std::pair(&base, &base_rows), std::pair(&head, &head_rows)}) {
    if (!rows->empty()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(file->path,
                     ": it has neither repetitions nor a mean or median; run the benchmark again without "
                     "a filter on its aggregates"));
  }
  const auto in_head = [&](const auto& entry) { return head_rows.count(entry.first) > 0; };
  if (std::any_of(base_rows.begin(), base_rows.end(), in_head)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(base.path, " and ", head.path, " have no benchmark name in common (",
                                                 base_rows.begin()->first, " in one, ", head_rows.begin()->first,
                                                 " in the other); compare two runs of the same suite"));
}

}  // namespace

const char* VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kSame:
      return "~";
    case Verdict::kSlower:
      return "slower";
    case Verdict::kFaster:
      return "faster";
    case Verdict::kMissingInBase:
      return "missing in base";
    case Verdict::kMissingInHead:
      return "missing in head";
    case Verdict::kFailedInBase:
      return "failed in base";
    case Verdict::kFailedInHead:
      return "failed in head";
    case Verdict::kLeftOut:
      return "left out";
  }
  return "";
}

std::vector<EnvironmentDifference> CompareEnvironments(const RunFile& base, const RunFile& head) {
  std::vector<EnvironmentDifference> differences;
  for (const auto& [key, value] : base.context) {
    const auto other = head.context.find(key);
    if (other == head.context.end() || IsSameSetting(key, value, other->second)) continue;
    if (std::find(kNoEnvironment.begin(), kNoEnvironment.end(), key) == kNoEnvironment.end()) {
      differences.push_back({key, value, other->second});
    }
  }
  return differences;
}

// POSIX, not std::regex: no exceptions, and its matcher does not recurse once per character of a long name.
absl::Status KeepMatching(const std::string& filter, std::vector<std::string>& names, const std::string& flag,
                          const std::string& where) {
  if (filter.empty()) return absl::OkStatus();
  regex_t compiled;
  const int error = regcomp(&compiled, filter.c_str(), REG_EXTENDED | REG_NOSUB);
  if (error != 0) {
    std::array<char, 256> reason{};
    regerror(error, &compiled, reason.data(), reason.size());
    return absl::InvalidArgumentError(absl::StrCat(flag, filter, ": ", reason.data(),
                                                   "; give a POSIX extended regular expression such as '^RoundTrip/'"));
  }
  const std::unique_ptr<regex_t, decltype(&regfree)> release(&compiled, &regfree);
  const std::string example = names.front();
  const auto differs = [&](const std::string& name) { return regexec(&compiled, name.c_str(), 0, nullptr, 0) != 0; };
  names.erase(std::remove_if(names.begin(), names.end(), differs), names.end());
  if (!names.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(flag, filter, " matches no benchmark of ", where, "; a name there is ", example));
}

absl::StatusOr<Report> Compare(const RunFile& base, const RunFile& head, const CompareOptions& options) {
  const RowsByName base_rows = RepresentativeRows(base);
  const RowsByName head_rows = RepresentativeRows(head);
  if (absl::Status status = CheckCommonNames(base, base_rows, head, head_rows); !status.ok()) return status;
  if (absl::Status status = CheckMetricExists(base, head, options.metric); !status.ok()) return status;
  std::vector<std::string> names = NamesInOrder(base, base_rows, head, head_rows);
  if (absl::Status status = KeepMatching(options.filter, names); !status.ok()) return status;

  Report report;
  report.options = options;
  report.base_path = base.path;
  report.head_path = head.path;
  report.environment = CompareEnvironments(base, head);
  double log_sum = 0;
  size_t ratios = 0;
  for (const std::string& name : names) {
    Comparison comparison = CompareOne(name, SideOf(base, base_rows, name, options.metric),
                                       SideOf(head, head_rows, name, options.metric), options);
    if (comparison.ratio > 0) {
      log_sum += std::log(comparison.ratio);
      ++ratios;
    }
    report.comparisons.push_back(std::move(comparison));
  }
  const auto left_out = [](const Comparison& c) { return c.verdict == Verdict::kLeftOut; };
  if (std::all_of(report.comparisons.begin(), report.comparisons.end(), left_out)) {
    // Nothing compared must not look like nothing found.
    return absl::InvalidArgumentError(absl::StrCat("nothing to compare: ", report.comparisons.front().name, " has no ",
                                                   options.metric, " in either file (",
                                                   report.comparisons.front().detail,
                                                   "), and neither has any other selected benchmark; choose another "
                                                   "--metric or --filter"));
  }
  if (ratios > 0) report.geometric_mean = std::exp(log_sum / static_cast<double>(ratios));
  return report;
}

Exit ExitCode(const Report& report, bool strict) {
  bool regression = false;
  bool inconclusive = false;
  for (const Comparison& comparison : report.comparisons) {
    switch (comparison.verdict) {
      case Verdict::kSlower:
      case Verdict::kMissingInHead:
      case Verdict::kFailedInHead:
        regression = true;
        break;
      case Verdict::kMissingInBase:
      case Verdict::kFailedInBase:
      case Verdict::kLeftOut:
        inconclusive = true;
        break;
      case Verdict::kSame:
        inconclusive = inconclusive || comparison.undecided;
        break;
      case Verdict::kFaster:
        break;
    }
  }
  if (strict && !report.environment.empty()) return kExitEnvironmentsDiffer;
  if (regression) return kExitRegression;
  return strict && inconclusive ? kExitInconclusive : kExitFine;
}

}  // namespace ipcmark::results
