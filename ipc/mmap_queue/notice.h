#ifndef IPCMARK_IPC_MMAP_QUEUE_NOTICE_H_
#define IPCMARK_IPC_MMAP_QUEUE_NOTICE_H_

// mq_notify: one process is told, once, that a message has come to an empty queue for which nobody was waiting.
//
// The sender tells it, under both locks and *before* it commits the message: killed in between, it has told of a
// message that does not come; the other order would leave a message of which nobody is told. `announcing` makes the
// next holder of the lock repeat what a killed sender may not have finished. So the kill of a sender can make a
// notification early or double, but never lose it. The kill of a receiver that a message has just woken leaves that
// message unannounced until the next one comes: the kernel's queue would have lost it with its receiver.
//
// Signals go out by rt_sigqueueinfo(2) and need the permission of kill(2). Threads (SIGEV_THREAD) are made when they
// are registered, wait in the mapping, and become the notification.

#include <signal.h>

#include <cstdint>

#include "ipc/mmap_queue/core.h"

namespace ipcmark::mmap_queue {

class View;

// Blocks all signals of this thread, when asked to, until its destruction.
class SignalsBlocked {
 public:
  explicit SignalsBlocked(bool block) noexcept;
  ~SignalsBlocked();
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  [[nodiscard]] bool blocked() const { return blocked_; }

 private:
  bool blocked_;
  sigset_t before_;
};

// With the send lock held: `woken` receivers were asleep and will come for messages.
void CountInTransit(Notice& notice, uint32_t woken) noexcept;
// With the receive lock held: one of them is there.
void CountArrived(Notice& notice) noexcept;

// All of these with both locks held.
//
// Whether the message that is about to be committed is to be announced: there is none before it that is not spoken for
// by a receiver on its way, nor is it spoken for itself.
bool IsToBeAnnounced(Core& core) noexcept;
// After the commit of a message that was not to be announced: whether the receivers for whom it was had their time.
bool IsOverdue(const Notice& notice) noexcept;
// Before and after the commit. Begin returns whether the registration is used up; false, for End, when it cannot be
// known whose it is: another thread has closed the descriptor. Then it stays, and the next message is announced.
[[nodiscard]] bool BeginAnnouncement(View& view) noexcept;
void EndAnnouncement(View& view, bool used_up) noexcept;
// Finishes what a killed sender had begun.
void FinishAnnouncement(View& view) noexcept;

// Whether mq_notify knows such an event.
bool IsNotice(const sigevent& event) noexcept;
// mq_notify(3): returns 0 or an errno. `event` null: gives up this process's registration, if there is one.
int SetNotice(View& view, const sigevent* event);
// What closing does: gives up this process's registration, if there is one.
void DropNotice(View& view) noexcept;

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_NOTICE_H_
