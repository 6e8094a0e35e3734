// The gate: base and head side by side, pair by pair, until every benchmark is decided or the time is up.
//
//   GateRow      one benchmark's outcome
//   GateReport   all of them
//   RunGate      makes a report out of slices, wherever these come from
//
// A block is one pair of every undecided benchmark, in random order, and the order within each pair is random too. The
// seed is in the report. What has no number is an error, never a pass.
#ifndef IPCMARK_RESULTS_GATE_H_
#define IPCMARK_RESULTS_GATE_H_

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "results/compare.h"
#include "results/statistics/sequential.h"

namespace ipcmark::results {

enum class Side { kBase, kHead };

enum class GateVerdict { kPass, kFail, kInconclusive, kErrorInBase, kErrorInHead };

// What one slice measured, in nanoseconds.
struct SliceTimes {
  double typical = 0;
  // Counters of the slow end, such as p99_ns; where the program has them.
  std::map<std::string, double> tails = {};
};

// Tails are noisy; by default they only advise. `slowdown` is what their PASS rules out.
struct TailLimit {
  const char* metric;
  double slowdown;
};
constexpr std::array<TailLimit, 2> kTails = {{{"p99_ns", 0.10}, {"p999_ns", 0.20}}};

// About one tail of one benchmark. It changes no verdict and no exit code: the pairs end when the typical time is
// decided.
struct Advice {
  std::string metric;
  Decision decision = Decision::kInconclusive;
  Estimate estimate;
  size_t pairs = 0;
};

struct GateRow {
  std::string name;
  GateVerdict verdict = GateVerdict::kInconclusive;
  // Of an error.
  std::string detail;
  // How it was measured: "p50_ns, 20000 iterations, CPU 1".
  std::string method;
  // Of what has pairs.
  Estimate estimate;
  double base_nanos = 0;  // medians over the slices
  double head_nanos = 0;
  std::vector<double> log_ratios;
  // For each of kTails that both sides have in every slice.
  std::vector<Advice> advice;
};

struct GateReport {
  std::string base;
  std::string head;
  uint64_t seed = 0;
  double seconds = 0;
  bool interrupted = false;
  GateRules rules;
  std::vector<EnvironmentDifference> environment;
  // One sentence each, about all of it.
  std::vector<std::string> warnings;
  // In the order of the programs.
  std::vector<GateRow> rows;
};

struct GateRun {
  GateRules rules;
  uint64_t seed = 0;
  // One slice of row `index`; Cancelled ends the gate.
  std::function<absl::StatusOr<SliceTimes>(Side side, size_t index)> measure;
  // Asked before every block.
  std::function<bool()> time_is_up;
  // Told after every block: pairs so far, rows undecided.
  std::function<void(size_t pairs, size_t undecided)> progress;
};

// Fills the rows of `report` that have no error yet, and its rules and seed.
void RunGate(const GateRun& run, GateReport& report);

// Decides nothing: pairs of every row until the time is up, for the rows' log_ratios.
void RecordPairs(GateRun run, GateReport& report);

// "PASS", "FAIL", "INCONCLUSIVE", "ERROR in base", "ERROR in head".
const char* GateVerdictName(GateVerdict verdict);

// The worst of all rows, in the order FAIL or error in head, INCONCLUSIVE or error in base, PASS.
GateVerdict Overall(const GateReport& report);

// 1 for a FAIL and for what is missing or failed in head; with `strict` 4 when the environments differ, and 3 for
// INCONCLUSIVE and for what is missing or failed in base. 4 before 1 before 3 before 0.
Exit GateExitCode(const GateReport& report, bool strict);

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_GATE_H_
