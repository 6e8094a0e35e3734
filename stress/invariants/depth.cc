// The object never holds more than it says, and takes at least one message; where its limit is the geometry's depth
// whatever the size, it takes exactly that many.
//
// Two checks. The fill is exact: no receiver runs, and one sender at last sends alone until kWouldBlock. While traffic
// flows a sender reads what is accepted first and what is delivered second. Delivered can only have grown in between,
// which makes the difference smaller: it never exceeds what the object held at the moment of the first reading, plus
// one message per receiver that has taken it and not logged it yet (or never will, being dead). What is lost stays in
// the difference for ever; it is another invariant's, so it is taken off here.
//
// Of a broadcast the same holds for each receiver by itself. One that waits for nobody has no such bound.

#include "absl/strings/str_format.h"
#include "stress/invariants/invariant.h"

namespace ipcmark::stress {
namespace {

std::string FindExcess(const Record& record) {
  const TrialPlan& plan = record.plan;
  if (plan.Overwrites()) return "";
  const bool exact = plan.depth_limit_messages == plan.geometry.depth_messages;
  const uint64_t least = exact ? plan.fill_limit_messages : 1;
  // Without traffic (the trial broke in its fill) the fill may not be over.
  const bool filled = record.complete || record.delivered_messages > 0;
  if (record.fill_accepted_messages > plan.fill_limit_messages || (filled && record.fill_accepted_messages < least)) {
    return absl::StrFormat("expected %d to %d messages of %d bytes to fill the object, seen %d accepted", least,
                           plan.fill_limit_messages, plan.fill_bytes, record.fill_accepted_messages);
  }
  const bool broadcasts = plan.capabilities.broadcasts;
  const uint64_t in_hands = broadcasts ? 1 : record.receivers.size();
  const uint64_t lost = broadcasts ? 0 : record.missing_messages;
  if (record.most_in_flight_messages > plan.depth_limit_messages + in_hands + lost) {
    return absl::StrFormat(
        "expected at most %d messages in the object and %d in receivers' hands, seen %d accepted and not delivered",
        plan.depth_limit_messages, in_hands, record.most_in_flight_messages);
  }
  return "";
}

}  // namespace

extern const Invariant kDepth = {"depth", FindExcess};

}  // namespace ipcmark::stress
