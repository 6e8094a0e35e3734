#ifndef IPCMARK_STRESS_ISOLATION_H_
#define IPCMARK_STRESS_ISOLATION_H_

// Nothing of a run survives it, not even when the runner itself is killed with SIGKILL: its children die with it
// (os::ProcessGroup), and the kernel objects that it had made go in one of two ways.
//
//   namespaces  the run has System V IPC, POSIX message queues and /dev/shm of its own, and the kernel removes them
//   with
//               the last process. Nothing can go wrong with it, so it is the first choice.
//   janitor     where the machine allows no namespaces: a process that outlives the run and removes what the runner had
//               made. It can be killed, too, and knows only segments that the runner or a process of janitor.h has
//               created and files in /dev/shm with their process ids in their names.

#include <string>

#include "absl/status/status.h"

namespace ipcmark::stress {

// `how`: "namespaces" (else a janitor, where they are refused), "janitor", or "none", for the test of this test.
// To be called by a process of one thread before it makes anything; files in /dev/shm that it is to reach later must be
// open. An error: not even a janitor could be had.
absl::Status Isolate(const std::string& how);

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_ISOLATION_H_
