// The C interface of <mqueue.h> over memory-mapped files: what libmmap_mqueue.so exports. An mqd_t is the descriptor of
// the queue's file; see queue_file.h for what it carries and descriptors.h for how a call gets from it to the queue.
//
// Thread-safe. mq_send and mq_receive are cancellation points. Called from a signal handler they work, unless the
// handler interrupted one of them in the same thread and on the same queue while it held the lock: EDEADLK.

// The fortified header defines mq_open itself.
#undef _FORTIFY_SOURCE

#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <optional>

#include "ipc/mmap_queue/descriptors.h"
#include "ipc/mmap_queue/notice.h"
#include "ipc/mmap_queue/posix.h"
#include "ipc/mmap_queue/queue_file.h"
#include "ipc/mmap_queue/transfer.h"

namespace ipcmark::mmap_queue {
namespace {

int Fail(int err) {
  errno = err;
  return -1;
}

int ErrnoOf(const IoResult& result) {
  switch (result.outcome) {
    case Outcome::kOk:
      return 0;
    case Outcome::kDeadline:
      return ETIMEDOUT;
    default:
      return result.err;
  }
}

int Open(const char* name, int flags, mode_t mode, const mq_attr* wanted) {
  Attributes attributes;
  if (wanted != nullptr) {
    attributes.depth_messages = wanted->mq_maxmsg;
    attributes.message_bytes = wanted->mq_msgsize;
  }
  if ((flags & O_CREAT) != 0) {
    const std::optional<Policy> policy = PolicyOfEnvironment();
    // A typing error is not to become the other policy in silence.
    if (!policy) return Fail(EINVAL);
    attributes.policy = *policy;
  }
  int fd = -1;
  MappedFile file;
  int err = OpenQueueFile(name, flags, mode, &attributes, &fd, &file);
  // POSIX knows one errno for no room.
  if (err == EFBIG) err = ENOSPC;
  if (err != 0) return Fail(err);
  err = RememberDescriptor(fd, file);
  if (err == 0) return fd;
  close(fd);
  return Fail(err);
}

// What the descriptor allows. A refusal is looked up anew: it may be the refusal of another open file description,
// which had the same number and was closed by close(2).
bool May(int fd, const MappedFile& file, bool MappedFile::*what) {
  if (file.*what) return true;
  MappedFile now = file;
  ReadAccess(fd, &now);
  return now.*what;
}

int Send(int fd, const char* message, size_t bytes, unsigned priority, const timespec* until) {
  pthread_testcancel();
  if (priority >= kPriorityLevels) return Fail(EINVAL);
  Use use;
  const int err = UseDescriptor(fd, &use, Check::kUnlessTrusted);
  if (err != 0) return Fail(err);
  if (!May(fd, use.file(), &MappedFile::may_send)) return Fail(EBADF);
  View view(use.file(), fd);
  const IoResult result = PosixSend(view, {reinterpret_cast<const std::byte*>(message), bytes}, priority, until);
  return result.ok() ? 0 : Fail(ErrnoOf(result));
}

ssize_t Receive(int fd, char* buffer, size_t bytes, unsigned* priority, const timespec* until) {
  pthread_testcancel();
  Use use;
  const int err = UseDescriptor(fd, &use, Check::kUnlessTrusted);
  if (err != 0) return Fail(err);
  if (!May(fd, use.file(), &MappedFile::may_receive)) return Fail(EBADF);
  View view(use.file(), fd);
  const IoResult result = PosixReceive(view, {reinterpret_cast<std::byte*>(buffer), bytes}, priority, until);
  return result.ok() ? static_cast<ssize_t>(result.bytes) : Fail(ErrnoOf(result));
}

// The header says that nobody passes null, which the compiler believes of what follows; the kernel's take it.
template <typename T>
T* MaybeNull(T* pointer) {
  asm("" : "+r"(pointer));
  return pointer;
}

// `attributes` may be null.
int GetAttributes(int fd, mq_attr* attributes) {
  Use use;
  const int err = UseDescriptor(fd, &use);
  if (err != 0) return Fail(err);
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return Fail(EBADF);
  View view(use.file(), fd);
  const Core& core = view.core();
  uint32_t count = 0;
  const int damaged = PosixCount(view, &count);
  if (damaged != 0) return Fail(damaged);
  if (attributes == nullptr) return 0;
  *attributes = mq_attr{};
  attributes->mq_flags = flags & O_NONBLOCK;
  attributes->mq_maxmsg = core.depth();
  attributes->mq_msgsize = core.max_message_bytes();
  attributes->mq_curmsgs = count;
  return 0;
}

int SetAttributes(int fd, const mq_attr* attributes, mq_attr* old) {
  if (attributes != nullptr && (attributes->mq_flags & ~long{O_NONBLOCK}) != 0) return Fail(EINVAL);
  mq_attr before;
  if (GetAttributes(fd, &before) != 0) return -1;
  if (attributes != nullptr) {
    const int flags = fcntl(fd, F_GETFL);
    const int wanted = (flags & ~O_NONBLOCK) | static_cast<int>(attributes->mq_flags);
    if (flags < 0 || fcntl(fd, F_SETFL, wanted) != 0) return -1;
  }
  if (old != nullptr) *old = before;
  return 0;
}

int Close(int fd) {
  {
    Use use;
    const int err = UseDescriptor(fd, &use);
    // A truncated queue can be closed, but its memory must not be touched.
    if (err != 0 && use.of() == nullptr) return Fail(err == EBADMSG ? EBADF : err);
    if (err == 0) {
      View view(use.file(), fd);
      DropNotice(view);
    }
    // Before the close: another thread may get the number right after it.
    ForgetDescriptor(fd, use);
  }
  return close(fd);
}

int Notify(int fd, const sigevent* event) {
  if (event != nullptr && !IsNotice(*event)) return Fail(EINVAL);
  Use use;
  int err = UseDescriptor(fd, &use);
  if (err != 0) return Fail(err);
  View view(use.file(), fd);
  err = SetNotice(view, event);
  return err == 0 ? 0 : Fail(err);
}

}  // namespace
}  // namespace ipcmark::mmap_queue

