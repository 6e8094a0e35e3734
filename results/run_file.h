// One file of benchmark results, as Google Benchmark writes it with --benchmark_out_format=json. Any program's file is
// read, not only ours: an unknown key is a counter (when it is a number) or ignored.
//
//   RunFile       context and rows of one file
//   ReadRunFile   from a path; ReadResultFile: its bytes
//   ParseRunFile  from a string
//
// The input is not trusted. Whatever the bytes are, the answer is rows or one sentence that names the file and the
// remedy; nesting is parsed without recursion, so depth cannot exhaust the stack. Of duplicate keys the last one
// counts, as in Python's json module, so that Google's own compare tool sees the same numbers.
#ifndef IPCMARK_RESULTS_RUN_FILE_H_
#define IPCMARK_RESULTS_RUN_FILE_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ipcmark::results {

// A file of a thousand benchmarks with ten repetitions is about 6 MB; what is larger than this is not a result file.
constexpr size_t kMaxFileBytes = size_t{64} << 20;

enum class RunType { kIteration, kAggregate };

struct Row {
  std::string name;
  // What repetitions and aggregates of one benchmark share. Equal to `name` in files too old to have it.
  std::string run_name;
  RunType run_type = RunType::kIteration;
  // "mean", "median", "stddev", ...; empty in an iteration row.
  std::string aggregate_name;
  int64_t repetition_index = 0;
  int64_t iterations = 0;
  // NaN when the row has none (a BigO row, or null). In an aggregate of unit "percentage" (cv) a fraction, not a time.
  double real_time_ns = std::numeric_limits<double>::quiet_NaN();
  double cpu_time_ns = std::numeric_limits<double>::quiet_NaN();
  // The program gave up on this run (SkipWithError): its times are no measurement, whatever they say.
  bool error_occurred = false;
  std::string error_message;
  // Google Benchmark 1.8 and later: left out on purpose (SkipWithMessage). Not an error, and no measurement either.
  bool skipped = false;
  std::string skip_message;
  std::string label;
  // May hold NaN and infinities: Google Benchmark writes them, as bare tokens.
  std::map<std::string, double> counters;
};

struct RunFile {
  std::string path;
  // Numbers, lists and objects as compact text.
  std::map<std::string, std::string> context;
  // In the order of the file; never empty.
  std::vector<Row> rows;
};

// What //bench calls today what it called `run_name` in older files: the same work, under another name.
std::string NameNow(const std::string& run_name);

// InvalidArgument for a file that is not what it should be, Unavailable (with errno's text) for one that cannot be
// read.
absl::StatusOr<RunFile> ReadRunFile(const std::string& path);

// Its bytes alone; Unavailable, or InvalidArgument when it is too large.
absl::StatusOr<std::string> ReadResultFile(const std::string& path);

// `path` only names the source in errors.
absl::StatusOr<RunFile> ParseRunFile(const std::string& json, const std::string& path);

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_RUN_FILE_H_
