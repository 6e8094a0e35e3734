// Rows: sending, receiving, order, deadlines, interruption.

#include <fcntl.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "ipc/mmap_queue/semantics.h"
#include "ipc/os/clock.h"

namespace ipcmark::mmap_queue {
namespace {

constexpr timespec kPast = {.tv_sec = 1, .tv_nsec = 0};
constexpr timespec kNoInstants[] = {
    {.tv_sec = 1, .tv_nsec = os::kNanosPerSecond}, {.tv_sec = 1, .tv_nsec = -1}, {.tv_sec = -1, .tv_nsec = 0}};

std::string TimedSend(const Mqueue& mq, mqd_t queue, const timespec& until) {
  return Said(mq.timedsend(queue, "m", 1, 0, &until));
}
std::string TimedReceive(const Mqueue& mq, mqd_t queue, const timespec& until) {
  char buffer[kBytes];
  return Said(mq.timedreceive(queue, buffer, sizeof(buffer), nullptr, &until));
}

std::string Order(const Mqueue& mq) {
  const mqd_t queue = Make(mq);
  SendText(mq, queue, "low", 0);
  SendText(mq, queue, "first", 7);
  SendText(mq, queue, "second", 7);
  SendText(mq, queue, "highest", 32767);
  return Words{ReceiveText(mq, queue), ReceiveText(mq, queue), ReceiveText(mq, queue), ReceiveText(mq, queue)};
}

std::string Lengths(const Mqueue& mq) {
  const mqd_t queue = Make(mq);
  char buffer[kBytes] = "";
  std::string words = Words{SendText(mq, queue, ""), SendText(mq, queue, std::string(kBytes, 'x')),
                            SendText(mq, queue, std::string(kBytes + 1, 'x')), Count(mq, queue)};
  words = Words{words, Said(mq.receive(queue, buffer, kBytes - 1, nullptr)), Count(mq, queue)};
  words = Words{words, Said(mq.receive(queue, buffer, kBytes, nullptr))};
  return Words{words, Said(mq.receive(queue, buffer, kBytes, nullptr)), Count(mq, queue)};
}

std::string Priorities(const Mqueue& mq) {
  const mqd_t queue = Make(mq);
  return Words{SendText(mq, queue, "m", 32768), SendText(mq, queue, "m", UINT32_MAX), Count(mq, queue),
               Said(mq.send(-1, "m", 1, 32768))};
}

std::string Nonblocking(const Mqueue& mq) {
  const mqd_t queue = Make(mq, O_NONBLOCK);
  std::string words = Words{ReceiveText(mq, queue), TimedReceive(mq, queue, kPast)};
  Fill(mq, queue);
  words = Words{words, SendText(mq, queue, "m"), TimedSend(mq, queue, kPast), Count(mq, queue)};
  return Words{words, ReceiveText(mq, queue)};
}

std::string PastDeadlines(const Mqueue& mq) {
  const mqd_t queue = Make(mq);
  // They count only for a call that has to wait.
  std::string words = Words{TimedReceive(mq, queue, kPast), TimedSend(mq, queue, kPast), Count(mq, queue)};
  words = Words{words, TimedReceive(mq, queue, kPast)};
  Fill(mq, queue);
  return Words{words, TimedSend(mq, queue, kPast), Count(mq, queue)};
}

std::string NoInstants(const Mqueue& mq) {
  const mqd_t queue = Make(mq);
  std::string words = "receive";
  for (const timespec& until : kNoInstants) words = Words{words, TimedReceive(mq, queue, until)};
  Fill(mq, queue);
  words = Words{words, "send"};
  for (const timespec& until : kNoInstants) words = Words{words, TimedSend(mq, queue, until)};
  words = Words{words, Count(mq, queue)};
  // O_NONBLOCK does not make them right.
  const mqd_t nonblocking = mq.open(Name(), O_RDWR | O_NONBLOCK);
  return Words{words, TimedSend(mq, nonblocking, kNoInstants[0])};
}

std::string NoInstantsThatNeedNoWait(const Mqueue& mq) {
  const mqd_t queue = Make(mq);
  return Words{TimedSend(mq, queue, kNoInstants[0]), Count(mq, queue), TimedReceive(mq, queue, kNoInstants[0]),
               Count(mq, queue)};
}

// "ETIMEDOUT on-time" when it came after the deadline and within a second (only a defect is as late as that).
std::string Waited(const std::string& said, int64_t began, int64_t nanos) {
  const int64_t waited = os::MonotonicNanos() - began;
  // The realtime clock may be slewed against the monotonic one.
  const int64_t slack = nanos / 100;
  return Words{said, waited < nanos - slack ? "early" : waited > nanos + os::kNanosPerSecond ? "late" : "on-time"};
}

std::string Deadlines(const Mqueue& mq) {
  constexpr int64_t kNanos = 60'000'000;
  const mqd_t queue = Make(mq);
  int64_t began = os::MonotonicNanos();
  std::string words = Waited(TimedReceive(mq, queue, RealtimeAfter(kNanos)), began, kNanos);
  Fill(mq, queue);
  began = os::MonotonicNanos();
  return Words{words, Waited(TimedSend(mq, queue, RealtimeAfter(kNanos)), began, kNanos)};
}

std::string WokenByAMessage(const Mqueue& mq) {
  const mqd_t queue = Make(mq);
  const mqd_t answer = Make(mq, 0, 1);
  volatile int* ready = SharedInts();
  const pid_t child = Fork([&] {
    *ready = 1;
    SendText(mq, answer, "got:" + ReceiveText(mq, queue));
  });
  AwaitAsleep(child, ready);
  SendText(mq, queue, "wake", 3);
  const std::string words = ReceiveText(mq, answer);
  Reap(child);
  return Words{words, Count(mq, queue)};
}

std::string WokenByRoom(const Mqueue& mq) {
  const mqd_t queue = Make(mq);
  Fill(mq, queue);
  volatile int* ready = SharedInts();
  const pid_t child = Fork([&] {
    *ready = 1;
    SendText(mq, queue, "late", 0);
  });
  AwaitAsleep(child, ready);
  std::string words = Words{Count(mq, queue), ReceiveText(mq, queue)};
  Reap(child);
  words = Words{words, Count(mq, queue)};
  for (int n = 0; n < 3; ++n) ReceiveText(mq, queue);
  return Words{words, ReceiveText(mq, queue)};
}

void Handle(int /*signal*/) {}

void InstallHandler(int flags) {
  struct sigaction action {};
  action.sa_handler = Handle;
  action.sa_flags = flags;
  sigaction(SIGUSR1, &action, nullptr);
}

// A child waits (for a message, or for room), is interrupted, and reports what its call said. `restart`: its handler
// asks for SA_RESTART; then there is something for it after the signal.
std::string Interrupted(const Mqueue& mq, bool sends, bool timed, bool restart) {
  const mqd_t queue = Make(mq);
  const mqd_t answer = Make(mq, 0, 1);
  if (sends) Fill(mq, queue);
  volatile int* ready = SharedInts();
  const pid_t child = Fork([&] {
    InstallHandler(restart ? SA_RESTART : 0);
    const timespec until = RealtimeAfter(60 * os::kNanosPerSecond);
    *ready = 1;
    std::string said;
    if (sends) {
      said = timed ? TimedSend(mq, queue, until) : SendText(mq, queue, "m");
    } else {
      said = timed ? TimedReceive(mq, queue, until) : ReceiveText(mq, queue);
    }
    SendText(mq, answer, said);
  });
  AwaitAsleep(child, ready);
  kill(child, SIGUSR1);
  if (restart) {
    // It sleeps again only if the call goes on; if not, it is a zombie or has answered.
    AwaitAsleep(child, ready);
    if (sends) {
      ReceiveText(mq, queue);
    } else {
      SendText(mq, queue, "m");
    }
  }
  std::string words = ReceiveText(mq, answer);
  Reap(child);
  return Words{words, Count(mq, queue)};
}

sigjmp_buf after_fault;
void LeaveFault(int /*signal*/) { siglongjmp(after_fault, 1); }

// Two pages of which the second one is not mapped.
char* OnePage() {
  constexpr size_t kPage = 4096;
  void* memory = mmap(nullptr, 2 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(static_cast<char*>(memory) + kPage, kPage);
  return static_cast<char*>(memory);
}

// A program that goes on after SIGSEGV must not keep anybody from the queue. Messages of `bytes` in a queue for
// messages of `room`; of the buffer only `mapped` bytes are there. Last a small message, which must not hide from what
// is touched first that the next one is large.
std::string Fault(const Mqueue& mq, bool sends, long room, size_t bytes, size_t mapped) {
  mq_attr attributes{};
  attributes.mq_maxmsg = kDepth;
  attributes.mq_msgsize = room;
  const mqd_t queue = mq.open(Name(), O_CREAT | O_EXCL | O_RDWR, 0600, &attributes);
  const mqd_t answer = Make(mq, 0, 1);
  const std::string message(bytes, 'm');
  for (unsigned priority : {9, 8}) mq.send(queue, message.data(), bytes, priority);
  SendText(mq, queue, "small");
  char* const buffer = OnePage() + 4096 - mapped;
  signal(SIGSEGV, LeaveFault);
  std::string words = "SIGSEGV";
  if (sigsetjmp(after_fault, 1) == 0) {
    words =
        Said(sends ? mq.send(queue, buffer, bytes, 1) : mq.receive(queue, buffer, static_cast<size_t>(room), nullptr));
  }
  signal(SIGSEGV, SIG_DFL);
  std::string whole(static_cast<size_t>(room), ' ');
  const timespec until = RealtimeAfter(10 * os::kNanosPerSecond);
  const pid_t child = Fork([&] {
    unsigned priority = 0;
    const ssize_t got = mq.timedreceive(queue, whole.data(), whole.size(), &priority, &until);
    SendText(mq, answer, Said(got), priority);
  });
  words = Words{words, ReceiveText(mq, answer)};
  Reap(child);
  return Words{words, Said(mq.timedsend(queue, "m", 1, 0, &until))};
}

std::string ShortInAPartOfABuffer(const Mqueue& mq) {
  mq_attr attributes{};
  attributes.mq_maxmsg = kDepth;
  attributes.mq_msgsize = 8192;
  const mqd_t queue = mq.open(Name(), O_CREAT | O_EXCL | O_RDWR, 0600, &attributes);
  SendText(mq, queue, "hey");
  signal(SIGSEGV, LeaveFault);
  std::string words = "SIGSEGV";
  if (sigsetjmp(after_fault, 1) == 0) words = Said(mq.receive(queue, OnePage() + 4096 - 100, 8192, nullptr));
  signal(SIGSEGV, SIG_DFL);
  return Words{words, Count(mq, queue)};
}

std::string UnreadableDeadline(const Mqueue& mq) {
  const mqd_t queue = Make(mq);
  const auto* nowhere = reinterpret_cast<const timespec*>(OnePage() + 4096);
  signal(SIGSEGV, LeaveFault);
  std::string words = "SIGSEGV";
  if (sigsetjmp(after_fault, 1) == 0) words = Said(mq.timedsend(queue, "m", 1, 0, nowhere));
  signal(SIGSEGV, SIG_DFL);
  return Words{words, Count(mq, queue)};
}

constexpr char kCopies[] = "it is a copy in user space; it faults before a lock is taken";
constexpr char kHidesSignals[] = "pthread_cond_wait and pthread_cond_timedwait never return EINTR";

}  // namespace

const std::vector<Row>& TransferRows() {
  static const auto* const kRows = new std::vector<Row>{
      {"highest priority first, oldest first within it", Order, "highest/32767 first/7 second/7 low/0"},
      {"lengths", Lengths, "0 0 EMSGSIZE 2 EMSGSIZE 2 0 16 0"},
      {"priorities that there are not", Priorities, "EINVAL EINVAL 0 EINVAL"},
      {"O_NONBLOCK", Nonblocking, "EAGAIN EAGAIN EAGAIN EAGAIN 4 full/1"},
      {"deadlines that have passed", PastDeadlines, "ETIMEDOUT 0 1 1 ETIMEDOUT 4"},
      {"deadlines that are no time", NoInstants, "receive EINVAL EINVAL EINVAL send EINVAL EINVAL EINVAL 4 EINVAL"},
      {"a deadline that is no time, and no need to wait", NoInstantsThatNeedNoWait, "0 1 1 0", "EINVAL 0 EINVAL 0",
       "POSIX: the validity of abs_timeout need not be checked when the call need not wait; we need not know the time"},
      {"deadlines", Deadlines, "ETIMEDOUT on-time ETIMEDOUT on-time"},
      {"a message wakes a receiver", WokenByAMessage, "got:wake/3/0 0"},
      {"room wakes a sender", WokenByRoom, "4 full/1 4 late/0"},
      {"a message that is not there in full", [](const Mqueue& mq) { return Fault(mq, true, 16, 16, 10); },
       "SIGSEGV 16/9 0", "EFAULT 16/9 0", kCopies},
      {"a large message that is not there in full", [](const Mqueue& mq) { return Fault(mq, true, 8192, 8000, 4000); },
       "SIGSEGV 8000/9 0", "EFAULT 8000/9 0", kCopies},
      {"a buffer that is not there in full", [](const Mqueue& mq) { return Fault(mq, false, 16, 16, 10); },
       "SIGSEGV 16/9 0", "EFAULT 16/8 0", kCopies},
      {"a large buffer that is not there in full", [](const Mqueue& mq) { return Fault(mq, false, 8192, 8000, 4000); },
       "SIGSEGV 8000/9 0", "EFAULT 8000/8 0", kCopies},
      {"a deadline that cannot be read", UnreadableDeadline, "SIGSEGV 0", "EFAULT 0",
       "it is read in user space, before a lock is taken"},
      {"a short message in the part of a buffer that is there", ShortInAPartOfABuffer, "SIGSEGV 1", "3 0", kCopies},
      {"a signal interrupts mq_receive", [](const Mqueue& mq) { return Interrupted(mq, false, false, false); },
       "EINTR/0 0", nullptr, nullptr, kHidesSignals},
      {"a signal interrupts mq_timedreceive", [](const Mqueue& mq) { return Interrupted(mq, false, true, false); },
       "EINTR/0 0", nullptr, nullptr, kHidesSignals},
      {"a signal interrupts mq_send", [](const Mqueue& mq) { return Interrupted(mq, true, false, false); }, "EINTR/0 4",
       nullptr, nullptr, kHidesSignals},
      {"a signal interrupts mq_timedsend", [](const Mqueue& mq) { return Interrupted(mq, true, true, false); },
       "EINTR/0 4", nullptr, nullptr, kHidesSignals},
      {"SA_RESTART: mq_receive goes on", [](const Mqueue& mq) { return Interrupted(mq, false, false, true); },
       "m/0/0 0"},
      {"SA_RESTART: mq_timedreceive goes on", [](const Mqueue& mq) { return Interrupted(mq, false, true, true); },
       "1/0 0"},
      {"SA_RESTART: mq_send goes on", [](const Mqueue& mq) { return Interrupted(mq, true, false, true); }, "0/0 4"},
      {"SA_RESTART: mq_timedsend goes on", [](const Mqueue& mq) { return Interrupted(mq, true, true, true); }, "0/0 4"},
  };
  return *kRows;
}

}  // namespace ipcmark::mmap_queue
