// Once the object is destroyed and its processes are gone, the process that made it has no descriptor, System V
// segment, POSIX queue, file in /dev/shm or child more than before; where the run has namespaces of its own, nobody has
// left any of these or a System V semaphore or message queue (census.h).

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
