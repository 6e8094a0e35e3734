#include "stress/notice_check.h"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <vector>

#include "ipc/os/clock.h"
#include "ipc/os/die_with.h"
#include "ipc/os/process_state.h"
#include "stress/patience.h"
#include "stress/random.h"

namespace ipcmark::stress {
namespace {

constexpr uint64_t kSteps = 60;
constexpr uint64_t kManyMessages = 200;
constexpr size_t kStepsShown = 12;
// Between two looks at what lets a notification wait.
constexpr int64_t kLookNanos = 5'000'000;

// Queued and not merged, so that two of them are seen as two.
int NoticeSignal() { return SIGRTMIN + 3; }

// A child that runs `body` and exits with whether all went well; it dies with this process.
pid_t Fork(absl::FunctionRef<bool()> body) {
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child != 0) return child;
  os::DieWith(parent);
  _exit(body() ? 0 : 1);
}

bool Reap(pid_t child, int signal_number = 0) {
  if (child < 0) return false;
  if (signal_number != 0) kill(child, signal_number);
  int status = 0;
  // Ends have told the system to reap for them (scripts.cc); who checks here has not.
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (signal_number != 0) return WIFSIGNALED(status) && WTERMSIG(status) == signal_number;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

class Check {
 public:
  Check(const NoticeOperations& operations, uint64_t seed, int64_t patience_nanos)
      : operations_(operations), random_(seed), patience_nanos_(patience_nanos) {
    sigemptyset(&signals_);
    sigaddset(&signals_, NoticeSignal());
    sigprocmask(SIG_BLOCK, &signals_, &before_);
  }
  ~Check() { sigprocmask(SIG_SETMASK, &before_, nullptr); }
  Check(const Check&) = delete;
  Check& operator=(const Check&) = delete;

  NoticeFinding Run() {
    for (uint64_t step = 0; step < kSteps && finding_.breach[0] == '\0'; ++step) {
      Step();
      operations_.progressed();
    }
    if (finding_.breach[0] == '\0') Empty();
    if (finding_.breach[0] == '\0') KeepUpWithASender();
    operations_.notify(nullptr);
    return finding_;
  }

 private:
  void Break(const char* expected, const char* seen) {
    if (finding_.breach[0] != '\0') return;
    const size_t shown = std::min(steps_.size(), kStepsShown);
    snprintf(finding_.breach, sizeof(finding_.breach), "expected %s, seen %s (step %zu; the last ones: %s)", expected,
             seen, steps_.size(), steps_.substr(steps_.size() - shown).c_str());
  }

  // Whether a notification is there, or comes in time if one is `due`, with the number of the last registration.
  bool Take(bool due) {
    const timespec wait = os::ToTimespec(due ? kLookNanos : 0);
    siginfo_t info;
    int taken = -1;
    Patience patience(patience_nanos_);
    const auto processes = [] { return std::vector<pid_t>{getpid()}; };
    while ((taken = sigtimedwait(&signals_, &info, &wait)) < 0 && (due || errno == EINTR)) {
      if (due && patience.IsOver(processes)) break;
    }
    if (taken < 0) return false;
    if (info.si_value.sival_int != number_) Break("the value of the last registration", "that of another one");
    return true;
  }

  void Expect(bool notification, const char* after) {
    // A signal from another process may take its time; one that should not come would be there by now.
    const bool came = Take(notification);
    if (notification && !came) Break("a notification", after);
    if (!notification && came) Break("no notification", after);
    if (notification && came) ++finding_.expected;
    if (came && Take(/*due=*/false)) Break("one notification for a registration", "two");
  }

  IoResult Register() {
    sigevent event = {};
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = NoticeSignal();
    event.sigev_value.sival_int = ++number_;
    return operations_.notify(&event);
  }

  // A step's letter: registers, gives up, sends, takes, has a waiting receiver, kills a registrant.
  void Step() {
    const uint64_t drawn = random_.Below(7);
    steps_ += "rrgsstw"[drawn];
    switch (drawn) {
      case 0:
      case 1: {
        const IoResult result = Register();
        if (result.ok() == registered_) {
          Break(registered_ ? "EBUSY while a registration stands" : "a registration when none stands",
                result.ok() ? "a second one" : "it refused");
        }
        // The one that stands keeps its number.
        if (registered_) --number_;
        registered_ = true;
        break;
      }
      case 2:
        if (!operations_.notify(nullptr).ok()) Break("to give up a registration", "it refused");
        registered_ = false;
        Expect(false, "one after a registration was given up");
        break;
      case 3:
      case 4: {
        if (!operations_.send()) break;
        const bool due = registered_ && held_ == 0;
        ++held_;
        if (due) registered_ = false;
        Expect(due, due ? "none when a message came to the empty object" : "one for a message that was none's to tell");
        break;
      }
      case 5:
        if (operations_.receive() != (held_ > 0)) Break("the messages that were sent", "another number of them");
        held_ -= held_ > 0 ? 1 : 0;
        Expect(false, "one when a message was taken");
        break;
      default:
        if (random_.OneIn(2)) {
          WithAWaitingReceiver();
        } else {
          steps_.back() = 'k';
          WithADeadRegistrant();
        }
        break;
    }
  }

  // A message that a receiver waits for is nobody else's business.
  void WithAWaitingReceiver() {
    if (held_ > 0) return;
    const pid_t receiver = Fork(operations_.receive_waiting);
    if (receiver < 0 || !AwaitSleep(receiver)) {
      Break("a receiver that waits", "none");
      Reap(receiver, SIGKILL);
      return;
    }
    operations_.send();
    if (!Reap(receiver)) Break("the waiting receiver to get the message", "it fail");
    Expect(false, "one for a message that a receiver waited for");
  }

  // Who was killed is registered no longer.
  void WithADeadRegistrant() {
    if (registered_) return;
    const pid_t registrant = Fork([&] {
      if (!operations_.register_elsewhere()) return false;
      for (;;) pause();
    });
    const bool slept = registrant > 0 && AwaitSleep(registrant);
    if (!Reap(registrant, SIGKILL) || !slept) {
      Break("another process to register", "it fail");
      return;
    }
    const IoResult result = Register();
    if (!result.ok()) Break("a registration when the last one's process was killed", "it refused");
    registered_ = true;
  }

  // Until `child` sleeps in the kernel, which it does nowhere but at its goal. False: it has ended, or does something
  // else for longer than it may.
  [[nodiscard]] bool AwaitSleep(pid_t child) const {
    Patience patience(patience_nanos_);
    do {
      const char state = os::ProcessState(child);
      if (state == 'S') return true;
      if (state == 'Z' || state == '?') return false;
      sched_yield();
    } while (!patience.IsOver([&] { return std::vector<pid_t>{child}; }));
    return false;
  }

  void Empty() {
    operations_.notify(nullptr);
    registered_ = false;
    while (operations_.receive()) {
    }
    Expect(false, "one when everything was taken");
  }

  void KeepUpWithASender() {
    const pid_t sender = Fork([&] { return operations_.send_many(kManyMessages); });
    uint64_t got = 0;
    while (got < kManyMessages && finding_.breach[0] == '\0') {
      if (!Register().ok()) Break("a registration when the last one was used up", "it refused");
      const uint64_t before = got;
      while (operations_.receive()) ++got;
      if (got > before) operations_.progressed();
      if (got >= kManyMessages) break;
      // The object was empty when the last receive came back, and a message is still to come.
      if (!Take(/*due=*/true)) {
        Break("a notification of the next message", before == got ? "none" : "none after some were taken");
      } else {
        ++finding_.expected;
      }
      if (Take(/*due=*/false)) Break("one notification for a registration", "two");
    }
    const bool broken = finding_.breach[0] != '\0';
    const bool sent = Reap(sender, broken ? SIGKILL : 0);
    if (!broken && !sent) Break("every message to be sent", "the sender fail");
    // The last registration may have been used up by a message that was taken at once.
    Take(/*due=*/false);
    if (Take(/*due=*/false)) Break("one notification for a registration", "two");
  }

  const NoticeOperations& operations_;
  Random random_;
  int64_t patience_nanos_;
  sigset_t signals_;
  sigset_t before_;
  NoticeFinding finding_ = {};
  int number_ = 0;
  bool registered_ = false;
  uint64_t held_ = 0;
  std::string steps_;
};

}  // namespace

NoticeFinding CheckNotices(const NoticeOperations& operations, uint64_t seed, int64_t patience_nanos) {
  return Check(operations, seed, patience_nanos).Run();
}

}  // namespace ipcmark::stress
