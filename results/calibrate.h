// What the gate's errors are on this machine.
//
//   Share          how often something happened, with its exact confidence bounds
//   Recording      pairs of slices of one and the same program, measured here
//   ReplaySuites   many suites made out of a recording
//
// A recording holds the noise of this machine with its drift and its modes, in the order in which it came. A replayed
// benchmark starts somewhere in the recording of a benchmark and goes on from there, around the end; the sign of each
// pair is drawn anew, which is what the random order within a pair means when both sides are the same. A slowdown is
// added to ln(head / base). The time that a suite may take is counted in the recording's own seconds per pair.
#ifndef IPCMARK_RESULTS_CALIBRATE_H_
#define IPCMARK_RESULTS_CALIBRATE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "results/statistics/interval.h"
#include "results/statistics/sequential.h"

namespace ipcmark::results {

struct Share {
  size_t count = 0;
  size_t of = 0;
  double value() const { return of == 0 ? 0 : static_cast<double>(count) / static_cast<double>(of); }
};

// Clopper and Pearson's 95 % interval: exact, and never too narrow. 0 to 1 for nothing of nothing.
Interval Bounds(const Share& share);

struct Recording {
  // For each benchmark its ln(head / base), at least one.
  std::vector<std::vector<double>> log_ratios;
  double seconds_per_pair = 0.25;
};

struct Replay {
  Share alarms;        // suites in which a benchmark fails that has not changed
  Share caught;        // suites whose changed benchmark fails
  Share passed;        // and passes, although it has changed
  double seconds = 0;  // of a suite, on average
};

struct ReplayOptions {
  size_t benchmarks = 30;
  size_t suites = 2000;
  double budget_seconds = 300;
  uint64_t seed = 1;
  GateRules rules;  // its number of benchmarks is set here
};

// The first benchmark of every suite is slower by `slowdown` (0: none is).
Replay ReplaySuites(const Recording& recording, double slowdown, const ReplayOptions& options);

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_CALIBRATE_H_
