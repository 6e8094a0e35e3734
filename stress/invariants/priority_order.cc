// The message of the highest priority is received first. What the senders put in before any receiver starts (the fill)
// lies in the object together, so that each receiver gets its part of it in falling priority, whoever is killed and
// whatever comes in between: falling in the object's own order, of which a receiver sees a part. The same for the
// refill after traffic, where one receiver takes everything, equal priorities in the order sent.

#include <limits>

#include "absl/strings/str_format.h"
#include "stress/invariants/invariant.h"

namespace ipcmark::stress {
namespace {

std::string FindPreference(const Record& record) {
  if (!record.plan.capabilities.has_priorities) return "";
  for (uint32_t slot = 0; slot < record.plan.geometry.receivers; ++slot) {
    uint32_t lowest = std::numeric_limits<uint32_t>::max();
    for (const ReceiverHistory& receiver : record.receivers) {
      if (receiver.slot != slot) continue;
      for (const Delivery& delivery : receiver.deliveries) {
        if (!delivery.intact || delivery.sender >= record.senders.size()) continue;
        if (delivery.sequence >= record.senders[delivery.sender].filled) continue;
        if (delivery.priority > lowest) {
          return absl::StrFormat(
              "expected what lies in the object in falling priority, seen sender %d, sequence %d with priority %d "
              "after priority %d",
              delivery.sender, delivery.sequence, delivery.priority, lowest);
        }
        lowest = delivery.priority;
      }
    }
  }
  if (record.audit.done && record.audit.misordered > 0) {
    return absl::StrFormat("expected the refill in falling priority, then in the order sent, seen %d message(s) early",
                           record.audit.misordered);
  }
  return "";
}

}  // namespace

extern const Invariant kPriorityOrder = {"priority_order", FindPreference};

}  // namespace ipcmark::stress
