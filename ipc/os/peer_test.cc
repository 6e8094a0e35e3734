#include "ipc/os/peer.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <new>

#include "ipc/os/clock.h"
#include "ipc/os/process_group.h"

namespace ipcmark::os {
namespace {

constexpr int64_t kWatchdogNanos = 60 * kNanosPerSecond;
// The lowest bit of the start time in an owner word (peer.h draws it).
constexpr uint64_t kOneTick = uint64_t{1} << 24;

// A word in memory that children share, and processes that hold it.
class PeerTest : public testing::Test {
 protected:
  PeerTest() : shared_(*Mapping::SharedAnonymous(sizeof(PeerWord))), group_(*ProcessGroup::Create(4)) {}

  [[nodiscard]] PeerWord& word() const { return *static_cast<PeerWord*>(shared_.address()); }

  // Spawns a process that claims the word and lives on; its index.
  int SpawnHolder() {
    auto hold = [this](Gate& gate) -> absl::Status {
      if (!ClaimPeer(word(), nullptr)) return absl::InternalError("claim refused");
      gate.Arrive();
      for (;;) pause();
    };
    return SpawnAndStart("holder", hold);
  }

  int SpawnAndStart(const char* role, absl::FunctionRef<absl::Status(Gate&)> body) {
    const absl::StatusOr<int> index = group_.Spawn(role, kAnyCpu, body);
    EXPECT_TRUE(index.ok()) << index.status();
    const absl::Status started = group_.Start(After(kWatchdogNanos));
    EXPECT_TRUE(started.ok()) << started;
    // Only the first Start waits for the gate; a later child is there when its word says so.
    const Deadline watchdog = After(kWatchdogNanos);
    while ((word().owner.load() & 0x3fffff) != static_cast<uint64_t>(group_.pid(*index)) && !HasPassed(watchdog)) {
      sched_yield();
    }
    return *index;
  }

