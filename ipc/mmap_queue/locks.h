#ifndef IPCMARK_IPC_MMAP_QUEUE_LOCKS_H_
#define IPCMARK_IPC_MMAP_QUEUE_LOCKS_H_

// One thread's hold of a queue's two locks, or of one of them. Whoever takes both takes the send lock first; the other
// way round only by trying. Given back in the reverse order of their taking (lock.h).

#include <cerrno>
#include <cstdint>

#include "ipc/mmap_queue/core.h"
#include "ipc/mmap_queue/lock.h"

namespace ipcmark::mmap_queue {

inline pthread_mutex_t& LockOf(Side side, QueueHeader& header) noexcept {
  return side == Side::kSend ? header.send.lock : header.receive.lock;
}

class Locks {
 public:
  [[nodiscard]] bool has_send() const noexcept { return has_[0]; }
  [[nodiscard]] bool has_receive() const noexcept { return has_[1]; }
  [[nodiscard]] bool has_both() const noexcept { return has_send() && has_receive(); }

  // As those of Hold. EOWNERDEAD: it is held.
  int Try(Side side, QueueHeader& header) noexcept { return Note(side, HoldOf(side).Try(&LockOf(side, header))); }
  int Poll(Side side, QueueHeader& header, int hints, const Pauses& pauses) noexcept {
    return Note(side, HoldOf(side).Poll(&LockOf(side, header), hints, pauses));
  }
  int TryUntil(Side side, QueueHeader& header, int64_t until_nanos) noexcept {
    return Note(side, HoldOf(side).TryUntil(&LockOf(side, header), until_nanos));
  }
  // Of the literal construction, whose one lock stands for both.
  void GotLiterally(bool held) noexcept { has_[0] = has_[1] = held; }

  // All that are held.
  void Release(QueueHeader& header) noexcept {
    ReleaseLast(header);
    if (has_send() || has_receive()) ReleaseLast(header);
  }
  // The one that was taken last.
  void ReleaseLast(QueueHeader& header) noexcept {
    HoldOf(last_).Release(&LockOf(last_, header));
    Forget(last_);
  }
  // The only one that is held. As that of Hold.
  void ReleaseAsOrphan(Side side, QueueHeader& header) noexcept {
    HoldOf(side).ReleaseAsOrphan(&LockOf(side, header));
    Forget(side);
  }

 private:
  static size_t IndexOf(Side side) noexcept { return static_cast<size_t>(side); }
  Hold& HoldOf(Side side) noexcept { return holds_[IndexOf(side)]; }
  int Note(Side side, int err) noexcept {
    if (err == 0 || err == EOWNERDEAD) {
      has_[IndexOf(side)] = true;
      last_ = side;
    }
    return err;
  }
  void Forget(Side side) noexcept {
    has_[IndexOf(side)] = false;
    last_ = Other(side);
  }

  Hold holds_[2];
  bool has_[2] = {};
  Side last_ = Side::kSend;
};

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_LOCKS_H_
