#include "ipc/mmap_queue/literal.h"

#include <time.h>

#include <cerrno>

#include "ipc/os/clock.h"

namespace ipcmark::mmap_queue {

int InitialiseLiterally(pthread_mutex_t* lock) {
  pthread_mutexattr_t attributes;
  int err = pthread_mutexattr_init(&attributes);
  if (err != 0) return err;
  err = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  if (err == 0) err = pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
  if (err == 0) err = pthread_mutex_init(lock, &attributes);
  pthread_mutexattr_destroy(&attributes);
  return err;
}

int InitialiseLiterally(pthread_cond_t* condition) {
  pthread_condattr_t attributes;
  int err = pthread_condattr_init(&attributes);
  if (err != 0) return err;
  err = pthread_condattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  if (err == 0) err = pthread_cond_init(condition, &attributes);
  pthread_condattr_destroy(&attributes);
  return err;
}

int LiteralLockKind() {
  static const int kKind = [] {
    pthread_mutex_t sample;
    return InitialiseLiterally(&sample) == 0 ? sample.__data.__kind : -1;
  }();
  return kKind;
}

int LockLiterally(pthread_mutex_t* lock) noexcept {
  if (*static_cast<const volatile int*>(&lock->__data.__kind) != LiteralLockKind()) return EBADMSG;
  const int err = pthread_mutex_lock(lock);
  return err == 0 || err == EDEADLK ? err : EBADMSG;
}

void UnlockLiterally(pthread_mutex_t* lock) noexcept { pthread_mutex_unlock(lock); }

int WaitUntilMonotonic(pthread_cond_t* condition, pthread_mutex_t* lock, const timespec* until) {
  if (until == nullptr) return pthread_cond_wait(condition, lock);
#ifdef __SANITIZE_THREAD__
  // GCC 12's ThreadSanitizer does not know pthread_cond_clockwait and would not see that it gives the lock back.
  const timespec realtime = os::RealtimeAt(until->tv_sec * os::kNanosPerSecond + until->tv_nsec);
  return pthread_cond_timedwait(condition, lock, &realtime);
#else
  return pthread_cond_clockwait(condition, lock, CLOCK_MONOTONIC, until);
#endif
}

}  // namespace ipcmark::mmap_queue
