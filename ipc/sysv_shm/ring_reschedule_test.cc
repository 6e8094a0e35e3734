// A sender and a receiver as threads, so that ThreadSanitizer sees them, on a ring whose every access to a shared word
// may be followed by many of the other end's: each gives up the CPU at random, by seed. Every message must come exactly
// once, whole and in order, on the way across the wrap-around of the ring's 32-bit numbers, also while both ends close
// and open again with a loan or a view in their hands.

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <thread>

#include "ipc/conformance/support.h"
#include "ipc/sysv_shm/ring_test_support.h"

namespace ipcmark::sysv_shm {
namespace {

using conformance::IsMessageOf;
using conformance::LengthOf;
using os::InstrumentedAccess;

constexpr uint64_t kCount = 200;
constexpr uint64_t kFirst = (uint64_t{1} << 32) - kCount / 2;
constexpr uint64_t kSeeds = 4;

struct Trial {
  Wait wait;
  uint32_t depth;
  bool reopen;
  uint64_t seed;
};

// The other end may be closed for a moment: that is no failure here.
bool MayRetry(const Trial& trial, const IoResult& result) {
  return result.ok() || (trial.reopen && result.outcome == Outcome::kClosed);
}

IoResult SendByLoan(TestSender& sender, std::span<const std::byte> message) {
  const LoanResult loan = sender.Loan(os::After(kWatchdogNanos));
  if (!loan.result.ok()) return loan.result;
  std::copy(message.begin(), message.end(), loan.room.begin());
  return sender.Publish(message.size());
}

void SendAll(TestRing& ring, const Trial& trial) {
  InstrumentedAccess::Reschedule(2 * trial.seed);
  std::optional<TestSender> sender(ring.OpenSender());
  for (uint64_t n = 0; n < kCount;) {
    if (trial.reopen && n % 7 == 3) {
      const LoanResult loan = sender->Loan(Deadline::Immediate());
      std::fill(loan.room.begin(), loan.room.end(), std::byte{0xee});
      sender.reset();
      sender.emplace(ring.OpenSender());
    }
    const auto message = conformance::MessageOf(trial.seed, n, LengthOf(n, kTestBytes));
    const IoResult sent = n % 2 == 0 ? sender->Send(message, os::After(kWatchdogNanos)) : SendByLoan(*sender, message);
    ASSERT_TRUE(MayRetry(trial, sent)) << testing::PrintToString(sent);
    if (sent.ok()) ++n;
  }
}

void ReceiveAll(TestRing& ring, const Trial& trial) {
  InstrumentedAccess::Reschedule(2 * trial.seed + 1);
  std::optional<TestReceiver> receiver(ring.OpenReceiver());
  std::byte buffer[kTestBytes];
  for (uint64_t n = 0; n < kCount;) {
    if (trial.reopen && n % 5 == 2) {
      (void)receiver->View(Deadline::Immediate());
      receiver.reset();
      receiver.emplace(ring.OpenReceiver());
    }
    const bool by_view = n % 3 == 0;
    ViewResult got = {buffer, {}};
    if (by_view) {
      got = receiver->View(os::After(kWatchdogNanos));
    } else {
      got.result = receiver->Receive(buffer, os::After(kWatchdogNanos));
    }
    ASSERT_TRUE(MayRetry(trial, got.result)) << "message " << n << ": " << testing::PrintToString(got.result);
    if (!got.result.ok()) continue;
    ASSERT_EQ(got.result.bytes, LengthOf(n, kTestBytes)) << "message " << n;
    ASSERT_TRUE(IsMessageOf(got.message.first(got.result.bytes), trial.seed, n)) << "message " << n;
    if (by_view) receiver->Release();
    ++n;
  }
}

void RunTrial(const Trial& trial) {
  TestRing ring(trial.depth, trial.wait, kFirst);
  std::thread sender([&] { SendAll(ring, trial); });
  std::thread receiver([&] { ReceiveAll(ring, trial); });
  sender.join();
  receiver.join();
  EXPECT_EQ(ring.header().head.load(), kFirst + kCount);
}

class ShmRingReschedule : public testing::TestWithParam<Wait> {
 protected:
  static void RunSeeds(uint32_t depth, bool reopen) {
    for (uint64_t i = 0; i < kSeeds && !HasFailure(); ++i) {
      const uint64_t seed = conformance::Seed() + i;
      SCOPED_TRACE(testing::Message() << "seed " << seed);
      RunTrial({GetParam(), depth, reopen, seed});
    }
  }
};

TEST_P(ShmRingReschedule, OneSlot) { RunSeeds(1, false); }
TEST_P(ShmRingReschedule, ThreeSlots) { RunSeeds(3, false); }
TEST_P(ShmRingReschedule, OneSlotWhileEndsReopen) { RunSeeds(1, true); }
TEST_P(ShmRingReschedule, ThreeSlotsWhileEndsReopen) { RunSeeds(3, true); }

INSTANTIATE_TEST_SUITE_P(Waits, ShmRingReschedule, testing::ValuesIn(kAllWaits),
                         [](const auto& info) { return WaitName(info.param); });

}  // namespace
}  // namespace ipcmark::sysv_shm
