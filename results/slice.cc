#include "results/slice.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "results/statistics/harrell_davis.h"

namespace ipcmark::results {
namespace {

constexpr char kP50[] = "p50_ns";
constexpr int kRepetitions = 10;
// Of a median that is to be trusted.
constexpr double kMinSamples = 100;

Command CommandOf(const Program& program, std::vector<std::string> more, int cpu) {
  Command command;
  command.arguments = {program.path};
  command.arguments.insert(command.arguments.end(), program.arguments.begin(), program.arguments.end());
  command.arguments.insert(command.arguments.end(), more.begin(), more.end());
  command.cpu = cpu;
  command.limit_seconds = kSliceLimitSeconds;
  return command;
}

absl::Status Failed(const std::string& what, const std::string& why) {
  return absl::FailedPreconditionError(absl::StrCat(what, ": ", why));
}

absl::StatusOr<RunFile> RunRows(const Program& program, const std::string& benchmark, const Plan& plan,
                                const Janitor& janitor) {
  const std::string path = absl::StrCat(janitor.folder(), "/rows.json");
  const auto renamed = program.own_names.find(benchmark);
  const std::string& own_name = renamed == program.own_names.end() ? benchmark : renamed->second;
  const std::string length = plan.iterations > 0 ? absl::StrCat(plan.iterations, "x") : absl::StrCat(plan.seconds);
  const absl::StatusOr<ChildEnd> end = RunChild(
      CommandOf(
          program,
          {absl::StrCat("--benchmark_filter=", ExactFilter(own_name)), absl::StrCat("--benchmark_min_time=", length),
           absl::StrCat("--benchmark_repetitions=", plan.repetitions), "--benchmark_report_aggregates_only=false",
           "--benchmark_out_format=json", absl::StrCat("--benchmark_out=", path)},
          plan.cpu),
      janitor);
  if (!end.ok()) return end.status();
  absl::StatusOr<RunFile> file = ReadRunFile(path);
  unlink(path.c_str());
  // A failed row explains more than the exit code that comes with it.
  if (file.ok()) {
    for (const Row& row : file->rows) {
      if (row.error_occurred) return Failed(benchmark, row.error_message.empty() ? "it failed" : row.error_message);
      if (row.skipped) return Failed(benchmark, absl::StrCat("skipped: ", row.skip_message));
    }
  }
  if (end->exit_code != 0) {
    return Failed(benchmark, absl::StrCat("exit code ", end->exit_code, " ", LastLine(end->error)));
  }
  if (!file.ok()) return Failed(benchmark, absl::StrCat("no rows came out: ", LastLine(end->error)));
  const auto other = [&](const Row& row) { return row.run_type != RunType::kIteration || row.run_name != own_name; };
  file->rows.erase(std::remove_if(file->rows.begin(), file->rows.end(), other), file->rows.end());
  if (file->rows.empty()) return Failed(benchmark, "it is listed, and no row of that name came out");
  return file;
}

// A Google Benchmark program refuses what it does not know; one that lets it pass does so in every other run, too.
absl::StatusOr<bool> Understands(const std::string& flag, const Program& program, const Janitor& janitor) {
  const absl::StatusOr<ChildEnd> end = RunChild(CommandOf(program, {"--benchmark_list_tests", flag}, kAnyCpu), janitor);
  if (!end.ok()) return end.status();
  return end->exit_code == 0;
}

bool MeasuresMedian(const Row& row) {
  const auto samples = row.counters.find("samples");
  return row.counters.count(kP50) > 0 && (samples == row.counters.end() || samples->second >= kMinSamples);
}

}  // namespace

std::string ExactFilter(const std::string& benchmark) {
  std::string filter = "^";
  for (const char c : benchmark) {
    if (std::string(".[]{}()\\*+?|^$").find(c) != std::string::npos) filter += '\\';
    filter += c;
  }
  return filter + "$";
}

absl::StatusOr<std::vector<std::string>> ListBenchmarks(const Janitor& janitor, Program& program) {
  const absl::StatusOr<ChildEnd> end = RunChild(CommandOf(program, {"--benchmark_list_tests"}, kAnyCpu), janitor);
  if (!end.ok()) return end.status();
  if (end->exit_code != 0) {
    return Failed(program.path, absl::StrCat("--benchmark_list_tests ended with ", end->exit_code, " ",
                                             LastLine(end->error), "; is it a Google Benchmark program?"));
  }
  std::vector<std::string> names = absl::StrSplit(end->output, '\n', absl::SkipWhitespace());
  for (std::string& name : names) {
    const std::string now = NameNow(name);
    if (now == name) continue;
    program.own_names[now] = name;
    name = now;
  }
  return names;
}

absl::StatusOr<bool> CountsIterations(const Program& program, const Janitor& janitor) {
  return Understands("--benchmark_min_time=1x", program, janitor);
}

absl::Status LeaveOutLimits(const Janitor& janitor, Program& program) {
  constexpr char flag[] = "--noroofline";
  const absl::StatusOr<bool> understood = Understands(flag, program, janitor);
  if (!understood.ok()) return understood.status();
  if (*understood) program.arguments.emplace_back(flag);
  return absl::OkStatus();
}

absl::StatusOr<Planned> PlanSlices(const Program& program, const std::string& benchmark, const SliceOptions& options,
                                   bool counts_iterations, const Janitor& janitor) {
  Planned planned;
  Plan& plan = planned.plan;
  plan.seconds = options.seconds;
  plan.cpu = absl::StrContains(benchmark, "/threads:") ? kAnyCpu : options.cpu;
  absl::StatusOr<RunFile> file = RunRows(program, benchmark, plan, janitor);
  if (!file.ok()) return file.status();
  // Twice, and the faster counts: a stall while the library looks for its iteration count makes that far too small.
  absl::StatusOr<RunFile> again = RunRows(program, benchmark, plan, janitor);
  if (!again.ok()) return again.status();
  if (again->rows.front().real_time_ns < file->rows.front().real_time_ns) std::swap(file, again);
  const Row& row = file->rows.front();
  if (row.counters.count("pinned_sender_cpu") > 0) plan.cpu = kAnyCpu;
  if (MeasuresMedian(row)) {
    plan.metric = kP50;
  } else {
    plan.repetitions = kRepetitions;
    plan.seconds = options.seconds / kRepetitions;
  }
  if (counts_iterations && row.real_time_ns > 0) {
    plan.iterations = std::max<int64_t>(1, std::llround(plan.seconds * 1e9 / row.real_time_ns));
  }
  planned.file = *std::move(file);
  return planned;
}

absl::StatusOr<SliceTimes> RunSlice(const Program& program, const std::string& benchmark, const Plan& plan,
                                    const Janitor& janitor) {
  const absl::StatusOr<RunFile> file = RunRows(program, benchmark, plan, janitor);
  if (!file.ok()) return file.status();
  std::vector<double> values;
  for (const Row& row : file->rows) {
    const auto counter = row.counters.find(plan.metric);
    values.push_back(plan.metric != kP50 ? row.real_time_ns : counter == row.counters.end() ? 0 : counter->second);
    if (!std::isfinite(values.back()) || values.back() <= 0) {
      return Failed(benchmark, absl::StrCat("no number: ", plan.metric, " is ", values.back()));
    }
  }
  SliceTimes times;
  times.typical = HarrellDavis(std::move(values), 0.5);
  // Of several repetitions each tail would be of too few samples.
  if (file->rows.size() > 1) return times;
  for (const TailLimit& tail : kTails) {
    const auto counter = file->rows.front().counters.find(tail.metric);
    if (counter == file->rows.front().counters.end() || !(counter->second > 0)) continue;
    times.tails[tail.metric] = counter->second;
  }
  return times;
}

}  // namespace ipcmark::results
