// A call held at each of its instructions while another one acts: what is right passes, and what is wrong only between
// two instructions is found.

#include <algorithm>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ipc/mmap_queue/mmap_queue.h"
#include "ipc/shm_broadcast/shm_broadcast.h"
#include "ipc/shm_mpmc/shm_mpmc.h"
#include "ipc/sysv_shm/sysv_shm.h"
#include "stress/mutants/posix_policy.h"
#include "stress/mutants/textbook.h"
#include "stress/step_kill.h"
#include "stress/stepper.h"
#include "stress/sweep_calls.h"

namespace ipcmark::stress {
namespace {

constexpr uint64_t kSeed = 20261128;
constexpr uint64_t kEveryPoint = 0;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// A call has many times as many instructions there.
constexpr uint64_t kSampled = 20;
constexpr uint64_t kOfDeep = 100;
#else
constexpr uint64_t kSampled = 150;
constexpr uint64_t kOfDeep = kEveryPoint;
#endif

template <Primitive P>
absl::StatusOr<Sweep> SweepOf(const std::string& name, uint64_t samples) {
  const std::vector<SweptCall> calls = HeldCalls(P::kCapabilities, &MakeSubject<P>);
  const auto call = std::ranges::find(calls, name, &SweptCall::name);
  if (call == calls.end()) return absl::NotFoundError(name);
  return SweepCall(
      {.make_case = [&](Notes* notes) { return call->make_case(notes, kSeed); }, .seed = kSeed, .samples = samples});
}

std::string FirstBroken(const Sweep& sweep) {
  if (sweep.broken.empty()) return "";
  const BrokenPoint& first = sweep.broken.front();
  printf("seed %d, held %s: %s\n", static_cast<int>(kSeed), first.where.c_str(), first.seen.c_str());
  return first.seen;
}

template <Primitive P>
void ExpectHolds(const char* call, uint64_t samples) {
  const absl::StatusOr<Sweep> sweep = SweepOf<P>(call, samples);
  ASSERT_TRUE(sweep.ok()) << call << ": " << sweep.status();
  EXPECT_EQ(FirstBroken(*sweep), "") << call;
  EXPECT_GT(sweep->reached, sweep->trials / 2) << call;
  EXPECT_EQ(sweep->held, sweep->trials) << call;
}

#define SKIP_UNLESS_TRACEABLE() \
  if (const absl::Status may = MayStep(); !may.ok()) GTEST_SKIP() << may

// Where the line of eight cells is handed back, a sender whose inbox was full put its next message into a cell that was
// then said to be empty, until 2026-11-28. Four instructions of these.
TEST(StepHold, AReceiverOfADeepQueueMayLoseItsCpuAnywhere) {
  SKIP_UNLESS_TRACEABLE();
  ExpectHolds<mmap_queue::Channel>("held_receive_deep", kOfDeep);
}

TEST(StepHold, WhoIsAboutToSleepIsWoken) {
  SKIP_UNLESS_TRACEABLE();
  for (const char* call : {"held_timed_send", "held_timed_receive"}) {
    ExpectHolds<mmap_queue::Channel>(call, kSampled);
    ExpectHolds<sysv_shm::Channel>(call, kSampled);
    ExpectHolds<shm_mpmc::Channel>(call, kSampled);
    ExpectHolds<shm_broadcast::Channel>(call, kSampled);
  }
}

// It survives no kill, but whoever lives may interleave with it.
TEST(StepHold, ThePolicyPosixIsRight) {
  SKIP_UNLESS_TRACEABLE();
  for (const char* call : {"held_send", "held_receive", "held_timed_send", "held_timed_receive", "held_send_to_waiter",
                           "held_receive_for_waiter", "held_send_among", "held_receive_among"}) {
    ExpectHolds<PosixPolicy>(call, kSampled);
  }
}

TEST(StepHold, CatchesAMessageThatIsCountedBeforeItIsThere) {
  SKIP_UNLESS_TRACEABLE();
  const absl::StatusOr<Sweep> sweep = SweepOf<Textbook<Mistake::kCommitsFirst>>("held_send", kEveryPoint);
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  EXPECT_THAT(FirstBroken(*sweep), testing::HasSubstr("a torn message"));
}

TEST(StepHold, CatchesAWakeUpBetweenTheLookAndTheSleep) {
  SKIP_UNLESS_TRACEABLE();
  const absl::StatusOr<Sweep> sweep = SweepOf<Textbook<Mistake::kUnlocksToWait>>("held_timed_receive", kEveryPoint);
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  EXPECT_THAT(FirstBroken(*sweep), testing::HasSubstr("a Receive that says deadline"));
}

TEST(StepHold, CatchesAWaiterThatNobodyWakes) {
  SKIP_UNLESS_TRACEABLE();
  const absl::StatusOr<Sweep> sweep = SweepOf<Textbook<Mistake::kNeverSignals>>("held_send_to_waiter", kEveryPoint);
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  EXPECT_THAT(FirstBroken(*sweep), testing::HasSubstr("a Receive that says deadline"));
}

}  // namespace
}  // namespace ipcmark::stress
