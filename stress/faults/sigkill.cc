// SIGKILL to random ends while traffic flows: several times, each time with replacements, where the primitive promises
// to survive it; otherwise once, and then the rest must come to its end by itself.

#include "stress/draw.h"
#include "stress/faults/fault.h"

namespace ipcmark::stress {
namespace {

std::vector<Strike> Kills(const TrialPlan& plan, Random random) {
  return DrawDepartures(plan, random, Departure::kKilled);
}

}  // namespace

extern const Fault kSigkill = {"sigkill", Kills};

}  // namespace ipcmark::stress
