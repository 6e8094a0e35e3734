// A System V segment that is marked for removal (IPC_RMID) lives until the last process has detached it, and not
// longer: it is in the kernel's table whenever a living process has it mapped, whoever was killed or has left, and gone
// once the object is destroyed.

#include "absl/strings/str_format.h"
#include "stress/invariants/invariant.h"

namespace ipcmark::stress {
namespace {

std::string FindMisfate(const Record& record) {
  if (record.segment_misfate.empty()) return "";
  return absl::StrFormat("expected every segment until its last detach and not longer, seen %s",
                         record.segment_misfate);
}

}  // namespace

extern const Invariant kMarkedSegment = {"marked_segment", FindMisfate, /*outlives_damage=*/true};

}  // namespace ipcmark::stress
