// The command line of //results:gate.
#ifndef IPCMARK_RESULTS_GATE_OPTIONS_H_
#define IPCMARK_RESULTS_GATE_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "results/child.h"

namespace ipcmark::results {

struct GateOptions {
  // Either two revisions or two programs.
  std::string base;
  std::string head = "worktree";
  std::string target = "//bench";
  std::string base_binary;
  std::string head_binary;
  std::vector<std::string> arguments;  // for both programs
  std::string filter;
  double budget_seconds = 300;
  double slice_seconds = 0.1;
  size_t max_pairs = 400;
  double dead_band = 0.015;
  double slowdown = 0.05;
  std::optional<uint64_t> seed;
  bool pin = true;
  int cpu = kAnyCpu;  // with pin: the last CPU that is allowed
  bool strict = false;
  bool help = false;
  // Files to write; empty: none.
  std::string json;
  std::string markdown;
  std::string junit;
};

// InvalidArgument, in one sentence, names the argument that is wrong.
absl::StatusOr<GateOptions> ParseGateOptions(const std::vector<std::string>& arguments);

// "5m", "90s", "100ms"; a number without a unit is seconds.
absl::StatusOr<double> ParseSeconds(const std::string& flag, const std::string& text);

extern const char kGateUsage[];

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_GATE_OPTIONS_H_
