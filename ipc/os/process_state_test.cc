#include "ipc/os/process_state.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "gtest/gtest.h"
#include "ipc/os/clock.h"
#include "ipc/os/fd.h"

namespace ipcmark::os {
namespace {

// A child with a name that looks like the fields behind it, asleep for ever.
pid_t ForkSleeper() {
  const pid_t pid = fork();
  if (pid != 0) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_NAME, ") R 1 (");
  for (;;) pause();
}

// What the child's state is once it is `state`, or after so long.
char AwaitState(pid_t pid, char state) {
  const Deadline end = After(20 * kNanosPerSecond);
  while (ProcessState(pid) != state && !HasPassed(end)) sched_yield();
  return ProcessState(pid);
}

TEST(ProcessState, FollowsAProcessFromSleepToItsEnd) {
  const pid_t child = ForkSleeper();
  ASSERT_GT(child, 0);
  const Fd stat(open(("/proc/" + std::to_string(child) + "/stat").c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(AwaitState(child, 'S'), 'S');
  EXPECT_TRUE(IsAsleep(child));
  kill(child, SIGSTOP);
  EXPECT_EQ(AwaitState(child, 'T'), 'T');
  EXPECT_FALSE(IsAsleep(child));
  kill(child, SIGKILL);
  EXPECT_EQ(AwaitState(child, 'Z'), 'Z');
  EXPECT_EQ(ProcessStateIn(stat.get()), 'Z');
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_EQ(ProcessState(child), '?');
  EXPECT_EQ(ProcessStateIn(stat.get()), '?');
}

TEST(ProcessState, OfThisProcessIsThatItRuns) { EXPECT_EQ(ProcessState(getpid()), 'R'); }

TEST(ProcessState, OfNobodyIsAQuestionMark) {
  EXPECT_EQ(ProcessState(-1), '?');
  EXPECT_EQ(ProcessStateIn(-1), '?');
}

}  // namespace
}  // namespace ipcmark::os
