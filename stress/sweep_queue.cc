// Calls on the named queue (ipc/mmap_queue/queue.h): create, open, unlink, close, notify. Whoever dies when: a name
// leads to a whole queue or to none, and can be used again; what was accepted is there; the room is what it was; nobody
// keeps a registration that he did not live to use; a message is announced, perhaps twice, and never lost for it.

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ipc/mmap_queue/queue.h"
#include "ipc/os/clock.h"
#include "ipc/os/futex.h"
#include "stress/stepper.h"
#include "stress/sweep_calls.h"
#include "stress/sweep_subject.h"

namespace ipcmark::stress {
namespace {

using mmap_queue::Queue;

constexpr uint64_t kSome = 2;  // messages
constexpr uint64_t kRoom = kSweptGeometry.depth_messages;

int NoticeSignal() { return SIGRTMIN + 1; }

// How who registers is told.
enum class Told : uint8_t { kBySignal, kByThread };

// How often this process was told by a thread: a futex.
std::atomic<uint32_t> g_told;

// This process is killed while its thread is on the way here.
bool g_is_led;

void BeTold(sigval) {
  if (g_is_led) Victim::EndOfThread();
  g_told.fetch_add(1);
  os::WakeAllOnFutex(g_told);
}

// One descriptor for both sides, by its name.
class NamedQueue : public Subject {
 public:
  NamedQueue(std::string name, mmap_queue::Policy policy, Told told)
      : name_(std::move(name)), policy_(policy), told_(told) {}

  absl::Status Create(const Geometry& geometry) override { return Make(O_EXCL, geometry); }
  absl::Status CreateOrOpen() { return Make(0, kSweptGeometry); }
  absl::Status Open(Side) override { return Keep(Queue::Open(name_, O_RDWR)); }
  void Close(Side) override { queue_.reset(); }
  absl::Status Unlink() { return Queue::Unlink(name_); }
  IoResult Send(std::span<const std::byte> message, uint32_t priority, Deadline deadline) override {
    const timespec until = RealTimeOf(deadline);
    return queue_->Send(message, priority, deadline.never() ? nullptr : &until);
  }
  IoResult Receive(std::span<std::byte> buffer, uint32_t* priority, Deadline deadline) override {
    const timespec until = RealTimeOf(deadline);
    IoResult result = queue_->Receive(buffer, priority, deadline.never() ? nullptr : &until);
    if (deadline.immediate() && result.outcome == Outcome::kDeadline) result.outcome = Outcome::kWouldBlock;
    return result;
  }
  // Before Register and AwaitNotice: the signal is blocked, so that it can be waited for.
  static void Listen() {
    const sigset_t set = Notice();
    sigprocmask(SIG_BLOCK, &set, nullptr);
  }
  int Register() {
    sigevent event{};
    event.sigev_notify = told_ == Told::kByThread ? SIGEV_THREAD : SIGEV_SIGNAL;
    if (told_ == Told::kByThread) {
      event.sigev_notify_function = BeTold;
    } else {
      event.sigev_signo = NoticeSignal();
    }
    return queue_->Notify(&event);
  }
  int GiveUp() { return queue_->Notify(nullptr); }
  // Of this process's first registration.
  [[nodiscard]] bool AwaitNotice() const {
    const Deadline end = os::After(kHangNanos);
    if (told_ == Told::kByThread) {
      while (g_told == 0 && !os::HasPassed(end)) os::WaitOnFutex(g_told, 0, end);
      return g_told != 0;
    }
    const sigset_t set = Notice();
    const timespec wait = os::ToTimespec(kHangNanos);
    return sigtimedwait(&set, nullptr, &wait) >= 0;
  }

