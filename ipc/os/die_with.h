#ifndef IPCMARK_IPC_OS_DIE_WITH_H_
#define IPCMARK_IPC_OS_DIE_WITH_H_

// For processes that are not to outlive the one that forked them.

#include <signal.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <unistd.h>

namespace ipcmark::os {

// First thing in a child: from here on it is killed with `parent`, whose id was taken before the fork; it exits with
// `orphaned_status` when the parent has died already, of which prctl(2) says nothing. Async-signal-safe.
inline void DieWith(pid_t parent, int orphaned_status = 1) noexcept {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(orphaned_status);
}

}  // namespace ipcmark::os

#endif  // IPCMARK_IPC_OS_DIE_WITH_H_
