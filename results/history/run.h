// One result file as the history keeps it: its bytes, and what lists and trends ask for, worked out once.
//
//   HistoryRun    a run
//   HistoryPoint  one number of it: the median of a benchmark's repetitions
//   MakeRun       from the bytes of a file
//
// A run is named by the SHA-256 of its JSON without the white space between tokens, so that the same run comes out the
// same from every machine and however it was indented.
//
// The machine is named by what its times depend on and what stays from run to run: `cpu_model`, `num_cpus`, `caches`,
// `kernel`, `governor`, `clocksource`, and `build`, since debug and optimized times belong in no common series. A
// container's host name changes with every run; it counts only in a file that names no `cpu_model`, as plain Google
// Benchmark programs write it.
#ifndef IPCMARK_RESULTS_HISTORY_RUN_H_
#define IPCMARK_RESULTS_HISTORY_RUN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace ipcmark::results {

struct HistoryPoint {
  std::string benchmark;
  // real_time, cpu_time (both in ns here), or a counter by its name.
  std::string metric;
  double value = 0;
  int64_t repetitions = 0;
};

struct HistoryRun {
  std::string id;  // 64 hexadecimal digits
  int64_t unix_seconds = 0;
  std::string machine;       // 12 hexadecimal digits
  std::string machine_text;  // for people: "AMD EPYC, 2 CPUs, Linux 6.18.0"
  std::string git_revision;  // "unknown" where the file does not say
  std::string suite;         // may be empty
  std::string json;          // as it was in the file
  std::vector<HistoryPoint> points;
};

// How many digits of an id and of a machine are shown.
constexpr size_t kShownIdDigits = 12;

// Time: the file's `date`, or `now_unix_seconds` in a file without. InvalidArgument, naming `path`, for what is no
// result file (run_file.h) and for one without a single number. A benchmark with a failed repetition has no points: its
// survivors are a biased sample.
absl::StatusOr<HistoryRun> MakeRun(const std::string& json, const std::string& path, int64_t now_unix_seconds);

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_HISTORY_RUN_H_
