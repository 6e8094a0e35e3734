// Time that a process could not use is not counted against it, and time that it could is.

#include "stress/patience.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "gtest/gtest.h"
#include "ipc/os/clock.h"
#include "ipc/os/cpu.h"
#include "ipc/os/die_with.h"
#include "ipc/os/process_group.h"
#include "stress/draw.h"

namespace ipcmark::stress {
namespace {

constexpr int64_t kMilli = 1'000'000;
constexpr int64_t kBoundNanos = 320 * kMilli;

ThreadSample Sample(char state, int64_t ran_nanos, int64_t waited_nanos, bool known = true) {
  return {.times = {.ran_nanos = ran_nanos, .waited_nanos = waited_nanos, .known = known}, .state = state};
}

TEST(UsableNanos, IsWhatAThreadCouldUse) {
  struct Case {
    ThreadSample before;
    ThreadSample now;
    int64_t usable_nanos;  // of 1,000
  };
  const Case kCases[] = {
      {Sample('S', 50, 70), Sample('S', 50, 70), 1000},            // asleep
      {Sample('R', 50, 70), Sample('R', 1050, 70), 1000},          // runs
      {Sample('R', 50, 70), Sample('R', 250, 870), 1000},          // shares the CPU with four others
      {Sample('R', 50, 70), Sample('R', 60, 1060), 50},            // has hardly any CPU
      {Sample('R', 50, 70), Sample('R', 50, 70), 0},               // none at all
      {Sample('R', 50, 70), Sample('S', 60, 5070), 40},            // had waited since before
      {Sample('S', 50, 70), Sample('S', 60, 470), 640},            // was woken late
      {Sample('S', 50, 70), Sample('T', 50, 70), 0},               // was stopped
      {Sample('T', 50, 70), Sample('S', 50, 70), 0},               // goes on now
      {Sample('S', 0, 0, false), Sample('R', 0, 0, false), 1000},  // the kernel does not say
  };
  for (const Case& one : kCases) {
    SCOPED_TRACE(testing::Message() << one.now.state << " ran " << one.now.times.ran_nanos << " waited "
                                    << one.now.times.waited_nanos);
    EXPECT_EQ(UsableNanos(one.before, one.now, 1000), one.usable_nanos);
  }
}

class Process {
 public:
  enum class Life : uint8_t { kSleeps, kSpins };
  explicit Process(Life life, int cpu = os::kAnyCpu, int policy = SCHED_OTHER) {
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ != 0) return;
    os::DieWith(parent);
    const sched_param param = {.sched_priority = 0};
    if (cpu >= 0 && !os::PinToCpu(cpu).ok()) _exit(1);
    if (policy != SCHED_OTHER) sched_setscheduler(0, policy, &param);
    for (;;) {
      if (life == Life::kSleeps) pause();
    }
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  ~Process() { End(); }
  void End() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  void Stop() const {
    kill(pid_, SIGSTOP);
    waitpid(pid_, nullptr, WUNTRACED);
  }
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool IsOver(Patience& patience) const {
    return patience.IsOver([&] { return std::vector<pid_t>{pid_}; });
  }
  // Whether it is over within `nanos` of looks; says how long that took.
  bool IsOverWithin(Patience& patience, int64_t nanos) const {
    const int64_t begin_nanos = os::MonotonicNanos();
    bool over = false;
    while (!over && os::MonotonicNanos() - begin_nanos < nanos) {
      over = IsOver(patience);
      sched_yield();
    }
    printf("%s after %lld ms, %lld ms excused\n", over ? "over" : "not over",
           static_cast<long long>((os::MonotonicNanos() - begin_nanos) / kMilli),
           static_cast<long long>(patience.excused_nanos() / kMilli));
    return over;
  }

