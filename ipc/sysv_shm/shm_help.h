#ifndef IPCMARK_IPC_SYSV_SHM_SHM_HELP_H_
#define IPCMARK_IPC_SYSV_SHM_SHM_HELP_H_

// What `shm --help` and `shm COMMAND --help` print.

#include <string>

#include "ipc/sysv_shm/shm_options.h"

namespace ipcmark::sysv_shm {

std::string HelpText(Command command);

}  // namespace ipcmark::sysv_shm

#endif  // IPCMARK_IPC_SYSV_SHM_SHM_HELP_H_
