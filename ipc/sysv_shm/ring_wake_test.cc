// Nobody sleeps beside what it waits for, and nobody waits for the dead. A sleeper whose wake-up is lost finds that out
// by itself at its next look, kLookNanos later, so these tests are about time; they take the best of some trials: a
// slow machine may spoil one, only a defect spoils all of them.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "absl/functional/function_ref.h"
#include "ipc/conformance/support.h"  // prints an IoResult
#include "ipc/os/mapping.h"
#include "ipc/os/process_group.h"
#include "ipc/sysv_shm/ring_test_support.h"

namespace ipcmark::sysv_shm {
namespace {

using os::InstrumentedAccess;

// What the process at the other end tells the world, in memory that outlives it.
struct Report {
  std::atomic<int64_t> acts_nanos;  // CLOCK_MONOTONIC before it last did something
  std::atomic<uint64_t> begun;      // how often it did
  std::atomic<uint64_t> returned;   // how often it did so and it had returned
};

class ShmRingWake : public testing::TestWithParam<Wait> {
 protected:
  ShmRingWake() : memory_(*os::Mapping::SharedAnonymous(sizeof(Report))), report_(new (memory_.address()) Report{}) {}

  static std::unique_ptr<os::ProcessGroup> Spawn(absl::FunctionRef<void()> body) {
    auto group = std::make_unique<os::ProcessGroup>(*os::ProcessGroup::Create(1));
    const auto run = [&](os::Gate&) {
      body();
      return absl::OkStatus();
    };
    EXPECT_TRUE(group->Spawn("the other end", os::kAnyCpu, run).ok());
    return group;
  }
  void ActsNow() { report_->acts_nanos.store(os::MonotonicNanos()); }
  [[nodiscard]] int64_t NanosSinceItActed() const { return os::MonotonicNanos() - report_->acts_nanos.load(); }

