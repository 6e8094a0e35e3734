#include "ipc/mmap_queue/queue.h"

#include <fcntl.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_format.h"
#include "ipc/mmap_queue/notice.h"
#include "ipc/mmap_queue/posix.h"
#include "ipc/os/error.h"

namespace ipcmark::mmap_queue {
namespace {

absl::Status OpenError(const std::string& call, int err) {
  switch (err) {
    case EBADMSG:
      return absl::DataLossError(absl::StrFormat(
          "%s: EBADMSG; the file holds no queue, or a damaged one: unlink it and make a new one", call));
    case ENOSPC:
      return os::SyscallError(call, err, "free space there, or ask for fewer or smaller messages");
    case EFBIG:
      return os::SyscallError(call, err, "raise RLIMIT_FSIZE (ulimit -f), or ask for fewer or smaller messages");
    case EOPNOTSUPP:
      return os::SyscallError(call, err, "name a directory on a file system with O_TMPFILE in IPCMARK_QUEUE_DIR");
    case EACCES:
      return os::SyscallError(call, err, "a queue's users need both permissions, to read and to write");
    case EINVAL:
      return os::SyscallError(call, err,
                              absl::StrFormat("names start with a slash; depth is 1 to %d and message size 1 to %d",
                                              kMaxDepthMessages, kMaxNamedMessageBytes));
    default:
      return os::SyscallError(call, err);
  }
}

}  // namespace

absl::StatusOr<Queue> Queue::Open(const std::string& name, int flags, mode_t mode, const Attributes& attributes) {
  int fd = -1;
  MappedFile file;
  const int err = OpenQueueFile(name.c_str(), flags, mode, &attributes, &fd, &file);
  if (err != 0) return OpenError(absl::StrFormat("open(queue %s in %s)", name, QueueDirectory()), err);
  return Queue(os::Fd(fd), file);
}

absl::StatusOr<Queue> Queue::FromDescriptor(os::Fd fd) {
  MappedFile file;
  const int err = MapQueueFile(fd.get(), &file);
  if (err != 0) return OpenError(absl::StrFormat("mmap(queue of descriptor %d)", fd.get()), err);
  return Queue(std::move(fd), file);
}

absl::Status Queue::Unlink(const std::string& name) {
  const int err = UnlinkQueueFile(name.c_str());
  if (err == 0) return absl::OkStatus();
  return os::SyscallError(absl::StrFormat("unlink(queue %s in %s)", name, QueueDirectory()), err);
}

Queue::Queue(Queue&& other) noexcept
    : fd_(std::move(other.fd_)), file_(std::exchange(other.file_, {})), view_(std::exchange(other.view_, {})) {}

Queue& Queue::operator=(Queue&& other) noexcept {
  if (this != &other) {
    Close();
    fd_ = std::move(other.fd_);
    file_ = std::exchange(other.file_, {});
    view_ = std::exchange(other.view_, {});
  }
  return *this;
}

void Queue::Close() noexcept {
  if (file_.address == nullptr) return;
  DropNotice(view_);
  file_.Unmap();
  fd_.Reset();
}

IoResult Queue::Send(std::span<const std::byte> message, uint32_t priority, const timespec* until) {
  if (!file_.may_send) return IoResult::Of(Outcome::kError, EBADF);
  return PosixSend(view_, message, priority, until);
}

IoResult Queue::Receive(std::span<std::byte> buffer, uint32_t* priority, const timespec* until) {
  if (!file_.may_receive) return IoResult::Of(Outcome::kError, EBADF);
  return PosixReceive(view_, buffer, priority, until);
}

int Queue::Notify(const sigevent* event) { return SetNotice(view_, event); }

uint32_t Queue::count() const {
  View view = view_;
  uint32_t count = 0;
  // Damaged or not: it is what the indices say.
  static_cast<void>(PosixCount(view, &count));
  return count;
}

bool Queue::nonblocking() const { return (fcntl(fd_.get(), F_GETFL) & O_NONBLOCK) != 0; }

int Queue::SetNonblocking(bool nonblocking) {
  const int flags = fcntl(fd_.get(), F_GETFL);
  if (flags < 0) return errno;
  const int wanted = nonblocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  return fcntl(fd_.get(), F_SETFL, wanted) == 0 ? 0 : errno;
}

}  // namespace ipcmark::mmap_queue
