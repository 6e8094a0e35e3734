// CPU starvation and migration: victims are moved from CPU to CPU and for a while all crowded onto one, with everybody
// else free to use it, too. A spinner then has to give way to the one that it spins for.

#include <sched.h>

#include "ipc/os/cpu.h"
#include "stress/draw.h"
#include "stress/faults/fault.h"

namespace ipcmark::stress {
namespace {

constexpr uint64_t kMostMoves = 20;
constexpr uint64_t kMostHoldNanos = 400'000;

void Bind(pid_t victim, std::span<const int> cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) CPU_SET(cpu, &set);
  sched_setaffinity(victim, sizeof(set), &set);
}

std::string Migrate(const TrialPlan& /*plan*/, std::span<const pid_t> victims, uint64_t seed) {
  Random random(seed);
  const std::vector<int> cpus = os::AllowedCpus();
  for (uint64_t left = 1 + random.Below(kMostMoves); left > 0; --left) {
    const int cpu = cpus[random.Below(cpus.size())];
    for (const pid_t victim : victims) Bind(victim, {&cpu, 1});
    Hold(static_cast<int64_t>(random.Below(kMostHoldNanos)));
  }
  for (const pid_t victim : victims) Bind(victim, cpus);
  return "";
}

std::vector<Strike> Migrations(const TrialPlan& plan, Random random) { return DrawDisturbances(plan, random, Migrate); }

}  // namespace

extern const Fault kAffinityChurn = {"affinity_churn", Migrations};

}  // namespace ipcmark::stress