namespace queue = ipcmark::mmap_queue;

extern "C" {

mqd_t mq_open(const char* name, int flags, ...) noexcept {
  mode_t mode = 0;
  const mq_attr* attributes = nullptr;
  if ((flags & O_CREAT) != 0) {
    va_list arguments;
    va_start(arguments, flags);
    mode = va_arg(arguments, mode_t);
    attributes = va_arg(arguments, const mq_attr*);
    va_end(arguments);
  }
  return queue::Open(name, flags, mode, attributes);
}

// What mq_open without mode and attributes becomes under _FORTIFY_SOURCE.
mqd_t __mq_open_2(const char* name, int flags) {
  // A program that asks to create must say how: glibc ends it too.
  if ((flags & O_CREAT) != 0) abort();
  return queue::Open(name, flags, 0, nullptr);
}

int mq_close(mqd_t fd) noexcept { return queue::Close(fd); }

int mq_unlink(const char* name) noexcept {
  const int err = queue::UnlinkQueueFile(name);
  return err == 0 ? 0 : queue::Fail(err);
}

int mq_getattr(mqd_t fd, mq_attr* attributes) noexcept {
  return queue::GetAttributes(fd, queue::MaybeNull(attributes));
}

int mq_setattr(mqd_t fd, const mq_attr* attributes, mq_attr* old) noexcept {
  return queue::SetAttributes(fd, queue::MaybeNull(attributes), old);
}

int mq_send(mqd_t fd, const char* message, size_t bytes, unsigned priority) {
  return queue::Send(fd, message, bytes, priority, nullptr);
}

int mq_timedsend(mqd_t fd, const char* message, size_t bytes, unsigned priority, const timespec* until) {
  return queue::Send(fd, message, bytes, priority, until);
}

ssize_t mq_receive(mqd_t fd, char* buffer, size_t bytes, unsigned* priority) {
  return queue::Receive(fd, buffer, bytes, priority, nullptr);
}

ssize_t mq_timedreceive(mqd_t fd, char* buffer, size_t bytes, unsigned* priority, const timespec* until) {
  return queue::Receive(fd, buffer, bytes, priority, until);
}

int mq_notify(mqd_t fd, const sigevent* event) noexcept { return queue::Notify(fd, event); }

}  // extern "C"
