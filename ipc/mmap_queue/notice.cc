#include "ipc/mmap_queue/notice.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <new>

#include "ipc/mmap_queue/once.h"
#include "ipc/mmap_queue/posix_limit.h"
#include "ipc/mmap_queue/transfer.h"
#include "ipc/os/clock.h"
#include "ipc/os/futex.h"

namespace ipcmark::mmap_queue {
namespace {

constexpr pid_t kNobody = -1;
constexpr pid_t kUnknown = -2;

struct flock ByteOf(uint64_t id, int16_t type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = kNoticeLockStart + static_cast<off_t>(id % kNoticeLockStart);
  lock.l_len = 1;
  return lock;
}

// The process whose registration `id` is, as this process knows it (0: of another PID namespace); kNobody when it has
// closed the queue or died; kUnknown when the view's descriptor is not the queue's any more. An open file description's
// own question, because a process does not conflict with itself.
pid_t Registrant(const View& view, uint64_t id) noexcept {
  struct flock lock = ByteOf(id, F_WRLCK);
  if (!view.HasItsDescriptor() || fcntl(view.fd(), F_OFD_GETLK, &lock) != 0) return kUnknown;
  if (lock.l_type == F_UNLCK) return kNobody;
  return lock.l_pid < 0 ? 0 : lock.l_pid;
}

// Ties the fields of a registration to each other: nobody is to be sent a signal that a flipped bit has chosen.
uint64_t SealOf(uint32_t kind, uint32_t signal_number, uint64_t value, uint64_t id) noexcept {
  uint64_t seal = kQueueMagic;
  for (const uint64_t word : {uint64_t{kind}, uint64_t{signal_number}, value, id}) {
    // Knuth's multiplier for 64 bits; odd, so that every bit counts.
    seal = std::rotl((seal ^ word) * 6364136223846793005U, 29);
  }
  return seal;
}

// Returns whether the registration is used up.
bool Tell(View& view) noexcept {
  Notice& notice = view.header().notice;
  const Notice* const shared = &notice;
  const uint32_t kind = notice.kind.load(std::memory_order_relaxed);
  const uint32_t signal_number = Once(shared->signal_number);
  const uint64_t value = Once(shared->value);
  const uint64_t id = Once(shared->id);
  if (Once(shared->seal) != SealOf(kind, signal_number, value, id)) return true;
  const pid_t pid = Registrant(view, id);
  if (pid == kNobody || pid == kUnknown) return pid == kNobody;
  if (kind == kSignalNotice && pid > 0) {
    siginfo_t info{};
    info.si_signo = static_cast<int>(signal_number);
    info.si_code = SI_MESGQ;
    info.si_pid = getpid();
    info.si_uid = getuid();
    info.si_value.sival_ptr = std::bit_cast<void*>(value);
    syscall(SYS_rt_sigqueueinfo, pid, info.si_signo, &info);
  }
  notice.fired[id % Notice::kRemembered] = id;
  // Release: the waiting thread that sees the change sees `fired` too.
  notice.changes.fetch_add(1, std::memory_order_release);
  os::WakeAllOnFutex(notice.changes);
  return true;
}

void Forget(Notice& notice) noexcept {
  notice.kind.store(kNoNotice, std::memory_order_relaxed);
  notice.unannounced = 0;
  notice.changes.fetch_add(1, std::memory_order_release);
  os::WakeAllOnFutex(notice.changes);
}

}  // namespace

SignalsBlocked::SignalsBlocked(bool block) noexcept : blocked_(block) {
  if (!blocked_) return;
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before_);
}

