#ifndef IPCMARK_STRESS_SWEEP_COMMAND_H_
#define IPCMARK_STRESS_SWEEP_COMMAND_H_

// --sweep: step_kill.h over every call of every primitive that promises to survive SIGKILL.

#include <atomic>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "stress/options.h"
#include "stress/report.h"
#include "stress/traffic.h"

namespace ipcmark::stress {

// Prints a line for each call, what broke, and the commands that replay and resume; writes to `json`. `broken`:
// whether something broke, also before an error. An error is one sentence; kInvalidArgument: no call fits.
absl::Status RunSweeps(const Options& options, const std::string& target, std::span<const PrimitiveEntry> primitives,
                       const std::atomic<bool>* cancel, const ResultFile& json, bool* broken);
// Prints the names of the calls that it would kill in, and what is skipped and why.
void ListSweeps(const Options& options, std::span<const PrimitiveEntry> primitives);

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_SWEEP_COMMAND_H_
