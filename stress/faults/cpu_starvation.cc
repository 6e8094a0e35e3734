// Victims get hardly any CPU for some milliseconds: they are SCHED_IDLE while spinners keep every CPU busy. Who holds
// something then holds it for as long as a peer that was stopped, and is not dead. Where this user could not take them
// out of SCHED_IDLE again, there are more spinners instead, with whom they have to share.

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "ipc/os/cpu.h"
#include "stress/draw.h"
#include "stress/faults/fault.h"

namespace ipcmark::stress {
namespace {

constexpr uint64_t kMostHoldNanos = 8'000'000;
constexpr int kSpinnersWhoShare = 4;  // per CPU

pid_t StartSpinner(int cpu) {
  const pid_t spinner = _Fork();
  if (spinner != 0) return spinner;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  sched_setaffinity(0, sizeof(set), &set);
  for (;;) os::SpinHint();
}

// Tried, because it depends on a right and on a limit (RLIMIT_NICE).
bool MayComeBack() {
  static const bool may = [] {
    const pid_t child = fork();
    if (child == 0) {
      const sched_param param = {.sched_priority = 0};
      const bool back =
          sched_setscheduler(0, SCHED_IDLE, &param) == 0 && sched_setscheduler(0, SCHED_OTHER, &param) == 0;
      _exit(back ? 0 : 1);
    }
    int status = 1;
    return child > 0 && waitpid(child, &status, 0) == child && status == 0;
  }();
  return may;
}

std::string Starve(const TrialPlan& /*plan*/, std::span<const pid_t> victims, uint64_t seed) {
  const sched_param param = {.sched_priority = 0};
  std::vector<pid_t> spinners;
  const bool idle = MayComeBack();
  for (const int cpu : os::AllowedCpus()) {
    for (int i = 0; i < (idle ? 1 : kSpinnersWhoShare); ++i) spinners.push_back(StartSpinner(cpu));
  }
  for (const pid_t victim : victims) {
    if (idle) sched_setscheduler(victim, SCHED_IDLE, &param);
  }
  Hold(static_cast<int64_t>(Random(seed).Below(kMostHoldNanos)));
  std::string wrong;
  for (const pid_t victim : victims) {
    // A victim that has ended has no policy.
    if (idle && sched_setscheduler(victim, SCHED_OTHER, &param) != 0 && errno != ESRCH) wrong = "SCHED_IDLE for ever";
  }
  for (const pid_t spinner : spinners) {
    if (spinner < 0) continue;
    kill(spinner, SIGKILL);
    waitpid(spinner, nullptr, 0);
  }
  return wrong;
}

std::vector<Strike> Starvations(const TrialPlan& plan, Random random) { return DrawDisturbances(plan, random, Starve); }

}  // namespace

extern const Fault kCpuStarvation = {"cpu_starvation", Starvations};

}  // namespace ipcmark::stress
