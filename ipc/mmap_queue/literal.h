#ifndef IPCMARK_IPC_MMAP_QUEUE_LITERAL_H_
#define IPCMARK_IPC_MMAP_QUEUE_LITERAL_H_

// The policy `posix`: the literal construction of a queue, a process-shared pthread mutex and two process-shared
// pthread condition variables. It is here to be compared with and to show what it cannot do.
//
// A user that is killed inside a call can break it for all: the mutex is not robust, and a condition variable of glibc
// 2.36 lets a signaller hang when a waiter was killed, or another signaller. It also hides signals: pthread_cond_wait
// never returns EINTR. No wake-up is lost while all live: predicates are looked at again under the lock, and every
// message, and every room, wakes all who wait for it.
// Source: POSIX.1-2017, pthread_cond_wait; docs/mmap_queue.md has what was counted.

#include <pthread.h>

#include <atomic>
#include <cstdint>

#include "ipc/mmap_queue/queue_layout.h"

namespace ipcmark::mmap_queue {

// Both return 0 or an errno. The mutex is error-checking, so that a signal handler that interrupted its thread's call
// gets EDEADLK.
int InitialiseLiterally(pthread_mutex_t* lock);
int InitialiseLiterally(pthread_cond_t* condition);
// What glibc writes into every lock that InitialiseLiterally makes.
int LiteralLockKind();

// 0, EDEADLK, or EBADMSG when the lock is of another kind. Waits for its holder, however long.
int LockLiterally(pthread_mutex_t* lock) noexcept;
void UnlockLiterally(pthread_mutex_t* lock) noexcept;

// pthread_cond_timedwait until an instant of CLOCK_MONOTONIC; null: for ever.
int WaitUntilMonotonic(pthread_cond_t* condition, pthread_mutex_t* lock, const timespec* until);

// One sleep on a condition, from under the lock. Counts the sleeper, and at its end, be it the cancellation of its
// thread, counts it out and gives the lock back.
class LiteralSleep {
 public:
  LiteralSleep(Condition& condition, pthread_mutex_t* lock) noexcept
      : condition_(condition), lock_(lock), seen_(condition.sequence.load(std::memory_order_relaxed)) {
    condition_.awaited.store(condition_.awaited.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  LiteralSleep(const LiteralSleep&) = delete;
  LiteralSleep& operator=(const LiteralSleep&) = delete;
  ~LiteralSleep() {
    // Whoever wakes all starts counting anew.
    if (!woken()) {
      condition_.awaited.store(condition_.awaited.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
    }
    UnlockLiterally(lock_);
  }
  // With the lock held, as it is when the wait has returned.
  [[nodiscard]] bool woken() const noexcept { return condition_.sequence.load(std::memory_order_relaxed) != seen_; }

 private:
  Condition& condition_;
  pthread_mutex_t* lock_;
  uint32_t seen_;
};

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_LITERAL_H_
