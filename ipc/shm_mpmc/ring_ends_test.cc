// Ends that come and go: who is there, what they leave in the ring, and how soon the others go on without them.

#include "ipc/os/process_group.h"
#include "ipc/shm_mpmc/ring_test_support.h"
#include "ipc/shm_mpmc/shm_mpmc.h"

namespace ipcmark::shm_mpmc {
namespace {

using Ring = TestRing<std::atomic>;

// Runs `body` in a child and kills that with what `body` returned in its hands.
template <typename Body>
void DieIn(const Body& body) {
  auto group = os::ProcessGroup::Create(1);
  ASSERT_TRUE(group.ok());
  const auto run = [&](os::Gate& gate) {
    [[maybe_unused]] const auto hands = body();
    gate.Arrive();
    for (;;) pause();
    return absl::OkStatus();
  };
  ASSERT_TRUE(group->Spawn("victim", os::kAnyCpu, run).ok());
  ASSERT_TRUE(group->Start(os::After(kWatchdogNanos)).ok());
  group->KillAndReap(0);
}

class ShmMpmcEnds : public testing::TestWithParam<Wait> {};

TEST_P(ShmMpmcEnds, ReceiversPassADeadSendersClaimSoon) {
  const Ring ring(8, 16, 0, GetParam());
  auto receiver = ring.OpenReceiver();
  auto sender = ring.OpenSender();
  DieIn([&] {
    auto victim = ring.OpenSender();
    if (!victim.Loan(Deadline::Immediate()).result.ok()) abort();
    return victim;
  });
  ASSERT_TRUE(SendNumber(sender, 7).ok());
  const int64_t start_nanos = os::MonotonicNanos();
  uint64_t number = 0;
  ASSERT_TRUE(ReceiveNumber(receiver, &number, os::After(kWatchdogNanos)).ok());
  EXPECT_EQ(number, 7U);
  EXPECT_LT(os::MonotonicNanos() - start_nanos, kPeerDeathNanos);
}

// A receiver that others wake all the time must still find the time to look.
TEST_P(ShmMpmcEnds, ReceiversPassADeadSendersClaimWhileOthersSend) {
  const Ring ring(1024, 16, 0, GetParam());
  auto receiver = ring.OpenReceiver();
  DieIn([&] {
    auto victim = ring.OpenSender();
    if (!victim.Loan(Deadline::Immediate()).result.ok()) abort();
    return victim;
  });
  auto group = os::ProcessGroup::Create(1);
  ASSERT_TRUE(group.ok());
  const auto trickle = [&](os::Gate& gate) {
    auto sender = ring.OpenSender();
    gate.Arrive();
    for (uint64_t n = 0;; ++n) {
      (void)SendNumber(sender, n, Deadline::Never());
      usleep(1000);
    }
    return absl::OkStatus();
  };
  ASSERT_TRUE(group->Spawn("sender", os::kAnyCpu, trickle).ok());
  ASSERT_TRUE(group->Start(os::After(kWatchdogNanos)).ok());
  const int64_t start_nanos = os::MonotonicNanos();
  uint64_t number = 0;
  ASSERT_TRUE(ReceiveNumber(receiver, &number, os::After(kWatchdogNanos)).ok());
  EXPECT_EQ(number, 0U);
  EXPECT_LT(os::MonotonicNanos() - start_nanos, kPeerDeathNanos);
}

TEST_P(ShmMpmcEnds, SendersGetADeadReceiversSlotSoon) {
  const Ring ring(2, 16, 0, GetParam());
  auto receiver = ring.OpenReceiver();
  auto sender = ring.OpenSender();
  ASSERT_EQ(FillNumbers(sender, 0).size(), 2U);
  DieIn([&] {
    auto victim = ring.OpenReceiver();
    if (!victim.View(Deadline::Immediate()).result.ok()) abort();
    return victim;
  });
  const int64_t start_nanos = os::MonotonicNanos();
  ASSERT_TRUE(SendNumber(sender, 2, os::After(kWatchdogNanos)).ok());
  EXPECT_LT(os::MonotonicNanos() - start_nanos, kPeerDeathNanos);
  EXPECT_EQ(DrainNumbers(receiver), (std::vector<uint64_t>{1, 2}));
}

// Many dead in a row cost one look, not one each.
TEST_P(ShmMpmcEnds, ManyDeadClaimsInARowArePassedTogether) {
  const Ring ring(16, 16, 0, GetParam());
  auto receiver = ring.OpenReceiver();
  auto sender = ring.OpenSender();
  DieIn([&] {
    std::vector<Ring::Sender> victims;
    for (int i = 0; i < 10; ++i) {
      victims.push_back(ring.OpenSender());
      if (!victims.back().Loan(Deadline::Immediate()).result.ok()) abort();
    }
    return victims;
  });
  ASSERT_TRUE(SendNumber(sender, 7).ok());
  const int64_t start_nanos = os::MonotonicNanos();
  uint64_t number = 0;
  ASSERT_TRUE(ReceiveNumber(receiver, &number, os::After(kWatchdogNanos)).ok());
  EXPECT_EQ(number, 7U);
  EXPECT_LT(os::MonotonicNanos() - start_nanos, kPeerDeathNanos);
}

TEST_P(ShmMpmcEnds, AWaiterLearnsOfTheLastDeathAndNotBefore) {
  const Ring ring(2, 16, 0, GetParam());
  auto receiver = ring.OpenReceiver();
  uint64_t number = 0;
  const auto receive = [&] { return ReceiveNumber(receiver, &number, os::After(10'000'000)).outcome; };
  EXPECT_EQ(receive(), Outcome::kDeadline) << "nobody has come yet";
  {
    auto sender = ring.OpenSender();
    DieIn([&] { return ring.OpenSender(); });
    EXPECT_EQ(receive(), Outcome::kDeadline) << "one still lives";
    ASSERT_TRUE(SendNumber(sender, 5).ok());
  }
  EXPECT_EQ(receive(), Outcome::kOk) << "something is left to read";
  EXPECT_EQ(receive(), Outcome::kPeerDead) << "one died, one closed";
  auto sender = ring.OpenSender();
  EXPECT_EQ(receive(), Outcome::kDeadline) << "a new one has come";
}

TEST_P(ShmMpmcEnds, AllClosedIsClosed) {
  const Ring ring(2, 16, 0, GetParam());
  auto sender = ring.OpenSender();
  { auto receiver = ring.OpenReceiver(); }
  ASSERT_TRUE(SendNumber(sender, 0).ok() && SendNumber(sender, 1).ok()) << "there is room, so nothing to wait for";
  EXPECT_EQ(SendNumber(sender, 2, os::After(kWatchdogNanos)).outcome, Outcome::kClosed);
}

INSTANTIATE_TEST_SUITE_P(Waits, ShmMpmcEnds, testing::ValuesIn(kAllWaits),
                         [](const auto& info) { return WaitName(info.param); });

TEST(ShmMpmcTable, AFullTableIsASentenceAndAClosedEndMakesRoom) {
  auto channel = Channel::Create({.depth_messages = 2, .max_message_bytes = 16});
  ASSERT_TRUE(channel.ok());
  std::vector<Sender> senders;
  for (uint32_t i = 0; i < kMaxEnds; ++i) {
    auto sender = channel->OpenSender();
    ASSERT_TRUE(sender.ok()) << sender.status();
    senders.push_back(*std::move(sender));
  }
  const absl::Status full = channel->OpenSender().status();
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(full.message(),
            "shm_mpmc: all 1024 senders of this ring are open in living processes; close one or create another ring");
  EXPECT_TRUE(channel->OpenReceiver().ok()) << "the sides have a table each";
  senders.pop_back();
  EXPECT_TRUE(channel->OpenSender().ok());
}

TEST(ShmMpmcTable, ADeadEndsEntryIsMendedBeforeItIsReused) {
  const Ring ring(4);
  DieIn([&] {
    auto victim = ring.OpenSender();
    if (!victim.Loan(Deadline::Immediate()).result.ok()) abort();
    return victim;
  });
  EXPECT_EQ(StateOf(ring.WordOf(0)), SlotState::kClaimed);
  auto sender = ring.OpenSender();
  EXPECT_EQ(ring.header().senders.used, 1U) << "the same entry";
  EXPECT_EQ(ring.header().sender_ends[0].generation, 2U);
  EXPECT_EQ(ring.WordOf(0), SlotWord(4, SlotState::kFree, 0)) << "mended before";
}

// An entry that was reused before its slots were mended: the generation tells.
TEST(ShmMpmcTable, ASlotOfAnEarlierGenerationIsMendedThoughTheEntryLives) {
  const Ring ring(4);
  auto sender = ring.OpenSender();
  auto receiver = ring.OpenReceiver();
  ring.WordOf(0) = SlotWord(0, SlotState::kClaimed, Owner(0, 0));
  ASSERT_TRUE(SendNumber(sender, 7).ok());
  EXPECT_EQ(DrainNumbers(receiver), std::vector<uint64_t>{7});
}

TEST(ShmMpmcLoans, ALoanThatIsClosedIsPassedOver) {
  const Ring ring(2);
  auto receiver = ring.OpenReceiver();
  auto other = ring.OpenSender();
  {
    auto sender = ring.OpenSender();
    ASSERT_TRUE(sender.Loan(Deadline::Immediate()).result.ok());
    ASSERT_TRUE(SendNumber(other, 7).ok());
    EXPECT_TRUE(DrainNumbers(receiver).empty()) << "receivers wait for the loan";
  }
  EXPECT_EQ(DrainNumbers(receiver), std::vector<uint64_t>{7});
  EXPECT_EQ(FillNumbers(other, 0).size(), 2U);
}

// The head then lags by thousands of laps.
TEST(ShmMpmcLoans, AnyNumberOfThemMayBeClosedWithoutAReceiver) {
  const Ring ring(3);
  auto receiver = ring.OpenReceiver();
  auto other = ring.OpenSender();
  for (int i = 0; i < 20'000; ++i) {
    auto sender = ring.OpenSender();
    ASSERT_TRUE(sender.Loan(Deadline::Immediate()).result.ok());
  }
  ASSERT_TRUE(SendNumber(other, 7).ok());
  EXPECT_EQ(DrainNumbers(receiver), std::vector<uint64_t>{7});
  const std::vector<uint64_t> filled = FillNumbers(other, 8);
  EXPECT_EQ(filled.size(), 3U);
  EXPECT_EQ(DrainNumbers(receiver), filled);
}

TEST(ShmMpmcLoans, PublishAndReleaseNeedSomethingInHand) {
  const Ring ring(2);
  auto sender = ring.OpenSender();
  auto receiver = ring.OpenReceiver();
  EXPECT_EQ(sender.Publish(0).err, EINVAL);
  receiver.Release();
  EXPECT_EQ(FillNumbers(sender, 0).size(), 2U);
}

TEST(ShmMpmcLoans, AViewThatIsClosedComesBackFirst) {
  const Ring ring(4);
  auto sender = ring.OpenSender();
  auto other = ring.OpenReceiver();
  FillNumbers(sender, 0);
  {
    auto first = ring.OpenReceiver();
    auto second = ring.OpenReceiver();
    ASSERT_TRUE(first.View(Deadline::Immediate()).result.ok());
    ASSERT_TRUE(second.View(Deadline::Immediate()).result.ok());
    uint64_t number = 0;
    ASSERT_TRUE(ReceiveNumber(other, &number).ok());
    EXPECT_EQ(number, 2U);
    EXPECT_EQ(SendNumber(sender, 4).outcome, Outcome::kWouldBlock) << "a viewed message still has its slot";
  }
  EXPECT_EQ(DrainNumbers(other), (std::vector<uint64_t>{0, 1, 3}));
  EXPECT_EQ(FillNumbers(sender, 4).size(), 4U);
}

TEST(ShmMpmcLoans, AForkedCopyOfAnEndGivesNothingBack) {
  const Ring ring(2);
  auto sender = std::make_unique<Ring::Sender>(ring.OpenSender());
  auto receiver = ring.OpenReceiver();
  ASSERT_TRUE(sender->Loan(Deadline::Immediate()).result.ok());
  DieIn([&] {
    sender.reset();
    return 0;
  });
  EXPECT_EQ(StateOf(ring.WordOf(0)), SlotState::kClaimed);
  ASSERT_TRUE(sender->Publish(0).ok());
  EXPECT_TRUE(receiver.View(Deadline::Immediate()).result.ok());
}

TEST(ShmMpmcPositions, WrapAtThirtyTwoBits) {
  for (uint32_t depth : {1, 2, 3, 5, 8}) {
    const Ring ring(depth, 16, (uint64_t{1} << 32) - 7);
    auto sender = ring.OpenSender();
    auto receiver = ring.OpenReceiver();
    for (uint64_t lap = 0; lap < 20; ++lap) {
      const std::vector<uint64_t> filled = FillNumbers(sender, lap * 100);
      EXPECT_EQ(filled.size(), depth);
      EXPECT_EQ(DrainNumbers(receiver), filled);
    }
    EXPECT_GT(ring.header().tail, uint64_t{1} << 32);
  }
}

}  // namespace
}  // namespace ipcmark::shm_mpmc
