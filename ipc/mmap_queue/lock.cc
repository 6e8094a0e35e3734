#include "ipc/mmap_queue/lock.h"

#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstddef>

#include "ipc/mmap_queue/once.h"
#include "ipc/os/clock.h"
#include "ipc/os/cpu.h"

#if defined(__GLIBC__) && defined(__PTHREAD_MUTEX_HAVE_PREV) && !defined(__SANITIZE_THREAD__)
#define IPCMARK_RELEASES_ITSELF 1
#endif

namespace ipcmark::mmap_queue {
namespace {

constexpr int64_t kStuckNanos = os::kNanosPerSecond;

int AttributesOfLock(pthread_mutexattr_t* attributes) {
  int err = pthread_mutexattr_init(attributes);
  if (err != 0) return err;
  err = pthread_mutexattr_setpshared(attributes, PTHREAD_PROCESS_SHARED);
  if (err == 0) err = pthread_mutexattr_setrobust(attributes, PTHREAD_MUTEX_ROBUST);
  if (err == 0) err = pthread_mutexattr_settype(attributes, PTHREAD_MUTEX_ERRORCHECK);
  return err;
}

// A damaged kind would make glibc do something else than lock a robust mutex.
bool IsOfOurKind(const pthread_mutex_t* lock) { return Once(lock->__data.__kind) == LockKind(); }

// Errors that only a damaged lock gives.
int Classified(int err) {
  switch (err) {
    case 0:
    case EBUSY:
    case EDEADLK:
    case EOWNERDEAD:
    case ETIMEDOUT:
      return err;
    default:
      return EBADMSG;
  }
}

#ifdef IPCMARK_RELEASES_ITSELF
// Where the kernel looks for what this thread holds when it dies. Part of glibc's description of a thread, and so at
// the same distance from it in every thread; a thread_local would be one more symbol of the preload library.
inline robust_list_head* RobustList() noexcept {
  static constinit std::atomic<ptrdiff_t> distance = 0;
  auto* const thread = static_cast<char*>(__builtin_thread_pointer());
  ptrdiff_t known = distance.load(std::memory_order_relaxed);
  if (known == 0) [[unlikely]] {
    robust_list_head* head = nullptr;
    size_t bytes;
    syscall(SYS_get_robust_list, 0, &head, &bytes);
    known = reinterpret_cast<char*>(head) - thread;
    distance.store(known, std::memory_order_relaxed);
  }
  return reinterpret_cast<robust_list_head*>(thread + known);
}
#endif

}  // namespace

int InitialiseLock(pthread_mutex_t* lock) {
  pthread_mutexattr_t attributes;
  int err = AttributesOfLock(&attributes);
  if (err == 0) err = pthread_mutex_init(lock, &attributes);
  pthread_mutexattr_destroy(&attributes);
  return err;
}

int LockKind() {
  // Not a static of the function: its guard is a call for every use of a lock.
  static constinit std::atomic<int> kind = 0;
  int known = kind.load(std::memory_order_relaxed);
  if (known == 0) [[unlikely]] {
    pthread_mutex_t sample;
    known = InitialiseLock(&sample) == 0 ? sample.__data.__kind : -1;
    kind.store(known, std::memory_order_relaxed);
  }
  return known;
}

int Hold::Try(pthread_mutex_t* lock) noexcept {
#ifdef IPCMARK_RELEASES_ITSELF
  next_ = RobustList()->list.next;
#endif
  if (!IsOfOurKind(lock)) return EBADMSG;
  return Classified(pthread_mutex_trylock(lock));
}

int Hold::Poll(pthread_mutex_t* lock, int hints, const Pauses& pauses) noexcept {
  for (int pause = pauses.first_hints; hints > 0; hints -= pause, pause = std::min(2 * pause, pauses.longest_hints)) {
    for (int hint = 0; hint < pause; ++hint) os::SpinHint();
    // Only a look: a try would take the word's line away from its holder.
    if (IsTaken(lock)) continue;
    const int err = Try(lock);
    if (err != EBUSY) return err;
  }
  return EBUSY;
}

int Hold::TryUntil(pthread_mutex_t* lock, int64_t until_nanos) noexcept {
  if (!IsOfOurKind(lock)) return EBADMSG;
#ifdef __SANITIZE_THREAD__
  // GCC 12's ThreadSanitizer does not know pthread_mutex_clocklock and would take the unlock for a bug.
  const timespec until = os::RealtimeAt(until_nanos);
  return Classified(pthread_mutex_timedlock(lock, &until));
#else
  const timespec until = os::ToTimespec(until_nanos);
  return Classified(pthread_mutex_clocklock(lock, CLOCK_MONOTONIC, &until));
#endif
}

bool Hold::IsTaken(const pthread_mutex_t* lock) noexcept { return Once(lock->__data.__lock) != 0; }

int Hold::MadeConsistent(pthread_mutex_t* lock) noexcept { return pthread_mutex_consistent(lock) == 0 ? 0 : EBADMSG; }

bool Hold::IsHeld(const pthread_mutex_t* lock) noexcept {
  return (static_cast<uint32_t>(Once(lock->__data.__lock)) & FUTEX_TID_MASK) != 0;
}

bool Hold::IsOrphan(const pthread_mutex_t* lock) noexcept {
  return (static_cast<uint32_t>(Once(lock->__data.__lock)) & FUTEX_OWNER_DIED) != 0;
}

void Hold::ReleaseAsOrphan(pthread_mutex_t* lock) noexcept { ReleaseAs(lock, FUTEX_OWNER_DIED); }

void Hold::ReleaseAs(pthread_mutex_t* lock, [[maybe_unused]] uint32_t word_after) noexcept {
#ifdef IPCMARK_RELEASES_ITSELF
  // What pthread_mutex_unlock does, step by step as in glibc, but for one thing. glibc keeps the robust mutexes of a
  // thread in a list whose links lie in the mutexes, and so in memory that others can write: unlocking a mutex whose
  // links were damaged writes to whatever address they hold. We know the neighbours ourselves: the list's head, and
  // what it pointed to before.
  robust_list_head* head = RobustList();
  auto* node = reinterpret_cast<robust_list*>(&lock->__data.__list.__next);
  auto* pending = static_cast<robust_list* volatile*>(&head->list_op_pending);
  // From here on the kernel looks at the lock's word should we die, whether the lock is in the list or not.
  *pending = node;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  head->list.next = next_;
  // The lowest bit marks priority-inheriting mutexes; the backward link lies before the forward one.
  auto* neighbour =
      reinterpret_cast<void**>(reinterpret_cast<char*>(next_) - (reinterpret_cast<uintptr_t>(next_) & 1U));
  *(neighbour - 1) = head;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  lock->__data.__owner = 0;
  // Release: what we did under the lock is visible to whoever gets it next.
  const auto word =
      static_cast<uint32_t>(__atomic_exchange_n(&lock->__data.__lock, static_cast<int>(word_after), __ATOMIC_RELEASE));
  // One waiter, as glibc does; should we die before this line, the kernel wakes one.
  if ((word & FUTEX_WAITERS) != 0) syscall(SYS_futex, &lock->__data.__lock, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  *pending = nullptr;
#else
  pthread_mutex_unlock(lock);
#endif
}

bool StuckLock::IsDamaged(const pthread_mutex_t* lock) noexcept {
  const int64_t now = os::MonotonicNanos();
  const int word = Once(lock->__data.__lock) & static_cast<int>(FUTEX_TID_MASK | FUTEX_OWNER_DIED);
  if (word != word_ || since_nanos_ == 0) {
    word_ = word;
    since_nanos_ = now;
    return false;
  }
  return now - since_nanos_ >= kStuckNanos && NamesNobody(lock);
}

bool StuckLock::NamesNobody(const pthread_mutex_t* lock) noexcept {
  const pid_t holder = Once(lock->__data.__lock) & static_cast<int>(FUTEX_TID_MASK);
  return holder == 0 || Once(lock->__data.__owner) != holder || (kill(holder, 0) != 0 && errno == ESRCH);
}

}  // namespace ipcmark::mmap_queue
