// Shrinking: it ends at a smallest case, keeps to its time, and is not misled by a failure that comes by chance.

#include "stress/minimize.h"

#include <algorithm>
#include <bit>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ipc/mmap_queue/mmap_queue.h"
#include "ipc/os/clock.h"
#include "stress/mutants/broken.h"
#include "stress/runner.h"
#include "stress/traffic.h"

namespace ipcmark::stress {
namespace {

constexpr int64_t kLongNanos = 60'000'000'000;

TrialRequest Request() {
  return {.geometry = {.depth_messages = 64, .max_message_bytes = 65536, .senders = 3, .receivers = 3},
          .fault = AllFaults()[0],
          .seed = 1};
}

Failure FailsWith(const TrialRequest& request) {
  return {.text = "expected this, seen that",
          .step = 1,
          .operation = "Send",
          .messages = std::min<uint64_t>(request.smaller.messages, 3000),
          .strikes = static_cast<uint64_t>(std::popcount(request.smaller.strikes & 0xff))};
}

const Failure kFirst = {
    .text = "expected this, seen that", .step = 6000, .operation = "Send", .messages = 3000, .strikes = 8};

Smallest MinimizeBy(const std::function<bool(const TrialRequest&)>& fails, int64_t nanos = kLongNanos) {
  return Minimize(Request(), kFirst, os::MonotonicNanos() + nanos,
                  [&](const TrialRequest& request) { return fails(request) ? FailsWith(request) : Failure{}; });
}

TEST(Minimize, EndsWithWhatTheFailureNeedsAndNothingElse) {
  const Smallest smallest = MinimizeBy([](const TrialRequest& request) {
    return request.geometry.senders >= 2 && request.geometry.depth_messages >= 5 &&
           request.geometry.max_message_bytes >= 100 && request.smaller.messages >= 77 &&
           (request.smaller.strikes & 0b100100) == 0b100100;
  });
  EXPECT_EQ(smallest.geometry.senders, 2U);
  EXPECT_EQ(smallest.geometry.receivers, 1U);
  EXPECT_EQ(smallest.geometry.depth_messages, 5U);
  EXPECT_EQ(smallest.geometry.max_message_bytes, 100U);
  EXPECT_EQ(smallest.smaller.messages, 77U);
  EXPECT_EQ(smallest.smaller.strikes, 0b100100U);
  EXPECT_EQ(smallest.failed, kConfirmTries);
  EXPECT_EQ(smallest.confirmed, kConfirmTries);
}

TEST(Minimize, KeepsAllOfWhatFailsOnlyAsItIs) {
  const Smallest smallest =
      MinimizeBy([](const TrialRequest& request) { return request.smaller == Smaller{.messages = 3000}; });
  EXPECT_EQ(smallest.geometry.max_message_bytes, 65536U);
  EXPECT_EQ(smallest.smaller, Smaller{.messages = 3000});
}

TEST(Minimize, TriesAFailureByChanceMoreThanOnce) {
  int trial = 0;
  const Smallest smallest = MinimizeBy([&](const TrialRequest&) { return trial++ % kMinimizeTries == 1; });
  EXPECT_EQ(smallest.geometry.senders, 1U);
  EXPECT_LT(smallest.failed, smallest.confirmed);
}

TEST(Minimize, StopsWhenItsTimeIsUp) {
  int trials = 0;
  const Smallest smallest = MinimizeBy([&](const TrialRequest&) { return ++trials > 0; }, -1);
  EXPECT_EQ(trials, 0);
  EXPECT_EQ(smallest.failure.text, kFirst.text);
}

// A lock that dies with a killed sender: one kill, one message and who waits for it.
TEST(Minimize, ShrinksAMutantThatHangsAfterAKill) {
  const PrimitiveEntry mutant = MakeEntry<Broken<mmap_queue::Channel, Defect::kDiesWithLock>>("broken");
  TrialRequest request = Request();
  request.geometry = {.depth_messages = 4, .max_message_bytes = 256, .senders = 3, .receivers = 1};
  request.fault = *std::ranges::find(AllFaults(), std::string("sigkill"), &Fault::name);
  request.liveness_nanos = kMinimizeLivenessNanos;
  const auto run = [&](const TrialRequest& smaller) -> Failure {
    const absl::StatusOr<Record> record = mutant.run(smaller);
    if (!record.ok()) return {};
    const std::vector<Breach> breaches = FindBreaches(*record, NameList("liveness"));
    return breaches.empty() ? Failure{} : FailureOf(*record, breaches[0].text);
  };
  Failure first;
  for (request.seed = 1; request.seed < 20; ++request.seed) {
    first = run(request);
    if (!first.text.empty() && first.strikes > 2) break;
  }
  printf("seed %d\n", static_cast<int>(request.seed));
  ASSERT_NE(first.text, "");
  const Smallest smallest = Minimize(request, first, os::MonotonicNanos() + 15'000'000'000, run);
  EXPECT_LT(smallest.failure.strikes, first.strikes);
  EXPECT_LT(smallest.geometry.max_message_bytes + smallest.geometry.depth_messages, 256U);
  EXPECT_THAT(smallest.failure.operation, testing::HasSubstr(" is inside "));
}

}  // namespace
}  // namespace ipcmark::stress
