// SIGKILL at each instruction: what is right survives it, what is not is caught, and a breakpoint reaches the same
// instructions as a step by step walk would.

#include "stress/step_kill.h"

#include <algorithm>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ipc/mmap_queue/mmap_queue.h"
#include "ipc/sysv_shm/sysv_shm.h"
#include "stress/mutants/broken.h"
#include "stress/mutants/textbook.h"
#include "stress/stepper.h"

namespace ipcmark::stress {
namespace {

constexpr uint64_t kSeed = 20261127;

const SweptCall& CallByName(const std::string& name) {
  return *std::ranges::find_if(SweptCalls(), [&](const SweptCall& call) { return call.name == name; });
}

template <Primitive P>
absl::StatusOr<Sweep> SweepOf(const char* call, uint64_t samples) {
  return SweepCall({.make_subject = &MakeSubject<P>, .call = &CallByName(call), .seed = kSeed, .samples = samples});
}

#define SKIP_UNLESS_TRACEABLE() \
  if (const absl::Status may = MayStep(); !may.ok()) GTEST_SKIP() << may

TEST(StepKill, ReachesEveryInstructionOfACall) {
  SKIP_UNLESS_TRACEABLE();
  const absl::StatusOr<Sweep> sweep = SweepOf<mmap_queue::Channel>("receive", 0);
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  EXPECT_EQ(sweep->broken, "") << "killed before instruction " << sweep->broken_point << ", seed " << kSeed;
  EXPECT_EQ(sweep->trials, sweep->points);
  EXPECT_EQ(sweep->next, sweep->points);
  // All but the one beyond the last: that victim has returned.
  EXPECT_EQ(sweep->reached, sweep->points - 1);
}

TEST(StepKill, TriesTheRangeThatItIsTold) {
  SKIP_UNLESS_TRACEABLE();
  const absl::StatusOr<Sweep> sweep = SweepCall({.make_subject = &MakeSubject<sysv_shm::Channel>,
                                                 .call = &CallByName("send"),
                                                 .seed = kSeed,
                                                 .from = 10,
                                                 .to = 30});
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  EXPECT_EQ(sweep->broken, "");
  EXPECT_EQ(sweep->trials, 20);
  EXPECT_EQ(sweep->next, 30);
}

TEST(StepKill, CatchesALockThatDiesWithItsOwner) {
  SKIP_UNLESS_TRACEABLE();
  const absl::StatusOr<Sweep> sweep = SweepOf<Textbook<Mistake::kMutexNotRobust>>("send", 60);
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  EXPECT_THAT(sweep->broken, testing::HasSubstr("a survivor still runs"));
  printf("seed %d, instruction %d: %s\n", static_cast<int>(kSeed), static_cast<int>(sweep->broken_point),
         sweep->broken.c_str());
}

TEST(StepKill, CatchesAMessageThatDiesWithItsSender) {
  SKIP_UNLESS_TRACEABLE();
  using Mutant = Broken<sysv_shm::Channel, Defect::kLosesOnClose>;
  const absl::StatusOr<Sweep> sweep = SweepOf<Mutant>("send", 200);
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  EXPECT_NE(sweep->broken, "");
  printf("seed %d, instruction %d: %s\n", static_cast<int>(kSeed), static_cast<int>(sweep->broken_point),
         sweep->broken.c_str());
}

TEST(StepKill, CatchesASleeperThatNobodyWakes) {
  SKIP_UNLESS_TRACEABLE();
  const absl::StatusOr<Sweep> sweep = SweepOf<Textbook<Mistake::kNeverSignals>>("send_to_sleeper", 10);
  ASSERT_TRUE(sweep.ok()) << sweep.status();
  EXPECT_THAT(sweep->broken, testing::HasSubstr("the receiver that slept still runs"));
}

}  // namespace
}  // namespace ipcmark::stress
