#ifndef IPCMARK_BENCH_REPORT_H_
#define IPCMARK_BENCH_REPORT_H_

// What comes out: the rows collected while Google Benchmark runs, a table for people, and the JSON file.

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "bench/cases.h"
#include "bench/runner.h"

namespace ipcmark::bench {

// Google Benchmark times the parent, which sleeps. Puts the CPU time of the measured processes in its place, so that
// cpu_time in every output means what it says.
void CorrectCpuTime(std::vector<benchmark::BenchmarkReporter::Run>& runs);

// Collects all rows; forwards them to `display` when that is not null (a format that was asked for by flag).
class Collector : public benchmark::BenchmarkReporter {
 public:
  Collector(Progress* progress, benchmark::BenchmarkReporter* display) : progress_(progress), display_(display) {}

  bool ReportContext(const Context& context) override;
  void ReportRuns(const std::vector<Run>& report) override;
  void Finalize() override;

  // One element per call of ReportRuns, in order.
  [[nodiscard]] const std::vector<std::vector<Run>>& reports() const { return reports_; }

 private:
  Progress* progress_;
  benchmark::BenchmarkReporter* display_;
  std::vector<std::vector<Run>> reports_;
};

// The JSON reporter for --benchmark_out, with the CPU time corrected.
class CorrectedJsonReporter : public benchmark::JSONReporter {
 public:
  void ReportRuns(const std::vector<Run>& report) override;
};

// A table of at most 100 columns, grouped by scenario; medians where a case was repeated; then the failed rows and what
// was skipped, each with its reason.
std::string Table(const std::vector<Case>& cases, const std::vector<SkippedCase>& skipped,
                  const std::vector<std::vector<benchmark::BenchmarkReporter::Run>>& reports);

// Writes the rows as Google Benchmark's JSON, without those that an interrupt cut off. Aside first, then renamed: no
// reader ever sees half a file, and a kill leaves none under this name.
absl::Status WriteJson(const std::string& path,
                       const std::vector<std::vector<benchmark::BenchmarkReporter::Run>>& reports);

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_REPORT_H_
