// No operation comes back with an outcome that its situation does not allow (kError ever; kPeerDead while a peer lives;
// kDeadline without one), and no process dies that nobody killed.

#include "absl/strings/str_format.h"
#include "stress/invariants/invariant.h"

namespace ipcmark::stress {
namespace {

std::string FindSurprise(const Record& record) {
  if (record.unexpected.empty()) return "";
  return absl::StrFormat("expected every operation to end as the contract says, seen %s", record.unexpected);
}

}  // namespace

extern const Invariant kOutcome = {"outcome", FindSurprise, /*outlives_damage=*/true};

}  // namespace ipcmark::stress
