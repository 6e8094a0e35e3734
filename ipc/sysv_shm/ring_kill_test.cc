// An end is killed before each access that it makes to the ring's shared words, one access further every time, until it
// lives through the whole operation; in rings that are empty, part full, full, fresh and about to wrap their 32-bit
// numbers around. Then survivors find what sysv_shm.h promises:
//
//   sender killed     the ring holds what was in it, plus the victim's message whole or not at all, and certainly when
//                     Send or Publish had returned
//   receiver killed   every message is in the ring, for its successor, or whole in the buffer of the killed one, and
//                     certainly there when Receive had returned; at most one is
//   either            the other end gets kPeerDead (kClosed if the victim had come that far) and never hangs; both ends
//                     can be opened anew, and the ring carries exactly `depth` messages as ever
//
// There is nothing random here.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "ipc/conformance/support.h"  // prints an IoResult
#include "ipc/os/mapping.h"
#include "ipc/os/process_group.h"
#include "ipc/sysv_shm/ring_test_support.h"

namespace ipcmark::sysv_shm {
namespace {

using os::InstrumentedAccess;

// Under these sanitizers every fork costs 20 ms: every other scene.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr uint64_t kVariants = 1;
#else
constexpr uint64_t kVariants = 2;
#endif
constexpr uint64_t kVictimsMessage = 1000;
constexpr uint64_t kSurvivorsMessages = 2000;
// An operation that is not through after so many accesses does not end.
constexpr uint64_t kMostAccesses = 200;

// What the victim has told the world before it died, in memory that outlives it.
struct Report {
  std::atomic<bool> returned;  // its Send or Publish, Receive or Release has returned, with ok
  Message buffer;              // what it received into
};

struct Operation {
  const char* name;
  bool sends;
  bool receives;
  bool closes;
  // Runs in the victim: calls InstrumentedAccess::KillBefore(k), operates once, and switches that off.
  std::function<void(TestRing&, uint64_t k, Report&)> run;
};

// Long enough to sleep once; at once where waiting is thousands of equal polls, each of which would be a death more.
Deadline Briefly(const TestRing& ring) {
  return ring.wait() == Wait::kBlock ? os::After(1'000'000) : Deadline::Immediate();
}

std::span<std::byte> BufferOf(Report& report) { return std::as_writable_bytes(std::span(report.buffer)); }

const std::vector<Operation>& SendersOperations() {
  static const std::vector<Operation> all = {
      {"Send", true, false, false,
       [](TestRing& ring, uint64_t k, Report& report) {
         auto sender = ring.OpenSender();
         InstrumentedAccess::KillBefore(k);
         const IoResult sent = SendNumber(sender, kVictimsMessage, Briefly(ring));
         InstrumentedAccess::Off();
         report.returned = sent.ok();
         _exit(0);
       }},
      {"Loan and Publish", true, false, false,
       [](TestRing& ring, uint64_t k, Report& report) {
         auto sender = ring.OpenSender();
         InstrumentedAccess::KillBefore(k);
         const LoanResult loan = sender.Loan(Briefly(ring));
         if (loan.result.ok()) {
           const Message message = MessageOf(kVictimsMessage);
           memcpy(loan.room.data(), &message, sizeof(message));
           report.returned = sender.Publish(sizeof(message)).ok();
         }
         InstrumentedAccess::Off();
         _exit(0);
       }},
      {"open, Loan, and close with it", false, false, true,
       [](TestRing& ring, uint64_t k, Report&) {
         InstrumentedAccess::KillBefore(k);
         {
           auto sender = ring.OpenSender();
           const LoanResult loan = sender.Loan(Deadline::Immediate());
           std::fill(loan.room.begin(), loan.room.end(), std::byte{0xee});
         }
         InstrumentedAccess::Off();
       }},
      {"open, Send and close", true, false, true,
       [](TestRing& ring, uint64_t k, Report& report) {
         InstrumentedAccess::KillBefore(k);
         {
           auto sender = ring.OpenSender();
           report.returned = SendNumber(sender, kVictimsMessage, Briefly(ring)).ok();
         }
         InstrumentedAccess::Off();
       }},
  };
  return all;
}

const std::vector<Operation>& ReceiversOperations() {
  static const std::vector<Operation> all = {
      {"Receive", false, true, false,
       [](TestRing& ring, uint64_t k, Report& report) {
         auto receiver = ring.OpenReceiver();
         InstrumentedAccess::KillBefore(k);
         const IoResult received = receiver.Receive(BufferOf(report), Briefly(ring));
         InstrumentedAccess::Off();
         report.returned = received.ok();
         _exit(0);
       }},
      {"View and Release", false, true, false,
       [](TestRing& ring, uint64_t k, Report& report) {
         auto receiver = ring.OpenReceiver();
         InstrumentedAccess::KillBefore(k);
         const ViewResult view = receiver.View(Briefly(ring));
         if (view.result.ok()) {
           memcpy(&report.buffer, view.message.data(), view.message.size());
           receiver.Release();
           report.returned = true;
         }
         InstrumentedAccess::Off();
         _exit(0);
       }},
      {"open, View, and close with it", false, false, true,
       [](TestRing& ring, uint64_t k, Report&) {
         InstrumentedAccess::KillBefore(k);
         {
           auto receiver = ring.OpenReceiver();
           (void)receiver.View(Deadline::Immediate());
         }
         InstrumentedAccess::Off();
       }},
      {"open, Receive and close", false, true, true,
       [](TestRing& ring, uint64_t k, Report& report) {
         InstrumentedAccess::KillBefore(k);
         {
           auto receiver = ring.OpenReceiver();
           report.returned = receiver.Receive(BufferOf(report), Briefly(ring)).ok();
         }
         InstrumentedAccess::Off();
       }},
  };
  return all;
}

struct Scene {
  Wait wait;
  uint32_t depth;
  uint64_t messages;  // in the ring: numbers 0, 1, ...
  uint64_t first;     // where the ring's own count starts
  bool fresh;         // the survivor opens after the death, so the victim has no peer
};

// Forks a victim. True when it lived through the operation.
bool RunVictim(const Operation& operation, TestRing& ring, uint64_t k, Report& report) {
  auto group = os::ProcessGroup::Create(1);
  EXPECT_TRUE(group.ok()) << group.status();
  const auto victim = [&](os::Gate&) {
    operation.run(ring, k, report);
    return absl::OkStatus();
  };
  EXPECT_TRUE(group->Spawn("victim", os::kAnyCpu, victim).ok());
  const absl::Status end = group->JoinOne(0, os::After(kWatchdogNanos));
  EXPECT_TRUE(end.ok() || absl::StrContains(end.message(), "SIGKILL")) << end;
  return end.ok();
}

void ExpectGone(const IoResult& result, const Operation& operation, bool completed) {
  const bool dead = result.outcome == Outcome::kPeerDead;
  const bool closed = result.outcome == Outcome::kClosed;
  EXPECT_TRUE(operation.closes && completed ? closed : dead || (operation.closes && closed))
      << testing::PrintToString(result);
}

// Takes everything, and then learns of the victim's end, as a poll and in a wait.
std::vector<uint64_t> TakeAll(TestReceiver& receiver, const Operation* last_words, bool completed) {
  std::vector<uint64_t> numbers;
  uint64_t number = 0;
  IoResult result = ReceiveNumber(receiver, &number);
  for (; result.ok(); result = ReceiveNumber(receiver, &number)) numbers.push_back(number);
  if (last_words == nullptr) {
    EXPECT_EQ(result.outcome, Outcome::kWouldBlock);
  } else {
    ExpectGone(result, *last_words, completed);
    ExpectGone(ReceiveNumber(receiver, &number, os::After(kPeerDeathNanos)), *last_words, completed);
  }
  return numbers;
}

std::vector<uint64_t> Fill(TestSender& sender, const Operation* last_words, bool completed) {
  std::vector<uint64_t> numbers;
  uint64_t number = kSurvivorsMessages;
  IoResult result = SendNumber(sender, number);
  for (; result.ok(); result = SendNumber(sender, ++number)) numbers.push_back(number);
  if (last_words == nullptr) {
    EXPECT_EQ(result.outcome, Outcome::kWouldBlock);
  } else {
    ExpectGone(result, *last_words, completed);
    ExpectGone(SendNumber(sender, number, os::After(kPeerDeathNanos)), *last_words, completed);
  }
  return numbers;
}

void ExpectALap(TestSender& sender, TestReceiver& receiver, uint32_t depth) {
  const std::vector<uint64_t> sent = Fill(sender, nullptr, false);
  EXPECT_EQ(sent.size(), depth);
  EXPECT_EQ(TakeAll(receiver, nullptr, false), sent);
}

// By new ends, then by newer ones.
void ExpectTheRingWorks(TestRing& ring, std::optional<TestSender>& sender, std::optional<TestReceiver>& receiver) {
  if (!sender.has_value()) sender.emplace(ring.OpenSender());
  if (!receiver.has_value()) receiver.emplace(ring.OpenReceiver());
  for (int lap = 0; lap < 2; ++lap) ExpectALap(*sender, *receiver, ring.depth());
  sender.reset();
  receiver.reset();
  sender.emplace(ring.OpenSender());
  receiver.emplace(ring.OpenReceiver());
  ExpectALap(*sender, *receiver, ring.depth());
}

std::vector<uint64_t> SetTheScene(const Scene& scene, TestRing& ring) {
  auto sender = ring.OpenSender();
  std::vector<uint64_t> numbers;
  for (uint64_t n = 0; n < scene.messages; ++n) {
    EXPECT_TRUE(SendNumber(sender, n).ok());
    numbers.push_back(n);
  }
  return numbers;
}

// So that wake-ups happen, with their accesses.
void PretendThatBothSleep(TestRing& ring) {
  ring.header().sender.sleep.store(kSomebodySleeps);
  ring.header().receiver.sleep.store(kSomebodySleeps);
}

// True when the victim was killed, false when it completed before access `k`.
bool KillSenderOnce(const Scene& scene, const Operation& operation, uint64_t k, Report& report) {
  TestRing ring(scene.depth, scene.wait, scene.first);
  std::vector<uint64_t> expected = SetTheScene(scene, ring);
  std::optional<TestSender> successor;
  std::optional<TestReceiver> survivor;
  if (!scene.fresh) survivor.emplace(ring.OpenReceiver());
  PretendThatBothSleep(ring);
  const bool completed = RunVictim(operation, ring, k, report);
  if (scene.fresh) survivor.emplace(ring.OpenReceiver());

  const std::vector<uint64_t> numbers = TakeAll(*survivor, &operation, completed);
  const bool arrived = numbers.size() > expected.size();
  if (arrived) expected.push_back(kVictimsMessage);
  EXPECT_EQ(numbers, expected);
  if (report.returned) {
    EXPECT_TRUE(arrived) << "an accepted message is gone";
  } else if (completed || !operation.sends) {
    EXPECT_FALSE(arrived) << "a message that was refused has arrived";
  }
  ExpectTheRingWorks(ring, successor, survivor);
  return !completed;
}

bool KillReceiverOnce(const Scene& scene, const Operation& operation, uint64_t k, Report& report) {
  TestRing ring(scene.depth, scene.wait, scene.first);
  std::vector<uint64_t> expected = SetTheScene(scene, ring);
  std::optional<TestSender> survivor;
  std::optional<TestReceiver> successor;
  if (!scene.fresh) survivor.emplace(ring.OpenSender());
  PretendThatBothSleep(ring);
  const bool completed = RunVictim(operation, ring, k, report);
  if (scene.fresh) survivor.emplace(ring.OpenSender());

  const std::vector<uint64_t> filled = Fill(*survivor, &operation, completed);
  successor.emplace(ring.OpenReceiver());
  const std::vector<uint64_t> numbers = TakeAll(*successor, nullptr, false);
  const bool taken = !expected.empty() && (numbers.empty() || numbers.front() != expected.front());
  if (taken) {
    EXPECT_EQ(NumberOf(BufferOf(report)), expected.front()) << "it is neither in the ring nor in the victim's buffer";
    expected.erase(expected.begin());
  }
  if (report.returned) {
    EXPECT_TRUE(taken) << "a received message came again";
  } else if (completed || !operation.receives) {
    EXPECT_FALSE(taken) << "a message that was not received is gone";
  }
  expected.insert(expected.end(), filled.begin(), filled.end());
  EXPECT_EQ(numbers, expected);
  EXPECT_EQ(numbers.size(), scene.depth);
  ExpectTheRingWorks(ring, survivor, successor);
  return !completed;
}

class ShmRingKill : public testing::TestWithParam<Wait> {
 protected:
  ShmRingKill() : memory_(*os::Mapping::SharedAnonymous(sizeof(Report))) {}

