#include "ipc/os/futex.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>

#include <cerrno>
#include <thread>
#include <vector>

#include "ipc/os/clock.h"
#include "ipc/os/process_group.h"

namespace ipcmark::os {
namespace {

constexpr int64_t kWatchdogNanos = 60 * kNanosPerSecond;

TEST(Futex, DoesNotSleepWhenTheWordHasChanged) {
  const std::atomic<uint32_t> word = 1;
  EXPECT_EQ(WaitOnFutex(word, 0, Deadline::Never()), FutexWait::kChanged);
}

TEST(Futex, KeepsDeadlinesAndTakesPastOnesForPassed) {
  const std::atomic<uint32_t> word = 0;
  const Deadline soon = After(1'000'000);
  EXPECT_EQ(WaitOnFutex(word, 0, soon), FutexWait::kDeadline);
  EXPECT_GE(MonotonicNanos(), soon.monotonic_nanos);
  // A time of another clock, converted, may lie before the machine's start.
  for (int64_t nanos : {int64_t{0}, int64_t{1}, int64_t{-1}, -kNanosPerSecond * 1'000'000}) {
    EXPECT_EQ(WaitOnFutex(word, 0, {nanos}), FutexWait::kDeadline) << nanos;
  }
}

TEST(Futex, WakesAsManyAsItIsTold) {
  constexpr int kWaiters = 3;
  const std::atomic<uint32_t> word = 0;
  EXPECT_EQ(WakeAllOnFutex(word), 0) << "nobody sleeps";
  std::vector<FutexWait> ends(kWaiters, FutexWait::kError);
  std::vector<std::thread> waiters;
  waiters.reserve(kWaiters);
  for (FutexWait& end : ends) waiters.emplace_back([&] { end = WaitOnFutex(word, 0, After(kWatchdogNanos)); });
  const Deadline watchdog = After(kWatchdogNanos);
  // Whoever is not asleep yet is not woken: try until all of them were.
  int woken = 0;
  while (woken < kWaiters && !HasPassed(watchdog)) {
    const int now = WakeFutex(word, 1);
    EXPECT_LE(now, 1);
    woken += now;
    sched_yield();
  }
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_EQ(ends, std::vector<FutexWait>(kWaiters, FutexWait::kWoken));
}

TEST(Futex, ShowsASignal) {
  absl::StatusOr<ProcessGroup> group = ProcessGroup::Create(1);
  ASSERT_TRUE(group.ok());
  auto wait = [](Gate& gate) {
    struct sigaction action = {};
    action.sa_handler = [](int) {};
    sigaction(SIGUSR1, &action, nullptr);
    gate.Arrive();
    const std::atomic<uint32_t> word = 0;
    return WaitOnFutex(word, 0, After(kWatchdogNanos)) == FutexWait::kInterrupted
               ? absl::OkStatus()
               : absl::InternalError("not interrupted");
  };
  ASSERT_TRUE(group->Spawn("waiter", kAnyCpu, wait).ok());
  ASSERT_TRUE(group->Start(After(kWatchdogNanos)).ok());
  // Nobody can see from outside when it sleeps: signal until one has found it asleep.
  const Deadline watchdog = After(kWatchdogNanos);
  absl::Status end = absl::DeadlineExceededError("");
  while (absl::IsDeadlineExceeded(end) && !HasPassed(watchdog)) {
    group->Signal(0, SIGUSR1);
    end = group->JoinOne(0, After(1'000'000));
  }
  EXPECT_EQ(end, absl::OkStatus());
}

TEST(Futex, ReportsAWordThatIsNotMapped) {
  absl::StatusOr<Mapping> mapping = Mapping::SharedAnonymous(4096);
  ASSERT_TRUE(mapping.ok());
  const auto& word = *static_cast<const std::atomic<uint32_t>*>(mapping->address());
  mapping->Reset();
  EXPECT_EQ(WaitOnFutex(word, 0, Deadline::Never()), FutexWait::kError);
  EXPECT_EQ(errno, EFAULT);
  EXPECT_EQ(WakeAllOnFutex(word), 0);
}

}  // namespace
}  // namespace ipcmark::os
