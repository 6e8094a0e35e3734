// After the faults the object is as good as new: empty when everything was delivered (count = accepted - delivered), it
// takes as many messages as before the first fault (free + used slots = capacity: a slot that a killed process took
// along would show here) and gives exactly those back. What overwrites takes them all, gives back as many as it holds,
// and says how many the others were.

#include "absl/strings/str_format.h"
#include "stress/invariants/invariant.h"

namespace ipcmark::stress {
namespace {

std::string FindLeak(const Record& record) {
  const Audit& audit = record.audit;
  if (!record.complete || !audit.done) return "";
  if (audit.found > 0) {
    return absl::StrFormat("expected an empty object once all is delivered, seen %d message(s) in it", audit.found);
  }
  const TrialPlan& plan = record.plan;
  if (plan.Overwrites()) {
    const uint64_t kept = plan.geometry.depth_messages;
    if (audit.returned == kept && audit.missed == audit.accepted - kept && audit.torn == 0) return "";
    return absl::StrFormat(
        "expected the last %d of the refill's %d messages back and to be told of the others, seen %d, %d of them torn, "
        "and told of %d",
        kept, audit.accepted, audit.returned, audit.torn, audit.missed);
  }
  const bool exact = plan.depth_limit_messages == plan.geometry.depth_messages;
  const uint64_t least = exact ? plan.fill_limit_messages : 1;
  if (audit.accepted < least || audit.accepted > plan.fill_limit_messages) {
    return absl::StrFormat("expected room for %d to %d messages of %d bytes as in the beginning, seen %d accepted",
                           least, plan.fill_limit_messages, plan.fill_bytes, audit.accepted);
  }
  if (audit.returned != audit.accepted || audit.torn > 0) {
    return absl::StrFormat("expected the %d messages of the refill back, seen %d, %d of them torn", audit.accepted,
                           audit.returned, audit.torn);
  }
  return "";
}

}  // namespace

extern const Invariant kCapacity = {"capacity", FindLeak};

}  // namespace ipcmark::stress
