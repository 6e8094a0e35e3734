// Rows: mq_notify.

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "ipc/mmap_queue/semantics.h"
#include "ipc/os/clock.h"

namespace ipcmark::mmap_queue {
namespace {

const int kSignal = SIGRTMIN + 1;

sigevent Signal(int value = 77) {
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = kSignal;
  event.sigev_value.sival_int = value;
  return event;
}

void BlockSignal() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, kSignal);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

// Takes a notification that has been sent already: "none", or its value.
std::string Pending(siginfo_t* info = nullptr, int64_t nanos = 0) {
  siginfo_t its{};
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, kSignal);
  const timespec wait = os::ToTimespec(nanos);
  if (sigtimedwait(&set, &its, &wait) < 0) return "none";
  if (info != nullptr) *info = its;
  return std::to_string(its.si_value.sival_int);
}

std::string SignalFields(const Mqueue& mq) {
  BlockSignal();
  const mqd_t queue = Make(mq);
  const sigevent event = Signal();
  std::string words = Said(mq.notify(queue, &event));
  const pid_t child = Fork([&] { SendText(mq, queue, "m"); });
  Reap(child);
  siginfo_t info{};
  words = Words{words, Pending(&info)};
  return Words{words, info.si_code == SI_MESGQ ? "SI_MESGQ" : "another-code",
               info.si_pid == child ? "sender's-pid" : "another-pid", info.si_uid == getuid() ? "uid" : "another-uid"};
}

std::string Once(const Mqueue& mq) {
  BlockSignal();
  const mqd_t queue = Make(mq);
  const sigevent event = Signal();
  mq.notify(queue, &event);
  SendText(mq, queue, "m");
  std::string words = Pending();
  ReceiveText(mq, queue);
  SendText(mq, queue, "m");
  words = Words{words, Pending()};
  // Registered while a message lies there: told when it has been empty again.
  words = Words{words, Said(mq.notify(queue, &event))};
  SendText(mq, queue, "m");
  words = Words{words, Pending()};
  ReceiveText(mq, queue);
  ReceiveText(mq, queue);
  SendText(mq, queue, "m");
  return Words{words, Pending()};
}

std::string Busy(const Mqueue& mq) {
  BlockSignal();
  const mqd_t queue = Make(mq);
  const mqd_t answer = Make(mq, 0, 1);
  const sigevent event = Signal();
  std::string words = Words{Said(mq.notify(queue, &event)), Said(mq.notify(queue, &event))};
  const pid_t child = Fork([&] {
    SendText(mq, answer, Said(mq.notify(queue, &event)));
    // Not its registration, nor its close's.
    SendText(mq, answer, Said(mq.notify(queue, nullptr)));
    mq.close(queue);
  });
  Reap(child);
  words = Words{words, ReceiveText(mq, answer), ReceiveText(mq, answer), Said(mq.notify(queue, &event))};
  SendText(mq, queue, "m");
  return Words{words, Pending()};
}

std::string GivenUp(const Mqueue& mq) {
  BlockSignal();
  const mqd_t queue = Make(mq);
  const sigevent event = Signal();
  std::string words = Said(mq.notify(queue, nullptr));
  mq.notify(queue, &event);
  words = Words{words, Said(mq.notify(queue, nullptr))};
  SendText(mq, queue, "m");
  words = Words{words, Pending(), ReceiveText(mq, queue)};
  return Words{words, Said(mq.notify(queue, &event))};
}

// Registers in this process, closes by `close_it`, and looks whether somebody else may register and who is told.
std::string Closed(const Mqueue& mq, int (*close_it)(const Mqueue& mq, mqd_t queue)) {
  BlockSignal();
  const mqd_t queue = Make(mq);
  const mqd_t registered = mq.open(Name(), O_RDWR);
  const mqd_t answer = Make(mq, 0, 1);
  const sigevent event = Signal();
  std::string words = Words{Said(mq.notify(registered, &event)), Said(close_it(mq, registered))};
  const pid_t child = Fork([&] { SendText(mq, answer, Said(mq.notify(queue, &event))); });
  Reap(child);
  words = Words{words, ReceiveText(mq, answer)};
  SendText(mq, queue, "m");
  return Words{words, Pending()};
}

