// Once the object is destroyed and its processes are gone, the process that made it has no descriptor, System V
// segment, file in /dev/shm or child more than before.

#include "absl/strings/str_format.h"
#include "stress/invariants/invariant.h"

namespace ipcmark::stress {
namespace {

std::string FindRemains(const Record& record) {
  if (record.left_behind.empty()) return "";
  return absl::StrFormat("expected nothing to be left behind, seen %s", record.left_behind);
}

}  // namespace

extern const Invariant kNothingLeftBehind = {"nothing_left_behind", FindRemains, /*outlives_damage=*/true};

}  // namespace ipcmark::stress
