#ifndef IPCMARK_IPC_OS_ERROR_H_
#define IPCMARK_IPC_OS_ERROR_H_

// Failed system calls as sentences. For set-up code only: it allocates.

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ipcmark::os {

// "ENOSPC" for 28; "errno 999" where there is no name.
std::string ErrnoName(int err);

// `call`: what was tried and on what, as in "shmget(IPC_PRIVATE, 4096 bytes)". The message becomes
// "shmget(IPC_PRIVATE, 4096 bytes): ENOSPC (No space left on device); raise kernel.shmmni", with the remedy left out
// when empty. The code follows the errno as absl::ErrnoToStatusCode has it.
absl::Status SyscallError(absl::string_view call, int err, absl::string_view remedy = "");

}  // namespace ipcmark::os

#endif  // IPCMARK_IPC_OS_ERROR_H_
