// No System V segment is to be had for some milliseconds (SHMMNI and SHMALL fall to 0): ends that are open must need no
// further one. That Create says so in a sentence is tested in stress/private_namespace_test.cc.

#include "stress/draw.h"
#include "stress/faults/fault.h"
#include "stress/shm_limits.h"

namespace ipcmark::stress {
namespace {

constexpr uint64_t kMostHoldNanos = 4'000'000;

std::string Exhaust(const TrialPlan& /*plan*/, std::span<const pid_t> /*victims*/, uint64_t seed) {
  const LoweredShmLimits lowered;
  if (!LoweredShmLimits::IsExhausted()) return "a System V segment, although SHMMNI and SHMALL had been lowered to 0";
  Hold(static_cast<int64_t>(Random(seed).Below(kMostHoldNanos)));
  return "";
}

std::vector<Strike> Exhaustions(const TrialPlan& plan, Random random) {
  return DrawDisturbances(plan, random, Exhaust);
}

const char* WhyUnfit(const Capabilities& /*capabilities*/) {
  return g_may_lower_shm_limits ? nullptr : "the run has no IPC namespace of its own whose limits it may lower";
}

}  // namespace

extern const Fault kShmExhaustion = {"shm_exhaustion", Exhaustions, WhyUnfit};

}  // namespace ipcmark::stress
