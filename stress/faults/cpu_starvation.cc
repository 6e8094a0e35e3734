// Victims get hardly any CPU for some milliseconds: they are SCHED_IDLE on one or two CPUs that spinners keep busy. Who
// holds something then holds it for as long as a peer that was stopped, and is not dead. Where this user could not take
// them out of SCHED_IDLE again, there are more spinners instead, with whom they have to share.

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "ipc/os/cpu.h"
#include "ipc/os/die_with.h"
#include "stress/draw.h"
#include "stress/faults/fault.h"

namespace ipcmark::stress {
namespace {

constexpr uint64_t kMostHoldNanos = 8'000'000;
constexpr int kSpinnersWhoShare = 4;  // per CPU

void Bind(pid_t process, std::span<const int> cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) CPU_SET(cpu, &set);
  sched_setaffinity(process, sizeof(set), &set);
}

pid_t StartSpinner(int cpu) {
  const pid_t parent = getpid();
  const pid_t spinner = _Fork();
  if (spinner != 0) return spinner;
  os::DieWith(parent);
  Bind(0, {&cpu, 1});
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
  Random random(seed);
  const std::vector<int> cpus = os::AllowedCpus();
  const size_t first = random.Below(cpus.size());
  const std::span<const int> busy = std::span(cpus).subspan(first, std::min<size_t>(2, cpus.size() - first));
  for (const int cpu : busy) {
    for (int i = 0; i < (idle ? 1 : kSpinnersWhoShare); ++i) spinners.push_back(StartSpinner(cpu));
  }
  for (const pid_t victim : victims) {
    Bind(victim, busy);
    if (idle) sched_setscheduler(victim, SCHED_IDLE, &param);
  }
  Hold(static_cast<int64_t>(random.Below(kMostHoldNanos)));
  std::string wrong;
  for (const pid_t victim : victims) {
    Bind(victim, cpus);
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
