// The sleep word, apart from any ring: whoever sleeps on it beside what it waits for would do so for a whole look.

#include "ipc/sysv_shm/ring_wait.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

namespace ipcmark::sysv_shm {
namespace {

constexpr int64_t kWatchdogNanos = 60 * os::kNanosPerSecond;

// How long a receiver sleeps that was preempted between its look and its futex call, while the sender committed a
// message and a second receiver took it and waits for the next one on the same sleep word.
int64_t NanosAsleepBesideAMessage() {
  std::atomic<uint32_t> word = 0;
  bool message = false;
  int looks = 0;
  const auto ready = [&]() noexcept {
    if (++looks != 1) return message;
    message = true;
    WakeSleepers<Sleepers::kAll>(word);
    word.fetch_or(kSomebodySleeps, std::memory_order_seq_cst);
    return false;
  };
  const auto look = []() noexcept { return IoResult::Ok(0); };
  const int64_t before_nanos = os::MonotonicNanos();
  EXPECT_TRUE(AwaitSleeping<Sleepers::kAll>(Fences::kSymmetric, word, os::After(kWatchdogNanos), ready, look).ok());
  return os::MonotonicNanos() - before_nanos;
}

TEST(RingWait, ASleeperIsNotHiddenByOneThatCameLater) {
  int64_t best_nanos = kWatchdogNanos;
  for (int trial = 0; trial < 5; ++trial) best_nanos = std::min(best_nanos, NanosAsleepBesideAMessage());
  EXPECT_LT(best_nanos, kLookNanos);
}

// Of many who sleep one is woken, and it passes that on: its wake-up took down the mark of the others.
TEST(RingWait, OneOfManyThatIsReadyWakesTheNext) {
  std::atomic<uint32_t> word = 0;
  int looks = 0;
  const auto ready = [&]() noexcept {
    if (++looks == 1) WakeSleepers<Sleepers::kAnyOne>(word);
    return looks > 2;
  };
  const auto look = []() noexcept { return IoResult::Ok(0); };
  EXPECT_TRUE(AwaitSleeping<Sleepers::kAnyOne>(Fences::kSymmetric, word, os::After(kWatchdogNanos), ready, look).ok());
  // 0, marked, woken, marked again because others may sleep, and that mark used for the next one's wake-up.
  EXPECT_EQ(word.load(), 4U);
}

TEST(RingWait, AWakeUpThatNobodySleepsForLeavesTheWordAlone) {
  for (uint32_t epoch : {0U, 2U, UINT32_MAX - 1}) {
    std::atomic<uint32_t> word = epoch;
    WakeSleepers<Sleepers::kAll>(word);
    EXPECT_EQ(word.load(), epoch);
  }
}

TEST(RingWait, AnyWordMayBeSleptOnAndWokenAcrossTheWrapAroundOfItsEpoch) {
  for (uint32_t before : {0U, 1U, 2U, UINT32_MAX - 1, UINT32_MAX}) {
    std::atomic<uint32_t> word = before;
    bool woken = false;
    const auto ready = [&]() noexcept {
      if (!woken) WakeSleepers<Sleepers::kOne>(word);
      return std::exchange(woken, true);
    };
    const auto look = []() noexcept { return IoResult::Ok(0); };
    EXPECT_TRUE(AwaitSleeping<Sleepers::kOne>(Fences::kSymmetric, word, os::After(kWatchdogNanos), ready, look).ok())
        << before;
    EXPECT_FALSE(SomebodySleeps(word)) << before;
  }
}

}  // namespace
}  // namespace ipcmark::sysv_shm
