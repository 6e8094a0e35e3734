#ifndef IPCMARK_IPC_KERNEL_MQ_LIMITS_H_
#define IPCMARK_IPC_KERNEL_MQ_LIMITS_H_

// Making a queue of the kernel's that is larger than the machine's settings allow, without touching them.
//
// msg_max and msgsize_max (/proc/sys/fs/mqueue) belong to an IPC namespace, but a descriptor works in any. So where the
// settings are in the way, a child makes a namespace of its own, raises them there, makes the queue and hands its
// descriptor back; the namespace goes with the child. That takes CAP_SYS_ADMIN, or user namespaces that anybody may
// make. RLIMIT_MSGQUEUE is a limit on the user's memory and is not evaded, only raised as far as this process may.

#include <cstdint>

#include "absl/status/statusor.h"
#include "ipc/os/fd.h"

namespace ipcmark::kernel_mq {

struct QueueSize {
  uint32_t depth_messages;
  uint32_t message_bytes;  // at least 1
};

// What a queue costs its user's RLIMIT_MSGQUEUE.
uint64_t AccountedBytes(QueueSize size);

// A queue without a name, close-on-exec. kUnimplemented when a limit forbids it, with the limit and the remedy; else
// the system call that failed.
absl::StatusOr<os::Fd> MakeQueue(QueueSize size);

}  // namespace ipcmark::kernel_mq

#endif  // IPCMARK_IPC_KERNEL_MQ_LIMITS_H_
