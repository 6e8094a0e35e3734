// What goes wrong in a slice is an error that says what, and never a number.

#include <sys/wait.h>

#include <ostream>

#include "bench/faulty_for_test.h"
#include "bench/round_trip.h"
#include "bench/throughput.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ipc/conformance/support.h"

namespace ipcmark::bench {
namespace {

using faulty::Fault;
using testing::HasSubstr;
using testing::MatchesRegex;

constexpr uint32_t kBytes = 128;
constexpr int64_t kPatienceNanos = 100'000'000;  // of the watchdog, where it is to bark

enum class Scenario : uint8_t { kRoundTrip, kThroughput };
void PrintTo(Scenario scenario, std::ostream* out) {
  *out << (scenario == Scenario::kRoundTrip ? "RoundTrip" : "Throughput");
}

SliceSpec Spec() {
  return {.geometry = {.depth_messages = 4, .max_message_bytes = kBytes, .wait = Wait::kBlock},
          .message_bytes = kBytes,
          .messages = 20};
}

class SliceFault : public testing::TestWithParam<Scenario> {
 protected:
  ~SliceFault() override {
    faulty::g_plan = {};
    EXPECT_EQ(conformance::Belongings(), before_);
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a child is left";
  }

  // Of a run with `fault` in the warm-up and of one with it among the timed messages.
  [[nodiscard]] static absl::Status Run(const SliceSpec& spec) {
    return GetParam() == Scenario::kRoundTrip ? RoundTrip<faulty::Channel>(spec).status()
                                              : Throughput<faulty::Channel>(spec).status();
  }
  // The numbers of a warm-up message, the first and the last timed one.
  [[nodiscard]] static std::vector<uint64_t> Places() {
    const uint64_t warmup = WarmupMessages(Spec());
    return {2, warmup, warmup + Spec().messages - 1};
  }

 private:
  const std::vector<std::string> before_ = conformance::Belongings();
};

TEST_P(SliceFault, ADeadSideIsNamedWithItsSignal) {
  for (const auto& [fault, side] : {std::pair(Fault::kSenderDies, "sender"), {Fault::kReceiverDies, "receiver"}}) {
    for (const uint64_t at : Places()) {
      faulty::g_plan = {.fault = fault, .at = at};
      const absl::Status status = Run(Spec());
      EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << at;
      EXPECT_THAT(std::string(status.message()),
                  MatchesRegex(std::string(side) + " \\(process [0-9]+\\) was killed by signal 9 \\(SIGKILL\\)"));
    }
  }
}

TEST_P(SliceFault, ADeadSideIsAnErrorAlsoWhereItsPeerNoticesFirst) {
  for (const Fault fault : {Fault::kSenderDies, Fault::kReceiverDies}) {
    faulty::g_plan = {.fault = fault, .at = Places()[1], .peers_notice_death = true};
    const absl::Status status = Run(Spec());
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
    EXPECT_THAT(std::string(status.message()),
                testing::AnyOf(HasSubstr("killed by signal 9"), HasSubstr("closed"), HasSubstr("peer-dead")));
  }
}

// A message that is not the one due, wherever it happens. (A last one that is lost is the watchdog's.)
TEST_P(SliceFault, AWrongMessageIsNoticedByItsReceiver) {
  for (const Fault fault : {Fault::kDuplicated, Fault::kTorn, Fault::kShort}) {
    for (const uint64_t at : {Places()[0], Places()[1]}) {
      faulty::g_plan = {.fault = fault, .at = at};
      const absl::Status status = Run(Spec());
      EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << static_cast<int>(fault) << " at " << at;
      EXPECT_THAT(std::string(status.message()), MatchesRegex("(sender|receiver): Receive of message [0-9]+: got "
                                                              "[0-9]+ bytes of another message, expected 128 of this"));
    }
  }
}

TEST_P(SliceFault, AFlippedBitInAnyWordIsNoticed) {
  for (size_t word = 0; word < kBytes / 8; ++word) {
    faulty::g_plan = {.fault = Fault::kFlippedWord, .at = Places()[2], .word = word};
    const absl::Status status = Run(Spec());
    EXPECT_THAT(std::string(status.message()), HasSubstr("128 bytes of another message")) << word;
  }
}

TEST_P(SliceFault, ALostMessageIsNoticed) {
  for (const uint64_t at : Places()) {
    // Throughput's next message is the wrong one; behind the last message there is none.
    const bool next_comes = GetParam() == Scenario::kThroughput && at != Places()[2] && at != Places()[0];
    SliceSpec spec = Spec();
    if (!next_comes) spec.watchdog_nanos = kPatienceNanos;
    faulty::g_plan = {.fault = Fault::kLost, .at = at};
    const absl::Status status = Run(spec);
    EXPECT_FALSE(status.ok()) << at;
    if (next_comes) {
      EXPECT_THAT(std::string(status.message()), HasSubstr("of another message"));
    }
  }
}

TEST_P(SliceFault, AFailedOperationIsNamed) {
  faulty::g_plan = {.fault = Fault::kSendFails, .at = Places()[1]};
  EXPECT_EQ(Run(Spec()).message(), "sender: Send of message 22: error (errno 5)");
}

TEST_P(SliceFault, AnEndThatHangsIsKilledAndNamedByTheWatchdog) {
  // A receiver waits for a sender that hangs; a sender may have sent all before it would notice.
  for (const auto& [fault, sides] :
       {std::pair(Fault::kSenderHangs, ": receiver, sender"), {Fault::kReceiverHangs, ": receiver"}}) {
    SliceSpec spec = Spec();
    spec.watchdog_nanos = kPatienceNanos;
    faulty::g_plan = {.fault = fault, .at = Places()[1]};
    const absl::Status status = Run(spec);
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_THAT(std::string(status.message()), HasSubstr(std::string("killed by the watchdog") + sides));
  }
}

TEST_P(SliceFault, AnEndThatHangsBeforeTheStartIsNamed) {
  SliceSpec spec = Spec();
  spec.watchdog_nanos = kPatienceNanos;
  faulty::g_plan = {.fault = Fault::kOpenSenderHangs};
  const absl::Status status = Run(spec);
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), testing::ContainsRegex("not ready in time and killed: .*sender"));
}

