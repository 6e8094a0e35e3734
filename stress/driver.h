#ifndef IPCMARK_STRESS_DRIVER_H_
#define IPCMARK_STRESS_DRIVER_H_

// The parent's part of a trial: forks the ends, moves from phase to phase, strikes, and notices when nothing happens
// any more. Whatever the processes do, Drive returns: it kills what has not come to an end.

#include <atomic>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "ipc/os/process_group.h"
#include "stress/board.h"
#include "stress/faults/fault.h"
#include "stress/plan.h"
#include "stress/record.h"
#include "stress/smaller.h"

namespace ipcmark::stress {

inline constexpr int64_t kDefaultTrafficNanos = 40'000'000;
// Of a trial whose messages are counted: it ends with them.
inline constexpr int64_t kCountedTrafficNanos = 1'000'000'000;
// Generous: a machine that others use, too, may stop for a second. What hangs, hangs for ever.
inline constexpr int64_t kDefaultLivenessNanos = 5'000'000'000;

struct TrialRequest {
  Geometry geometry;
  const Fault* fault;
  uint64_t seed;
  int64_t traffic_nanos = kDefaultTrafficNanos;
  int64_t liveness_nanos = kDefaultLivenessNanos;
  const std::atomic<bool>* cancel = nullptr;  // may be null; set by a signal handler
  // CLOCK_MONOTONIC: a trial whose ends are not all open by then is given up.
  int64_t end_nanos = std::numeric_limits<int64_t>::max();
  // Its messages and strikes; what it says of the geometry is in `geometry` already.
  Smaller smaller = {};
};

// The size of the messages that fill the object: the largest or the smallest.
uint32_t DrawFillBytes(const TrialRequest& request);

// `memory`: TrialPlan::memory.
TrialPlan MakePlan(const TrialRequest& request, const Capabilities& capabilities, uint32_t fill_bytes,
                   uint64_t fill_limit_messages, uint64_t depth_limit_messages, std::vector<std::string> memory);

// What a process of each side runs, and ReleaseEnds for the parent's copy.
struct Ends {
  absl::FunctionRef<absl::Status(Board&, uint32_t index, os::Gate&)> sender;
  absl::FunctionRef<absl::Status(Board&, uint32_t index, os::Gate&)> receiver;
  // What a last process runs, alone, when both sides have left (audit.h).
  absl::FunctionRef<absl::Status(Board&)> audit;
  absl::FunctionRef<void()> release;
};

// Errors: what the system refused before traffic began, and kCancelled (TrialPlan::end_nanos, too).
absl::StatusOr<Record> Drive(const TrialPlan& plan, const Ends& ends, const std::atomic<bool>* cancel);

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_DRIVER_H_
