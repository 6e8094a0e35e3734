// Nothing happens: what breaks here breaks by itself.

#include "stress/faults/fault.h"

namespace ipcmark::stress {
namespace {

std::vector<Strike> NoStrikes(const TrialPlan&, Random) { return {}; }

}  // namespace

extern const Fault kNone = {"none", NoStrikes};

}  // namespace ipcmark::stress
