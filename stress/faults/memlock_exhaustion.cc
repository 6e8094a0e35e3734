// No memory is to be had locked: the victims' RLIMIT_MEMLOCK falls to 0 (they have no CAP_IPC_LOCK, scripts.cc), and
// somebody without rights tries to lock the object's memory, by SHM_LOCK where it is a System V segment and by
// mlock(2). That must be refused in an orderly way, then be granted to who has the right (where this process has it)
// and taken back; messages go on all the while.

#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "stress/draw.h"
#include "stress/faults/fault.h"
#include "stress/shared_memory.h"

namespace ipcmark::stress {
namespace {

constexpr uint64_t kMostHoldNanos = 4'000'000;

void GiveUpRights() {
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
  syscall(SYS_capset, &header, none);
  const rlimit nothing = {.rlim_cur = 0, .rlim_max = 0};
  setrlimit(RLIMIT_MEMLOCK, &nothing);
}

bool Refused(int result) { return result == -1 && (errno == EPERM || errno == ENOMEM); }

// The exit status of a process without rights that tries to lock `range`: 0 refused.
int TryToLock(const SharedRange& range) {
  GiveUpRights();
  // As /proc/PID/maps says it. NOLINTNEXTLINE(performance-no-int-to-ptr)
  void* const address = reinterpret_cast<void*>(range.address);
  if (!Refused(mlock(address, range.bytes))) return 1;
  if (range.segment >= 0 && !Refused(shmctl(static_cast<int>(range.segment), SHM_LOCK, nullptr))) return 2;
  return 0;
}

std::string LockWithoutRights(const SharedRange& range) {
  const pid_t child = fork();
  if (child < 0) return "no process to be had";
  if (child == 0) _exit(TryToLock(range));
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return "";
  return "memory locked with neither right nor limit";
}

std::string Exhaust(const TrialPlan& plan, std::span<const pid_t> victims, uint64_t seed) {
  std::vector<rlimit> before(victims.size());
  for (size_t i = 0; i < victims.size(); ++i) {
    // A victim that has ended has no limits; it gets none back either.
    if (prlimit(victims[i], RLIMIT_MEMLOCK, nullptr, &before[i]) != 0) continue;
    const rlimit lowered = {.rlim_cur = 0, .rlim_max = before[i].rlim_max};
    prlimit(victims[i], RLIMIT_MEMLOCK, &lowered, nullptr);
  }
  std::string wrong;
  // Of this process, which the child that tries is a copy of.
  for (const SharedRange& range : RangesOf(getpid(), plan.memory)) {
    if (wrong.empty()) wrong = LockWithoutRights(range);
    if (range.segment < 0) continue;
    const auto id = static_cast<int>(range.segment);
    if (shmctl(id, SHM_LOCK, nullptr) == 0) shmctl(id, SHM_UNLOCK, nullptr);
  }
  Hold(static_cast<int64_t>(Random(seed).Below(kMostHoldNanos)));
  for (size_t i = 0; i < victims.size(); ++i) prlimit(victims[i], RLIMIT_MEMLOCK, &before[i], nullptr);
  return wrong;
}

std::vector<Strike> Exhaustions(const TrialPlan& plan, Random random) {
  return DrawDisturbances(plan, random, Exhaust);
}

}  // namespace

extern const Fault kMemlockExhaustion = {"memlock_exhaustion", Exhaustions};

}  // namespace ipcmark::stress
