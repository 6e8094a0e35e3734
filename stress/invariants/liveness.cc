// Something always happens: at every moment of a trial some end can proceed (the object has a message or room for one,
// or an end has to learn that the other side is gone), so that no progress at all for plan.liveness_nanos means that
// somebody sleeps who should not. At the end every receiver must come to its own end, also one that others could have
// stood in for. And that everybody sleeps until one of them looks up by itself is a wake-up that was lost
// (oversleep.h); nobody is asked for it who may have gone with a process that was killed.

#include "absl/strings/str_format.h"
#include "stress/invariants/invariant.h"

namespace ipcmark::stress {
namespace {

std::string FindStandstill(const Record& record) {
  if (record.stuck.empty()) {
    if (record.worst_overslept_nanos == 0) return "";
    return absl::StrFormat("expected nobody to sleep who could go on, seen %d ms of it, as if a wake-up was lost: %s",
                           record.worst_overslept_nanos / 1'000'000, record.overslept);
  }
  return absl::StrFormat("expected progress at least every %d ms, seen none: %s",
                         record.plan.liveness_nanos / 1'000'000, record.stuck);
}

}  // namespace

extern const Invariant kLiveness = {"liveness", FindStandstill, /*outlives_damage=*/true};

}  // namespace ipcmark::stress
