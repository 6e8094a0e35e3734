// What is the ring's own: taking over from the dead, sleep marks, wrap-around, a single slot.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <deque>
#include <random>

#include "absl/strings/str_cat.h"
#include "ipc/conformance/support.h"
#include "ipc/os/clock.h"
#include "ipc/os/process_group.h"
#include "ipc/sysv_shm/ring_wait.h"
#include "ipc/sysv_shm/sysv_shm.h"

namespace ipcmark::sysv_shm {
namespace {

using conformance::IoError;
using conformance::IsMessageOf;
using conformance::LengthOf;
using conformance::MessageOf;
using conformance::Seed;

constexpr int64_t kWatchdogNanos = 60 * os::kNanosPerSecond;
constexpr uint32_t kBytes = 64;

// A ring of each wait strategy, and its header as an onlooker sees it.
class RingTest : public testing::TestWithParam<Wait> {
 protected:
  void Create(uint32_t depth) {
    absl::StatusOr<Channel> channel =
        Channel::Create({.depth_messages = depth, .max_message_bytes = kBytes, .wait = GetParam()});
    ASSERT_TRUE(channel.ok()) << channel.status();
    channel_ = std::make_unique<Channel>(*std::move(channel));
    attachment_ = *channel_->segment().Attach();
    group_ = std::make_unique<os::ProcessGroup>(*os::ProcessGroup::Create(1));
  }

  [[nodiscard]] RingHeader<std::atomic>& header() const {
    return *static_cast<RingHeader<std::atomic>*>(attachment_.address());
  }
  [[nodiscard]] std::atomic<uint64_t>& Commit(uint64_t slot) const {
    return *reinterpret_cast<std::atomic<uint64_t>*>(static_cast<std::byte*>(attachment_.address()) + kSlotsOffset +
                                                     slot * SlotBytes(kBytes));
  }

  // Makes the state that `count` messages leave behind, at least one lap of them.
  void PretendThatMessagesWentThrough(uint64_t count) {
    const uint32_t depth = header().constants.depth_messages;
    for (uint64_t n = count - depth; n < count; ++n) Commit(n % depth) = CommitWord(n, 0);
    header().head = count;
  }

  // Spawns the only child and waits until it has passed the gate.
  void SpawnAndStart(absl::FunctionRef<absl::Status(os::Gate&)> body) {
    ASSERT_TRUE(group_->Spawn("child", os::kAnyCpu, body).ok());
    const absl::Status started = group_->Start(os::After(kWatchdogNanos));
    ASSERT_TRUE(started.ok()) << started;
  }

  static void ExpectNext(Receiver& receiver, uint64_t n) {
    std::vector<std::byte> buffer(kBytes);
    const IoResult result = receiver.Receive(buffer, os::After(kWatchdogNanos));
    ASSERT_TRUE(result.ok()) << "message " << n << ": " << testing::PrintToString(result);
    EXPECT_TRUE(IsMessageOf(std::span(buffer).first(result.bytes), 0, n)) << "message " << n;
  }

