#include "ipc/kernel_mq/limits.h"

#include <fcntl.h>
#include <mqueue.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "absl/strings/str_format.h"
#include "ipc/os/error.h"

namespace ipcmark::kernel_mq {
namespace {

// The kernel's own, whatever the settings (include/linux/ipc_namespace.h).
constexpr uint32_t kHardMostMessages = 65536;

// The queue without its name, or -1 and errno. Async-signal-safe. A process that dies between mq_open and mq_unlink
// leaves a name; it is the first that was free for its process, so that it can be found without a list of all names
// (stress/census.cc), for which a file system would have to be mounted.
int MakeHere(QueueSize size) noexcept {
  mq_attr attributes{};
  attributes.mq_maxmsg = size.depth_messages;
  attributes.mq_msgsize = size.message_bytes;
  for (unsigned nth = 0;; ++nth) {
    char name[64];
    snprintf(name, sizeof(name), "/ipcmark.%d.%u", getpid(), nth);
    const int fd = mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &attributes);
    if (fd >= 0) mq_unlink(name);
    // Another thread's, or left by one that died with this process id.
    if (fd >= 0 || errno != EEXIST) return fd;
  }
}

bool WriteFile(const char* path, const char* text) noexcept {
  const os::Fd file(open(path, O_WRONLY | O_CLOEXEC));
  return write(file.get(), text, strlen(text)) == static_cast<ssize_t>(strlen(text));
}

// Moves this process to an IPC namespace of its own with limits for `size`. 0 or an errno.
int EnterRoomyNamespace(QueueSize size) noexcept {
  if (unshare(CLONE_NEWIPC) != 0) {
    if (errno != EPERM) return errno;
    char as_root[32];
    char as_roots_group[32];
    snprintf(as_root, sizeof(as_root), "0 %u 1", geteuid());
    snprintf(as_roots_group, sizeof(as_roots_group), "0 %u 1", getegid());
    if (unshare(CLONE_NEWUSER | CLONE_NEWIPC) != 0) return EPERM;
    // The settings belong to the namespace's root, and a queue to a user and a group that the namespace knows.
    if (!WriteFile("/proc/self/uid_map", as_root) || !WriteFile("/proc/self/setgroups", "deny") ||
        !WriteFile("/proc/self/gid_map", as_roots_group)) {
      return EPERM;
    }
  }
  char number[16];
  snprintf(number, sizeof(number), "%u", std::max(10U, size.depth_messages));
  if (!WriteFile("/proc/sys/fs/mqueue/msg_max", number)) return EPERM;
  snprintf(number, sizeof(number), "%u", std::max(8192U, size.message_bytes));
  return WriteFile("/proc/sys/fs/mqueue/msgsize_max", number) ? 0 : EPERM;
}

// As far as this process may.
void RaiseQueueLimit() noexcept {
  rlimit limit{};
  if (getrlimit(RLIMIT_MSGQUEUE, &limit) != 0) return;
  const rlimit none = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
  if (setrlimit(RLIMIT_MSGQUEUE, &none) == 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_MSGQUEUE, &limit);
}

// Passes an errno and, where it is 0, a descriptor (SCM_RIGHTS).
union FdMessage {
  cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(int))];
};

void PassOn(int socket, int fd, int err) noexcept {
  iovec part = {.iov_base = &err, .iov_len = sizeof(err)};
  FdMessage control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (err == 0) {
    message.msg_control = &control;
    message.msg_controllen = sizeof(control);
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
  }
  sendmsg(socket, &message, MSG_NOSIGNAL);
}

