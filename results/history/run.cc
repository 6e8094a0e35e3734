#include "results/history/run.h"

#include <array>
#include <cmath>
#include <map>
#include <set>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "results/run_file.h"
#include "results/sha256.h"
#include "results/statistics/interval.h"

namespace ipcmark::results {
namespace {

constexpr std::array<const char*, 7> kMachineKeys = {"cpu_model", "num_cpus",    "caches", "kernel",
                                                     "governor",  "clocksource", "build"};

std::string WithoutWhiteSpace(const std::string& json) {
  std::string packed;
  bool in_string = false;
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string && c == '\\' && i + 1 < json.size()) {
      packed += c;
      packed += json[++i];
      continue;
    }
    if (c == '"') in_string = !in_string;
    const bool white = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (in_string || !white) packed += c;
  }
  return packed;
}

std::string ContextOr(const RunFile& file, const std::string& key, const std::string& otherwise) {
  const auto found = file.context.find(key);
  return found == file.context.end() || found->second.empty() ? otherwise : found->second;
}

std::string Machine(const RunFile& file) {
  std::string text;
  for (const char* key : kMachineKeys) absl::StrAppend(&text, key, "=", ContextOr(file, key, ""), "\n");
  if (file.context.count("cpu_model") == 0) absl::StrAppend(&text, "host_name=", ContextOr(file, "host_name", ""));
  return Sha256(text).substr(0, kShownIdDigits);
}

std::string MachineText(const RunFile& file) {
  std::string text = ContextOr(file, "cpu_model", ContextOr(file, "host_name", "unknown machine"));
  const std::string cpus = ContextOr(file, "num_cpus", "");
  const std::string kernel = ContextOr(file, "kernel", "");
  const std::string build = ContextOr(file, "build", "");
  if (!cpus.empty()) absl::StrAppend(&text, ", ", cpus, cpus == "1" ? " CPU" : " CPUs");
  if (!kernel.empty()) absl::StrAppend(&text, ", Linux ", kernel);
  if (!build.empty() && build != "optimized") absl::StrAppend(&text, ", ", build, " build");
  return text;
}

// The library writes 2026-11-23T13:02:34+00:00; before 1.5.3 it wrote local time without a zone, read here as UTC.
int64_t UnixSeconds(const std::string& date, int64_t otherwise) {
  absl::Time time;
  for (const char* format : {"%Y-%m-%dT%H:%M:%E*S%Ez", "%Y-%m-%d %H:%M:%E*S"}) {
    if (absl::ParseTime(format, date, &time, nullptr)) return absl::ToUnixSeconds(time);
  }
  return otherwise;
}

using Values = std::map<std::string, std::vector<double>>;

void Collect(const Row& row, Values& values) {
  const auto add = [&](const std::string& metric, double value) {
    if (std::isfinite(value)) values[metric].push_back(value);
  };
  add("real_time", row.real_time_ns);
  add("cpu_time", row.cpu_time_ns);
  for (const auto& [name, value] : row.counters) add(name, value);
}

// Repetitions where the file has them, else the median, else the mean.
std::vector<HistoryPoint> Points(const RunFile& file) {
  std::map<std::string, Values> repetitions;
  std::map<std::string, std::map<std::string, Values>> aggregates;
  std::set<std::string> failed;
  for (const Row& row : file.rows) {
    const std::string name = NameNow(row.run_name);
    if (row.error_occurred) failed.insert(name);
    if (row.error_occurred || row.skipped) continue;
    if (row.run_type == RunType::kIteration) {
      Collect(row, repetitions[name]);
    } else if (row.aggregate_name == "median" || row.aggregate_name == "mean") {
      Collect(row, aggregates[name][row.aggregate_name]);
    }
  }
  for (const auto& [name, kinds] : aggregates) {
    // "median" comes last in the alphabet.
    if (repetitions.count(name) == 0) repetitions[name] = kinds.rbegin()->second;
  }
  std::vector<HistoryPoint> points;
  for (const auto& [name, metrics] : repetitions) {
    if (failed.count(name) != 0) continue;
    for (const auto& [metric, values] : metrics) {
      points.push_back({name, metric, Median(values), static_cast<int64_t>(values.size())});
    }
  }
  return points;
}

}  // namespace

absl::StatusOr<HistoryRun> MakeRun(const std::string& json, const std::string& path, int64_t now_unix_seconds) {
  const absl::StatusOr<RunFile> file = ParseRunFile(json, path);
  if (!file.ok()) return file.status();
  HistoryRun run;
  run.id = Sha256(WithoutWhiteSpace(json));
  run.unix_seconds = UnixSeconds(ContextOr(*file, "date", ""), now_unix_seconds);
  run.machine = Machine(*file);
  run.machine_text = MachineText(*file);
  run.git_revision = ContextOr(*file, "git_revision", "unknown");
  run.suite = ContextOr(*file, "suite", "");
  run.json = json;
  run.points = Points(*file);
  if (!run.points.empty()) return run;
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": every benchmark in it failed or was skipped; there is nothing to remember"));
}

}  // namespace ipcmark::results