 private:
  static sigset_t Notice() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, NoticeSignal());
    return set;
  }
  static timespec RealTimeOf(Deadline deadline) {
    if (deadline.never() || deadline.immediate()) return {.tv_sec = 1, .tv_nsec = 0};
    return os::RealtimeAt(deadline.monotonic_nanos);
  }
  absl::Status Make(int flags, const Geometry& geometry) {
    return Keep(Queue::Open(
        name_, O_CREAT | O_RDWR | flags, 0600,
        {.depth_messages = geometry.depth_messages, .message_bytes = geometry.max_message_bytes, .policy = policy_}));
  }
  absl::Status Keep(absl::StatusOr<Queue> queue) {
    if (!queue.ok()) return queue.status();
    queue_.emplace(*std::move(queue));
    return absl::OkStatus();
  }

  std::string name_;
  mmap_queue::Policy policy_;
  Told told_;
  std::optional<Queue> queue_;
};

class QueueCase : public SubjectCase {
 public:
  QueueCase(Notes* notes, uint64_t seed, NamedQueue* queue) : SubjectCase(notes, seed, queue), queue_(*queue) {}
  ~QueueCase() override { queue_.Unlink().IgnoreError(); }

  absl::Status Prepare() override {
    absl::Status status = queue_.Create(kSweptGeometry);
    for (uint64_t n = 0; status.ok() && n < kSome; ++n) {
      const IoResult sent = SendOne(kPrepared, n, Deadline::Immediate());
      if (!sent.ok()) status = Wrong(absl::StrCat("Send says ", OutcomeName(sent.outcome)));
    }
    // Before anybody is killed: closing takes the queue's lock, and the parent must not hang on a broken one.
    queue_.Close(Side::kSender);
    return status;
  }

  absl::Status Check(bool) override {
    absl::Status status = queue_.Open(Side::kSender);
    return status.ok() ? CheckQueue(kSome) : status;
  }

 protected:
  // The messages that lie there, room, and that somebody can be told of what comes.
  absl::Status CheckQueue(uint64_t messages) {
    absl::Status status = ReceiveAll(kRoom + 1);
    if (!status.ok()) return status;
    if (notes_.seen[kPrepared] != messages) {
      return Wrong(absl::StrFormat("%d of %d messages", notes_.seen[kPrepared].load(), messages));
    }
    status = Refill(kRoom);
    return status.ok() ? CheckRegistration() : status;
  }

  absl::Status PrepareEmpty() {
    absl::Status status = queue_.Create(kSweptGeometry);
    queue_.Close(Side::kSender);
    return status;
  }

  // Of a queue that was empty before the victim sent its message.
  absl::Status ReceiveVictims(bool finished) {
    absl::Status status = ReceiveAll(kRoom);
    const uint32_t sent = notes_.seen[kVictim];
    if (status.ok() && (sent > 1 || (finished && sent != 1))) {
      status = Wrong(absl::StrFormat("%d messages of the victim, which had%s returned from its Send", sent,
                                     finished ? "" : " not"));
    }
    return status;
  }

  // Of an empty queue.
  absl::Status CheckRegistration() {
    NamedQueue::Listen();
    const int err = queue_.Register();
    if (err != 0) return Wrong(absl::StrFormat("a survivor's mq_notify says %s", strerrorname_np(err)));
    notes_.Recover();
    const IoResult sent = SendOne(kSurvivor, 0, Deadline::Immediate());
    if (!sent.ok()) return Wrong(absl::StrCat("a survivor's Send says ", OutcomeName(sent.outcome)));
    if (!queue_.AwaitNotice()) return Wrong("a survivor that had registered was not told of a message");
    return ReceiveOne(Deadline::Immediate());
  }

  NamedQueue& queue_;
};

class OpenCase : public QueueCase {
 public:
  using QueueCase::QueueCase;
  void Call(int64_t) override { queue_.Open(Side::kSender).IgnoreError(); }
};

class CloseCase : public QueueCase {
 public:
  using QueueCase::QueueCase;
  void BeforeCall() override {
    if (!queue_.Open(Side::kSender).ok()) _exit(1);
  }
  void Call(int64_t) override { queue_.Close(Side::kSender); }
};

