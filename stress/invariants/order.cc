// Messages of one sender and one priority arrive in the order sent; those of a broadcast, where a sender begins when
// the one before it is gone, in the order of all senders. Checked for each receiver slot, through the deaths in it: a
// replacement opens when its predecessor is gone, so that what both received is one sequence of calls. Between
// receivers nothing is checked: that one logs later does not tell that it received later.

#include <map>
#include <utility>

#include "absl/strings/str_format.h"
#include "stress/invariants/invariant.h"

namespace ipcmark::stress {
namespace {

std::string FindDisorder(const Record& record) {
  const bool one_after_the_other = record.plan.capabilities.broadcasts;
  for (uint32_t slot = 0; slot < record.plan.geometry.receivers; ++slot) {
    std::map<std::pair<uint32_t, uint32_t>, uint64_t> last;
    uint32_t last_sender = 0;
    for (const ReceiverHistory& receiver : record.receivers) {
      if (receiver.slot != slot) continue;
      for (const Delivery& delivery : receiver.deliveries) {
        if (!delivery.intact) continue;
        if (one_after_the_other && delivery.sender < last_sender) {
          return absl::StrFormat("expected nothing of sender %d once something of sender %d had come, seen sequence %d",
                                 delivery.sender, last_sender, delivery.sequence);
        }
        last_sender = delivery.sender;
        const auto [at, first] = last.try_emplace({delivery.sender, delivery.priority}, delivery.sequence);
        // Equal is a duplicate, which is another invariant's.
        if (!first && delivery.sequence < at->second) {
          return absl::StrFormat(
              "expected each sender's messages of one priority in the order sent, seen sequence %d after %d from "
              "sender %d at priority %d",
              delivery.sequence, at->second, delivery.sender, delivery.priority);
        }
        at->second = delivery.sequence;
      }
    }
  }
  return "";
}

}  // namespace

extern const Invariant kOrder = {"order", FindDisorder};

}  // namespace ipcmark::stress
