#include "stress/sweep_command.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ipc/os/clock.h"
#include "stress/step_kill.h"

namespace ipcmark::stress {
namespace {

const char* WhySkipped(const Capabilities& capabilities) {
  if (capabilities.broadcasts) return "it broadcasts, and the checks are about messages that one receiver gets";
  if (!capabilities.survives_sigkill) return "it does not promise to survive SIGKILL";
  return nullptr;
}

void PrintRow(const std::string& name, const Sweep& sweep, double seconds) {
  const bool whole = sweep.trials == sweep.points;
  std::string result = whole ? "ok, every instruction" : "ok";
  if (!sweep.broken.empty()) result = "BROKEN";
  absl::PrintF("%-28s %7d %7d %7d %9d %12.3f %7.1f  %s\n", name, sweep.points, sweep.trials, sweep.reached,
               sweep.survivors, static_cast<double>(sweep.worst_recovery_nanos) / 1e6, seconds, result);
  fflush(stdout);
}

}  // namespace

absl::StatusOr<bool> RunSweeps(const Options& options, const std::string& target,
                               std::span<const PrimitiveEntry> primitives, const std::atomic<bool>* cancel) {
  const int64_t begin_nanos = os::MonotonicNanos();
  bool broken = false;
  uint64_t trials = 0;
  uint64_t survivors = 0;
  absl::PrintF("seed %d\n%-28s %7s %7s %7s %9s %12s %7s  %s\n", options.seed, "call", "points", "trials", "reached",
               "survivors", "recovery/ms", "s", "result");
  for (const PrimitiveEntry& primitive : primitives) {
    if (!options.primitive.empty() && options.primitive != primitive.name) continue;
    if (const char* why = WhySkipped(primitive.capabilities); why != nullptr) {
      absl::PrintF("skipped %s: %s\n", primitive.name, why);
      continue;
    }
    for (const SweptCall& call : SweptCalls()) {
      const std::string name = absl::StrCat(primitive.name, "/", call.name);
      if (!options.scenario.Fits(name)) continue;
      const int64_t call_nanos = os::MonotonicNanos();
      const absl::StatusOr<Sweep> sweep =
          SweepCall({.make_subject = primitive.make_subject,
                     .call = &call,
                     .seed = options.seed,
                     .from = options.first_point,
                     .to = options.last_point,
                     .samples = options.trials == kNoLimit ? 0 : options.trials,
                     .end_nanos = begin_nanos + static_cast<int64_t>(options.seconds) * os::kNanosPerSecond,
                     .cancel = cancel});
      if (!sweep.ok()) return absl::Status(sweep.status().code(), absl::StrCat(name, ": ", sweep.status().message()));
      PrintRow(name, *sweep, static_cast<double>(os::MonotonicNanos() - call_nanos) / 1e9);
      trials += sweep->trials;
      survivors += sweep->survivors;
      const std::string command =
          absl::StrFormat("./bazelw run %s -- --sweep --seed=%d --scenario='^%s$'", target, options.seed, name);
      if (!sweep->broken.empty()) {
        broken = true;
        absl::PrintF("BROKEN %s: killed before instruction %d of %d: expected its promises to hold, seen %s\n", name,
                     sweep->broken_point, sweep->points, sweep->broken);
        absl::PrintF("  replay: %s --points=%d:%d\n", command, sweep->broken_point, sweep->broken_point + 1);
      } else if (sweep->next > 0 && sweep->next < std::min(sweep->points, options.last_point)) {
        absl::PrintF("  resume: %s --points=%d:%d\n", command, sweep->next, sweep->points);
      }
    }
  }
  absl::PrintF("%d kills, %d survivors\nseed %d\n", trials, survivors, options.seed);
  return broken;
}

}  // namespace ipcmark::stress