TEST_P(SliceFault, WhatCreateAndOpenSayIsWhatComesOut) {
  faulty::g_plan = {.fault = Fault::kCreateFails};
  EXPECT_EQ(Run(Spec()), absl::ResourceExhaustedError("create(): ENOSPC; make room"));
  faulty::g_plan = {.fault = Fault::kOpenSenderFails};
  EXPECT_THAT(std::string(Run(Spec()).message()),
              MatchesRegex("(sender|receiver): open\\(sender\\): EMFILE; close some"));
  faulty::g_plan = {.fault = Fault::kOpenReceiverFails};
  EXPECT_THAT(std::string(Run(Spec()).message()),
              MatchesRegex("(sender|receiver): open\\(receiver\\): EMFILE; close some"));
}

TEST_P(SliceFault, AnInterruptedOperationIsTriedAgain) {
  faulty::g_plan = {.fault = Fault::kInterrupts, .at = ~uint64_t{0}};
  EXPECT_TRUE(Run(Spec()).ok());
}

std::atomic<bool> cancel = false;

TEST_P(SliceFault, AFlagThatIsSetCancelsBeforeTheStart) {
  cancel = true;
  SliceSpec spec = Spec();
  spec.cancel = &cancel;
  EXPECT_EQ(Run(spec).code(), absl::StatusCode::kCancelled);
}

TEST_P(SliceFault, AFlagThatASignalHandlerSetsCancelsInTheMiddle) {
  cancel = false;
  signal(SIGUSR1, [](int) { cancel = true; });
  SliceSpec spec = Spec();
  spec.cancel = &cancel;
  faulty::g_plan = {.fault = Fault::kSenderCancels, .at = Places()[1]};
  EXPECT_EQ(Run(spec).code(), absl::StatusCode::kCancelled);
  signal(SIGUSR1, SIG_DFL);
}

INSTANTIATE_TEST_SUITE_P(, SliceFault, testing::Values(Scenario::kRoundTrip, Scenario::kThroughput),
                         testing::PrintToStringParamName());

TEST(ThroughputFault, SwappedMessagesAreNoticed) {
  faulty::g_plan = {.fault = Fault::kSwapped, .at = 22 + 3};
  const absl::StatusOr<SliceResult> result = Throughput<faulty::Channel>(Spec());
  faulty::g_plan = {};
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("receiver: Receive of message 25: got 128 bytes of"));
}

TEST(ThroughputFault, OnlyTheSideThatHangsIsNamed) {
  faulty::g_plan = {.fault = Fault::kHangsAtClose};
  SliceSpec spec = Spec();
  spec.watchdog_nanos = 10 * kPatienceNanos;  // the other side ends by itself, on a busy machine, too
  const absl::StatusOr<SliceResult> result = Throughput<faulty::Channel>(spec);
  faulty::g_plan = {};
  EXPECT_EQ(result.status().message(), "no end in time, killed by the watchdog: receiver");
}

}  // namespace
}  // namespace ipcmark::bench
