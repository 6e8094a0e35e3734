// SIGSTOP in the middle of anything, SIGCONT some milliseconds later, sometimes after longer than a dead peer may go
// unnoticed: who is stopped is not dead, keeps what it holds, and goes on as if nothing had happened.

#include <signal.h>

#include "stress/draw.h"
#include "stress/faults/fault.h"

namespace ipcmark::stress {
namespace {

constexpr int64_t kNanosPerMilli = 1'000'000;

std::string StopAndContinue(const TrialPlan& /*plan*/, std::span<const pid_t> victims, uint64_t seed) {
  Random random(seed);
  for (const pid_t victim : victims) kill(victim, SIGSTOP);
  const int64_t longest = random.OneIn(8) ? 3 * kPeerDeathNanos / 2 : 6 * kNanosPerMilli;
  Hold(1 + static_cast<int64_t>(random.Below(static_cast<uint64_t>(longest))));
  for (const pid_t victim : victims) kill(victim, SIGCONT);
  return "";
}

std::vector<Strike> Stops(const TrialPlan& plan, Random random) {
  return DrawDisturbances(plan, random, StopAndContinue);
}

}  // namespace

extern const Fault kSigstop = {"sigstop", Stops};

}  // namespace ipcmark::stress
