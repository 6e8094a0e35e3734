#ifndef IPCMARK_IPC_SYSV_SHM_SHM_TEST_SUPPORT_H_
#define IPCMARK_IPC_SYSV_SHM_SHM_TEST_SUPPORT_H_

// What the tests of the segment share: children that may become another user or lose their rights, and the errno that
// a sentence names.

#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace ipcmark::sysv_shm {

// Returned by a child's body: this machine cannot do what the test needs, and why.
absl::Status Skip(absl::string_view reason);
// Returned by a child's body: what was expected and what came.
absl::Status Wrong(absl::string_view what);

enum class Isolation {
  kNone,       // in the namespace of the test
  kPreferred,  // in an IPC namespace of its own where the machine grants one
  kRequired,   // skipped without one
};

// Runs `body` in a forked child. The child's end: nothing on OK, a failure of the running test, or its skipping.
void RunInChild(Isolation isolation, absl::FunctionRef<absl::Status()> body);
// The same, for a body that must die of `signal`.
void ExpectDeathBySignal(int signal, absl::FunctionRef<absl::Status()> body);

// Becomes user and group 65534 without any right, for good. Skip where this user namespace has no second user, as in a
// Bazel sandbox, or where the test is not run by root.
absl::Status BecomeNobody();
// Stays the user, but without any capability: even root is then bound by permission bits and limits.
absl::Status DropCapabilities();
// Both limits of RLIMIT_MEMLOCK.
absl::Status LimitLockedBytes(uint64_t bytes);

// "ENOSPC" of a sentence made by os::SyscallError; "OK" of no error.
std::string ErrnoIn(const absl::Status& status);

// That address, as an argument of shmat.
void* AddressOf(uintptr_t number);

// A key that no other process of this namespace chooses by accident.
int32_t TestKey();

}  // namespace ipcmark::sysv_shm

#endif  // IPCMARK_IPC_SYSV_SHM_SHM_TEST_SUPPORT_H_
