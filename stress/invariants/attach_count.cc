// The kernel's attach count of a System V segment (nattch) equals the mappings that the living processes have of it:
// before traffic, after it, when killed processes are gone, and when only the creator is left.

#include "absl/strings/str_format.h"
#include "stress/invariants/invariant.h"

namespace ipcmark::stress {
namespace {

std::string FindMiscount(const Record& record) {
  if (record.attach_miscount.empty()) return "";
  return absl::StrFormat("expected every attach count to be the number of mappings, seen %s", record.attach_miscount);
}

}  // namespace

extern const Invariant kAttachCount = {"attach_count", FindMiscount, /*outlives_damage=*/true};

}  // namespace ipcmark::stress
