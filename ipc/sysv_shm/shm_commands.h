#ifndef IPCMARK_IPC_SYSV_SHM_SHM_COMMANDS_H_
#define IPCMARK_IPC_SYSV_SHM_SHM_COMMANDS_H_

// What each command of //ipc/sysv_shm:shm does.

#include <string>

#include "absl/status/status.h"
#include "ipc/sysv_shm/shm_options.h"

namespace ipcmark::sysv_shm {

enum ExitStatus : int { kExitDone = 0, kExitRefused = 1, kExitBadInput = 2 };

// Runs the command: prints to standard output, reads standard input for `write`. EINVAL of the system and a mistake of
// the user have one code of absl::Status, so `bad_input` tells them apart.
struct CommandResult {
  absl::Status status;
  bool bad_input = false;
  bool contradicted = false;  // limits: the kernel does not do what it says
};
CommandResult RunCommand(const ShmOptions& options);

// Writes all of `text` to standard output. Errors: what write(2) says (EPIPE, ENOSPC, ...).
absl::Status Print(const std::string& text);

}  // namespace ipcmark::sysv_shm

#endif  // IPCMARK_IPC_SYSV_SHM_SHM_COMMANDS_H_
