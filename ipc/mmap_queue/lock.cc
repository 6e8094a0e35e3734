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

}  // namespace

int InitialiseLock(pthread_mutex_t* lock) {
  pthread_mutexattr_t attributes;
  int err = AttributesOfLock(&attributes);
  if (err == 0) err = pthread_mutex_init(lock, &attributes);
  pthread_mutexattr_destroy(&attributes);
  return err;
}

int LearnLockKind() {
  pthread_mutex_t sample;
  const int kind = InitialiseLock(&sample) == 0 ? sample.__data.__kind : -1;
  lock_internal::g_kind.store(kind, std::memory_order_relaxed);
  return kind;
}

#ifdef IPCMARK_LOCKS_ITSELF
void lock_internal::LearnThreadLayout() noexcept {
  robust_list_head* head = nullptr;
  size_t bytes;
  syscall(SYS_get_robust_list, 0, &head, &bytes);
  const auto* const id = reinterpret_cast<const pid_t*>(reinterpret_cast<const char*>(head) - kIdBeforeList);
  g_knows_id.store(*id == gettid(), std::memory_order_relaxed);
  g_list_distance.store(reinterpret_cast<char*>(head) - static_cast<char*>(__builtin_thread_pointer()),
                        std::memory_order_relaxed);
}
#endif

int Hold::TryTaken(pthread_mutex_t* lock) noexcept { return Classified(pthread_mutex_trylock(lock)); }

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

void Hold::WakeOne(pthread_mutex_t* lock) noexcept {
  syscall(SYS_futex, &lock->__data.__lock, FUTEX_WAKE, 1, nullptr, nullptr, 0);
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
