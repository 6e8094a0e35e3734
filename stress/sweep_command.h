#ifndef IPCMARK_STRESS_SWEEP_COMMAND_H_
#define IPCMARK_STRESS_SWEEP_COMMAND_H_

// --sweep: step_kill.h over every primitive that promises to survive SIGKILL, with a line for each call.

#include <atomic>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "stress/options.h"
#include "stress/traffic.h"

namespace ipcmark::stress {

// Prints what it finds; true when something broke. An error is one sentence.
absl::StatusOr<bool> RunSweeps(const Options& options, const std::string& target,
                               std::span<const PrimitiveEntry> primitives, const std::atomic<bool>* cancel);

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_SWEEP_COMMAND_H_