SignalsBlocked::~SignalsBlocked() {
  if (blocked_) pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

void CountInTransit(Notice& notice, uint32_t woken) noexcept {
  const int64_t now = os::MonotonicNanos();
  if (now >= notice.transit_end_nanos) {
    // Those who are dead by now get no new lease from the living.
    notice.in_transit.store(woken, std::memory_order_relaxed);
  } else {
    notice.in_transit.fetch_add(woken, std::memory_order_relaxed);
  }
  notice.transit_end_nanos = now + kTransitNanos;
}

void CountArrived(Notice& notice) noexcept {
  uint32_t in_transit = notice.in_transit.load(std::memory_order_relaxed);
  while (in_transit > 0 &&
         !notice.in_transit.compare_exchange_weak(in_transit, in_transit - 1, std::memory_order_relaxed)) {
  }
}

bool IsToBeAnnounced(Core& core) noexcept {
  Notice& notice = core.header().notice;
  uint32_t in_transit = notice.in_transit.load(std::memory_order_relaxed);
  if (in_transit != 0 && os::MonotonicNanos() >= notice.transit_end_nanos) {
    in_transit = 0;
    notice.in_transit.store(0, std::memory_order_relaxed);
  }
  const uint32_t count = core.count();
  if (count < in_transit) {
    notice.unannounced = 1;
    return false;
  }
  return count == 0 || notice.unannounced != 0;
}

bool IsOverdue(const Notice& notice) noexcept {
  return notice.unannounced != 0 && notice.kind.load(std::memory_order_relaxed) != kNoNotice &&
         os::MonotonicNanos() >= notice.transit_end_nanos;
}

bool BeginAnnouncement(View& view) noexcept {
  view.header().notice.announcing = 1;
  return Tell(view);
}

void EndAnnouncement(View& view, bool used_up) noexcept {
  Notice& notice = view.header().notice;
  if (used_up) notice.kind.store(kNoNotice, std::memory_order_relaxed);
  notice.unannounced = used_up ? 0 : 1;
  notice.announcing = 0;
}

void FinishAnnouncement(View& view) noexcept {
  const Notice& notice = view.header().notice;
  if (notice.announcing == 0) return;
  EndAnnouncement(view, notice.kind.load(std::memory_order_relaxed) == kNoNotice || Tell(view));
}

namespace {

// A thread that is to become a notification.
struct Waiter {
  Notice* notice;  // in a mapping of its own, of the header only
  void* mapping;
  void (*function)(sigval);
  sigval value;
  uint64_t id = 0;  // before `stage` is kWaiting: unset
  enum Stage : uint32_t { kStarting, kWaiting, kAbandoned };
  std::atomic<uint32_t> stage{kStarting};
};

// True when registration `waiter.id` is notified, false when it was given up or the file was truncated.
bool AwaitNotice(const Waiter& waiter) {
  Notice& notice = *waiter.notice;
  while (IsThere(&notice)) {
    // Acquire: pairs with Tell's release, for `fired`.
    const uint32_t seen = notice.changes.load(std::memory_order_acquire);
    if (Once(notice.fired[waiter.id % Notice::kRemembered]) == waiter.id) return true;
    if (Once(notice.id) != waiter.id || notice.kind.load(std::memory_order_relaxed) != kThreadNotice) return false;
    os::WaitOnFutex(notice.changes, seen, os::After(kLongNetNanos));
  }
  return false;
}

void* BecomeNotification(void* argument) {
  auto* waiter = static_cast<Waiter*>(argument);
  while (waiter->stage.load(std::memory_order_acquire) == Waiter::kStarting) {
    os::WaitOnFutex(waiter->stage, Waiter::kStarting, Deadline::Never());
  }
  const bool notified = waiter->stage.load(std::memory_order_acquire) == Waiter::kWaiting && AwaitNotice(*waiter);
  const auto function = waiter->function;
  const sigval value = waiter->value;
  munmap(waiter->mapping, sizeof(QueueHeader));
  delete waiter;
  if (notified) {
    // As the C library's: it was made with all of them blocked, and what it starts would inherit that.
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, nullptr);
    function(value);
  }
  return nullptr;
}

// Lets the thread wait for registration `id`, or (0) end.
void Release(Waiter* waiter, uint64_t id) {
  waiter->id = id;
  // Release: publishes `id` to the thread, which may be gone with `waiter` right after.
  const std::atomic<uint32_t>& stage = waiter->stage;
  waiter->stage.store(id != 0 ? Waiter::kWaiting : Waiter::kAbandoned, std::memory_order_release);
  os::WakeAllOnFutex(stage);
}

int StartWaiter(int fd, const sigevent& event, Waiter** out) {
  void* mapping = mmap(nullptr, sizeof(QueueHeader), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mapping == MAP_FAILED) return ENOMEM;
  auto* waiter = new (std::nothrow) Waiter{.notice = &static_cast<QueueHeader*>(mapping)->notice,
                                           .mapping = mapping,
                                           .function = event.sigev_notify_function,
                                           .value = event.sigev_value};
  int err = waiter == nullptr ? ENOMEM : 0;
  if (err == 0) {
    const SignalsBlocked for_the_thread(true);
    pthread_t thread;
    err = pthread_create(&thread, event.sigev_notify_attributes, BecomeNotification, waiter);
    if (err == 0) {
      int detached = PTHREAD_CREATE_JOINABLE;
      if (event.sigev_notify_attributes != nullptr) {
        pthread_attr_getdetachstate(event.sigev_notify_attributes, &detached);
      }
      // It cannot have ended: it waits for Release.
      if (detached == PTHREAD_CREATE_JOINABLE) pthread_detach(thread);
      *out = waiter;
      return 0;
    }
  }
  delete waiter;
  munmap(mapping, sizeof(QueueHeader));
  return err;
}

// With the lock held. Returns 0, with the registration's number, or an errno.
int Register(View& view, NoticeKind kind, const sigevent& event, uint64_t* registered) {
  Notice& notice = view.header().notice;
  if (notice.kind.load(std::memory_order_relaxed) != kNoNotice) {
    const pid_t registrant = Registrant(view, notice.id);
    if (registrant != kNobody) return registrant == kUnknown ? EBADF : EBUSY;
  }
  // What this process locked for registrations that have been used up.
  struct flock all = ByteOf(0, F_UNLCK);
  all.l_len = 0;
  fcntl(view.fd(), F_SETLK, &all);
  // The next number; the ones behind it in case that somebody holds a byte which only damage can have led us to.
  uint64_t id = Once(notice.id);
  int err = EAGAIN;
  for (unsigned attempt = 0; err == EAGAIN && attempt < Notice::kRemembered; ++attempt) {
    struct flock mine = ByteOf(++id, F_WRLCK);
    err = fcntl(view.fd(), F_SETLK, &mine) == 0 ? 0 : errno == EACCES ? EAGAIN : errno;
  }
  if (err != 0) return err;
  // Whoever finds the registration finds its fields: `kind` is stored last.
  notice.kind.store(kNoNotice, std::memory_order_relaxed);
  notice.id = id;
  const uint32_t signal_number = kind == kSignalNotice ? static_cast<uint32_t>(event.sigev_signo) : 0;
  const auto value = std::bit_cast<uint64_t>(event.sigev_value);
  notice.signal_number = signal_number;
  notice.value = value;
  notice.seal = SealOf(kind, signal_number, value, id);
  notice.unannounced = 0;
  notice.kind.store(kind, std::memory_order_release);
  *registered = id;
  return 0;
}

int Unregister(View& view, const timespec* until) {
  Notice& notice = view.header().notice;
  if (notice.kind.load(std::memory_order_relaxed) == kNoNotice) return 0;
  PosixLimit limit(view, until);
  Locks locks;
  const IoResult locked = view.LockBoth(limit, locks);
  if (!locked.ok()) return locked.err;
  if (Registrant(view, notice.id) == getpid()) Forget(notice);
  view.Unlock(locks);
  return 0;
}

}  // namespace

