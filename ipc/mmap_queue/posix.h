#ifndef IPCMARK_IPC_MMAP_QUEUE_POSIX_H_
#define IPCMARK_IPC_MMAP_QUEUE_POSIX_H_

// mq_timedsend and mq_timedreceive on a mapped queue, below the class (queue.h) and the C interface (mqueue.cc).

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
  PosixLimit limit(view.fd(), until);
  return view.Send(message, priority, limit);
}

inline IoResult PosixReceive(View& view, std::span<std::byte> buffer, uint32_t* priority, const timespec* until) {
  if (buffer.size() < view.core().max_message_bytes()) {
    return IoResult::Of(Outcome::kTooBig, EMSGSIZE, view.core().max_message_bytes());
  }
  if (priority != nullptr) TouchForWriting(std::as_writable_bytes(std::span(priority, 1)));
  PosixLimit limit(view.fd(), until);
  return view.Receive(buffer, priority, limit);
}

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_POSIX_H_
