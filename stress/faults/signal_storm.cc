// Hundreds of signals in a row, with a handler that does nothing and lets no call restart: EINTR at every point that
// can block, and no operation may have half happened.

#include <signal.h>

#include "ipc/os/cpu.h"
#include "stress/draw.h"
#include "stress/faults/fault.h"

namespace ipcmark::stress {
namespace {

constexpr uint64_t kMostSignals = 300;
constexpr uint64_t kMostPausesBetween = 400;  // about 10 us: the victim gets as far as its next wait

std::string Storm(const TrialPlan& /*plan*/, std::span<const pid_t> victims, uint64_t seed) {
  Random random(seed);
  for (uint64_t left = 1 + random.Below(kMostSignals); left > 0; --left) {
    for (const pid_t victim : victims) kill(victim, SIGUSR1);
    for (uint64_t pause = random.Below(kMostPausesBetween); pause > 0; --pause) os::SpinHint();
  }
  return "";
}

std::vector<Strike> Storms(const TrialPlan& plan, Random random) { return DrawDisturbances(plan, random, Storm); }

}  // namespace

extern const Fault kSignalStorm = {"signal_storm", Storms};

}  // namespace ipcmark::stress