  os::Mapping memory_;
  Report* report_;
};

// The least of up to `trials`, which end when one was good enough.
int64_t BestOf(int trials, int64_t enough_nanos, absl::FunctionRef<int64_t()> trial) {
  int64_t best_nanos = INT64_MAX;
  for (int i = 0; i < trials && best_nanos >= enough_nanos && !testing::Test::HasFailure(); ++i)
    best_nanos = std::min(best_nanos, trial());
  return best_nanos;
}

// Below this it was woken, and did not find out at its next look.
constexpr int64_t kWokenNanos = kLookNanos / 2;
constexpr int kTrials = 10;

TEST_P(ShmRingWake, AReceiverIsWokenByAMessageAndByTheSendersClose) {
  if (GetParam() == Wait::kSpin) GTEST_SKIP() << "it never sleeps";
  for (const bool closes : {false, true}) {
    const auto trial = [&] {
      TestRing ring(2, GetParam());
      auto receiver = ring.OpenReceiver();
      const auto group = Spawn([&] {
        std::optional<TestSender> sender(ring.OpenSender());
        AwaitSleeper(ring.header().receiver.sleep);
        ActsNow();
        closes ? sender.reset() : (void)SendNumber(*sender, 7);
        for (;;) pause();  // its own end would wake us, too
      });
      uint64_t number = 0;
      const IoResult result = ReceiveNumber(receiver, &number, os::After(kWatchdogNanos));
      EXPECT_EQ(result.outcome, closes ? Outcome::kClosed : Outcome::kOk);
      return NanosSinceItActed();
    };
    ASSERT_LT(BestOf(kTrials, kWokenNanos, trial), kWokenNanos) << (closes ? "close" : "message");
  }
}

TEST_P(ShmRingWake, ASenderIsWokenByRoomAndByTheReceiversClose) {
  if (GetParam() == Wait::kSpin) GTEST_SKIP() << "it never sleeps";
  for (const bool closes : {false, true}) {
    const auto trial = [&] {
      TestRing ring(1, GetParam());
      auto sender = ring.OpenSender();
      EXPECT_TRUE(SendNumber(sender, 0).ok());
      const auto group = Spawn([&] {
        std::optional<TestReceiver> receiver(ring.OpenReceiver());
        AwaitSleeper(ring.header().sender.sleep);
        ActsNow();
        uint64_t number = 0;
        closes ? receiver.reset() : (void)ReceiveNumber(*receiver, &number);
        for (;;) pause();
      });
      const IoResult result = SendNumber(sender, 1, os::After(kWatchdogNanos));
      EXPECT_EQ(result.outcome, closes ? Outcome::kClosed : Outcome::kOk);
      return NanosSinceItActed();
    };
    ASSERT_LT(BestOf(kTrials, kWokenNanos, trial), kWokenNanos) << (closes ? "close" : "room");
  }
}

// The other end does a whole operation before one access of a waiting one, whichever that is: before it raises its
// mark, between that and its second look, after its sleep. Of a close, which is no part of the handshake, the waiting
// one may learn at its next look.
constexpr uint64_t kAccessesOfAWait = 8;
constexpr int64_t NanosAllowed(bool closes) { return closes ? kPeerDeathNanos : kWokenNanos; }

TEST(ShmRingHandshake, AReceiverNeverSleepsBesideAMessage) {
  for (const bool closes : {false, true}) {
    for (uint64_t k = 0; k < kAccessesOfAWait; ++k) {
      SCOPED_TRACE(testing::Message() << (closes ? "close" : "message") << " before access " << k);
      const auto trial = [&] {
        TestRing ring(1, Wait::kBlock);
        std::optional<TestSender> sender(ring.OpenSender());
        auto receiver = ring.OpenReceiver();
        int64_t acted_nanos = 0;
        const auto act = [&] {
          acted_nanos = os::MonotonicNanos();
          closes ? sender.reset() : (void)SendNumber(*sender, 7);
        };
        InstrumentedAccess::CallBefore(k, act);
        uint64_t number = 0;
        const IoResult result = ReceiveNumber(receiver, &number, os::After(kWatchdogNanos));
        InstrumentedAccess::Off();
        EXPECT_EQ(result.outcome, closes ? Outcome::kClosed : Outcome::kOk);
        return os::MonotonicNanos() - acted_nanos;
      };
      ASSERT_LT(BestOf(kTrials, NanosAllowed(closes), trial), NanosAllowed(closes));
    }
  }
}

TEST(ShmRingHandshake, ASenderNeverSleepsBesideRoom) {
  for (const bool closes : {false, true}) {
    for (uint64_t k = 0; k < kAccessesOfAWait; ++k) {
      SCOPED_TRACE(testing::Message() << (closes ? "close" : "room") << " before access " << k);
      const auto trial = [&] {
        TestRing ring(1, Wait::kBlock);
        auto sender = ring.OpenSender();
        std::optional<TestReceiver> receiver(ring.OpenReceiver());
        EXPECT_TRUE(SendNumber(sender, 0).ok());
        int64_t acted_nanos = 0;
        const auto act = [&] {
          acted_nanos = os::MonotonicNanos();
          uint64_t number = 0;
          closes ? receiver.reset() : (void)ReceiveNumber(*receiver, &number);
        };
        InstrumentedAccess::CallBefore(k, act);
        const IoResult result = SendNumber(sender, 1, os::After(kWatchdogNanos));
        InstrumentedAccess::Off();
        EXPECT_EQ(result.outcome, closes ? Outcome::kClosed : Outcome::kOk);
        return os::MonotonicNanos() - acted_nanos;
      };
      ASSERT_LT(BestOf(kTrials, NanosAllowed(closes), trial), NanosAllowed(closes));
    }
  }
}

// The victims below act only while the survivor waits, three times and a close, and die before access k of all that.
class Victim {
 public:
  Victim(const TestRing& ring, const os::InstrumentedAtomic<uint32_t>& survivors_sleep, uint64_t k, Report* report)
      : ring_(ring), survivors_sleep_(survivors_sleep), accesses_left_(k), report_(report) {}

  void Act(absl::FunctionRef<void()> act) {
    if (ring_.wait() != Wait::kSpin) AwaitSleeper(survivors_sleep_);
    report_->acts_nanos.store(os::MonotonicNanos());
    report_->begun.fetch_add(1);
    InstrumentedAccess::KillBefore(accesses_left_);
    act();
    accesses_left_ -= InstrumentedAccess::accesses();
    InstrumentedAccess::Off();
    report_->returned.fetch_add(1);
  }

