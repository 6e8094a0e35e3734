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

#include <linux/futex.h>
#include <pthread.h>
#include <sys/types.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "ipc/mmap_queue/once.h"

#if defined(__GLIBC__) && defined(__PTHREAD_MUTEX_HAVE_PREV) && !defined(__SANITIZE_THREAD__)
#define IPCMARK_LOCKS_ITSELF 1
#endif

namespace ipcmark::mmap_queue {
namespace lock_internal {

inline constinit std::atomic<int> g_kind = 0;  // LockKind
#ifdef IPCMARK_LOCKS_ITSELF
// glibc's description of a thread begins at the thread pointer and is the same in every thread. In it lie the list in
// which the kernel looks for what the thread holds when it dies (get_robust_list(2)) and, before that, its number: kept
// right over fork(2), and checked against gettid(2). A thread_local would be one more symbol of the preload library.
inline constexpr ptrdiff_t kIdBeforeList = 16;
inline constinit std::atomic<ptrdiff_t> g_list_distance = 0;
inline constinit std::atomic<bool> g_knows_id = false;
void LearnThreadLayout() noexcept;

inline robust_list_head* RobustList() noexcept {
  if (g_list_distance.load(std::memory_order_relaxed) == 0) [[unlikely]]
    LearnThreadLayout();
  return reinterpret_cast<robust_list_head*>(static_cast<char*>(__builtin_thread_pointer()) +
                                             g_list_distance.load(std::memory_order_relaxed));
}
// 0: not known.
inline pid_t OwnId(const robust_list_head* list) noexcept {
  if (!g_knows_id.load(std::memory_order_relaxed)) [[unlikely]]
    return 0;
  return *reinterpret_cast<const pid_t*>(reinterpret_cast<const char*>(list) - kIdBeforeList);
}
// Links that others can read lie in mutexes: the lowest bit marks priority-inheriting ones, and the backward link lies
// before the forward one.
inline void SetBackwardLink(robust_list* of, void* to) noexcept {
  auto* forward = reinterpret_cast<void**>(reinterpret_cast<char*>(of) - (reinterpret_cast<uintptr_t>(of) & 1U));
  *(forward - 1) = to;
}
#endif

}  // namespace lock_internal

// Returns 0 or an errno.
int InitialiseLock(pthread_mutex_t* lock);
int LearnLockKind();
// What glibc writes into every lock that InitialiseLock makes. A lock of another kind is not ours: a damaged kind would
// make glibc do something else than lock a robust mutex.
inline int LockKind() {
  // Not a static of the function: its guard is a call for every use of a lock.
  const int known = lock_internal::g_kind.load(std::memory_order_relaxed);
  return known != 0 ? known : LearnLockKind();
}
inline bool IsOfOurKind(const pthread_mutex_t* lock) { return Once(lock->__data.__kind) == LockKind(); }

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
  int Try(pthread_mutex_t* lock) noexcept {
    if (!IsOfOurKind(lock)) [[unlikely]]
      return EBADMSG;
    return TryFree(lock) ? 0 : TryTaken(lock);
  }
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
  // Try, for a lock that nobody holds and nobody died with.
  bool TryFree(pthread_mutex_t* lock) noexcept;
  // Try, for any.
  static int TryTaken(pthread_mutex_t* lock) noexcept;
  // Leaves `word_after` in the lock.
  void ReleaseAs(pthread_mutex_t* lock, uint32_t word_after) noexcept;
  static void WakeOne(pthread_mutex_t* lock) noexcept;

  // What the thread's list of robust mutexes began with before this one.
  robust_list* next_ = nullptr;
};

// These do what pthread_mutex_trylock and pthread_mutex_unlock do with a robust mutex, step by step as in glibc,
// without asking what kind of a mutex it is, which costs as much again as the locking. And but for one thing: glibc
// keeps the robust mutexes of a thread in a list whose links lie in the mutexes, and so in memory that others can
// write: unlocking a mutex whose links were damaged writes to whatever address they hold. We know the neighbours
// ourselves: the list's head, and what it pointed to before.
inline bool Hold::TryFree([[maybe_unused]] pthread_mutex_t* lock) noexcept {
#ifdef IPCMARK_LOCKS_ITSELF
  robust_list_head* const head = lock_internal::RobustList();
  next_ = head->list.next;
  const pid_t own_id = lock_internal::OwnId(head);
  if (own_id == 0 || Once(lock->__data.__lock) != 0) [[unlikely]]
    return false;
  auto* const node = reinterpret_cast<robust_list*>(&lock->__data.__list.__next);
  auto* const pending = static_cast<robust_list* volatile*>(&head->list_op_pending);
  // From here on the kernel looks at the lock's word should we die, whether the lock is in the list or not.
  *pending = node;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  int word = 0;
  const bool is_held = __atomic_compare_exchange_n(&lock->__data.__lock, &word, own_id, /*weak=*/false,
                                                   __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
  if (is_held) [[likely]] {
    lock->__data.__owner = own_id;
    node->next = next_;
    lock_internal::SetBackwardLink(node, head);
    lock_internal::SetBackwardLink(next_, node);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    head->list.next = node;
  }
  std::atomic_signal_fence(std::memory_order_seq_cst);
  *pending = nullptr;
  return is_held;
#else
  return false;
#endif
}

inline void Hold::ReleaseAs(pthread_mutex_t* lock, [[maybe_unused]] uint32_t word_after) noexcept {
#ifdef IPCMARK_LOCKS_ITSELF
  robust_list_head* const head = lock_internal::RobustList();
  auto* const pending = static_cast<robust_list* volatile*>(&head->list_op_pending);
  *pending = reinterpret_cast<robust_list*>(&lock->__data.__list.__next);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  head->list.next = next_;
  lock_internal::SetBackwardLink(next_, head);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  lock->__data.__owner = 0;
  // Release: what we did under the lock is visible to whoever gets it next.
  const auto word =
      static_cast<uint32_t>(__atomic_exchange_n(&lock->__data.__lock, static_cast<int>(word_after), __ATOMIC_RELEASE));
  // One waiter, as glibc does; should we die before this line, the kernel wakes one.
  if ((word & FUTEX_WAITERS) != 0) [[unlikely]]
    WakeOne(lock);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  *pending = nullptr;
#else
  pthread_mutex_unlock(lock);
#endif
}

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
