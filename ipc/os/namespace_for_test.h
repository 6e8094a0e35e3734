#ifndef IPCMARK_IPC_OS_NAMESPACE_FOR_TEST_H_
#define IPCMARK_IPC_OS_NAMESPACE_FOR_TEST_H_

// Limits and full disks without touching the machine's: a forked child moves into namespaces of its own and changes
// them there. Everything made in them goes with the process.

#include "absl/status/status.h"

namespace ipcmark::os {

// Moves the calling process, which must have one thread, into new namespaces (CLONE_NEWIPC, CLONE_NEWNS), with a new
// user namespace and as its root where the process may not do so otherwise. kUnavailable: this machine refuses it, and
// the test that needs it is to be skipped.
absl::Status EnterPrivateNamespaces(int flags);

}  // namespace ipcmark::os

#endif  // IPCMARK_IPC_OS_NAMESPACE_FOR_TEST_H_