 private:
  const TestRing& ring_;
  const os::InstrumentedAtomic<uint32_t>& survivors_sleep_;
  uint64_t accesses_left_;
  Report* report_;
};

constexpr uint64_t kMostAccesses = 100;

// Repeats trial(k, &completed), which returns how long the survivor waited, until the victim lives through it all.
void KillBeforeEveryAccess(absl::FunctionRef<int64_t(uint64_t k, bool* completed)> trial) {
  bool completed = false;
  for (uint64_t k = 0; !completed; ++k) {
    SCOPED_TRACE(testing::Message() << "killed before access " << k);
    ASSERT_LT(k, kMostAccesses) << "it does not end";
    int64_t best_nanos = INT64_MAX;
    for (int i = 0; i < 5 && best_nanos >= kPeerDeathNanos; ++i)
      best_nanos = std::min(best_nanos, trial(k, &completed));
    ASSERT_LT(best_nanos, kPeerDeathNanos);
    ASSERT_FALSE(testing::Test::HasFailure());
    if (completed) {
      EXPECT_GT(k, 3U) << "it makes no accesses worth the name";
    }
  }
}

TEST_P(ShmRingWake, AWaitingReceiverLearnsOfEveryDeathOfItsSender) {
  KillBeforeEveryAccess([&](uint64_t k, bool* completed) {
    new (report_) Report{};
    TestRing ring(2, GetParam());
    auto receiver = ring.OpenReceiver();
    const auto group = Spawn([&] {
      std::optional<TestSender> sender(ring.OpenSender());
      Victim victim(ring, ring.header().receiver.sleep, k, report_);
      for (uint64_t n = 0; n < 3; ++n) {
        (void)sender->Loan(Deadline::Never());  // its own wait is not what counts here
        victim.Act([&] { (void)SendNumber(*sender, n); });
      }
      victim.Act([&] { sender.reset(); });
    });
    uint64_t count = 0;
    uint64_t number = 0;
    IoResult result = ReceiveNumber(receiver, &number, os::After(kWatchdogNanos));
    for (; result.ok(); result = ReceiveNumber(receiver, &number, os::After(kWatchdogNanos))) {
      EXPECT_EQ(number, count++);
    }
    const int64_t nanos = NanosSinceItActed();
    *completed = group->JoinOne(0, os::After(kWatchdogNanos)).ok();
    EXPECT_TRUE(result.outcome == Outcome::kPeerDead || (result.outcome == Outcome::kClosed && report_->begun == 4))
        << testing::PrintToString(result);
    EXPECT_GE(count, std::min<uint64_t>(3, report_->returned));
    EXPECT_LE(count, std::min<uint64_t>(3, report_->begun));
    return nanos;
  });
}

TEST_P(ShmRingWake, AWaitingSenderLearnsOfEveryDeathOfItsReceiver) {
  KillBeforeEveryAccess([&](uint64_t k, bool* completed) {
    new (report_) Report{};
    TestRing ring(2, GetParam());
    auto sender = ring.OpenSender();
    for (uint64_t n = 0; n < 2; ++n) EXPECT_TRUE(SendNumber(sender, n).ok());
    const auto group = Spawn([&] {
      std::optional<TestReceiver> receiver(ring.OpenReceiver());
      Victim victim(ring, ring.header().sender.sleep, k, report_);
      uint64_t number = 0;
      for (int n = 0; n < 3; ++n) {
        (void)receiver->View(Deadline::Never());  // its own wait is not what counts here
        victim.Act([&] { (void)ReceiveNumber(*receiver, &number); });
      }
      victim.Act([&] { receiver.reset(); });
    });
    uint64_t count = 2;
    IoResult result = SendNumber(sender, count, os::After(kWatchdogNanos));
    for (; result.ok(); result = SendNumber(sender, count, os::After(kWatchdogNanos))) ++count;
    const int64_t nanos = NanosSinceItActed();
    *completed = group->JoinOne(0, os::After(kWatchdogNanos)).ok();
    EXPECT_TRUE(result.outcome == Outcome::kPeerDead || (result.outcome == Outcome::kClosed && report_->begun == 4))
        << testing::PrintToString(result);
    EXPECT_GE(count, 2 + std::min<uint64_t>(3, report_->returned));
    EXPECT_LE(count, 2 + std::min<uint64_t>(3, report_->begun));
    EXPECT_EQ(ring.header().head.load() + 2, count) << "it gave up with room in the ring";
    return nanos;
  });
}

INSTANTIATE_TEST_SUITE_P(Waits, ShmRingWake, testing::ValuesIn(kAllWaits),
                         [](const auto& info) { return WaitName(info.param); });

}  // namespace
}  // namespace ipcmark::sysv_shm
