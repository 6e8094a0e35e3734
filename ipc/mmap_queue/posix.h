#ifndef IPCMARK_IPC_MMAP_QUEUE_POSIX_H_
#define IPCMARK_IPC_MMAP_QUEUE_POSIX_H_

// mq_timedsend, mq_timedreceive and mq_getattr on a mapped queue, below the class (queue.h) and the C interface
// (mqueue.cc).

#include <time.h>

#include <cstddef>
#include <span>

#include "ipc/channel.h"
#include "ipc/mmap_queue/posix_limit.h"
#include "ipc/mmap_queue/touch.h"
#include "ipc/mmap_queue/transfer.h"

namespace ipcmark::mmap_queue {

inline IoResult PosixSend(View& view, std::span<const std::byte> message, uint32_t priority, const timespec* until) {
  if (message.size() > view.core().max_message_bytes()) return IoResult::Of(Outcome::kTooBig, EMSGSIZE);
  TouchForReading(message);
  PosixLimit limit(view, until);
  return view.Send(message, priority, limit);
}

inline IoResult PosixReceive(View& view, std::span<std::byte> buffer, uint32_t* priority, const timespec* until) {
  if (buffer.size() < view.core().max_message_bytes()) {
    return IoResult::Of(Outcome::kTooBig, EMSGSIZE, view.core().max_message_bytes());
  }
  if (priority != nullptr) TouchForWriting(std::as_writable_bytes(std::span(priority, 1)));
  PosixLimit limit(view, until);
  return view.Receive(buffer, priority, limit);
}

// How many messages there are. When a user has died in the middle of something, what the indices say counts only after
// they were repaired. Returns 0, or EBADMSG when the queue is damaged. Waits for a second at most, and then says what
// the indices say.
inline int PosixCount(View& view, uint32_t* count) noexcept {
  *count = view.core().count();
  // In this order: who had died before the call had left its lock to be found here.
  if (!view.IsOrphaned()) return 0;
  const timespec until = SecondFromNow();
  PosixLimit limit(view, &until);
  Locks locks;
  const IoResult locked = view.LockBoth(limit, locks);
  *count = view.core().count();
  if (locked.ok()) view.Unlock(locks);
  return locked.err == EBADMSG ? EBADMSG : 0;
}

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_POSIX_H_
