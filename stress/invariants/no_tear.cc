// Every delivered message is, to the last byte and with its priority, one that a sender of this trial tried to send.
// This also holds for the message that was in flight when its sender was killed.

#include "absl/strings/str_format.h"
#include "stress/invariants/invariant.h"

namespace ipcmark::stress {
namespace {

std::string FindTear(const Record& record) {
  for (size_t receiver = 0; receiver < record.receivers.size(); ++receiver) {
    const std::vector<Delivery>& deliveries = record.receivers[receiver].deliveries;
    for (size_t nth = 0; nth < deliveries.size(); ++nth) {
      const Delivery& delivery = deliveries[nth];
      const bool attempted =
          delivery.sender < record.senders.size() && delivery.sequence < record.senders[delivery.sender].attempted;
      if (delivery.intact && attempted) continue;
      return absl::StrFormat(
          "expected whole messages, seen %s as delivery %d to receiver %d: %d bytes, claims sender %d, sequence %d",
          delivery.intact ? "one that nobody sent" : "a torn one", nth, receiver, delivery.bytes, delivery.sender,
          delivery.sequence);
    }
  }
  return "";
}

}  // namespace

extern const Invariant kNoTear = {"no_tear", FindTear};

}  // namespace ipcmark::stress
