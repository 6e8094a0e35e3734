// No descriptor is to be had for some milliseconds (the victims' RLIMIT_NOFILE falls to what they have anyway):
// operations on ends that are open must not need one, not even to find out whether a peer still lives.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "stress/draw.h"
#include "stress/faults/fault.h"

namespace ipcmark::stress {
namespace {

// Standard input, output and error are open. Not less: poll(2) refuses a set that is larger than the limit.
constexpr rlim_t kFull = 3;
constexpr uint64_t kMostHoldNanos = 8'000'000;

// Whether a process with this limit, and with the descriptors that every end has inherited, gets none.
bool IsExhausted() {
  const pid_t child = _Fork();
  if (child == 0) {
    const rlimit full = {.rlim_cur = kFull, .rlim_max = kFull};
    const bool refused =
        setrlimit(RLIMIT_NOFILE, &full) == 0 && open("/dev/null", O_RDONLY | O_CLOEXEC) < 0 && errno == EMFILE;
    _exit(refused ? 0 : 1);
  }
  int status = 1;
  return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

std::string Exhaust(const TrialPlan& /*plan*/, std::span<const pid_t> victims, uint64_t seed) {
  std::vector<rlimit> before(victims.size());
  for (size_t i = 0; i < victims.size(); ++i) {
    // A victim that has ended has no limits; it gets none back either.
    if (prlimit(victims[i], RLIMIT_NOFILE, nullptr, &before[i]) != 0) continue;
    const rlimit full = {.rlim_cur = kFull, .rlim_max = before[i].rlim_max};
    prlimit(victims[i], RLIMIT_NOFILE, &full, nullptr);
  }
  const bool exhausted = IsExhausted();
  Hold(static_cast<int64_t>(Random(seed).Below(kMostHoldNanos)));
  for (size_t i = 0; i < victims.size(); ++i) prlimit(victims[i], RLIMIT_NOFILE, &before[i], nullptr);
  return exhausted ? "" : "a descriptor below 3, where standard input, output and error are to be";
}

std::vector<Strike> Exhaustions(const TrialPlan& plan, Random random) {
  return DrawDisturbances(plan, random, Exhaust);
}

}  // namespace

extern const Fault kFdExhaustion = {"fd_exhaustion", Exhaustions};

}  // namespace ipcmark::stress