std::string RegistrantDies(const Mqueue& mq) {
  BlockSignal();
  const mqd_t queue = Make(mq);
  volatile int* ready = SharedInts();
  const sigevent event = Signal();
  const pid_t child = Fork([&] {
    *ready = mq.notify(queue, &event) == 0 ? 1 : 2;
    for (;;) pause();
  });
  AwaitAsleep(child, ready);
  std::string words = Words{*ready == 1 ? "registered" : "not", Said(mq.notify(queue, &event))};
  kill(child, SIGKILL);
  Reap(child);
  words = Words{words, Said(mq.notify(queue, &event))};
  SendText(mq, queue, "m");
  return Words{words, Pending()};
}

std::string NotWhileAReceiverWaits(const Mqueue& mq) {
  BlockSignal();
  const mqd_t queue = Make(mq);
  const mqd_t answer = Make(mq, 0, 1);
  const sigevent event = Signal();
  mq.notify(queue, &event);
  volatile int* ready = SharedInts();
  const pid_t child = Fork([&] {
    *ready = 1;
    SendText(mq, answer, ReceiveText(mq, queue));
  });
  AwaitAsleep(child, ready);
  SendText(mq, queue, "first");
  std::string words = Words{Pending(), ReceiveText(mq, answer)};
  Reap(child);
  SendText(mq, queue, "second");
  return Words{words, Pending()};
}

// The first message is the waiting receiver's; of the second the registered process is told, though the first may be
// there yet.
std::string AMessageBehindTheReceivers(const Mqueue& mq) {
  BlockSignal();
  const mqd_t queue = Make(mq);
  const sigevent event = Signal();
  mq.notify(queue, &event);
  volatile int* ready = SharedInts();
  const pid_t child = Fork([&] {
    *ready = 1;
    ReceiveText(mq, queue);
  });
  AwaitAsleep(child, ready);
  SendText(mq, queue, "first");
  SendText(mq, queue, "second");
  std::string words = Pending();
  Reap(child);
  return Words{words, Count(mq, queue)};
}

struct Blocked {
  const Mqueue* mq;
  mqd_t queue;
  volatile int tid;
};

void* SendWhatHasNoRoom(void* argument) {
  auto* blocked = static_cast<Blocked*>(argument);
  blocked->tid = gettid();
  SendText(*blocked->mq, blocked->queue, "late");
  return nullptr;
}

// The blocked sender cannot ask any more who is registered. The registration must not be lost for it.
std::string ABlockedSendersDescriptorIsClosed(const Mqueue& mq) {
  BlockSignal();
  const mqd_t queue = Make(mq);
  Fill(mq, queue);
  volatile int* ready = SharedInts();
  const pid_t child = Fork([&] {
    Blocked blocked = {.mq = &mq, .queue = mq.open(Name(), O_RDWR), .tid = 0};
    pthread_t thread;
    pthread_create(&thread, nullptr, SendWhatHasNoRoom, &blocked);
    while (blocked.tid == 0) sched_yield();
    AwaitAsleep(blocked.tid, &blocked.tid);
    mq.close(blocked.queue);
    *ready = 1;
    pthread_join(thread, nullptr);
  });
  while (*ready == 0) sched_yield();
  const sigevent event = Signal();
  std::string words = Said(mq.notify(queue, &event));
  for (long n = 0; n < kDepth; ++n) ReceiveText(mq, queue);
  Reap(child);
  words = Words{words, ReceiveText(mq, queue), Pending()};
  SendText(mq, queue, "m");
  return Words{words, Pending()};
}

std::string Silent(const Mqueue& mq) {
  const mqd_t queue = Make(mq);
  sigevent event{};
  event.sigev_notify = SIGEV_NONE;
  std::string words = Words{Said(mq.notify(queue, &event)), Said(mq.notify(queue, &event))};
  SendText(mq, queue, "m");
  // Used up by the message.
  return Words{words, Said(mq.notify(queue, &event))};
}

std::string Wrong(const Mqueue& mq) {
  const mqd_t queue = Make(mq);
  sigevent event = Signal();
  event.sigev_notify = 99;
  std::string words = Said(mq.notify(queue, &event));
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = 65;
  words = Words{words, Said(mq.notify(queue, &event))};
  event.sigev_signo = -1;
  words = Words{words, Said(mq.notify(queue, &event))};
  return Words{words, Said(mq.notify(0, &event))};
}

std::atomic<int> told;
std::atomic<bool> told_by_another_thread;
pthread_t main_thread;

void OnNotice(sigval value) {
  told_by_another_thread = pthread_equal(pthread_self(), main_thread) == 0;
  told = value.sival_int;
}

std::string AwaitTold() {
  const int64_t end = os::MonotonicNanos() + 20 * os::kNanosPerSecond;
  while (told == 0 && os::MonotonicNanos() < end) sched_yield();
  return std::to_string(told.exchange(0));
}