 private:
  pid_t pid_;
};

constexpr int64_t kForGood = Patience::kMostBounds * 3 * kBoundNanos;

TEST(Patience, IsOverForWhoSleepsOrSpinsWhenTheBoundHasPassed) {
  for (const Process::Life life : {Process::Life::kSleeps, Process::Life::kSpins}) {
    const Process process(life);
    Patience patience(kBoundNanos);
    const int64_t begin_nanos = os::MonotonicNanos();
    EXPECT_FALSE(process.IsOver(patience));
    EXPECT_TRUE(process.IsOverWithin(patience, kForGood));
    EXPECT_GE(os::MonotonicNanos() - begin_nanos, kBoundNanos);
  }
}

TEST(Patience, CountsNoTimeInWhichAProcessIsStopped) {
  const Process process(Process::Life::kSleeps);
  process.Stop();
  Patience patience(kBoundNanos);
  EXPECT_FALSE(process.IsOverWithin(patience, 4 * kBoundNanos));
  EXPECT_GT(patience.excused_nanos(), 3 * kBoundNanos);
  kill(process.pid(), SIGCONT);
  EXPECT_TRUE(process.IsOverWithin(patience, kForGood));
}

// A descendant is looked at, too.
TEST(Patience, CountsNoTimeInWhichAGrandchildIsStopped) {
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) {
    os::DieWith(parent);
    const Process grandchild(Process::Life::kSleeps);
    grandchild.Stop();
    (void)!write(ready[1], "", 1);
    for (;;) pause();
  }
  char byte = 0;
  EXPECT_EQ(read(ready[0], &byte, 1), 1);
  Patience patience(kBoundNanos);
  bool over = false;
  const int64_t begin_nanos = os::MonotonicNanos();
  while (!over && os::MonotonicNanos() - begin_nanos < 3 * kBoundNanos) {
    over = patience.IsOver([&] { return std::vector<pid_t>{child}; });
    sched_yield();
  }
  EXPECT_FALSE(over);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  for (const int fd : ready) close(fd);
}

TEST(Patience, CountsNoTimeInWhichAProcessHasNoCpu) {
  if (!OwnCpuTimes().known) GTEST_SKIP() << "this kernel has no schedstat";
  const std::vector<int> cpus = os::AllowedCpus();
  const int cpu = cpus.front();
  std::vector<std::unique_ptr<Process>> busy;
  busy.push_back(std::make_unique<Process>(Process::Life::kSpins, cpu));
  // Ready all the time, and hardly ever on the CPU.
  const Process starved(Process::Life::kSpins, cpu, SCHED_IDLE);
  Patience patience(kBoundNanos);
  EXPECT_FALSE(starved.IsOverWithin(patience, 4 * kBoundNanos));
  EXPECT_GT(patience.excused_nanos(), 2 * kBoundNanos);
  busy.clear();
  EXPECT_TRUE(starved.IsOverWithin(patience, kForGood));
}

TEST(Patience, EndsAtItsLimitWhateverTheMachineDoes) {
  constexpr int64_t kShortNanos = 40 * kMilli;
  const Process process(Process::Life::kSleeps);
  process.Stop();
  Patience patience(kShortNanos);
  const int64_t begin_nanos = os::MonotonicNanos();
  EXPECT_TRUE(process.IsOverWithin(patience, kForGood));
  EXPECT_GE(os::MonotonicNanos() - begin_nanos, Patience::kMostBounds * kShortNanos);
}

// The looking process may be the one that is kept from it.
TEST(Patience, CountsNoTimeInWhichNobodyLooks) {
  const Process process(Process::Life::kSleeps);
  Patience patience(kBoundNanos);
  // A gap of some bounds, for which this process is stopped by its own child.
  const pid_t self = getpid();
  const int64_t begin_nanos = os::MonotonicNanos();
  const pid_t stopper = fork();
  if (stopper == 0) {
    kill(self, SIGSTOP);
    Hold(3 * kBoundNanos);
    kill(self, SIGCONT);
    _exit(0);
  }
  waitpid(stopper, nullptr, 0);
  EXPECT_GE(os::MonotonicNanos() - begin_nanos, 2 * kBoundNanos);
  EXPECT_FALSE(process.IsOver(patience));
  EXPECT_GT(patience.excused_nanos(), kBoundNanos);
  EXPECT_TRUE(process.IsOverWithin(patience, kForGood));
}

TEST(Patience, CountsFromTheLastProgress) {
  const Process process(Process::Life::kSleeps);
  Patience patience(kBoundNanos);
  const int64_t end_nanos = os::MonotonicNanos() + 3 * kBoundNanos;
  while (os::MonotonicNanos() < end_nanos) {
    EXPECT_FALSE(process.IsOver(patience));
    if (os::MonotonicNanos() % (kBoundNanos / 4) < kBoundNanos / 8) patience.Renew();
    sched_yield();
  }
  patience.Renew();
  EXPECT_TRUE(process.IsOverWithin(patience, kForGood));
}

}  // namespace
}  // namespace ipcmark::stress
