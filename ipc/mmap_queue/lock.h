#ifndef IPCMARK_IPC_MMAP_QUEUE_LOCK_H_
#define IPCMARK_IPC_MMAP_QUEUE_LOCK_H_

// The queue's lock: a robust, process-shared, error-checking POSIX mutex in memory in which others may scribble.
//
//   InitialiseLock, LockKind   making and recognising one
//   Hold                       one thread's hold of it: Try, TryUntil, Release; of several in the reverse order
//   StuckLock                  tells a lock whose word is damaged from one whose holder is slow
//
// Only ever taken by trylock and by clocklock in slices: when a *waiter* of a robust mutex is killed, plain
// pthread_mutex_lock can leave the others asleep on a free lock (138 of 20,000 kills). Taking it twice in one thread (a
// signal handler that interrupted a holder) is EDEADLK at once.
// Source: pthread_mutexattr_setrobust(3), Documentation/locking/robust-futex-ABI.rst.

#include <pthread.h>

#include <cstdint>

struct robust_list_head;
struct robust_list;

namespace ipcmark::mmap_queue {

// Returns 0 or an errno.
int InitialiseLock(pthread_mutex_t* lock);
// What glibc writes into every lock that InitialiseLock makes. A lock of another kind is not ours.
int LockKind();

// Between two looks at a lock, in hints to the processor (os::SpinHint): each pause is twice as long as the one before.
struct Pauses {
  int first_hints;
  int longest_hints;
};

// A thread's hold of a lock. Never unmap the lock, exec or end the thread between a Try that succeeded and Release.
class Hold {
 public:
  // 0: held. EOWNERDEAD: held, and its last owner died: repair what it guards, then MadeConsistent. EBUSY: another
  // holds it. EDEADLK: this thread does. EBADMSG: it is damaged.
  int Try(pthread_mutex_t* lock) noexcept;
  // The same, but looks for a while whether it becomes free, without a system call: after ever longer pauses, for about
  // `hints` of os::SpinHint in all. For short messages the pauses are long on purpose. Each look takes the lock's line
  // away from its holder and each change of holders takes all other lines along; let alone for a while, the holder
  // makes its next calls at the speed of its own cache, and two processes that hammer on one queue take turns of many
  // messages instead of one: 6 instead of 1 million messages a second.
  int Poll(pthread_mutex_t* lock, int hints, const Pauses& pauses) noexcept;
  // The same, but waits until `until_nanos` (CLOCK_MONOTONIC) and then says ETIMEDOUT.
  int TryUntil(pthread_mutex_t* lock, int64_t until_nanos) noexcept;
  // A hint.
  static bool IsTaken(const pthread_mutex_t* lock) noexcept;
  // The same, but a lock whose holder died is not held.
  static bool IsHeld(const pthread_mutex_t* lock) noexcept;
  // A hint: whether its holder died and nobody has had it since.
  static bool IsOrphan(const pthread_mutex_t* lock) noexcept;
  // After EOWNERDEAD. EBADMSG: it is damaged, and stays held.
  static int MadeConsistent(pthread_mutex_t* lock) noexcept;
  void Release(pthread_mutex_t* lock) noexcept { ReleaseAs(lock, 0); }
  // Instead of MadeConsistent and Release: the next one will be told EOWNERDEAD once more. (Under ThreadSanitizer it
  // will be told that the lock is damaged.)
  void ReleaseAsOrphan(pthread_mutex_t* lock) noexcept;

 private:
  // Leaves `word_after` in the lock.
  void ReleaseAs(pthread_mutex_t* lock, uint32_t word_after) noexcept;

  // What the thread's list of robust mutexes began with before this one.
  robust_list* next_ = nullptr;
};

// For one wait for the lock that goes on and on.
class StuckLock {
 public:
  // Called after each slice that ended with ETIMEDOUT. True when the lock is held, for a second, by nobody. A stopped
  // owner is no damage.
  bool IsDamaged(const pthread_mutex_t* lock) noexcept;
  // Whether its word names no thread, or another one than its owner wrote. Its owner may be just about to write.
  static bool NamesNobody(const pthread_mutex_t* lock) noexcept;

 private:
  int word_ = 0;
  int64_t since_nanos_ = 0;
};

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_LOCK_H_
