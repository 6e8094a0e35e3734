// What the broadcast ring does beyond the conformance suite: who waits for whom, and what exactly a slow receiver is
// told.

#include "ipc/shm_broadcast/shm_broadcast.h"

#include <gtest/gtest.h>

#include <thread>

#include "ipc/conformance/support.h"
#include "ipc/os/process_group.h"

namespace ipcmark::shm_broadcast {
namespace {

using conformance::IsMessageOf;
using conformance::MessageOf;

constexpr int64_t kWatchdogNanos = 60 * os::kNanosPerSecond;
constexpr Geometry kBlocks = {.depth_messages = 4, .max_message_bytes = 100, .receivers = 3};
constexpr Geometry kMisses = {
    .depth_messages = 4, .max_message_bytes = 100, .receivers = 3, .slow_receiver = SlowReceiver::kMissesMessages};

Channel Make(const Geometry& geometry) {
  absl::StatusOr<Channel> channel = Channel::Create(geometry);
  EXPECT_TRUE(channel.ok()) << channel.status();
  return *std::move(channel);
}

size_t BytesOf(uint64_t n) { return n * 37 % 101; }

Outcome SendOne(Sender& sender, uint64_t n) {
  return sender.Send(MessageOf(0, n, BytesOf(n)), Deadline::Immediate()).outcome;
}

void SendAll(Sender& sender, uint64_t first, uint64_t end) {
  for (uint64_t n = first; n < end; ++n) ASSERT_EQ(SendOne(sender, n), Outcome::kOk) << "message " << n;
}

void ExpectAll(Receiver& receiver, uint64_t first, uint64_t end) {
  std::vector<std::byte> buffer(100);
  for (uint64_t n = first; n < end; ++n) {
    const IoResult result = receiver.Receive(buffer, Deadline::Immediate());
    ASSERT_EQ(result.outcome, Outcome::kOk) << "message " << n;
    ASSERT_EQ(result.bytes, BytesOf(n));
    ASSERT_TRUE(IsMessageOf(std::span(buffer).first(result.bytes), 0, n)) << "message " << n;
  }
}

Outcome NextOutcome(Receiver& receiver) {
  std::vector<std::byte> buffer(100);
  return receiver.Receive(buffer, Deadline::Immediate()).outcome;
}

// Moves the count of a ring that nobody has opened yet.
void StartAt(const Channel& channel, uint64_t sent) {
  auto attachment = channel.segment().Attach();
  ASSERT_TRUE(attachment.ok());
  static_cast<Header<std::atomic>*>(attachment->address())->count.sent.store(sent);
}

TEST(ShmBroadcast, SendsToNobodyWithoutWaiting) {
  for (const Geometry& geometry : {kBlocks, kMisses}) {
    Channel channel = Make(geometry);
    auto sender = channel.OpenSender();
    SendAll(*sender, 0, 50);
  }
}

TEST(ShmBroadcast, GivesAReceiverWhatIsSentAfterItOpened) {
  for (const Geometry& geometry : {kBlocks, kMisses}) {
    Channel channel = Make(geometry);
    auto sender = channel.OpenSender();
    SendAll(*sender, 0, 3);
    auto early = channel.OpenReceiver();
    SendAll(*sender, 3, 5);
    auto late = channel.OpenReceiver();
    SendAll(*sender, 5, 7);
    ExpectAll(*early, 3, 7);
    ExpectAll(*late, 5, 7);
    EXPECT_EQ(NextOutcome(*early), Outcome::kWouldBlock);
    EXPECT_EQ(NextOutcome(*late), Outcome::kWouldBlock);
  }
}

TEST(ShmBroadcast, WaitsForTheSlowestAndForNobodyElse) {
  Channel channel = Make(kBlocks);
  auto sender = channel.OpenSender();
  auto fast = channel.OpenReceiver();
  auto slow = channel.OpenReceiver();
  for (uint64_t n = 0; n < 4; ++n) {
    SendAll(*sender, n, n + 1);
    ExpectAll(*fast, n, n + 1);
  }
  for (uint64_t n = 4; n < 20; ++n) {
    ASSERT_EQ(SendOne(*sender, n), Outcome::kWouldBlock);
    ExpectAll(*slow, n - 4, n - 3);
    SendAll(*sender, n, n + 1);
    ExpectAll(*fast, n, n + 1);
  }
}

TEST(ShmBroadcast, StopsWaitingForAReceiverThatCloses) {
  Channel channel = Make(kBlocks);
  auto sender = channel.OpenSender();
  auto fast = channel.OpenReceiver();
  {
    auto slow = channel.OpenReceiver();
    for (uint64_t n = 0; n < 4; ++n) {
      SendAll(*sender, n, n + 1);
      ExpectAll(*fast, n, n + 1);
    }
    EXPECT_EQ(SendOne(*sender, 4), Outcome::kWouldBlock);
  }
  SendAll(*sender, 4, 8);
  ExpectAll(*fast, 4, 8);
}

TEST(ShmBroadcast, TellsExactlyWhatWasMissed) {
  for (uint32_t depth : {1, 2, 3, 4, 7}) {
    for (uint64_t behind = 0; behind < uint64_t{4} * depth; ++behind) {
      Geometry geometry = kMisses;
      geometry.depth_messages = depth;
      Channel channel = Make(geometry);
      auto sender = channel.OpenSender();
      auto receiver = channel.OpenReceiver();
      SendAll(*sender, 0, behind);
      std::vector<std::byte> buffer(100);
      uint64_t next = 0;
      if (behind > depth) {
        const IoResult missed = receiver->Receive(buffer, Deadline::Immediate());
        ASSERT_EQ(missed.outcome, Outcome::kMissed) << depth << ", " << behind;
        EXPECT_EQ(missed.bytes, behind - depth) << "the oldest that is still there comes next";
        next = missed.bytes;
      }
      ExpectAll(*receiver, next, behind);
      EXPECT_EQ(NextOutcome(*receiver), Outcome::kWouldBlock);
    }
  }
}

TEST(ShmBroadcast, TellsMoreThan32BitsOfMissedMessagesInParts) {
  Channel channel = Make(kMisses);
  auto receiver = channel.OpenReceiver();
  const uint64_t sent = (uint64_t{5} << 32) + 2;
  StartAt(channel, sent);
  auto sender = channel.OpenSender();
  SendAll(*sender, sent, sent + 4);
  std::vector<std::byte> buffer(100);
  uint64_t missed = 0;
  IoResult result = receiver->Receive(buffer, Deadline::Immediate());
  for (; result.outcome == Outcome::kMissed; result = receiver->Receive(buffer, Deadline::Immediate())) {
    missed += result.bytes;
  }
  EXPECT_EQ(missed, sent);
  ASSERT_EQ(result.outcome, Outcome::kOk);
  EXPECT_TRUE(IsMessageOf(std::span(buffer).first(result.bytes), 0, sent));
  ExpectAll(*receiver, sent + 1, sent + 4);
}

// A 32-bit sequence would show a stopped receiver message n + 2^32 for message n.
TEST(ShmBroadcast, DoesNotMistakeAMessageForTheOneTwoToThe32Before) {
  Channel channel = Make(kMisses);
  auto receiver = channel.OpenReceiver();
  StartAt(channel, uint64_t{1} << 32);
  auto sender = channel.OpenSender();
  SendAll(*sender, 0, 1);
  EXPECT_EQ(NextOutcome(*receiver), Outcome::kMissed);
}

TEST(ShmBroadcast, PassesTwoToThe32) {
  for (uint64_t start : {(uint64_t{1} << 32) - 6, (uint64_t{1} << 31) - 6, kMaxMessages - 100}) {
    for (const Geometry& geometry : {kBlocks, kMisses}) {
      Channel channel = Make(geometry);
      StartAt(channel, start);
      auto sender = channel.OpenSender();
      auto receiver = channel.OpenReceiver();
      for (uint64_t n = start; n < start + 20; n += 5) {
        SendAll(*sender, n, n + 4);
        if (geometry.slow_receiver == SlowReceiver::kBlocksSender) {
          EXPECT_EQ(SendOne(*sender, n + 4), Outcome::kWouldBlock);
          ExpectAll(*receiver, n, n + 1);
          SendAll(*sender, n + 4, n + 5);
        } else {
          SendAll(*sender, n + 4, n + 5);
          EXPECT_EQ(NextOutcome(*receiver), Outcome::kMissed);
        }
        ExpectAll(*receiver, n + 1, n + 5);
      }
    }
  }
}

TEST(ShmBroadcast, KeepsAViewWhileTheSenderOverwritesItsMessage) {
  Channel channel = Make(kMisses);
  auto sender = channel.OpenSender();
  auto receiver = channel.OpenReceiver();
  SendAll(*sender, 0, 1);
  const ViewResult view = receiver->View(Deadline::Immediate());
  ASSERT_EQ(view.result.outcome, Outcome::kOk);
  SendAll(*sender, 1, 10);
  EXPECT_TRUE(IsMessageOf(view.message, 0, 0));
  ExpectAll(*receiver, 0, 1);  // what was viewed is not missed, whichever way it is taken
  std::vector<std::byte> buffer(100);
  const IoResult missed = receiver->Receive(buffer, Deadline::Immediate());
  ASSERT_EQ(missed.outcome, Outcome::kMissed);
  EXPECT_EQ(missed.bytes, 5U);
  ExpectAll(*receiver, 6, 10);
}

TEST(ShmBroadcast, DestroysNothingByALoanThatIsNotPublished) {
  Channel channel = Make(kMisses);
  auto sender = channel.OpenSender();
  auto receiver = channel.OpenReceiver();
  SendAll(*sender, 0, 4);
  const LoanResult loan = sender->Loan(Deadline::Immediate());
  ASSERT_EQ(loan.result.outcome, Outcome::kOk);
  std::fill(loan.room.begin(), loan.room.end(), std::byte{0xff});
  ExpectAll(*receiver, 0, 4);
}

TEST(ShmBroadcast, SaysThatTheTableIsFullAndTakesAClosedPlaceAgain) {
  for (const Geometry& geometry : {kBlocks, kMisses}) {
    Channel channel = Make(geometry);
    std::vector<Receiver> receivers;
    receivers.reserve(3);
    for (int i = 0; i < 3; ++i) receivers.push_back(*channel.OpenReceiver());
    const absl::Status full = channel.OpenReceiver().status();
    EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(full.message(),
              "shm_broadcast: living processes hold all 3 receivers of this ring; close one, or create the ring with "
              "more (Geometry::receivers)");
    receivers.pop_back();
    EXPECT_TRUE(channel.OpenReceiver().ok());
  }
}

TEST(ShmBroadcast, RefusesASecondSender) {
  Channel channel = Make(kBlocks);
  auto sender = channel.OpenSender();
  EXPECT_EQ(channel.OpenSender().status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(ShmBroadcast, TellsReceiversThatTheSenderHasClosedWhenNothingIsLeft) {
  for (const Geometry& geometry : {kBlocks, kMisses}) {
    Channel channel = Make(geometry);
    auto receiver = channel.OpenReceiver();
    EXPECT_EQ(NextOutcome(*receiver), Outcome::kWouldBlock) << "no sender yet";
    {
      auto sender = channel.OpenSender();
      SendAll(*sender, 0, 2);
    }
    ExpectAll(*receiver, 0, 2);
    EXPECT_EQ(NextOutcome(*receiver), Outcome::kClosed);
    auto next = channel.OpenSender();
    SendAll(*next, 2, 4);
    ExpectAll(*receiver, 2, 4);
  }
}

// Fills the ring before a receiver that is then killed; how long the next Send waited.
int64_t NanosUntilADeadReceiverStopsCounting(Channel& channel, Sender& sender, Receiver& witness, uint64_t* next) {
  auto group = os::ProcessGroup::Create(1);
  EXPECT_TRUE(group.ok());
  const auto idle = [&](os::Gate& gate) {
    auto receiver = channel.OpenReceiver();
    if (!receiver.ok()) return receiver.status();
    gate.Arrive();
    for (;;) pause();
  };
  EXPECT_TRUE(group->Spawn("receiver", os::kAnyCpu, idle).ok());
  EXPECT_TRUE(group->Start(os::After(kWatchdogNanos)).ok());
  for (; SendOne(sender, *next) == Outcome::kOk; ++*next) ExpectAll(witness, *next, *next + 1);
  const int64_t killed_nanos = os::MonotonicNanos();
  group->KillAndReap(0);
  EXPECT_TRUE(sender.Send(MessageOf(0, *next, BytesOf(*next)), os::After(kWatchdogNanos)).ok());
  const int64_t waited_nanos = os::MonotonicNanos() - killed_nanos;
  ExpectAll(witness, *next, *next + 1);
  ++*next;
  return waited_nanos;
}

TEST(ShmBroadcast, StopsWaitingForADeadReceiverInTime) {
  for (Wait wait : kAllWaits) {
    SCOPED_TRACE(WaitName(wait));
    Geometry geometry = kBlocks;
    geometry.wait = wait;
    Channel channel = Make(geometry);
    auto sender = channel.OpenSender();
    auto witness = channel.OpenReceiver();
    uint64_t next = 0;
    // The best of five: on a busy machine one may wait for the processor instead.
    int64_t best_nanos = kWatchdogNanos;
    for (int trial = 0; trial < 5; ++trial) {
      best_nanos = std::min(best_nanos, NanosUntilADeadReceiverStopsCounting(channel, *sender, *witness, &next));
    }
    EXPECT_LT(best_nanos, kPeerDeathNanos);
  }
}

TEST(ShmBroadcast, AForkedCopyOfAnEndIsNotTheEnd) {
  Channel channel = Make(kBlocks);
  auto sender = channel.OpenSender();
  auto receiver = channel.OpenReceiver();
  auto group = os::ProcessGroup::Create(1);
  ASSERT_TRUE(group.ok());
  const auto destroy_copies = [&](os::Gate&) {
    const Sender sender_copy(*std::move(sender));
    const Receiver receiver_copy(*std::move(receiver));
    return absl::OkStatus();
  };
  ASSERT_TRUE(group->Spawn("child", os::kAnyCpu, destroy_copies).ok());
  ASSERT_TRUE(group->Join(os::After(kWatchdogNanos)).ok());
  SendAll(*sender, 0, 4);
  EXPECT_EQ(SendOne(*sender, 4), Outcome::kWouldBlock) << "the receiver still counts";
  ExpectAll(*receiver, 0, 4);
}

}  // namespace
}  // namespace ipcmark::shm_broadcast
