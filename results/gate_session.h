// Two programs on this machine, ready to be measured side by side.
#ifndef IPCMARK_RESULTS_GATE_SESSION_H_
#define IPCMARK_RESULTS_GATE_SESSION_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "results/gate.h"
#include "results/janitor.h"
#include "results/slice.h"

namespace ipcmark::results {

struct Session {
  Program base;
  Program head;
  // One for each row of the report that has no error yet.
  std::vector<Plan> plans;
  // Rows, environment and warnings; RunGate fills in the rest.
  GateReport report;
};

// Lists both programs, plans every benchmark that `filter` finds with a slice of base, and runs one of head to warm up.
// A benchmark that only one side has, or that fails, is a row with an error. An error of its own: Cancelled, or what
// the user must mend.
absl::StatusOr<Session> Prepare(const Program& base, const Program& head, const std::string& filter,
                                const SliceOptions& options, const Janitor& janitor);

absl::StatusOr<SliceTimes> Measure(const Session& session, Side side, size_t row, const Janitor& janitor);

// The highest CPU that this process may run on: the lowest has most of the interrupts.
int LastAllowedCpu();
bool IsAllowedCpu(int cpu);

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_GATE_SESSION_H_
