#ifndef IPCMARK_IPC_MMAP_QUEUE_QUEUE_H_
#define IPCMARK_IPC_MMAP_QUEUE_QUEUE_H_

// The named queue as a class: what <mqueue.h> offers, with the errors of set-up calls as sentences. Its files and
// descriptors are those of the C interface (mqueue.cc): a program may use both on one queue, and hand a descriptor of
// one to the other. queue_file.h says where the files lie.

#include <signal.h>
#include <sys/types.h>
#include <time.h>

#include <cstddef>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "ipc/channel.h"
#include "ipc/mmap_queue/queue_file.h"
#include "ipc/mmap_queue/transfer.h"
#include "ipc/os/fd.h"

namespace ipcmark::mmap_queue {

// One open queue. Its operations may run in any number of threads and after fork, where parent and child share
// O_NONBLOCK; moving and destroying it must not overlap with them. Send and Receive allocate nothing and make no system
// call unless they have to wait or to wake somebody. They are not noexcept, because the thread may be cancelled while
// they wait (pthread_cancel); they throw nothing else. Not async-signal-safe: a call from a handler that interrupted
// one on the same queue is kError with EDEADLK.
class Queue {
 public:
  // The policy of a new queue is attributes.policy.
  //
  // `flags`: O_RDONLY, O_WRONLY or O_RDWR, with O_CREAT, O_EXCL and O_NONBLOCK; `mode` (less the umask) and
  // `attributes` count when it is made. The descriptor is close-on-exec. Errors: those of mq_open(3), with the errno's
  // name in the message; EBADMSG (kDataLoss) for a file that is no queue or a damaged one.
  static absl::StatusOr<Queue> Open(const std::string& name, int flags, mode_t mode = 0600,
                                    const Attributes& attributes = {});
  // A queue on a descriptor that came from elsewhere (fork, dup, SCM_RIGHTS), which it owns from then on.
  static absl::StatusOr<Queue> FromDescriptor(os::Fd fd);
  // The name goes at once, the queue with its last user.
  static absl::Status Unlink(const std::string& name);

  Queue(Queue&& other) noexcept;
  Queue& operator=(Queue&& other) noexcept;
  ~Queue() { Close(); }

  // `until`: CLOCK_REALTIME; null: waits for ever. With O_NONBLOCK they do not wait, whatever `until` says.
  //
  // kTooBig (EMSGSIZE), kError with EINVAL for a priority of kPriorityLevels or more, with EBADF when it is not open
  // for sending; if it has to wait: kWouldBlock (EAGAIN), kInterrupted (EINTR), kDeadline (ETIMEDOUT), or kError with
  // EINVAL when *until is no time.
  IoResult Send(std::span<const std::byte> message, uint32_t priority = 0, const timespec* until = nullptr);
  // The oldest message of the highest priority. kTooBig when `buffer` is smaller than message_bytes(); EBADF when it is
  // not open for receiving; the rest as Send. `priority` may be null.
  IoResult Receive(std::span<std::byte> buffer, uint32_t* priority = nullptr, const timespec* until = nullptr);

  // mq_notify(3); null gives the registration up. Returns 0 or an errno: EBUSY when some process is registered.
  int Notify(const sigevent* event);

  [[nodiscard]] Policy policy() const { return view_.core().policy(); }
  [[nodiscard]] uint32_t depth_messages() const { return view_.core().depth(); }
  [[nodiscard]] uint32_t message_bytes() const { return view_.core().max_message_bytes(); }
  // How many messages there are now. Repairs the queue first when a user has died in it; a second at most.
  [[nodiscard]] uint32_t count() const;
  // O_NONBLOCK of the open file description, which duplicates and forked children share.
  [[nodiscard]] bool nonblocking() const;
  // Returns 0 or an errno.
  int SetNonblocking(bool nonblocking);
  [[nodiscard]] int fd() const { return fd_.get(); }

 private:
  Queue(os::Fd fd, const MappedFile& file) : fd_(std::move(fd)), file_(file), view_(file, fd_.get()) {}
  void Close() noexcept;

  os::Fd fd_;
  MappedFile file_;
  View view_;
};

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_QUEUE_H_
