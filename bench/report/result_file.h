#ifndef IPCMARK_BENCH_REPORT_RESULT_FILE_H_
#define IPCMARK_BENCH_REPORT_RESULT_FILE_H_

// The file that a run leaves: where it goes, whether it can be written, and its writing in any of Google Benchmark's
// formats.

#include <benchmark/benchmark.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace ipcmark::bench {

// "results/runs/2026-11-23T13-40-12-smoke.json" in the workspace, or in the current folder outside of bazel run.
std::filesystem::path DefaultOut(const std::string& suite);

// The newest other run of the same suite beside `path`; `path` itself when there is none.
std::filesystem::path PreviousRun(const std::filesystem::path& path, const std::string& suite);

// So that an hour of measuring is not lost to a folder that cannot be written: tries what WriteRows will do and leaves
// nothing behind. What open(2) says otherwise, and `flag`, in which to name another file.
absl::Status CheckWritable(const std::filesystem::path& path, const std::string& flag);

// Whether both paths lead to one file that can hold only one of two texts: not so of /dev/null or a terminal.
bool AreOneFile(const std::filesystem::path& one, const std::filesystem::path& other);

// Google Benchmark's CSV needs the same counters in each row, and ours differ from scenario to scenario. This one
// writes all rows at the end, under a header that has every counter; a row leaves empty what it lacks.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"  // deprecated for new uses; --benchmark_format has it still
class CsvReporter : public benchmark::CSVReporter {
 public:
  void ReportRuns(const std::vector<Run>& report) override;
  void Finalize() override;

 private:
  std::vector<Run> rows_;
};
#pragma GCC diagnostic pop

// Writes the rows as "json", "csv" or "console" has it. Aside first, then renamed: no reader ever sees half a file, and
// a kill leaves none under this name. kUnavailable and the like with one sentence that names `path`. What is no regular
// file (a terminal, /dev/null) is written to as it is.
absl::Status WriteRows(const std::filesystem::path& path, const std::string& format,
                       const std::vector<std::vector<benchmark::BenchmarkReporter::Run>>& reports);

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_REPORT_RESULT_FILE_H_
