#include "bench/report.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/format.h"
#include "ipc/os/error.h"

namespace ipcmark::bench {
namespace {

using Run = benchmark::BenchmarkReporter::Run;

double CounterOr(const Run& run, const std::string& name, double otherwise) {
  const auto found = run.counters.find(name);
  return found == run.counters.end() ? otherwise : found->second.value;
}

// The median over the repetitions that have the counter; NaN when none has.
double MedianOf(const std::vector<const Run*>& runs, const std::string& name) {
  std::vector<double> values;
  for (const Run* run : runs) {
    const double value = CounterOr(*run, name, NAN);
    if (std::isfinite(value)) values.push_back(value);
  }
  if (values.empty()) return NAN;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::string Row(const Case& one, const std::vector<const Run*>& runs) {
  const bool attach = one.attached > 0;
  const auto nanos = [&](const char* name) { return PadLeft(FormatNanos(MedianOf(runs, name)), 9); };
  const double cpu = MedianOf(runs, kSenderCpu) + (attach ? 0 : MedianOf(runs, kReceiverCpu));
  const double switches = MedianOf(runs, kSenderSwitches) + (attach ? 0 : MedianOf(runs, kReceiverSwitches));
  std::string row =
      absl::StrCat("  ", PadRight(one.subject, 11), PadRight(one.variant, 16), PadLeft(one.size, 7), nanos(kP50),
                   nanos(kP99), nanos(kP999), PadLeft(FormatRate(MedianOf(runs, "items_per_second")), 9));
  if (attach) {
    return absl::StrCat(row, PadLeft("", 10), PadLeft(FormatNanos(cpu), 9));
  }
  return absl::StrCat(row, PadLeft(FormatBandwidth(MedianOf(runs, "bytes_per_second")), 10),
                      PadLeft(FormatNanos(cpu), 9), PadLeft(FormatCount(switches), 6));
}

std::string Heading(const Case& one) {
  const bool attach = one.attached > 0;
  const std::string title = one.scenario + (attach                        ? " (per call; xN: processes attached)"
                                            : one.scenario == "RoundTrip" ? " (per round trip)"
                                                                          : " (per message, timed by the receiver)");
  return absl::StrCat("\n", title, "\n", PadRight("", 36), PadLeft("p50", 9), PadLeft("p99", 9), PadLeft("p99.9", 9),
                      PadLeft("rate", 9), PadLeft(attach ? "" : "payload", 10), PadLeft("CPU", 9),
                      PadLeft(attach ? "" : "sw", 6), "\n");
}

// The reasons, each once, with the first name that it applies to and how many more.
std::string SkippedLines(const std::vector<SkippedCase>& skipped) {
  std::string lines;
  std::vector<std::string> seen;
  for (const SkippedCase& one : skipped) {
    if (std::count(seen.begin(), seen.end(), one.reason) != 0) continue;
    seen.push_back(one.reason);
    const auto same = std::count_if(skipped.begin(), skipped.end(),
                                    [&](const SkippedCase& other) { return other.reason == one.reason; });
    absl::StrAppend(&lines, "  ", one.name, same > 1 ? absl::StrFormat(" and %d more", same - 1) : "", ": ", one.reason,
                    "\n");
  }
  return lines.empty() ? "" : absl::StrCat("\nskipped\n", lines);
}

}  // namespace

void CorrectCpuTime(std::vector<Run>& runs) {
  for (Run& run : runs) {
    const double nanos = CounterOr(run, kSenderCpu, NAN) + CounterOr(run, kReceiverCpu, 0);
    if (!std::isfinite(nanos)) continue;
    // Of an aggregate that is a share (cv), the counter is the share already.
    const bool is_time = run.aggregate_unit == benchmark::kTime;
    run.cpu_accumulated_time =
        is_time ? nanos * 1e-9 * static_cast<double>(run.iterations) : CounterOr(run, kSenderCpu, NAN);
  }
}

bool Collector::ReportContext(const Context& context) {
  if (display_ != nullptr) display_->SetOutputStream(&GetOutputStream());
  return display_ == nullptr || display_->ReportContext(context);
}

void Collector::ReportRuns(const std::vector<Run>& report) {
  std::vector<Run> corrected = report;
  CorrectCpuTime(corrected);
  progress_->Done();
  if (display_ != nullptr) {
    progress_->Clear();
    display_->ReportRuns(corrected);
  }
  reports_.push_back(std::move(corrected));
}

void Collector::Finalize() {
  if (display_ != nullptr) display_->Finalize();
}

void CorrectedJsonReporter::ReportRuns(const std::vector<Run>& report) {
  std::vector<Run> corrected = report;
  CorrectCpuTime(corrected);
  JSONReporter::ReportRuns(corrected);
}

std::string Table(const std::vector<Case>& cases, const std::vector<SkippedCase>& skipped,
                  const std::vector<std::vector<Run>>& reports) {
  std::string table;
  std::string failed;
  std::string scenario;
  for (const Case& one : cases) {
    std::vector<const Run*> runs;
    for (const std::vector<Run>& report : reports) {
      for (const Run& run : report) {
        if (run.run_type != Run::RT_Iteration || run.run_name.function_name != one.name) continue;
        if (run.error_occurred) {
          absl::StrAppend(&failed, "  ", one.name, ": ", run.error_message, "\n");
        } else {
          runs.push_back(&run);
        }
      }
    }
    if (runs.empty()) continue;
    if (one.scenario != scenario) absl::StrAppend(&table, Heading(one));
    scenario = one.scenario;
    absl::StrAppend(&table, Row(one, runs), "\n");
  }
  if (!failed.empty()) absl::StrAppend(&table, "\nFAILED\n", failed);
  return table + SkippedLines(skipped);
}

absl::Status WriteJson(const std::string& path, const std::vector<std::vector<Run>>& reports) {
  std::ostringstream text;
  benchmark::JSONReporter reporter;
  reporter.SetOutputStream(&text);
  reporter.SetErrorStream(&text);
  reporter.ReportContext(benchmark::BenchmarkReporter::Context());
  for (const std::vector<Run>& report : reports) {
    const bool interrupted =
        std::any_of(report.begin(), report.end(), [](const Run& run) { return run.error_message == "interrupted"; });
    if (!interrupted && !report.empty()) reporter.ReportRuns(report);
  }
  reporter.Finalize();
  const std::string aside = absl::StrFormat("%s.%d.tmp", path, getpid());
  {
    std::ofstream file(aside);
    file << text.str();
    file.close();
    if (!file) {
      const int err = errno;
      unlink(aside.c_str());
      return os::SyscallError(absl::StrCat("write ", path), err, "free space or name another file in --benchmark_out");
    }
  }
  if (rename(aside.c_str(), path.c_str()) != 0) {
    const int err = errno;
    unlink(aside.c_str());
    return os::SyscallError(absl::StrCat("rename ", aside, " to ", path), err);
  }
  return absl::OkStatus();
}

}  // namespace ipcmark::bench
