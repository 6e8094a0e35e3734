#include "ipc/os/fence.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace ipcmark::os {

bool RegisterForHeavyFences() noexcept {
  const int err = errno;
  const bool registered = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0;
  errno = err;
  return registered;
}

void HeavyFence() noexcept {
  const int err = errno;
  // Cannot fail once registration has not.
  syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0);
  errno = err;
}

}  // namespace ipcmark::os