  std::unique_ptr<Channel> channel_;
  Attachment attachment_;
  std::unique_ptr<os::ProcessGroup> group_;
};

INSTANTIATE_TEST_SUITE_P(AllWaits, RingTest, testing::ValuesIn(kAllWaits),
                         [](const auto& info) { return WaitName(info.param); });

TEST_P(RingTest, ANewSenderGoesOnExactlyBehindWhatADeadOneCommitted) {
  constexpr uint32_t kDepth = 4;
  // `taken` before the death, so that the dead sender stops in every slot and with every number of unread messages.
  for (uint64_t taken = 0; taken <= kDepth + 1; ++taken) {
    for (uint64_t unread = 0; unread <= kDepth; ++unread) {
      SCOPED_TRACE(testing::Message() << taken << " taken, " << unread << " unread");
      ASSERT_NO_FATAL_FAILURE(Create(kDepth));
      auto receiver = channel_->OpenReceiver();
      ASSERT_TRUE(receiver.ok());
      auto send = [&](os::Gate& gate) -> absl::Status {
        auto sender = channel_->OpenSender();
        if (!sender.ok()) return sender.status();
        gate.Arrive();
        for (uint64_t n = 0; n < taken + unread; ++n) {
          const IoResult result = sender->Send(MessageOf(0, n, kBytes), os::After(kWatchdogNanos));
          if (!result.ok()) return IoError("Send", n, result);
        }
        kill(getpid(), SIGKILL);
        return absl::OkStatus();
      };
      SpawnAndStart(send);
      for (uint64_t n = 0; n < taken; ++n) ExpectNext(*receiver, n);
      EXPECT_THAT(group_->JoinOne(0, os::After(kWatchdogNanos)).message(), testing::HasSubstr("SIGKILL"));
      auto successor = channel_->OpenSender();
      ASSERT_TRUE(successor.ok()) << successor.status();
      for (uint64_t n = taken + unread; n < taken + kDepth; ++n) {
        ASSERT_TRUE(successor->Send(MessageOf(0, n, kBytes), Deadline::Immediate()).ok()) << n;
      }
      EXPECT_EQ(successor->Send({}, Deadline::Immediate()).outcome, Outcome::kWouldBlock) << "it is full";
      for (uint64_t n = taken; n < taken + kDepth; ++n) ExpectNext(*receiver, n);
    }
  }
}

TEST_P(RingTest, RefusesASecondEndWhileTheFirstLivesAndNamesItsProcess) {
  ASSERT_NO_FATAL_FAILURE(Create(4));
  auto hold = [&](os::Gate& gate) -> absl::Status {
    auto sender = channel_->OpenSender();
    auto receiver = channel_->OpenReceiver();
    if (!sender.ok() || !receiver.ok()) return absl::InternalError("cannot open");
    gate.Arrive();
    for (;;) pause();
  };
  SpawnAndStart(hold);
  const std::string holder = absl::StrCat("process ", group_->pid(0), " ");
  EXPECT_TRUE(absl::IsFailedPrecondition(channel_->OpenSender().status()));
  EXPECT_THAT(channel_->OpenSender().status().message(), testing::HasSubstr(holder));
  EXPECT_TRUE(absl::IsFailedPrecondition(channel_->OpenReceiver().status()));
  EXPECT_THAT(channel_->OpenReceiver().status().message(), testing::HasSubstr(holder));
  group_->KillAndReap(0);
  EXPECT_TRUE(channel_->OpenSender().ok());
  EXPECT_TRUE(channel_->OpenReceiver().ok());
}

TEST_P(RingTest, ASleepMarkThatAKilledReceiverLeftDoesNoHarm) {
  if (GetParam() == Wait::kSpin) GTEST_SKIP() << "it never sleeps";
  ASSERT_NO_FATAL_FAILURE(Create(2));
  auto sender = channel_->OpenSender();
  ASSERT_TRUE(sender.ok());
  auto sleep = [&](os::Gate& gate) -> absl::Status {
    auto receiver = channel_->OpenReceiver();
    if (!receiver.ok()) return receiver.status();
    gate.Arrive();
    std::vector<std::byte> buffer(kBytes);
    return IoError("Receive", 0, receiver->Receive(buffer, Deadline::Never()));
  };
  SpawnAndStart(sleep);
  const Deadline watchdog = os::After(kWatchdogNanos);
  while (!SomebodySleeps(header().receiver.sleep) && !os::HasPassed(watchdog)) sched_yield();
  group_->KillAndReap(0);
  ASSERT_TRUE(SomebodySleeps(header().receiver.sleep));
  for (uint64_t n = 0; n < 2; ++n) ASSERT_TRUE(sender->Send(MessageOf(0, n, kBytes), Deadline::Immediate()).ok());
  auto successor = channel_->OpenReceiver();
  ASSERT_TRUE(successor.ok()) << successor.status();
  for (uint64_t n = 0; n < 2; ++n) ExpectNext(*successor, n);
  EXPECT_FALSE(SomebodySleeps(header().receiver.sleep));
}

TEST_P(RingTest, ASleepMarkThatAKilledSenderLeftDoesNoHarm) {
  if (GetParam() == Wait::kSpin) GTEST_SKIP() << "it never sleeps";
  ASSERT_NO_FATAL_FAILURE(Create(1));
  auto receiver = channel_->OpenReceiver();
  ASSERT_TRUE(receiver.ok());
  auto sleep = [&](os::Gate& gate) -> absl::Status {
    auto sender = channel_->OpenSender();
    if (!sender.ok()) return sender.status();
    gate.Arrive();
    IoResult result = sender->Send(MessageOf(0, 0, kBytes), Deadline::Never());
    if (result.ok()) result = sender->Send(MessageOf(0, 1, kBytes), Deadline::Never());
    return IoError("Send", 1, result);
  };
  SpawnAndStart(sleep);
  const Deadline watchdog = os::After(kWatchdogNanos);
  while (!SomebodySleeps(header().sender.sleep) && !os::HasPassed(watchdog)) sched_yield();
  group_->KillAndReap(0);
  ASSERT_TRUE(SomebodySleeps(header().sender.sleep));
  ASSERT_NO_FATAL_FAILURE(ExpectNext(*receiver, 0));
  EXPECT_FALSE(SomebodySleeps(header().sender.sleep));
  auto successor = channel_->OpenSender();
  ASSERT_TRUE(successor.ok()) << successor.status();
  ASSERT_TRUE(successor->Send(MessageOf(0, 1, kBytes), Deadline::Immediate()).ok());
  ExpectNext(*receiver, 1);
}

TEST_P(RingTest, CountsOnAcrossTheWrapAroundOfItsSequence) {
  constexpr uint64_t kFirst = (uint64_t{1} << 32) - 500;
  constexpr uint64_t kCount = 1000;
  ASSERT_NO_FATAL_FAILURE(Create(3));  // does not divide 2^32
  PretendThatMessagesWentThrough(kFirst);
  auto send = [&](os::Gate& gate) -> absl::Status {
    auto sender = channel_->OpenSender();
    if (!sender.ok()) return sender.status();
    gate.Arrive();
    for (uint64_t n = kFirst; n < kFirst + kCount; ++n) {
      const IoResult result = sender->Send(MessageOf(0, n, kBytes), os::After(kWatchdogNanos));
      if (!result.ok()) return IoError("Send", n, result);
    }
    return absl::OkStatus();
  };
  SpawnAndStart(send);
  auto receiver = channel_->OpenReceiver();
  ASSERT_TRUE(receiver.ok());
  for (uint64_t n = kFirst; n < kFirst + kCount; ++n) ASSERT_NO_FATAL_FAILURE(ExpectNext(*receiver, n));
  EXPECT_EQ(header().head.load(), kFirst + kCount);
  EXPECT_EQ(group_->Join(os::After(kWatchdogNanos)), absl::OkStatus());
}

TEST_P(RingTest, ASingleSlotCarriesAStream) {
  constexpr uint64_t kCount = 3000;
  Seed();
  ASSERT_NO_FATAL_FAILURE(Create(1));
  auto send = [&](os::Gate& gate) -> absl::Status {
    auto sender = channel_->OpenSender();
    if (!sender.ok()) return sender.status();
    gate.Arrive();
    for (uint64_t n = 0; n < kCount; ++n) {
      const IoResult result = sender->Send(MessageOf(0, n, LengthOf(n, kBytes)), os::After(kWatchdogNanos));
      if (!result.ok()) return IoError("Send", n, result);
    }
    return absl::OkStatus();
  };
  SpawnAndStart(send);
  auto receiver = channel_->OpenReceiver();
  ASSERT_TRUE(receiver.ok());
  for (uint64_t n = 0; n < kCount; ++n) ASSERT_NO_FATAL_FAILURE(ExpectNext(*receiver, n));
  EXPECT_EQ(group_->Join(os::After(kWatchdogNanos)), absl::OkStatus());
}

// A receiver of a deep ring looks now and then whether it follows too hard behind: it must not wait for what never
// comes.
TEST_P(RingTest, ADeepRingHandsOutItsLastMessages) {
  constexpr uint32_t kDepth = 1024;
  ASSERT_NO_FATAL_FAILURE(Create(kDepth));
  Sender sender = *channel_->OpenSender();
  Receiver receiver = *channel_->OpenReceiver();
  uint64_t sent = 0;
  uint64_t received = 0;
  for (const uint64_t count : {1, 64, 65, 200, 1000, 3, 1024}) {
    for (const uint64_t end = sent + count; sent < end; ++sent) {
      ASSERT_TRUE(sender.Send(MessageOf(0, sent, LengthOf(sent, kBytes)), os::After(kWatchdogNanos)).ok());
    }
    for (; received < sent; ++received) ASSERT_NO_FATAL_FAILURE(ExpectNext(receiver, received));
  }
}

// Every operation in random order against a model, with ends that close, reopen and abandon what they hold; the
// sequence wraps around on the way.
TEST_P(RingTest, AgreesWithAModel) {
  constexpr uint32_t kDepth = 5;
  std::mt19937_64 random(Seed());
  ASSERT_NO_FATAL_FAILURE(Create(kDepth));
  PretendThatMessagesWentThrough((uint64_t{1} << 32) - 1000);
  auto sender = std::make_unique<Sender>(*channel_->OpenSender());
  auto receiver = std::make_unique<Receiver>(*channel_->OpenReceiver());
  std::deque<uint64_t> model;
  std::vector<std::byte> buffer(kBytes);
  uint64_t next = 0;
  for (int step = 0; step < 20'000; ++step) {
    switch (random() % 8) {
      case 0:
        sender.reset();
        sender = std::make_unique<Sender>(*channel_->OpenSender());
        break;
      case 1:
        receiver.reset();
        receiver = std::make_unique<Receiver>(*channel_->OpenReceiver());
        break;
      case 2: {
        const LoanResult loan = sender->Loan(Deadline::Immediate());
        ASSERT_EQ(loan.result.ok(), model.size() < kDepth);
        std::fill(loan.room.begin(), loan.room.end(), std::byte{0xee});
        break;
      }
      case 3:
        ASSERT_EQ(receiver->View(Deadline::Immediate()).result.ok(), !model.empty());
        break;
      case 4:
      case 5: {
        const IoResult sent = sender->Send(MessageOf(0, next, LengthOf(next, kBytes)), Deadline::Immediate());
        ASSERT_EQ(sent.outcome, model.size() < kDepth ? Outcome::kOk : Outcome::kWouldBlock);
        if (sent.ok()) model.push_back(next++);
        break;
      }
      default: {
        const IoResult received = receiver->Receive(buffer, Deadline::Immediate());
        ASSERT_EQ(received.outcome, model.empty() ? Outcome::kWouldBlock : Outcome::kOk);
        if (model.empty()) break;
        ASSERT_EQ(received.bytes, LengthOf(model.front(), kBytes));
        ASSERT_TRUE(IsMessageOf(std::span(buffer).first(received.bytes), 0, model.front()));
        model.pop_front();
      }
    }
  }
}

}  // namespace
}  // namespace ipcmark::sysv_shm
