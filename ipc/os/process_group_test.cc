#include "ipc/os/process_group.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <new>

#include "ipc/os/clock.h"
#include "ipc/os/cpu.h"

namespace ipcmark::os {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// A hang is a failure after this long, not a test time-out.
constexpr int64_t kWatchdogNanos = 60 * kNanosPerSecond;
constexpr int64_t kBriefNanos = 20'000'000;

ProcessGroup Group(int max_children, const std::atomic<bool>* cancel = nullptr) {
  absl::StatusOr<ProcessGroup> group = ProcessGroup::Create(max_children, cancel);
  EXPECT_TRUE(group.ok()) << group.status();
  return *std::move(group);
}

absl::Status ArriveAndPause(Gate& gate) {
  gate.Arrive();
  for (;;) pause();
}

absl::Status ArriveAndEnd(Gate& gate) {
  gate.Arrive();
  return absl::OkStatus();
}

absl::Status NeverArrive(Gate&) {
  for (;;) pause();
}

// A pipe whose writers are to vanish: its reader learns of it without asking for process ids.
struct Witness {
  Witness() {
    int fds[2];
    EXPECT_EQ(pipe2(fds, O_CLOEXEC), 0);
    read_end = Fd(fds[0]);
    write_end = Fd(fds[1]);
  }
  // True when every process that held the write end is gone.
  [[nodiscard]] bool AllGone() {
    write_end.Reset();
    pollfd poller = {.fd = read_end.get(), .events = POLLIN, .revents = 0};
    char byte = 0;
    return poll(&poller, 1, static_cast<int>(kWatchdogNanos / 1'000'000)) == 1 &&
           read(read_end.get(), &byte, sizeof(byte)) == 0;
  }
  Fd read_end;
  Fd write_end;
};

TEST(ProcessGroup, CarriesAFailingChildsMessageToItsParent) {
  ProcessGroup group = Group(1);
  auto fail = [](Gate& gate) {
    gate.Arrive();
    return absl::NotFoundError("no such queue");
  };
  ASSERT_TRUE(group.Spawn("worker", kAnyCpu, fail).ok());
  ASSERT_TRUE(group.Start(After(kWatchdogNanos)).ok());
  EXPECT_EQ(group.Join(After(kWatchdogNanos)), absl::AbortedError("worker: no such queue"));
}

TEST(ProcessGroup, SaysTheCauseAndNotItsConsequence) {
  int closed[2];
  ASSERT_EQ(pipe(closed), 0);
  ProcessGroup group = Group(2);
  // Its end is closed, and the other has failed of it, before it says itself why.
  auto cause = [&](Gate& gate) {
    close(closed[0]);
    gate.Arrive();
    close(closed[1]);
    for (int yields = 0; yields < 1000; ++yields) sched_yield();
    return absl::DataLossError("a torn message");
  };
  auto consequence = [&](Gate& gate) {
    close(closed[1]);
    gate.Arrive();
    char byte;
    return read(closed[0], &byte, 1) == 0 ? absl::UnavailableError("closed") : absl::OkStatus();
  };
  ASSERT_TRUE(group.Spawn("cause", kAnyCpu, cause).ok());
  ASSERT_TRUE(group.Spawn("consequence", kAnyCpu, consequence).ok());
  close(closed[0]);
  close(closed[1]);
  ASSERT_TRUE(group.Start(After(kWatchdogNanos)).ok());
  EXPECT_EQ(group.Join(After(kWatchdogNanos)), absl::AbortedError("cause: a torn message"));
}

TEST(ProcessGroup, SaysAConsequenceThatHasNoCause) {
  ProcessGroup group = Group(2);
  auto fail = [](Gate& gate) {
    gate.Arrive();
    return absl::UnavailableError("closed");
  };
  ASSERT_TRUE(group.Spawn("quick", kAnyCpu, ArriveAndEnd).ok());
  ASSERT_TRUE(group.Spawn("worker", kAnyCpu, fail).ok());
  ASSERT_TRUE(group.Start(After(kWatchdogNanos)).ok());
  EXPECT_EQ(group.Join(After(kWatchdogNanos)), absl::AbortedError("worker: closed"));
}

TEST(ProcessGroup, CutsAMessageThatIsLongerThanItsRoom) {
  ProcessGroup group = Group(2);
  auto fail = [](Gate&) { return absl::InternalError(std::string(10'000, 'x')); };
  ASSERT_TRUE(group.Spawn("first", kAnyCpu, fail).ok());
  ASSERT_TRUE(group.Spawn("second", kAnyCpu, NeverArrive).ok());
  const absl::Status failed = group.JoinOne(0, After(kWatchdogNanos));
  EXPECT_EQ(failed, absl::AbortedError("first: " + std::string(239, 'x')));
}

TEST(ProcessGroup, NamesTheSignalThatAChildDiedOf) {
  for (int signal : {SIGTERM, SIGKILL}) {
    ProcessGroup group = Group(1);
    auto die = [signal](Gate& gate) {
      gate.Arrive();
      kill(getpid(), signal);
      return absl::OkStatus();
    };
    ASSERT_TRUE(group.Spawn("victim", kAnyCpu, die).ok());
    ASSERT_TRUE(group.Start(After(kWatchdogNanos)).ok());
    const absl::Status end = group.Join(After(kWatchdogNanos));
    EXPECT_TRUE(absl::IsAborted(end)) << end;
    EXPECT_THAT(end.message(), AllOf(HasSubstr("victim"), HasSubstr("was killed by signal " + std::to_string(signal)),
                                     HasSubstr(signal == SIGKILL ? "(SIGKILL)" : "(SIGTERM)")));
  }
}

TEST(ProcessGroup, DoesNotStartWhenAChildEndsBeforeTheGate) {
  ProcessGroup group = Group(2);
  ASSERT_TRUE(group.Spawn("patient", kAnyCpu, ArriveAndPause).ok());
  ASSERT_TRUE(group.Spawn("hasty", kAnyCpu, [](Gate&) { return absl::OkStatus(); }).ok());
  EXPECT_EQ(group.Start(After(kWatchdogNanos)), absl::AbortedError("hasty ended before the start"));
  EXPECT_FALSE(group.running(0)) << "the others are killed";
}

TEST(ProcessGroup, SaysWhyAChildFailedBeforeTheGate) {
  ProcessGroup group = Group(2);
  ASSERT_TRUE(group.Spawn("patient", kAnyCpu, ArriveAndPause).ok());
  ASSERT_TRUE(group.Spawn("opener", kAnyCpu, [](Gate&) { return absl::InternalError("open: EMFILE"); }).ok());
  EXPECT_EQ(group.Start(After(kWatchdogNanos)), absl::AbortedError("opener: open: EMFILE"));
}

TEST(ProcessGroup, KillsAndNamesAChildThatHangs) {
  ProcessGroup group = Group(2);
  ASSERT_TRUE(group.Spawn("quick", kAnyCpu, ArriveAndEnd).ok());
  ASSERT_TRUE(group.Spawn("hanging", kAnyCpu, ArriveAndPause).ok());
  ASSERT_TRUE(group.Start(After(kWatchdogNanos)).ok());
  ASSERT_TRUE(group.JoinOne(0, After(kWatchdogNanos)).ok());
  const absl::Status end = group.Join(After(kBriefNanos));
  EXPECT_TRUE(absl::IsDeadlineExceeded(end)) << end;
  EXPECT_THAT(end.message(), AllOf(HasSubstr("killed by the watchdog: hanging"), Not(HasSubstr("quick"))));
  EXPECT_FALSE(group.running(1));
}

TEST(ProcessGroup, KillsAndNamesAChildThatNeverArrives) {
  ProcessGroup group = Group(1);
  ASSERT_TRUE(group.Spawn("late", kAnyCpu, NeverArrive).ok());
  const absl::Status start = group.Start(After(kBriefNanos));
  EXPECT_TRUE(absl::IsDeadlineExceeded(start)) << start;
  EXPECT_THAT(start.message(), HasSubstr("killed: late"));
  EXPECT_FALSE(group.running(0));
}

TEST(ProcessGroup, JoinOneLeavesAChildThatStillRunsAlone) {
  ProcessGroup group = Group(1);
  ASSERT_TRUE(group.Spawn("worker", kAnyCpu, ArriveAndPause).ok());
  ASSERT_TRUE(group.Start(After(kWatchdogNanos)).ok());
  EXPECT_EQ(group.JoinOne(0, Deadline::Immediate()), absl::DeadlineExceededError("worker still runs"));
  EXPECT_TRUE(group.running(0));
}

std::atomic<bool> cancelled;

TEST(ProcessGroup, EndsWhenASignalHandlerCancelsIt) {
  cancelled = false;
  struct sigaction action = {};
  action.sa_handler = [](int) { cancelled = true; };
  struct sigaction before;
  sigaction(SIGUSR1, &action, &before);
  ProcessGroup group = Group(1, &cancelled);
  auto interrupt = [](Gate& gate) -> absl::Status {
    gate.Arrive();
    kill(getppid(), SIGUSR1);
    for (;;) pause();
  };
  ASSERT_TRUE(group.Spawn("worker", kAnyCpu, interrupt).ok());
  // The signal may come before Start has returned.
  absl::Status end = group.Start(After(kWatchdogNanos));
  if (end.ok()) end = group.Join(After(kWatchdogNanos));
  EXPECT_TRUE(absl::IsCancelled(end)) << end;
  EXPECT_FALSE(group.running(0));
  sigaction(SIGUSR1, &before, nullptr);
}

TEST(ProcessGroup, DoesNotStartWhenItIsCancelledAlready) {
  cancelled = true;
  ProcessGroup group = Group(1, &cancelled);
  ASSERT_TRUE(group.Spawn("late", kAnyCpu, NeverArrive).ok());
  EXPECT_TRUE(absl::IsCancelled(group.Start(After(kWatchdogNanos))));
  EXPECT_FALSE(group.running(0));
}

TEST(ProcessGroup, TakesAChildThatItKilledForNoFailure) {
  ProcessGroup group = Group(2);
  ASSERT_TRUE(group.Spawn("victim", kAnyCpu, ArriveAndPause).ok());
  ASSERT_TRUE(group.Spawn("worker", kAnyCpu, ArriveAndEnd).ok());
  ASSERT_TRUE(group.Start(After(kWatchdogNanos)).ok());
  group.KillAndReap(0);
  EXPECT_FALSE(group.running(0));
  EXPECT_EQ(group.Join(After(kWatchdogNanos)), absl::OkStatus());
}

TEST(ProcessGroup, ReleasesEverybodyAndNobodyBeforeTheLastHasArrived) {
  constexpr int kChildren = 8;
  absl::StatusOr<Mapping> shared = Mapping::SharedAnonymous(sizeof(std::atomic<int>));
  ASSERT_TRUE(shared.ok());
  auto& ready = *new (shared->address()) std::atomic<int>(0);
  ProcessGroup group = Group(kChildren);
  for (int i = 0; i < kChildren; ++i) {
    auto count = [&](Gate& gate) {
      ready.fetch_add(1);
      gate.Arrive();
      return ready.load() == kChildren ? absl::OkStatus() : absl::InternalError("released early");
    };
    ASSERT_TRUE(group.Spawn("child", kAnyCpu, count).ok());
  }
  ASSERT_TRUE(group.Start(After(kWatchdogNanos)).ok());
  EXPECT_EQ(group.Join(After(kWatchdogNanos)), absl::OkStatus());
}

TEST(ProcessGroup, LetsAChildThatIsSpawnedAfterTheStartPassAtOnce) {
  ProcessGroup group = Group(2);
  ASSERT_TRUE(group.Spawn("first", kAnyCpu, ArriveAndEnd).ok());
  ASSERT_TRUE(group.Start(After(kWatchdogNanos)).ok());
  ASSERT_TRUE(group.Spawn("replacement", kAnyCpu, ArriveAndEnd).ok());
  EXPECT_EQ(group.Join(After(kWatchdogNanos)), absl::OkStatus());
}

TEST(ProcessGroup, RefusesMoreChildrenThanAnnounced) {
  ProcessGroup group = Group(1);
  ASSERT_TRUE(group.Spawn("first", kAnyCpu, ArriveAndEnd).ok());
  EXPECT_TRUE(absl::IsResourceExhausted(group.Spawn("second", kAnyCpu, ArriveAndEnd).status()));
  ASSERT_TRUE(group.Start(After(kWatchdogNanos)).ok());
  EXPECT_EQ(group.Join(After(kWatchdogNanos)), absl::OkStatus());
}

TEST(ProcessGroup, KillsWhatStillRunsWhenItIsDestroyed) {
  Witness witness;
  {
    ProcessGroup group = Group(2);
    ASSERT_TRUE(group.Spawn("first", kAnyCpu, ArriveAndPause).ok());
    ASSERT_TRUE(group.Spawn("second", kAnyCpu, NeverArrive).ok());
  }
  EXPECT_TRUE(witness.AllGone());
}

TEST(ProcessGroup, DiesWithAParentThatIsKilled) {
  Witness witness;
  ProcessGroup group = Group(1);
  auto own_a_group = [](Gate& gate) -> absl::Status {
    absl::StatusOr<ProcessGroup> inner = ProcessGroup::Create(2);
    if (!inner.ok()) return inner.status();
    for (const char* role : {"first", "second"}) {
      const absl::StatusOr<int> grandchild = inner->Spawn(role, kAnyCpu, ArriveAndPause);
      if (!grandchild.ok()) return grandchild.status();
    }
    absl::Status started = inner->Start(After(kWatchdogNanos));
    if (!started.ok()) return started;
    return ArriveAndPause(gate);
  };
  ASSERT_TRUE(group.Spawn("middle", kAnyCpu, own_a_group).ok());
  const absl::Status started = group.Start(After(kWatchdogNanos));
  ASSERT_TRUE(started.ok()) << started;
  group.KillAndReap(0);
  EXPECT_TRUE(witness.AllGone()) << "a grandchild has outlived its parent";
}

TEST(ProcessGroup, RunsAChildOnItsCpu) {
  const int cpu = AllowedCpus().back();
  ProcessGroup group = Group(1);
  auto look = [cpu](Gate& gate) {
    gate.Arrive();
    return sched_getcpu() == cpu && AllowedCpus() == std::vector<int>{cpu} ? absl::OkStatus()
                                                                           : absl::InternalError("wrong CPU");
  };
  ASSERT_TRUE(group.Spawn("pinned", cpu, look).ok());
  ASSERT_TRUE(group.Start(After(kWatchdogNanos)).ok());
  EXPECT_EQ(group.Join(After(kWatchdogNanos)), absl::OkStatus());
}

TEST(ProcessGroup, DoesNotRunAChildWhoseCpuItMayNotUse) {
  ProcessGroup group = Group(1);
  ASSERT_TRUE(group.Spawn("misplaced", 100'000, ArriveAndEnd).ok());
  const absl::Status start = group.Start(After(kWatchdogNanos));
  EXPECT_THAT(start.message(), HasSubstr("misplaced: sched_setaffinity(CPU 100000): EINVAL"));
}

}  // namespace
}  // namespace ipcmark::os
