// An operation with a deadline never comes back with kDeadline before it, and not later than whatever may wait at all.
// How late is reported: the scheduler has its part in it.

#include "absl/strings/str_format.h"
#include "stress/invariants/invariant.h"

namespace ipcmark::stress {
namespace {

std::string FindUntimely(const Record& record) {
  if (record.most_early_nanos > 0) {
    return absl::StrFormat("expected kDeadline at the deadline or later, seen it %d ns early", record.most_early_nanos);
  }
  if (record.worst_lateness_nanos > record.plan.liveness_nanos) {
    return absl::StrFormat("expected kDeadline within %d ms of the deadline, seen it %d ms late",
                           record.plan.liveness_nanos / 1'000'000, record.worst_lateness_nanos / 1'000'000);
  }
  return "";
}

}  // namespace

extern const Invariant kDeadlines = {"deadlines", FindUntimely, /*outlives_damage=*/true};

}  // namespace ipcmark::stress
