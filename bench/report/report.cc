#include "bench/report/report.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "bench/report/complexity.h"
#include "bench/report/format.h"
#include "bench/report/runner.h"

namespace ipcmark::bench {
namespace {

using Run = benchmark::BenchmarkReporter::Run;

double CounterOr(const Run& run, const std::string& name, double otherwise) {
  const auto found = run.counters.find(name);
  return found == run.counters.end() ? otherwise : found->second.value;
}

// The median over the repetitions that have a number; NaN when none has.
template <typename ValueOf>
double MedianOver(const std::vector<const Run*>& runs, const ValueOf& value_of) {
  std::vector<double> values;
  for (const Run* run : runs) {
    const double value = value_of(*run);
    if (std::isfinite(value)) values.push_back(value);
  }
  if (values.empty()) return NAN;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double MedianOf(const std::vector<const Run*>& runs, const std::string& name) {
  return MedianOver(runs, [&](const Run& run) { return CounterOr(run, name, NAN); });
}

constexpr int kLabelColumns = 37;
constexpr int kPerColumns = 16;

// Who, how and how large; where that is too long for its columns, the end of the variant gives way.
std::string Label(const Case& one) {
  const std::string label = absl::StrCat(" ", PadRight(one.subject, 13), " ", one.variant);
  const int size_columns = std::max(7, Columns(one.size) + 1);
  return absl::StrCat(PadRight(Cut(label, kLabelColumns - size_columns), kLabelColumns - size_columns),
                      PadLeft(one.size, size_columns));
}

// The column's heading says it.
std::string WithoutPerSecond(const std::string& text) { return text.substr(0, text.rfind("/s")); }

// A search for the highest rate that is in time, and none was: what else the row says is of the lowest one tried.
bool FoundNoRate(const std::vector<const Run*>& runs) { return MedianOf(runs, kHighestRate) == 0; }

std::string Row(const Case& one, const std::vector<const Run*>& runs) {
  const bool attach = one.pages > 0;
  const auto nanos = [&](const char* name) { return PadLeft(FormatNanos(MedianOf(runs, name)), 8); };
  const double cpu_seconds = MedianOver(runs, [](const Run& run) {
    return run.cpu_accumulated_time / static_cast<double>(std::max<benchmark::IterationCount>(1, run.iterations));
  });
  const double switches = MedianOver(runs, [](const Run& run) {
    const double of_sender = CounterOr(run, kSenderSwitches, NAN);
    return of_sender + CounterOr(run, kReceiverSwitches, 0);
  });
  const std::string cpu = PadLeft(FormatNanos(cpu_seconds * 1e9), 8);
  const std::string rate = FoundNoRate(runs) ? "none" : FormatRate(MedianOf(runs, "items_per_second"));
  const std::string row = absl::StrCat(Label(one), nanos(kP50), nanos(kP99), nanos(kP999), PadLeft(rate, 9));
  if (attach) return absl::StrCat(row, cpu, PadLeft(one.per, kPerColumns));
  return absl::StrCat(row, PadLeft(WithoutPerSecond(FormatBandwidth(MedianOf(runs, "bytes_per_second"))), 9), cpu,
                      PadLeft(FormatCount(switches), 6), PadLeft(FormatCount(MedianOf(runs, kOfRoofline)), 6));
}

// What a row of this scenario is about.
std::string Unit(const Case& one) {
  if (!one.unit.empty()) return one.unit;
  if (one.scenario == "RoundTrip") return "per round trip; roof: times the ping-pong of one cache line";
  if (one.scenario == "Throughput") return "per message, timed by the receiver; roof: times one copy of the bytes";
  if (one.scenario == "Loan") return "per message handed over in place, timed by the receiver";
  if (one.scenario == "FanIn") return "N senders to one receiver, which times; per message";
  if (one.scenario == "Broadcast") return "one sender, N receivers that each get every message; per message";
  return "from before Send until a receiver has it; one message a sender on its way";
}

constexpr int kTableColumns = 100;
constexpr int kRowColumns = kTableColumns - 1;  // and one for the mark

// The most that any repetition drifted.
double WorstDrift(const std::vector<const Run*>& runs) {
  double worst = 0;
  for (const Run* run : runs) {
    const double drift = CounterOr(*run, kDrift, 0);
    if (std::abs(drift) > std::abs(worst)) worst = drift;
  }
  return worst;
}

std::string Heading(const Case& one) {
  const bool attach = one.pages > 0;
  const std::string quantiles =
      absl::StrCat(PadLeft("p50", 8), PadLeft("p99", 8), PadLeft("p99.9", 8), PadLeft("rate", 9));
  const std::string rest = attach ? PadLeft("CPU", 8) + PadLeft("per", kPerColumns)
                                  : PadLeft("bytes/s", 9) + PadLeft("CPU", 8) + PadLeft("sw", 6) + PadLeft("roof", 6);
  const std::string title = absl::StrCat(one.scenario, one.placement.empty() ? "" : ", ", one.placement, " (",
                                         attach ? "xN: processes attached" : Unit(one), ")");
  return absl::StrCat("\n", Wrap(title, kTableColumns, 2), "\n", PadRight("", kLabelColumns), quantiles, rest, "\n");
}

// What was left out for one reason.
struct SkippedRows {
  std::string reason;
  std::string first;                       // row
  std::vector<std::string> subjects = {};  // primitives, where the reason begins with one
  int rows = 0;
};

// Folded: each reason once, primitives of which the same is said together.
std::vector<SkippedRows> Fold(const std::vector<SkippedCase>& skipped) {
  std::vector<SkippedRows> folded;
  for (const SkippedCase& one : skipped) {
    const std::vector<std::string> parts = absl::StrSplit(one.name, '/');
    const std::string subject = parts.size() > 1 ? parts[1] : "";
    absl::string_view rest = one.reason;
    const bool is_named = !subject.empty() && absl::ConsumePrefix(&rest, subject) &&
                          (absl::ConsumePrefix(&rest, ": ") || absl::ConsumePrefix(&rest, " "));
    const std::string reason = is_named ? std::string(rest) : one.reason;
    auto found = std::find_if(folded.begin(), folded.end(), [&](const SkippedRows& rows) {
      return rows.reason == reason && rows.subjects.empty() != is_named;
    });
    if (found == folded.end()) found = folded.insert(folded.end(), {.reason = reason, .first = one.name});
    ++found->rows;
    if (is_named && std::count(found->subjects.begin(), found->subjects.end(), subject) == 0) {
      found->subjects.push_back(subject);
    }
  }
  return folded;
}

std::string SkippedLines(const std::vector<SkippedCase>& skipped) {
  std::string lines;
  for (const SkippedRows& one : Fold(skipped)) {
    if (one.subjects.empty()) {
      const std::string more = one.rows > 1 ? absl::StrFormat(" and %d more", one.rows - 1) : "";
      absl::StrAppend(&lines, Wrap(absl::StrCat("  ", one.first, more, ": ", one.reason), kTableColumns, 4), "\n");
    } else {
      const std::string line = absl::StrFormat("  %s: %s (%d row%s)", one.reason, absl::StrJoin(one.subjects, ", "),
                                               one.rows, one.rows > 1 ? "s" : "");
      absl::StrAppend(&lines, Wrap(line, kTableColumns, 4), "\n");
    }
  }
  return lines.empty() ? "" : absl::StrCat("\nskipped\n", lines);
}

}  // namespace

bool WantsColour(bool is_terminal, const char* no_color, const char* term) {
  const bool refused = no_color != nullptr && no_color[0] != '\0';
  return is_terminal && !refused && term != nullptr && std::string(term) != "dumb";
}

std::string Coloured(const std::string& table) {
  std::string text;
  bool after_empty = true;
  bool failed = false;
  for (const std::string& line : std::vector<std::string>(absl::StrSplit(table, '\n'))) {
    const bool heading = after_empty && !line.empty();
    after_empty = line.empty();
    if (line.empty()) failed = false;
    if (heading) failed = line == "FAILED";
    const char* colour = failed                                ? "\033[31m"
                         : !line.empty() && line.back() == '!' ? "\033[33m"
                         : heading                             ? "\033[1m"
                                                               : "";
    absl::StrAppend(&text, colour, line, *colour == '\0' ? "" : "\033[0m", "\n");
  }
  text.pop_back();
  return text;
}

void CorrectCpuTime(std::vector<Run>& runs) {
  const auto correct = [](Run& run, const char* name, double& time) {
    const auto counter = run.counters.find(name);
    if (counter == run.counters.end()) return;
    const double value = counter->second.value;
    // Reporters divide a time by the iterations; an aggregate that is a share (cv) they show as it is.
    const bool is_time = run.aggregate_unit == benchmark::kTime;
    time = is_time ? value * 1e-9 * static_cast<double>(run.iterations) : value;
    run.counters.erase(counter);
  };
  for (Run& run : runs) {
    correct(run, kAllCpu, run.cpu_accumulated_time);
    correct(run, kWall, run.real_accumulated_time);
  }
}

void DropInterrupted(const Progress& progress, std::vector<Run>& report) {
  std::erase_if(report, [&](const Run& run) {
    if (run.run_type == Run::RT_Aggregate) return progress.IsCutOff(run.run_name.function_name);
    return run.error_occurred && run.error_message == kInterrupted;
  });
}

std::vector<std::vector<Run>> InOrderOf(const std::vector<Case>& cases, std::vector<std::vector<Run>> reports) {
  std::map<std::string, size_t> places;
  for (const Case& one : cases) places.emplace(one.name, places.size());
  const auto place_of = [&](const std::vector<Run>& report) {
    const auto found = report.empty() ? places.end() : places.find(report.front().run_name.function_name);
    return found == places.end() ? places.size() : found->second;
  };
  std::stable_sort(reports.begin(), reports.end(),
                   [&](const auto& one, const auto& other) { return place_of(one) < place_of(other); });
  return reports;
}

bool Display::ReportContext(const Context& context) { return shown_ == nullptr || shown_->ReportContext(context); }

void Display::ReportRuns(const std::vector<Run>& report) {
  std::vector<Run> corrected = report;
  DropInterrupted(*progress_, corrected);
  if (shown_ == nullptr || corrected.empty()) return;
  CorrectCpuTime(corrected);
  progress_->Clear();
  shown_->ReportRuns(corrected);
  shown_->GetOutputStream().flush();  // whoever follows sees each row as it comes
}

void Display::Finalize() {
  if (shown_ == nullptr) return;
  const std::vector<Run> closing = closing_ ? closing_() : std::vector<Run>();
  if (!closing.empty()) shown_->ReportRuns(closing);
  shown_->Finalize();
}

void Collector::ReportRuns(const std::vector<Run>& report) {
  std::vector<Run> whole = report;
  DropInterrupted(*progress_, whole);
  if (whole.empty()) return;
  CorrectCpuTime(whole);
  if (done_) done_(whole.front().run_name.function_name);
  reports_.push_back(std::move(whole));
}

std::string Table(const std::vector<Case>& cases, const std::vector<SkippedCase>& skipped,
                  const std::vector<std::vector<Run>>& reports) {
  std::string table;
  std::string failed;
  std::string heading;
  double worst_drift = 0;
  bool found_no_rate = false;
  for (const Case& one : cases) {
    std::vector<const Run*> runs;
    std::vector<const Run*> medians;  // all there is with --benchmark_report_aggregates_only
    for (const std::vector<Run>& report : reports) {
      for (const Run& run : report) {
        if (run.run_name.function_name != one.name) continue;
        if (run.error_occurred) {
          absl::StrAppend(&failed, Wrap(absl::StrCat("  ", one.name, ": ", run.error_message), kTableColumns, 4), "\n");
        } else if (run.run_type == Run::RT_Iteration) {
          runs.push_back(&run);
        } else if (run.aggregate_name == "median") {
          medians.push_back(&run);
        }
      }
    }
    if (runs.empty()) runs = medians;
    if (runs.empty()) continue;
    if (Heading(one) != heading) absl::StrAppend(&table, Heading(one));
    heading = Heading(one);
    const double drift = WorstDrift(runs);
    found_no_rate |= FoundNoRate(runs);
    absl::StrAppend(&table, drift == 0 ? Row(one, runs) : Cut(PadRight(Row(one, runs), kRowColumns), kRowColumns) + "!",
                    "\n");
    if (std::abs(drift) > std::abs(worst_drift)) worst_drift = drift;
  }
  if (found_no_rate) {
    absl::StrAppend(&table, "\nnone: no load tried was in time (p99.9 below 1 ms); the rest is of the lowest one\n");
  }
  if (worst_drift != 0) {
    absl::StrAppendFormat(
        &table, "\n! no steady state: from its first to its last third such a row changed by up to %+.0f %%\n",
        100 * worst_drift);
  }
  absl::StrAppend(&table, FitLines(FitCurves(cases, reports)));
  if (!failed.empty()) absl::StrAppend(&table, "\nFAILED\n", failed);
  return table + SkippedLines(skipped);
}

}  // namespace ipcmark::bench
