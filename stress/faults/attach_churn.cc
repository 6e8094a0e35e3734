// Ends come and go while messages flow: some are closed in order, and as many processes are forked that open new ones.
// With whole sides at a time this is a fork storm, too. Nothing may be lost by it, not even the message in hand.

#include "stress/draw.h"
#include "stress/faults/fault.h"

namespace ipcmark::stress {
namespace {

std::vector<Strike> Churn(const TrialPlan& plan, Random random) {
  return DrawDepartures(plan, random, Departure::kCloses);
}

// The promise that a new end may take another's place is part of surviving SIGKILL (ipc/channel.h).
const char* WhyUnfit(const Capabilities& capabilities) {
  return capabilities.survives_sigkill ? nullptr : "it does not promise that a new end may take another one's place";
}

}  // namespace

extern const Fault kAttachChurn = {"attach_churn", Churn, WhyUnfit};

}  // namespace ipcmark::stress
