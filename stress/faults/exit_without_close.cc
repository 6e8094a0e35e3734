// Ends whose processes end without closing anything: _exit in the middle of whatever they do. The kernel cleans up
// after them as after any process, and nobody else does.

#include "stress/draw.h"
#include "stress/faults/fault.h"

namespace ipcmark::stress {
namespace {

std::vector<Strike> Exits(const TrialPlan& plan, Random random) {
  return DrawDepartures(plan, random, Departure::kExits);
}

}  // namespace

extern const Fault kExitWithoutClose = {"exit_without_close", Exits};

}  // namespace ipcmark::stress