// What PassOn said: a descriptor, or -1 and errno.
int TakeOver(int socket) noexcept {
  int err = 0;
  iovec part = {.iov_base = &err, .iov_len = sizeof(err)};
  FdMessage control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = &control;
  message.msg_controllen = sizeof(control);
  ssize_t bytes;
  do {
    bytes = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (bytes < 0 && errno == EINTR);
  int fd = -1;
  if (bytes == ssize_t{sizeof(err)} && err == 0 && message.msg_controllen >= CMSG_LEN(sizeof(int))) {
    memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
  }
  // No word from it: it was killed.
  errno = err != 0 ? err : ECHILD;
  return fd;
}

// The queue, made by a child in a namespace of its own; or -1 and errno: EPERM when it may not make one.
int MakeElsewhere(QueueSize size) {
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) return -1;
  const os::Fd ours(sockets[0]);
  os::Fd theirs(sockets[1]);
  const pid_t child = fork();
  if (child < 0) return -1;
  if (child == 0) {
    RaiseQueueLimit();
    int err = EnterRoomyNamespace(size);
    const int fd = err == 0 ? MakeHere(size) : -1;
    if (err == 0 && fd < 0) err = errno;
    PassOn(theirs.get(), fd, err);
    _exit(0);
  }
  theirs.Reset();
  const int fd = TakeOver(ours.get());
  const int err = errno;
  while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  errno = err;
  return fd;
}

absl::Status Refused(QueueSize size, int err) {
  const std::string call = absl::StrFormat("mq_open(%d messages of %d bytes)", size.depth_messages, size.message_bytes);
  rlimit limit{};
  getrlimit(RLIMIT_MSGQUEUE, &limit);
  switch (err) {
    case EINVAL:
    case EPERM:
      return absl::UnimplementedError(absl::StrFormat(
          "%s: more than fs.mqueue.msg_max or fs.mqueue.msgsize_max, and this process may make no IPC namespace of "
          "its own (%s); sysctl fs.mqueue.msg_max=%d fs.mqueue.msgsize_max=%d",
          call, os::ErrnoName(err), size.depth_messages, size.message_bytes));
    case EMFILE:
      // Of descriptors there are none left either.
      if (!os::Fd(open("/", O_PATH | O_CLOEXEC)).valid()) break;
      if (AccountedBytes(size) <= limit.rlim_max) {
        return absl::UnimplementedError(
            absl::StrFormat("%s: it counts as %d bytes, and this user's other queues leave less of RLIMIT_MSGQUEUE, "
                            "which is %d; end them or raise it (ulimit -q %d as root)",
                            call, AccountedBytes(size), limit.rlim_max, limit.rlim_max + AccountedBytes(size)));
      }
      return absl::UnimplementedError(
          absl::StrFormat("%s: it counts as %d bytes and RLIMIT_MSGQUEUE is %d; raise it (ulimit -q %d as root)", call,
                          AccountedBytes(size), limit.rlim_max, AccountedBytes(size)));
    case ENOSYS:
      return absl::UnimplementedError(call + ": ENOSYS; this kernel has no message queues (CONFIG_POSIX_MQUEUE)");
    default:
      break;
  }
  return os::SyscallError(call, err,
                          err == EMFILE   ? "close descriptors or raise RLIMIT_NOFILE (ulimit -n)"
                          : err == ENOSPC ? "raise fs.mqueue.queues_max"
                                          : "");
}

}  // namespace

uint64_t AccountedBytes(QueueSize size) {
  // mq_maxmsg pointers' worth of struct msg_msg, the tree of priorities, and the bytes (ipc/mqueue.c); 128 is no less.
  const uint64_t levels = std::min<uint64_t>(size.depth_messages, 32768);
  return uint64_t{size.depth_messages} * (48 + uint64_t{size.message_bytes}) + levels * 48;
}

absl::StatusOr<os::Fd> MakeQueue(QueueSize size) {
  if (size.depth_messages > kHardMostMessages) {
    return absl::UnimplementedError(
        absl::StrFormat("mq_open(%d messages): the kernel's hard limit is %d", size.depth_messages, kHardMostMessages));
  }
  os::Fd queue(MakeHere(size));
  // EINVAL: beyond msg_max or msgsize_max. EMFILE: beyond RLIMIT_MSGQUEUE.
  if (!queue.valid() && (errno == EINVAL || errno == EMFILE)) queue = os::Fd(MakeElsewhere(size));
  if (!queue.valid()) return Refused(size, errno);
  return queue;
}

}  // namespace ipcmark::kernel_mq
