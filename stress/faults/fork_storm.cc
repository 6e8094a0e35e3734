// Processes are forked and exit, many and all the time: by the victims in the middle of whatever they do (a signal's
// handler forks), so that each child has inherited the open ends and exits without a word, and by the process that has
// made the object.

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/os/cpu.h"
#include "stress/census.h"
#include "stress/draw.h"
#include "stress/faults/fault.h"

namespace ipcmark::stress {
namespace {

constexpr uint64_t kMostForks = 12;
constexpr uint64_t kMostPausesBetween = 4000;  // about 100 us, what a fork takes

std::string Storm(const TrialPlan& /*plan*/, std::span<const pid_t> victims, uint64_t seed) {
  Random random(seed);
  for (uint64_t left = 1 + random.Below(kMostForks); left > 0; --left) {
    for (const pid_t victim : victims) kill(victim, kForkSignal);
    const pid_t own = _Fork();
    if (own == 0) _exit(0);
    for (uint64_t pause = random.Below(kMostPausesBetween); pause > 0; --pause) os::SpinHint();
    if (own > 0) waitpid(own, nullptr, 0);
  }
  // A child that lives on would be counted as one more process with the object (invariants/attach_count.cc).
  AwaitQuiet(victims, kForkSignal);
  return "";
}

std::vector<Strike> Storms(const TrialPlan& plan, Random random) { return DrawDisturbances(plan, random, Storm); }

}  // namespace

extern const Fault kForkStorm = {"fork_storm", Storms};

}  // namespace ipcmark::stress
