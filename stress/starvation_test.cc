// Starved is who could be served and is not while others are.

#include "stress/starvation.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gtest/gtest.h"
#include "ipc/os/clock.h"
#include "ipc/os/die_with.h"

namespace ipcmark::stress {
namespace {

constexpr int64_t kForLong = 3 * kMostStarvedNanos;

class StarvationTest : public testing::Test {
 protected:
  StarvationTest() {
    const pid_t parent = getpid();
    process_ = fork();
    if (process_ != 0) return;
    os::DieWith(parent);
    for (;;) pause();
  }
  ~StarvationTest() override {
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
  }

  // Looks for so long, or until it is starved, while each look finds so many more operations of the others (up to
  // `most`), and of its own.
  int64_t Look(int64_t nanos, uint64_t others, uint64_t own = 0, uint64_t most = UINT64_MAX) {
    Starvation starvation;
    Starvation::Look look = {.process = process_, .works = true, .completed = 0, .others = 0};
    const int64_t end_nanos = os::MonotonicNanos() + nanos;
    while (os::MonotonicNanos() < end_nanos && starvation.worst_nanos() < kMostStarvedNanos) {
      look.others = std::min(most, look.others + others);
      look.completed += own;
      starvation.Note(look);
      sched_yield();
    }
    return starvation.worst_nanos();
  }

  pid_t process_ = -1;
};

TEST_F(StarvationTest, SeesWhoGetsNothingWhileOthersDo) {
  EXPECT_GE(Look(100 * kMostStarvedNanos, /*others=*/10), kMostStarvedNanos);
}

TEST_F(StarvationTest, IsNoneWhileNobodyIsServed) {
  EXPECT_LT(Look(kForLong, 10, 0, kStarvedOperations + 1), kMostStarvedNanos);
}

TEST_F(StarvationTest, IsNoneWhereFewOvertake) { EXPECT_EQ(Look(kForLong, 1, 0, kStarvedOperations - 1), 0); }

TEST_F(StarvationTest, IsNoneForWhoIsServedToo) { EXPECT_EQ(Look(kForLong, 100, 1), 0); }

TEST_F(StarvationTest, IsNoneForWhoIsStopped) {
  kill(process_, SIGSTOP);
  waitpid(process_, nullptr, WUNTRACED);
  EXPECT_LT(Look(15 * kMostStarvedNanos, 10), kMostStarvedNanos);
}

}  // namespace
}  // namespace ipcmark::stress
