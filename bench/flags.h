#ifndef IPCMARK_BENCH_FLAGS_H_
#define IPCMARK_BENCH_FLAGS_H_

// The command line: our flags, and those that are passed on to Google Benchmark.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/cases.h"
#include "bench/machine/clock.h"
#include "bench/machine/topology.h"

namespace ipcmark::bench {

struct Flags {
  Options options;
  bool help = false;
  bool list_only = false;             // --benchmark_list_tests
  std::string format;                 // --benchmark_format, empty: our table
  bool benchstat = false;             // --format=benchstat
  std::vector<Placement> placements;  // --placement, empty: as the options say
  ClockChoice clock = ClockChoice::kAuto;
  bool roofline = true;             // without --noroofline: its rows run along with those that the filter selects
  std::string samples;              // --samples, empty: none are kept
  std::string out;                  // --benchmark_out, empty: a new file under results/runs
  std::string out_format = "json";  // --benchmark_out_format
  int64_t messages = 0;             // --benchmark_min_time=Nx: per run of a benchmark; 0: Google Benchmark chooses
  double min_seconds = 0;           // --benchmark_min_time, which is passed on, too; 0: the suite's
  int repetitions = 0;              // --benchmark_repetitions; 0: the suite's
  std::vector<std::string> passed;  // every other one that begins with --benchmark_ or --v=, and --benchmark_format
};

// `arguments`: without the program's name. kInvalidArgument with one sentence for what is not understood.
absl::StatusOr<Flags> ParseFlags(const std::vector<std::string>& arguments);

// What Google Benchmark gets: the suite's choices first, so that the user's win. More than one repetition: those of all
// benchmarks in random order, unless the user says otherwise.
std::vector<std::string> BenchmarkArguments(const Flags& flags, const SuiteTiming& timing);

// How long a slice may take before it is killed: kSliceWatchdogNanos and ten times the seconds asked for, or 1 ms for
// each message asked for.
int64_t WatchdogNanos(const Flags& flags, const SuiteTiming& timing);

// What --help prints.
std::string HelpText();

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_FLAGS_H_
