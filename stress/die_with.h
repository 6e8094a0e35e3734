#ifndef IPCMARK_STRESS_DIE_WITH_H_
#define IPCMARK_STRESS_DIE_WITH_H_

// For processes that stress forks beside os::ProcessGroup's.

#include <signal.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <unistd.h>

namespace ipcmark::stress {

// First thing in a child: from here on it is killed with `parent`, whose id was taken before the fork; it exits when
// the parent has died already, of which prctl(2) says nothing. Async-signal-safe.
inline void DieWith(pid_t parent) noexcept {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
}

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_DIE_WITH_H_