std::string Thread(const Mqueue& mq) {
  main_thread = pthread_self();
  const mqd_t queue = Make(mq);
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_notify_function = OnNotice;
  event.sigev_value.sival_int = 5;
  std::string words = Said(mq.notify(queue, &event));
  words = Words{words, Said(mq.notify(queue, &event))};
  Reap(Fork([&] { SendText(mq, queue, "m"); }));
  words = Words{words, AwaitTold(), told_by_another_thread ? "thread" : "main"};
  // Given up: nobody is told, and the next one is.
  ReceiveText(mq, queue);
  event.sigev_value.sival_int = 6;
  words = Words{words, Said(mq.notify(queue, &event)), Said(mq.notify(queue, nullptr))};
  event.sigev_value.sival_int = 7;
  words = Words{words, Said(mq.notify(queue, &event))};
  SendText(mq, queue, "m");
  return Words{words, AwaitTold()};
}

void CountBlocked(sigval /*value*/) {
  sigset_t blocked;
  pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
  int count = 0;
  for (int number = 1; number <= SIGRTMAX; ++number) count += sigismember(&blocked, number) == 1 ? 1 : 0;
  told = 100 + count;
}

std::string MaskOfThread(const Mqueue& mq) {
  BlockSignal();
  const mqd_t queue = Make(mq);
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD;
  event.sigev_notify_function = CountBlocked;
  mq.notify(queue, &event);
  SendText(mq, queue, "m");
  return AwaitTold();
}

volatile sig_atomic_t handled;
const Mqueue* handler_mq;
mqd_t handler_queue;

void ReceiveInHandler(int /*signal*/, siginfo_t* /*info*/, void* /*context*/) {
  char buffer[kBytes];
  if (handler_mq->receive(handler_queue, buffer, sizeof(buffer), nullptr) == 1) handled = handled + 1;
}

// The sender notifies itself, and its handler receives the message.
std::string AHandlerReceives(const Mqueue& mq) {
  handler_mq = &mq;
  handler_queue = Make(mq, O_NONBLOCK);
  struct sigaction action {};
  action.sa_sigaction = ReceiveInHandler;
  action.sa_flags = SA_SIGINFO;
  sigaction(kSignal, &action, nullptr);
  const sigevent event = Signal();
  std::string words;
  for (int n = 0; n < 3; ++n) {
    mq.notify(handler_queue, &event);
    words += SendText(mq, handler_queue, "m") + " ";
  }
  return words + std::to_string(handled);
}

}  // namespace

const std::vector<Row>& NotifyRows() {
  static const auto* const kRows = new std::vector<Row>{
      {"the signal's fields", SignalFields, "0 77 SI_MESGQ sender's-pid uid"},
      {"once, from empty to not empty", Once, "77 none 0 none 77"},
      {"one registration", Busy, "0 EBUSY EBUSY/0 0/0 EBUSY 77"},
      {"given up", GivenUp, "0 0 none m/0 0"},
      {"gone with mq_close", [](const Mqueue& m) { return Closed(m, [](auto& mq, mqd_t q) { return mq.close(q); }); },
       "0 0 0/0 none"},
      {"gone with close(2)", [](const Mqueue& m) { return Closed(m, [](auto&, mqd_t q) { return close(q); }); },
       "0 0 0/0 none"},
      {"gone with a duplicate",
       [](const Mqueue& m) { return Closed(m, [](auto& mq, mqd_t q) { return mq.close(dup(q)); }); }, "0 0 0/0 none"},
      {"gone with its process", RegistrantDies, "registered EBUSY 0 77"},
      {"not while a receiver waits", NotWhileAReceiverWaits, "none first/0/0 77"},
      {"a message behind those that receivers wait for", AMessageBehindTheReceivers, "77 1"},
      {"the descriptor of a blocked sender is closed", ABlockedSendersDescriptorIsClosed, "0 late/0 none 77"},
      {"SIGEV_NONE", Silent, "0 EBUSY 0"},
      {"SIGEV_THREAD", Thread, "0 EBUSY 5 thread 0 0 0 7"},
      {"SIGEV_THREAD: no signal is blocked", MaskOfThread, "100"},
      {"events that there are not", Wrong, "EINVAL EINVAL EINVAL EINVAL"},
      {"a handler receives what its own process sent", AHandlerReceives, "0 0 0 3"},
  };
  return *kRows;
}

}  // namespace ipcmark::mmap_queue
