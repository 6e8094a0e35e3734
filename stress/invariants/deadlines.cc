// An operation with a deadline never comes back with kDeadline before it, and not later than whatever may wait at all.
// How late is reported (worst_lateness_nanos): the scheduler has its part in it. Time in which somebody was kept from
// running is off the bound; nobody looks for it while others get on, hence the time of traffic.

#include "absl/strings/str_format.h"
#include "stress/invariants/invariant.h"

namespace ipcmark::stress {
namespace {

std::string FindUntimely(const Record& record) {
  if (record.most_early_nanos > 0) {
    return absl::StrFormat("expected kDeadline at the deadline or later, seen it %d ns early", record.most_early_nanos);
  }
  const TrialPlan& plan = record.plan;
  if (record.worst_lateness_nanos > plan.liveness_nanos + plan.traffic_nanos + record.excused_nanos) {
    return absl::StrFormat("expected kDeadline within %d ms of the deadline, seen it %d ms late",
                           plan.liveness_nanos / 1'000'000, record.worst_lateness_nanos / 1'000'000);
  }
  return "";
}

}  // namespace

extern const Invariant kDeadlines = {"deadlines", FindUntimely, /*outlives_damage=*/true};

}  // namespace ipcmark::stress
