#ifndef IPCMARK_IPC_MMAP_QUEUE_POSIX_H_
#define IPCMARK_IPC_MMAP_QUEUE_POSIX_H_

// mq_timedsend and mq_timedreceive on a mapped queue, below the class (queue.h) and the C interface (mqueue.cc).

#include <time.h>

#include <cstddef>
#include <span>

#include "ipc/channel.h"
#include "ipc/mmap_queue/posix_limit.h"
#include "ipc/mmap_queue/transfer.h"

namespace ipcmark::mmap_queue {

// A bad pointer faults here, before the lock is taken: a program that goes on after SIGSEGV (siglongjmp) would
// otherwise do so with the lock in its hands.
inline void TouchForReading(std::span<const std::byte> memory) noexcept {
  constexpr size_t kPageBytes = 4096;
  if (memory.empty()) return;
  for (size_t at = 0; at < memory.size(); at += kPageBytes) {
    static_cast<void>(*static_cast<const volatile std::byte*>(&memory[at]));
  }
  static_cast<void>(*static_cast<const volatile std::byte*>(&memory.back()));
}
inline void TouchForWriting(std::span<std::byte> memory) noexcept {
  if (memory.empty()) return;
  volatile std::byte* first = memory.data();
  *first = *first;
}

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
  TouchForWriting(buffer);
  PosixLimit limit(view.fd(), until);
  return view.Receive(buffer, priority, limit);
}

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_POSIX_H_