class CreateCase : public QueueCase {
 public:
  using QueueCase::QueueCase;
  absl::Status Prepare() override { return absl::OkStatus(); }
  void Call(int64_t) override { queue_.Create(kSweptGeometry).IgnoreError(); }
  absl::Status Check(bool finished) override {
    absl::Status found = queue_.Open(Side::kSender);
    if (!found.ok() && !absl::IsNotFound(found)) return Wrong(absl::StrCat("half a queue: ", found.message()));
    if (finished && !found.ok()) return Wrong("no queue though Open had made it");
    absl::Status status = found.ok() ? CheckQueue(0) : found;
    if (found.ok() && !status.ok()) return status;
    status = queue_.CreateOrOpen();
    if (status.ok()) status = CheckQueue(0);
    if (status.ok()) status = queue_.Unlink();
    if (status.ok()) status = queue_.Create(kSweptGeometry);
    return status.ok() ? CheckQueue(0) : status;
  }
};

class UnlinkCase : public QueueCase {
 public:
  using QueueCase::QueueCase;
  ~UnlinkCase() override { queue_.Close(Side::kSender); }
  absl::Status Prepare() override {
    absl::Status status = QueueCase::Prepare();
    return status.ok() ? queue_.Open(Side::kSender) : status;
  }
  void Call(int64_t) override { queue_.Unlink().IgnoreError(); }
  absl::Status Check(bool finished) override {
    // Who has it open has it still.
    absl::Status status = CheckQueue(kSome);
    if (!status.ok()) return status;
    status = queue_.Open(Side::kSender);
    if (status.ok() ? finished : !absl::IsNotFound(status)) {
      return Wrong(status.ok() ? "the name though Unlink had returned" : std::string(status.message()));
    }
    if (status.ok()) status = queue_.Unlink();
    if (!status.ok() && !absl::IsNotFound(status)) return status;
    status = queue_.Create(kSweptGeometry);
    return status.ok() ? Refill(kRoom) : status;
  }
};

class NotifyCase : public CloseCase {
 public:
  using CloseCase::CloseCase;
  void Call(int64_t) override { queue_.Register(); }
};

class NotifyCancelCase : public CloseCase {
 public:
  using CloseCase::CloseCase;
  void BeforeCall() override {
    CloseCase::BeforeCall();
    if (queue_.Register() != 0) _exit(1);
  }
  void Call(int64_t) override { queue_.GiveUp(); }
};

class CloseRegisteredCase : public NotifyCancelCase {
 public:
  using NotifyCancelCase::NotifyCancelCase;
  void Call(int64_t) override { queue_.Close(Side::kSender); }
};

// The victim is registered and sends into the empty queue itself.
class SendToSelfCase : public NotifyCancelCase {
 public:
  using NotifyCancelCase::NotifyCancelCase;
  absl::Status Prepare() override { return PrepareEmpty(); }
  void BeforeCall() override {
    NamedQueue::Listen();
    NotifyCancelCase::BeforeCall();
  }
  void Call(int64_t) override { SendOne(kVictim, 0, Deadline::Never()); }
  absl::Status Check(bool finished) override {
    absl::Status status = queue_.Open(Side::kSender);
    if (status.ok()) status = ReceiveVictims(finished);
    if (status.ok()) status = Refill(kRoom);
    return status.ok() ? CheckRegistration() : status;
  }
};

// The victim has sent to itself, and its thread is about to tell it.
class BeToldCase : public SendToSelfCase {
 public:
  using SendToSelfCase::SendToSelfCase;
  [[nodiscard]] bool kills_in_its_thread() const override { return true; }
  void BeforeCall() override {
    g_is_led = true;
    SendToSelfCase::BeforeCall();
  }
  absl::Status Check(bool) override { return SendToSelfCase::Check(/*finished=*/true); }
};