  template <typename KillOnce>
  void KillBeforeEveryAccess(const std::vector<Operation>& operations, const KillOnce& kill_once) {
    for (const Operation& operation : operations) {
      uint64_t most = 0;
      for (const auto& [depth, messages] : {std::pair{1U, 0U}, {1U, 1U}, {3U, 0U}, {3U, 2U}, {3U, 3U}}) {
        for (uint64_t i = 0; i < kVariants; ++i) {
          const uint64_t variant = depth + messages + i;
          const Scene scene = {.wait = GetParam(),
                               .depth = depth,
                               .messages = messages,
                               .first = variant % 2 == 0 ? 0 : (uint64_t{1} << 32) - 2,
                               .fresh = (variant / 2 + i) % 2 == 0};
          uint64_t k = 0;
          for (bool killed = true; killed; ++k) {
            SCOPED_TRACE(testing::Message() << operation.name << " in a ring of " << depth << " with " << messages
                                            << " messages from number " << scene.first << (scene.fresh ? ", fresh" : "")
                                            << ", killed before access " << k);
            ASSERT_LT(k, kMostAccesses) << "it does not end";
            killed = kill_once(scene, operation, k, *new (memory_.address()) Report{});
            ASSERT_FALSE(HasFailure());
          }
          most = std::max(most, k - 1);
        }
      }
      printf("%s: up to %lu accesses\n", operation.name, most);
      EXPECT_GT(most, 1U) << "it makes no accesses worth the name";
      fflush(stdout);  // or children print it again
    }
  }

  os::Mapping memory_;
};

TEST_P(ShmRingKill, ASenderMayDieBeforeAnyAccess) { KillBeforeEveryAccess(SendersOperations(), KillSenderOnce); }
TEST_P(ShmRingKill, AReceiverMayDieBeforeAnyAccess) { KillBeforeEveryAccess(ReceiversOperations(), KillReceiverOnce); }

INSTANTIATE_TEST_SUITE_P(Waits, ShmRingKill, testing::ValuesIn(kAllWaits),
                         [](const auto& info) { return WaitName(info.param); });

}  // namespace
}  // namespace ipcmark::sysv_shm
