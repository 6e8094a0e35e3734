// Overslept has who sleeps although it could go on, and nobody who is only late.

#include "stress/oversleep.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "gtest/gtest.h"
#include "ipc/os/clock.h"
#include "ipc/os/cpu.h"
#include "ipc/os/die_with.h"
#include "stress/draw.h"

namespace ipcmark::stress {
namespace {

constexpr int64_t kForLong = 15 * kOversleptNanos;
constexpr int64_t kLimitNanos = 1'000 * kOversleptNanos;

// A process that does `what` again and again.
class Child {
 public:
  explicit Child(void (*what)()) {
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ != 0) return;
    os::DieWith(parent);
    for (;;) what();
  }
  ~Child() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

void Sleep() { pause(); }
void Spin() { os::SpinHint(); }

struct Looks {
  int64_t nanos = kForLong;
  bool could_go_on = true;
  uint64_t steps = 0;       // between two looks
  int64_t pause_nanos = 0;  // likewise
  bool wakes = false;       // them, at each look
};

// What is found until then, or once anything is.
int64_t Look(std::vector<pid_t> processes, Looks looks) {
  Oversleep oversleep;
  uint64_t progress = 0;
  const int64_t end_nanos = os::MonotonicNanos() + looks.nanos;
  while (os::MonotonicNanos() < end_nanos && oversleep.worst_nanos() == 0) {
    oversleep.Note(looks.could_go_on, progress += looks.steps, [&] { return processes; });
    if (looks.pause_nanos != 0) Hold(looks.pause_nanos);
    for (const pid_t process : processes) {
      if (looks.wakes) kill(process, SIGUSR1);
    }
    sched_yield();
  }
  return oversleep.worst_nanos();
}

TEST(Oversleep, HasWhoSleepsAndCouldGoOn) {
  const Child one(Sleep);
  const Child two(Sleep);
  EXPECT_GE(Look({one.pid(), two.pid()}, {.nanos = kLimitNanos}), kOversleptNanos);
}

TEST(Oversleep, HasNobodyWhoHasNothingToDo) {
  const Child sleeper(Sleep);
  EXPECT_EQ(Look({sleeper.pid()}, {.could_go_on = false}), 0);
}

TEST(Oversleep, HasNobodyWhileSomethingHappens) {
  const Child sleeper(Sleep);
  EXPECT_EQ(Look({sleeper.pid()}, {.steps = 1}), 0);
}

TEST(Oversleep, HasNobodyWhileOneIsAwake) {
  const Child sleeper(Sleep);
  const Child spinner(Spin);
  EXPECT_EQ(Look({sleeper.pid(), spinner.pid()}, {}), 0);
}

// Whenever it gets its CPU.
TEST(Oversleep, HasNobodyWhoIsWokenInTime) {
  signal(SIGUSR1, [](int) {});
  const Child sleeper(Sleep);
  EXPECT_EQ(Look({sleeper.pid()}, {.wakes = true}), 0);
}

TEST(Oversleep, HasNobodyWhoIsStopped) {
  const Child sleeper(Sleep);
  kill(sleeper.pid(), SIGSTOP);
  waitpid(sleeper.pid(), nullptr, WUNTRACED);
  EXPECT_EQ(Look({sleeper.pid()}, {}), 0);
}

TEST(Oversleep, HasNobodyWhenItHasNotLookedItself) {
  const Child sleeper(Sleep);
  EXPECT_EQ(Look({sleeper.pid()}, {.pause_nanos = kOversleptNanos}), 0);
}

}  // namespace
}  // namespace ipcmark::stress