// A bystander is registered, and the victim sends into the empty queue.
class SendNotifyingCase : public QueueCase {
 public:
  using QueueCase::QueueCase;
  absl::Status Prepare() override { return PrepareEmpty(); }
  [[nodiscard]] bool has_bystander() const override { return true; }
  absl::Status Bystand() override {
    NamedQueue::Listen();
    absl::Status status = queue_.Open(Side::kReceiver);
    if (!status.ok()) return status;
    const int err = queue_.Register();
    if (err != 0) return Wrong(absl::StrFormat("its mq_notify says %s", strerrorname_np(err)));
    notes_.bystander_ready = 1;
    if (!queue_.AwaitNotice()) return Wrong("it had registered and was not told of a message");
    notes_.bystander_nanos = os::MonotonicNanos();
    return status;
  }
  void BeforeCall() override {
    if (!queue_.Open(Side::kSender).ok()) _exit(1);
  }
  void Call(int64_t) override { SendOne(kVictim, 0, Deadline::Never()); }

  absl::Status Check(bool finished) override {
    absl::Status status = queue_.Open(Side::kSender);
    if (status.ok()) status = ReceiveVictims(finished);
    if (!status.ok()) return status;
    const Deadline promised = {notes_.killed_nanos + kPeerDeathNanos};
    while (notes_.seen[kVictim] == 1 && notes_.bystander_nanos == 0 && !os::HasPassed(promised)) sched_yield();
    notes_.survivor_nanos = os::MonotonicNanos();
    // Of a message that never came nobody need have been told: of this one he must.
    status = Refill(kRoom);
    const Deadline end = os::After(kHangNanos);
    while (notes_.bystander_nanos == 0 && !os::HasPassed(end)) sched_yield();
    return status.ok() ? CheckRegistration() : status;
  }
  absl::Status CheckAll(bool) override {
    if (notes_.seen[kVictim] == 0 || notes_.bystander_nanos <= notes_.survivor_nanos) return absl::OkStatus();
    return absl::DeadlineExceededError(
        absl::StrFormat("a message in an empty queue and the registered process not told of it within %d ms",
                        kPeerDeathNanos / 1'000'000));
  }
};

template <typename Case>
SweptCall CallOf(const char* name, mmap_queue::Policy policy, Told told = Told::kBySignal) {
  const auto queue = std::make_shared<NamedQueue>(absl::StrCat("/sweep_", getpid()), policy, told);
  return {name, [queue](Notes* notes, uint64_t seed) { return std::make_unique<Case>(notes, seed, queue.get()); }};
}

}  // namespace

std::vector<SweptCall> QueueCalls(mmap_queue::Policy policy) {
  return {CallOf<CreateCase>("queue_create", policy),
          CallOf<OpenCase>("queue_open", policy),
          CallOf<UnlinkCase>("queue_unlink", policy),
          CallOf<CloseCase>("queue_close", policy),
          CallOf<NotifyCase>("notify", policy),
          CallOf<NotifyCancelCase>("notify_cancel", policy),
          CallOf<CloseRegisteredCase>("notify_close", policy),
          CallOf<SendNotifyingCase>("notify_send", policy),
          CallOf<SendToSelfCase>("notify_own_send", policy),
          CallOf<NotifyCase>("notify_thread", policy, Told::kByThread),
          CallOf<NotifyCancelCase>("notify_thread_cancel", policy, Told::kByThread),
          CallOf<CloseRegisteredCase>("notify_thread_close", policy, Told::kByThread),
          CallOf<SendNotifyingCase>("notify_thread_send", policy, Told::kByThread),
          CallOf<SendToSelfCase>("notify_thread_own_send", policy, Told::kByThread),
          CallOf<BeToldCase>("notify_thread_told", policy, Told::kByThread)};
}

}  // namespace ipcmark::stress
