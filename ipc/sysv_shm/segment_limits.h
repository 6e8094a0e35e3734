#ifndef IPCMARK_IPC_SYSV_SHM_SEGMENT_LIMITS_H_
#define IPCMARK_IPC_SYSV_SHM_SEGMENT_LIMITS_H_

// The kernel's limits on System V shared memory, as this IPC namespace has them. limit_proof.h reaches each of them.
// Source: shmget(2), "Shared memory limits"; shmctl(2), "IPC_INFO"; proc_sys_kernel(5).

#include <sys/types.h>

#include <cstdint>

#include "absl/status/statusor.h"

namespace ipcmark::sysv_shm {

struct Limits {
  uint64_t max_segment_bytes;  // SHMMAX, kernel.shmmax
  uint64_t min_segment_bytes;  // SHMMIN, 1, not adjustable
  uint64_t max_segments;       // SHMMNI, kernel.shmmni: segments in this namespace
  uint64_t max_total_pages;    // SHMALL, kernel.shmall: pages of all segments together, touched or not
  // SHMSEG: once the attachments that a process may have. Linux fills in SHMMNI and enforces nothing; what bounds a
  // process is vm.max_map_count, because an attachment is a mapping like any other.
  uint64_t reported_attachments;
};

// shmctl(IPC_INFO). Needs no permission. Errors: ENOSYS (no System V shared memory in this kernel).
absl::StatusOr<Limits> ReadLimits();

// The number in a file of /proc/sys, as in ReadSysctl("kernel/shmmni"). Values above 2^64 - 1 do not occur. Errors:
// what open(2) and read(2) say; kInternal for what is not a number.
absl::StatusOr<uint64_t> ReadSysctl(const char* name);

// Writes one. For kernel/shm* it changes the IPC namespace of this process. Errors: EACCES or EROFS (not ours to
// write), EINVAL (out of range).
absl::Status WriteSysctl(const char* name, uint64_t value);

// A process of its own IPC namespace: no segment of others, limits of its own, and whatever it makes is gone when its
// last process is. Where the kernel grants it only in a new user namespace, one is entered too, as uid and gid 0 of
// that namespace, which is the caller's own outside. Changes this process for good: to be called in a forked child,
// which again dies with its parent afterwards (a change of credentials clears PR_SET_PDEATHSIG). `parent`: the process
// that is to outlive it, 0 for none. Errors: EPERM (no namespaces for this user), ENOSPC (user.max_ipc_namespaces),
// EUSERS, EINVAL (not in this kernel), ESRCH (the parent has died).
absl::Status EnterPrivateNamespace(pid_t parent);

}  // namespace ipcmark::sysv_shm

#endif  // IPCMARK_IPC_SYSV_SHM_SEGMENT_LIMITS_H_
