#ifndef IPCMARK_BENCH_REPORT_REPORT_H_
#define IPCMARK_BENCH_REPORT_REPORT_H_

// What comes out while Google Benchmark runs: the rows as it shows them, and as they are collected for the file
// (result_file.h) and the table.

#include <benchmark/benchmark.h>

#include <functional>
#include <string>
#include <vector>

#include "bench/cases.h"
#include "bench/report/progress.h"

namespace ipcmark::bench {

// Google Benchmark times the parent, which sleeps. Puts the CPU time of the measured processes (the counter kAllCpu,
// which goes) in its place, so that cpu_time in every output means what it says, in aggregates too.
void CorrectCpuTime(std::vector<benchmark::BenchmarkReporter::Run>& runs);

// Leaves out what an interrupt cut off, and the aggregates over it, which may come alone.
void DropInterrupted(const Progress& progress, std::vector<benchmark::BenchmarkReporter::Run>& report);

// The reports in the order of the cases: with random interleaving they come as their last repetitions end.
std::vector<std::vector<benchmark::BenchmarkReporter::Run>> InOrderOf(
    const std::vector<Case>& cases, std::vector<std::vector<benchmark::BenchmarkReporter::Run>> reports);

// Google Benchmark's display reporter: forwards rows to `shown` (a format that was asked for by flag) unless it is
// null, and at the end those of `closing`, which are correct already.
class Display : public benchmark::BenchmarkReporter {
 public:
  Display(const Progress* progress, benchmark::BenchmarkReporter* shown,
          std::function<std::vector<Run>()> closing = nullptr)
      : progress_(progress), shown_(shown), closing_(std::move(closing)) {}

  bool ReportContext(const Context& context) override;
  void ReportRuns(const std::vector<Run>& report) override;
  void Finalize() override;

 private:
  const Progress* progress_;
  benchmark::BenchmarkReporter* shown_;
  std::function<std::vector<Run>()> closing_;
};

// Google Benchmark's file reporter (what it gets differs from the display's with --benchmark_display_aggregates_only):
// collects the rows, to be written when all are there.
class Collector : public benchmark::BenchmarkReporter {
 public:
  // `done`, if any, is called with the name of each benchmark that has ended with rows.
  explicit Collector(const Progress* progress, std::function<void(const std::string&)> done = nullptr)
      : progress_(progress), done_(std::move(done)) {}

  bool ReportContext(const Context& /*context*/) override { return true; }
  void ReportRuns(const std::vector<Run>& report) override;

  // One element per benchmark, in the order in which they ended.
  [[nodiscard]] const std::vector<std::vector<Run>>& reports() const { return reports_; }

 private:
  const Progress* progress_;
  std::function<void(const std::string&)> done_;
  std::vector<std::vector<Run>> reports_;
};

// What a terminal gets that shows colours: headings bold, failures red, marked rows yellow.
std::string Coloured(const std::string& table);
// Whether it does: a terminal, not a dumb one, and nobody has asked for none (https://no-color.org: NO_COLOR not
// empty).
bool WantsColour(bool is_terminal, const char* no_color, const char* term);

// A table of at most 100 columns, grouped by scenario; medians where a case was repeated; the fitted complexity of each
// curve (complexity.h); a mark (!) behind a row that drifted (drift.h); then the failed rows and what was skipped.
std::string Table(const std::vector<Case>& cases, const std::vector<SkippedCase>& skipped,
                  const std::vector<std::vector<benchmark::BenchmarkReporter::Run>>& reports);

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_REPORT_REPORT_H_