  Mapping shared_;
  ProcessGroup group_;
};

TEST_F(PeerTest, IsNeverOpenAndClosedInTurn) {
  PeerWatch watch;
  EXPECT_EQ(watch.Look(word()), PeerState::kNever);
  ASSERT_TRUE(ClaimPeer(word(), nullptr));
  EXPECT_EQ(watch.Look(word()), PeerState::kOpen);
  ReleasePeer(word());
  EXPECT_EQ(watch.Look(word()), PeerState::kClosed);
}

TEST_F(PeerTest, RefusesASecondClaimAndNamesTheLivingHolder) {
  const int holder = SpawnHolder();
  pid_t named = 0;
  EXPECT_FALSE(ClaimPeer(word(), &named));
  EXPECT_EQ(named, group_.pid(holder));
  EXPECT_EQ(PeerWatch().Look(word()), PeerState::kOpen);
}

TEST_F(PeerTest, RefusesASecondClaimOfTheSameProcess) {
  ASSERT_TRUE(ClaimPeer(word(), nullptr));
  pid_t named = 0;
  EXPECT_FALSE(ClaimPeer(word(), &named));
  EXPECT_EQ(named, getpid());
}

TEST_F(PeerTest, GivesTheWordOfADeadHolderToTheNext) {
  const int holder = SpawnHolder();
  PeerWatch watch;
  ASSERT_EQ(watch.Look(word()), PeerState::kOpen);
  group_.KillAndReap(holder);
  EXPECT_EQ(watch.Look(word()), PeerState::kDead);
  EXPECT_EQ(PeerWatch().Look(word()), PeerState::kDead) << "also for who looks only now";
  EXPECT_TRUE(ClaimPeer(word(), nullptr));
}

TEST_F(PeerTest, TakesAZombieForDead) {
  const pid_t pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) _exit(ClaimPeer(word(), nullptr) ? 0 : 1);
  siginfo_t info;
  ASSERT_EQ(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(info.si_status, 0);
  EXPECT_EQ(PeerWatch().Look(word()), PeerState::kDead);
  EXPECT_TRUE(ClaimPeer(word(), nullptr));
  EXPECT_EQ(waitpid(pid, nullptr, 0), pid);
}

TEST_F(PeerTest, TellsARecycledProcessIdFromTheHolder) {
  const int holder = SpawnHolder();
  // As if the word's owner had started at another time than the process that has its id now.
  word().owner.fetch_xor(kOneTick);
  EXPECT_EQ(PeerWatch().Look(word()), PeerState::kDead);
  EXPECT_TRUE(ClaimPeer(word(), nullptr));
  EXPECT_TRUE(group_.running(holder));
}

TEST_F(PeerTest, TellsADeadHolderFromThisProcessWithTheSameId) {
  ASSERT_TRUE(ClaimPeer(word(), nullptr));
  word().owner.fetch_xor(kOneTick);
  EXPECT_EQ(PeerWatch().Look(word()), PeerState::kDead);
  EXPECT_TRUE(ClaimPeer(word(), nullptr));
  EXPECT_EQ(PeerWatch().Look(word()), PeerState::kOpen);
}

TEST_F(PeerTest, AnUnknownStartTimeProvesNothing) {
  const int holder = SpawnHolder();
  word().owner.fetch_and(kOneTick - 1);
  EXPECT_EQ(PeerWatch().Look(word()), PeerState::kOpen);
  group_.KillAndReap(holder);
  EXPECT_EQ(PeerWatch().Look(word()), PeerState::kDead);
}

TEST_F(PeerTest, IgnoresAReleaseByWhoDoesNotHoldTheWord) {
  SpawnHolder();
  const uint64_t before = word().owner.load();
  ReleasePeer(word());
  EXPECT_EQ(word().owner.load(), before);
}

TEST_F(PeerTest, OneWatchFollowsEveryHolder) {
  PeerWatch watch;
  for (int i = 0; i < 3; ++i) {
    const int holder = SpawnHolder();
    EXPECT_EQ(watch.Look(word()), PeerState::kOpen);
    group_.KillAndReap(holder);
    EXPECT_EQ(watch.Look(word()), PeerState::kDead);
  }
  ASSERT_TRUE(ClaimPeer(word(), nullptr));
  EXPECT_EQ(watch.Look(word()), PeerState::kOpen);
}

TEST(ProcessStartTicks, IsKnownForTheLivingAndZeroForTheDead) {
  EXPECT_GT(ProcessStartTicks(getpid()), 0U);
  const pid_t pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) _exit(ProcessStartTicks(getpid()) >= ProcessStartTicks(getppid()) ? 0 : 1);
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0) << "a child has started before its parent";
  EXPECT_EQ(ProcessStartTicks(pid), 0U);
}

// A process that lives in a time namespace of its own, a day ahead, agrees with everybody else about who is who.
TEST(ProcessStartTicks, IsTheSameInEveryTimeNamespace) {
  constexpr int kRefused = 2;
  const pid_t subject = getpid();
  const uint64_t expected = ProcessStartTicks(subject);
  const pid_t outer = fork();
  ASSERT_GE(outer, 0);
  if (outer == 0) {
    FILE* offsets = unshare(CLONE_NEWTIME) == 0 ? fopen("/proc/self/timens_offsets", "we") : nullptr;
    if (offsets == nullptr || fputs("boottime 86400 0\n", offsets) < 0 || fclose(offsets) != 0) _exit(kRefused);
    // The namespace is its children's.
    const pid_t inner = fork();
    if (inner == 0) _exit(ProcessStartTicks(subject) == expected ? 0 : 1);
    int status = 1;
    waitpid(inner, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(outer, &status, 0), outer);
  ASSERT_TRUE(WIFEXITED(status));
  if (WEXITSTATUS(status) == kRefused) GTEST_SKIP() << "this process may make no time namespace";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(ProcessStartTicks, IsNotMisledByTheProcessesName) {
  char name[16];
  prctl(PR_GET_NAME, name);
  const uint64_t ticks = ProcessStartTicks(getpid());
  prctl(PR_SET_NAME, "a) R 1 (b c) 2");
  EXPECT_EQ(ProcessStartTicks(getpid()), ticks);
  prctl(PR_SET_NAME, name);
}

}  // namespace
}  // namespace ipcmark::os
