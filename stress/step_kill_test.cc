// SIGKILL at each instruction: what is right survives it, what is not is caught, and a breakpoint reaches the same
// instructions as a step by step walk would.

#include "stress/step_kill.h"

#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ipc/mmap_queue/mmap_queue.h"
#include "ipc/os/futex.h"
#include "ipc/os/mapping.h"
#include "ipc/shm_broadcast/shm_broadcast.h"
#include "ipc/sysv_shm/sysv_shm.h"
#include "stress/mutants/broken.h"
#include "stress/mutants/posix_policy.h"
#include "stress/mutants/sweep_mutants.h"
#include "stress/mutants/textbook.h"
#include "stress/stepper.h"
#include "stress/sweep_calls.h"

namespace ipcmark::stress {
namespace {

constexpr uint64_t kSeed = 20261127;

const SweptCall& CallByName(const std::vector<SweptCall>& calls, const std::string& name) {
  return *std::ranges::find(calls, name, &SweptCall::name);
}

SweepRequest RequestOf(const SweptCall& call) {
  return {.make_case = [&call](Notes* notes) { return call.make_case(notes, kSeed); }, .seed = kSeed};
}

absl::StatusOr<Sweep> SweepOne(const std::vector<SweptCall>& calls, const char* call, uint64_t samples) {
  SweepRequest request = RequestOf(CallByName(calls, call));
  request.samples = samples;
  return SweepCall(request);
}

template <Primitive P>
absl::StatusOr<Sweep> SweepOf(const char* call, uint64_t samples) {
  // Whatever it promises.
  std::vector<SweptCall> calls =
      P::kCapabilities.broadcasts ? BroadcastCalls(&MakeSubject<P>) : TransferCalls(&MakeSubject<P>);
  calls.push_back(CreateCall(&MakeSubject<P>));
  return SweepOne(calls, call, samples);
}

std::string FirstBroken(const Sweep& sweep) {
  if (sweep.broken.empty()) return "";
  const BrokenPoint& first = sweep.broken.front();
  printf("seed %d, killed %s: %s\n", static_cast<int>(kSeed), first.where.c_str(), first.seen.c_str());
  return first.seen;
}

#define SKIP_UNLESS_TRACEABLE() \
  if (const absl::Status may = MayStep(); !may.ok()) GTEST_SKIP() << may

TEST(StepKill, ReachesEveryInstructionOfACall) {
  SKIP_UNLESS_TRACEABLE();
  const absl::StatusOr<Sweep> sweep = SweepOf<mmap_queue::Channel>("receive", 0);
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  EXPECT_EQ(FirstBroken(*sweep), "");
  EXPECT_EQ(sweep->trials, sweep->points);
  EXPECT_EQ(sweep->next, sweep->end);
  // All but the one beyond the last: that victim has returned.
  EXPECT_EQ(sweep->reached, sweep->points - 1);
}

TEST(StepKill, TriesTheRangeThatItIsTold) {
  SKIP_UNLESS_TRACEABLE();
  const std::vector<SweptCall> calls = TransferCalls(&MakeSubject<sysv_shm::Channel>);
  SweepRequest request = RequestOf(CallByName(calls, "send"));
  request.from = 10;
  request.to = 30;
  const absl::StatusOr<Sweep> sweep = SweepCall(request);
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  EXPECT_EQ(FirstBroken(*sweep), "");
  EXPECT_EQ(sweep->trials, 20);
  EXPECT_EQ(sweep->next, 30);
}

TEST(StepKill, CatchesALockThatDiesWithItsOwner) {
  SKIP_UNLESS_TRACEABLE();
  const absl::StatusOr<Sweep> sweep = SweepOf<Textbook<Mistake::kMutexNotRobust>>("send", 60);
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  EXPECT_THAT(FirstBroken(*sweep), testing::HasSubstr("a survivor still runs"));
}

TEST(StepKill, CatchesAMessageThatDiesWithItsSender) {
  SKIP_UNLESS_TRACEABLE();
  using Mutant = Broken<sysv_shm::Channel, Defect::kLosesOnClose>;
  const absl::StatusOr<Sweep> sweep = SweepOf<Mutant>("send", 200);
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  EXPECT_NE(FirstBroken(*sweep), "");
}

TEST(StepKill, CatchesASleeperThatNobodyWakes) {
  SKIP_UNLESS_TRACEABLE();
  const absl::StatusOr<Sweep> sweep = SweepOf<Textbook<Mistake::kNeverSignals>>("send_to_sleeper", 10);
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  EXPECT_THAT(FirstBroken(*sweep), testing::HasSubstr("a bystander still runs"));
}

// A reader of the promise that all others come back in time must not be content with their coming back at all.
TEST(StepKill, CatchesASleeperThatOnlyTheNextMessageWakes) {
  SKIP_UNLESS_TRACEABLE();
  for (const auto sweep_of : {&SweepOf<WakesLast<mmap_queue::Channel>>, &SweepOf<WakesLast<shm_broadcast::Channel>>}) {
    const absl::StatusOr<Sweep> sweep = sweep_of("send_to_sleeper", 400);
    ASSERT_TRUE(sweep.ok()) << sweep.status();
    EXPECT_EQ(FirstBroken(*sweep), "the receiver that slept could go on and did not within 100 ms");
  }
}

TEST(StepKill, CatchesANameThatTheNextOneNeeds) {
  SKIP_UNLESS_TRACEABLE();
  const absl::StatusOr<Sweep> sweep = SweepOf<FixedName<sysv_shm::Channel>>("create", 40);
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  EXPECT_THAT(FirstBroken(*sweep), testing::HasSubstr("EEXIST"));
  const std::string path = "/dev/shm/fixed_name." + std::to_string(getsid(0));
  unlink(path.c_str());
}

// glibc 2.36: who waits on a process-shared condition variable and is killed keeps a reference to it for ever.
TEST(StepKill, CatchesAConditionVariableWhoseWaiterWasKilled) {
  SKIP_UNLESS_TRACEABLE();
  const absl::StatusOr<Sweep> sweep = SweepOf<PosixPolicy>("timed_receive", 60);
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  EXPECT_THAT(FirstBroken(*sweep), testing::HasSubstr("a survivor still runs"));
}

TEST(StepKill, CatchesANamedQueueThatDiesWithItsSender) {
  SKIP_UNLESS_TRACEABLE();
  const absl::StatusOr<Sweep> sweep = SweepOne(QueueCalls(mmap_queue::Policy::kPosix), "notify_send", 60);
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  EXPECT_THAT(FirstBroken(*sweep), testing::HasSubstr("still runs"));
}

TEST(StepKill, CatchesAThreadThatIsNeverTold) {
  SKIP_UNLESS_TRACEABLE();
  const absl::StatusOr<Sweep> sweep = SweepOne(QueueCalls(mmap_queue::Policy::kPosix), "notify_thread_send", 60);
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  EXPECT_THAT(FirstBroken(*sweep), testing::HasSubstr("still runs"));
}

// What the threads of a victim have done, in memory that it shares.
struct ThreadsDone {
  std::atomic<uint32_t> before;  // by a thread that there was before the call: counts on and on
  std::atomic<uint32_t> during;  // by one that the call has made
};

// Runs `body` in a thread until the process ends.
template <typename Body>
void InAThread(Body body) {
  std::thread(body).detach();
}

TEST(Victim, LeadsTheThreadThatCallsAndStopsTheOthers) {
  SKIP_UNLESS_TRACEABLE();
  const absl::StatusOr<os::Mapping> memory = os::Mapping::SharedAnonymous(sizeof(ThreadsDone));
  ASSERT_TRUE(memory.ok()) << memory.status();
  ThreadsDone& done = *new (memory->address()) ThreadsDone{};
  const auto prepare = [&] {
    InAThread([&done] {
      for (;;) done.before.fetch_add(1);
    });
    while (done.before == 0) sched_yield();
  };
  const auto call = [&] { InAThread([&done] { done.during = 1; }); };
  Victim recorded(prepare, call);
  ASSERT_TRUE(recorded.ready());
  const uint32_t before = done.before;
  const Steps steps = recorded.Record();
  EXPECT_TRUE(recorded.finished());
  EXPECT_NE(std::ranges::find(steps.system_calls, int64_t{SYS_clone3}, &SystemCall::number), steps.system_calls.end());
  EXPECT_EQ(done.before, before);
  EXPECT_EQ(done.during, 0);
  recorded.Kill();
  // Beyond the making of the thread, by breakpoints.
  Victim repeated(prepare, call);
  ASSERT_TRUE(repeated.ready());
  repeated.RunTo(steps, steps.addresses.size());
  EXPECT_TRUE(repeated.finished());
  EXPECT_EQ(done.during, 0);
  repeated.Kill();
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a process or a thread of one is left";
  EXPECT_EQ(errno, ECHILD);
}

TEST(Victim, LeadsAThreadThatTheCallHasWoken) {
  SKIP_UNLESS_TRACEABLE();
  const absl::StatusOr<os::Mapping> memory = os::Mapping::SharedAnonymous(sizeof(ThreadsDone));
  ASSERT_TRUE(memory.ok()) << memory.status();
  ThreadsDone& done = *new (memory->address()) ThreadsDone{};
  Victim victim(
      [&] {
        InAThread([&done] {
          os::WaitOnFutex(done.before, 0, Deadline::Never());
          done.during = 1;
          Victim::EndOfThread();
        });
      },
      [&] {
        done.before = 1;
        os::WakeAllOnFutex(done.before);
      },
      Victim::Led::kItsThread);
  ASSERT_TRUE(victim.ready());
  EXPECT_EQ(done.before, 1);
  EXPECT_EQ(done.during, 0);
  victim.Record();
  EXPECT_TRUE(victim.finished());
  EXPECT_EQ(done.during, 1);
}

TEST(StepKill, NamesTheBoundariesOfSystemCalls) {
  SKIP_UNLESS_TRACEABLE();
  const std::vector<SweptCall> calls = TransferCalls(&MakeSubject<mmap_queue::Channel>);
  SweepRequest request = RequestOf(CallByName(calls, "send_to_sleeper"));
  request.only_system_calls = true;
  const absl::StatusOr<Sweep> sweep = SweepCall(request);
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  EXPECT_EQ(FirstBroken(*sweep), "");
  EXPECT_NE(std::ranges::find(sweep->system_calls, "futex", &Sweep::NamedCall::name), sweep->system_calls.end());
  // Before, behind and inside each, where one does not come right behind another.
  EXPECT_GT(sweep->trials, 2 * sweep->system_calls.size());
  EXPECT_LE(sweep->trials, 3 * sweep->system_calls.size());
}

}  // namespace
}  // namespace ipcmark::stress
