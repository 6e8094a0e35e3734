// The heavy fence against the light one: of two processes that each store and then look, one at least sees the other.

#include "ipc/os/fence.h"

#include <sched.h>

#include "gtest/gtest.h"
#include "ipc/os/clock.h"
#include "ipc/os/cpu.h"
#include "ipc/os/mapping.h"
#include "ipc/os/process_group.h"

namespace ipcmark::os {
namespace {

struct Words {
  alignas(kCacheLineBytes) std::atomic<uint64_t> light;
  alignas(kCacheLineBytes) std::atomic<uint64_t> heavy;
  alignas(kCacheLineBytes) std::atomic<uint64_t> round;
  alignas(kCacheLineBytes) std::atomic<uint64_t> answered;
  uint64_t light_saw;
  uint64_t both_blind;
};

constexpr uint64_t kRounds = 2'000;

absl::Status RunLight(Words& words, Gate& gate) {
  if (!RegisterForHeavyFences()) return absl::UnavailableError("membarrier(2)");
  gate.Arrive();
  for (uint64_t n = 1; n <= kRounds; ++n) {
    while (words.round.load(std::memory_order_acquire) != n) sched_yield();
    words.light.store(n, std::memory_order_relaxed);
    LightFence();
    words.light_saw = words.heavy.load(std::memory_order_relaxed);
    words.answered.store(n, std::memory_order_release);
  }
  return absl::OkStatus();
}

absl::Status RunHeavy(Words& words, Gate& gate) {
  if (!RegisterForHeavyFences()) return absl::UnavailableError("membarrier(2)");
  gate.Arrive();
  for (uint64_t n = 1; n <= kRounds; ++n) {
    words.round.store(n, std::memory_order_release);
    words.heavy.store(n, std::memory_order_relaxed);
    HeavyFence();
    const uint64_t saw = words.light.load(std::memory_order_relaxed);
    while (words.answered.load(std::memory_order_acquire) != n) sched_yield();
    if (saw != n && words.light_saw != n) ++words.both_blind;
  }
  return absl::OkStatus();
}

TEST(Fences, OneOfTwoSeesTheOther) {
  if (!RegisterForHeavyFences()) GTEST_SKIP() << "this kernel or sandbox has no membarrier(2)";
  absl::StatusOr<Mapping> mapping = Mapping::SharedAnonymous(sizeof(Words));
  ASSERT_TRUE(mapping.ok());
  auto& words = *new (mapping->address()) Words{};
  absl::StatusOr<ProcessGroup> group = ProcessGroup::Create(2);
  ASSERT_TRUE(group.ok());
  ASSERT_TRUE(group->Spawn("light", kAnyCpu, [&](Gate& gate) { return RunLight(words, gate); }).ok());
  ASSERT_TRUE(group->Spawn("heavy", kAnyCpu, [&](Gate& gate) { return RunHeavy(words, gate); }).ok());
  ASSERT_TRUE(group->Start(After(60'000'000'000)).ok());
  const absl::Status end = group->Join(After(60'000'000'000));
  ASSERT_TRUE(end.ok()) << end;
  EXPECT_EQ(words.both_blind, 0U);
}

TEST(Fences, LeaveErrnoAlone) {
  errno = 7;
  RegisterForHeavyFences();
  HeavyFence();
  EXPECT_EQ(errno, 7);
}

}  // namespace
}  // namespace ipcmark::os
