// No descriptor is to be had for some milliseconds (RLIMIT_NOFILE of the victims falls to nothing): operations on ends
// that are open must not need one, not even to find out whether a peer still lives.

#include <sys/resource.h>

#include "stress/draw.h"
#include "stress/faults/fault.h"

namespace ipcmark::stress {
namespace {

constexpr uint64_t kMostHoldNanos = 8'000'000;

void Exhaust(std::span<const pid_t> victims, uint64_t seed) {
  std::vector<rlimit> before(victims.size());
  for (size_t i = 0; i < victims.size(); ++i) {
    // A victim that has ended has no limits; it gets none back either.
    if (prlimit(victims[i], RLIMIT_NOFILE, nullptr, &before[i]) != 0) continue;
    const rlimit none = {.rlim_cur = 0, .rlim_max = before[i].rlim_max};
    prlimit(victims[i], RLIMIT_NOFILE, &none, nullptr);
  }
  Hold(static_cast<int64_t>(Random(seed).Below(kMostHoldNanos)));
  for (size_t i = 0; i < victims.size(); ++i) prlimit(victims[i], RLIMIT_NOFILE, &before[i], nullptr);
}

std::vector<Strike> Exhaustions(const TrialPlan& plan, Random random) {
  return DrawDisturbances(plan, random, Exhaust);
}

}  // namespace

extern const Fault kFdExhaustion = {"fd_exhaustion", Exhaustions};

}  // namespace ipcmark::stress
