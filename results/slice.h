// One slice: one benchmark of one Google Benchmark program, for about 100 ms in a fresh process.
//
//   Program           what is run
//   ListBenchmarks    its names, as they are today
//   CountsIterations  whether it understands --benchmark_min_time=Nx
//   LeaveOutLimits    has //bench, where it is that, run nothing beside the row that is asked for
//   Plan              how each slice of one benchmark is run, the same for both programs
//   PlanSlices        chooses it, by running a slice or two
//   RunSlice          one measurement
//
// The number of iterations is fixed where both programs can do that (Google Benchmark 1.8 and later, and //bench);
// older ones choose it themselves, which may bias a ratio by a percent. A program whose rows have p50_ns has measured
// its own median; of any other a slice has ten short repetitions, whose Harrell-Davis median stands for it.
#ifndef IPCMARK_RESULTS_SLICE_H_
#define IPCMARK_RESULTS_SLICE_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "results/child.h"
#include "results/gate.h"
#include "results/janitor.h"
#include "results/run_file.h"

namespace ipcmark::results {

struct Program {
  std::string path;
  // Passed on in every call.
  std::vector<std::string> arguments;
  // What it calls rows that have another name today (NameNow), by today's. ListBenchmarks fills it.
  std::map<std::string, std::string> own_names = {};
};

struct Plan {
  std::string metric = "real_time";  // or p50_ns
  int repetitions = 1;
  // Of each repetition; 0: the program chooses, for `seconds`.
  int64_t iterations = 0;
  double seconds = 0;
  int cpu = kAnyCpu;
};

struct SliceOptions {
  double seconds = 0.1;
  // Which CPU a program is pinned to that does not pin itself and has no threads in its name.
  int cpu = kAnyCpu;
};

// A slice that takes longer hangs. Generous: a machine may be stopped for a minute.
constexpr double kSliceLimitSeconds = 300;

// All errors: Cancelled when interrupted, else one sentence that names the program.
absl::StatusOr<std::vector<std::string>> ListBenchmarks(const Janitor& janitor, Program& program);
absl::StatusOr<bool> CountsIterations(const Program& program, const Janitor& janitor);

// Appends --noroofline to the program's arguments where it understands that: else the rows of Roofline would run along
// in every slice, and take longer than the slice itself.
absl::Status LeaveOutLimits(const Janitor& janitor, Program& program);

struct Planned {
  Plan plan;
  RunFile file;  // of the slice that was run to find out
};
absl::StatusOr<Planned> PlanSlices(const Program& program, const std::string& benchmark, const SliceOptions& options,
                                   bool counts_iterations, const Janitor& janitor);

absl::StatusOr<SliceTimes> RunSlice(const Program& program, const std::string& benchmark, const Plan& plan,
                                    const Janitor& janitor);

// For --benchmark_filter: a regular expression that finds this name only.
std::string ExactFilter(const std::string& benchmark);

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_SLICE_H_
