// What a trial is to do to the ends happens, whatever the machine does meanwhile.

#include "stress/driver.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "ipc/mmap_queue/mmap_queue.h"
#include "ipc/os/clock.h"
#include "ipc/sysv_shm/sysv_shm.h"
#include "stress/draw.h"
#include "stress/runner.h"
#include "stress/traffic.h"

namespace ipcmark::stress {
namespace {

constexpr uint64_t kSeeds = 30;

const Fault& FaultByName(const std::string& name) {
  return **std::ranges::find_if(AllFaults(), [&](const Fault* fault) { return fault->name == name; });
}

// Of a trial whose time is over before it begins: the first strike alone must happen. Another one does when its moment
// had come before anybody looked at the time.
template <Primitive P>
void ExpectTheFirstStrike(const char* fault, uint32_t ends) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const absl::StatusOr<Record> record =
        RunTrial<P>({.geometry = {.depth_messages = 4, .max_message_bytes = 64, .senders = ends, .receivers = ends},
                     .fault = &FaultByName(fault),
                     .seed = seed,
                     .traffic_nanos = 0});
    ASSERT_TRUE(record.ok()) << record.status();
    EXPECT_TRUE(record->complete) << record->stuck << record->unexpected;
    ASSERT_GE(record->strikes, 1);
    const size_t replaced = record->senders.size() + record->receivers.size() - size_t{2} * ends;
    EXPECT_GE(replaced, record->plan.strikes[0].victims.size());
    size_t victims = 0;
    for (int strike = 0; strike < static_cast<int>(record->strikes); ++strike) {
      victims += record->plan.strikes[strike].victims.size();
    }
    EXPECT_LE(replaced, victims);
  }
}

TEST(Driver, KillsEveryVictimOfTheFirstStrike) { ExpectTheFirstStrike<sysv_shm::Channel>("sigkill", 1); }
TEST(Driver, SendsAwayEveryVictimOfTheFirstStrike) { ExpectTheFirstStrike<sysv_shm::Channel>("attach_churn", 1); }
TEST(Driver, SendsAwayEveryVictimAmongMany) { ExpectTheFirstStrike<mmap_queue::Channel>("attach_churn", 3); }

// Thousands of them take seconds, which nobody wants to wait who has said how long.
TEST(Driver, GivesATrialUpWhoseEndsAreNotOpenInTime) {
  TrialRequest request = {.geometry = {.depth_messages = 4, .max_message_bytes = 64, .senders = 1, .receivers = 64},
                          .fault = &FaultByName("none"),
                          .seed = 1,
                          .end_nanos = os::MonotonicNanos() + 1};
  EXPECT_TRUE(absl::IsCancelled(RunTrial<mmap_queue::Channel>(request).status()));
  std::atomic<bool> cancel = true;
  request.end_nanos = std::numeric_limits<int64_t>::max();
  request.cancel = &cancel;
  EXPECT_TRUE(absl::IsCancelled(RunTrial<mmap_queue::Channel>(request).status()));
  cancel = false;
  EXPECT_TRUE(RunTrial<mmap_queue::Channel>(request).ok());
}

constexpr int64_t kBoundNanos = 300'000'000;

// By a process that is nobody's child any more, as another user of the machine would be. It ends by itself.
std::string StopFromOutside(const TrialPlan& /*plan*/, std::span<const pid_t> victims, uint64_t /*seed*/) {
  const pid_t between = _Fork();
  if (between == 0) {
    if (_Fork() == 0) {
      for (const pid_t victim : victims) kill(victim, SIGSTOP);
      Hold(3 * kBoundNanos);
      for (const pid_t victim : victims) kill(victim, SIGCONT);
    }
    _exit(0);
  }
  waitpid(between, nullptr, 0);
  return "";
}

std::vector<Strike> OneStop(const TrialPlan& plan, Random random) {
  return DrawStrikes(plan, random, 1, [&](Strike& strike, Random& draws) {
    strike.departure = Departure::kNone;
    strike.disturb = StopFromOutside;
    strike.victims = DrawVictims(plan, draws);
  });
}

// Also one that waits with a deadline meanwhile.
TEST(Driver, AnEndThatSomebodyElseStopsForLongerThanTheBoundIsNoBreach) {
  constexpr Fault kStopped = {"stopped", OneStop};
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const absl::StatusOr<Record> record = RunTrial<mmap_queue::Channel>(
        {.geometry = {.depth_messages = 4, .max_message_bytes = 64, .senders = 1, .receivers = 1},
         .fault = &kStopped,
         .seed = seed,
         .liveness_nanos = kBoundNanos});
    ASSERT_TRUE(record.ok()) << record.status();
    for (const Breach& breach : FindBreaches(*record)) ADD_FAILURE() << breach.invariant << ": " << breach.text;
    EXPECT_TRUE(record->complete);
    EXPECT_GT(record->worst_wait_nanos + record->worst_end_wait_nanos, kBoundNanos);
    EXPECT_GT(record->excused_nanos, kBoundNanos);
  }
}

}  // namespace
}  // namespace ipcmark::stress
