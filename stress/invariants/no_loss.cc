// Every accepted message is delivered, but for what a killed process took along:
//   - a killed receiver: the one message that it had taken and not yet logged;
//   - where the primitive does not promise to survive SIGKILL: what was in the object then.
// Of a broadcast every receiver gets everything that is sent while it is open, whoever is killed, or is told how many
// messages it has missed (broadcast.h).

#include <algorithm>

#include "absl/strings/str_format.h"
#include "stress/broadcast.h"
#include "stress/invariants/invariant.h"

namespace ipcmark::stress {
namespace {

std::string FindLoss(const Record& record) {
  if (!record.complete) return "";
  if (record.plan.capabilities.broadcasts) return FindHole(record);
  uint64_t allowed = record.receiver_kills;
  const bool object_may_go = !record.plan.capabilities.survives_sigkill && record.sender_kills + allowed > 0;
  if (object_may_go) allowed += record.plan.depth_limit_messages;
  if (record.missing_messages <= allowed) return "";
  for (size_t sender = 0; sender < record.senders.size(); ++sender) {
    const std::vector<uint8_t>& counts = record.senders[sender].deliveries;
    const auto first = static_cast<uint64_t>(std::ranges::find(counts, 0) - counts.begin());
    if (first >= record.senders[sender].accepted) continue;
    return absl::StrFormat(
        "expected every accepted message to be delivered (but for %d, after %d killed sender(s) and %d killed "
        "receiver(s)), seen %d missing, the first: sender %d, sequence %d",
        allowed, record.sender_kills, record.receiver_kills, record.missing_messages, sender, first);
  }
  return "";
}

}  // namespace

extern const Invariant kNoLoss = {"no_loss", FindLoss};

}  // namespace ipcmark::stress
