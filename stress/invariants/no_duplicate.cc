// No message is delivered twice (by a broadcast: to one receiver), whoever is killed. What a killed receiver had not
// logged is not counted: it was never handed on.

#include "absl/strings/str_format.h"
#include "stress/invariants/invariant.h"

namespace ipcmark::stress {
namespace {

std::string FindDuplicate(const Record& record) {
  for (size_t sender = 0; sender < record.senders.size(); ++sender) {
    const SenderHistory& history = record.senders[sender];
    for (uint64_t sequence = 0; sequence < history.deliveries.size(); ++sequence) {
      if (history.deliveries[sequence] <= 1) continue;
      return absl::StrFormat("expected every message at most once, seen sender %d, sequence %d delivered %d times",
                             sender, sequence, history.deliveries[sequence]);
    }
  }
  return "";
}

}  // namespace

extern const Invariant kNoDuplicate = {"no_duplicate", FindDuplicate};

}  // namespace ipcmark::stress