bool IsNotice(const sigevent& event) noexcept {
  switch (event.sigev_notify) {
    case SIGEV_NONE:
    case SIGEV_THREAD:
      return true;
    case SIGEV_SIGNAL:
      return event.sigev_signo >= 0 && event.sigev_signo <= SIGRTMAX;
    default:
      return false;
  }
}

int SetNotice(View& view, const sigevent* event) {
  if (event == nullptr) return Unregister(view, nullptr);
  if (!IsNotice(*event)) return EINVAL;
  const NoticeKind kind = event->sigev_notify == SIGEV_SIGNAL   ? kSignalNotice
                          : event->sigev_notify == SIGEV_THREAD ? kThreadNotice
                                                                : kSilentNotice;
  Waiter* waiter = nullptr;
  if (kind == kThreadNotice) {
    const int err = StartWaiter(view.fd(), *event, &waiter);
    if (err != 0) return err;
  }
  PosixLimit limit(view, nullptr);
  Locks locks;
  const IoResult locked = view.LockBoth(limit, locks);
  int err = locked.err;
  uint64_t id = 0;
  if (locked.ok()) {
    err = Register(view, kind, *event, &id);
    view.Unlock(locks);
  }
  if (waiter != nullptr) Release(waiter, err == 0 ? id : 0);
  return err;
}

void DropNotice(View& view) noexcept {
  // What is left of the registration afterwards is found to be nobody's.
  const timespec until = SecondFromNow();
  Unregister(view, &until);
}

}  // namespace ipcmark::mmap_queue
