#ifndef IPCMARK_IPC_CONFORMANCE_CONFORMANCE_H_
#define IPCMARK_IPC_CONFORMANCE_CONFORMANCE_H_

// The conformance suite: what ipc/channel.h says, as tests of any primitive P. What P does not promise is skipped with
// the reason printed. Each test runs for every wait strategy that P has; processes are real, and nothing sleeps to
// synchronise. Instantiated by conformance.bzl. The tests are in the *_tests.h beside this file, and here those of what
// an object promises as a whole.

#include <unistd.h>

#include <algorithm>

#include "ipc/conformance/broadcast_tests.h"
#include "ipc/conformance/carrying_tests.h"
#include "ipc/conformance/death_tests.h"
#include "ipc/conformance/fixture.h"
#include "ipc/os/process_group.h"

namespace ipcmark::conformance {

TYPED_TEST_P(Conformance, OpensAsManyEndsAsItPromises) {
  const Capabilities& can = TypeParam::kCapabilities;
  const Geometry one = {.depth_messages = 4, .max_message_bytes = 64};
  Geometry many = one;
  many.senders = can.max_senders == kUnlimited ? 8 : can.max_senders;
  many.receivers = can.max_receivers == kUnlimited ? 8 : can.max_receivers;
  this->ForEachWait(many, [&](TypeParam& object) {
    std::vector<SenderOf<TypeParam>> senders;
    std::vector<ReceiverOf<TypeParam>> receivers;
    for (uint32_t i = 0; i < many.senders; ++i) {
      auto sender = object.OpenSender();
      ASSERT_TRUE(sender.ok()) << sender.status();
      senders.push_back(*std::move(sender));
    }
    for (uint32_t i = 0; i < many.receivers; ++i) {
      auto receiver = object.OpenReceiver();
      ASSERT_TRUE(receiver.ok()) << receiver.status();
      receivers.push_back(*std::move(receiver));
    }
    std::vector<std::byte> buffer(64);
    for (uint64_t n = 0; n < 40; ++n) {
      ASSERT_TRUE(senders[n % senders.size()].Send(MessageOf(0, n, 64), Deadline::Immediate()).ok());
      // One of them takes it; of a broadcast each.
      const size_t first = can.broadcasts ? 0 : n % receivers.size();
      const size_t end = can.broadcasts ? receivers.size() : first + 1;
      for (size_t i = first; i < end; ++i) {
        ASSERT_TRUE(receivers[i].Receive(buffer, Deadline::Immediate()).ok());
        EXPECT_TRUE(IsMessageOf(buffer, 0, n));
      }
    }
  });
}

TYPED_TEST_P(Conformance, SaysWhatItCannotCarry) {
  const Capabilities& can = TypeParam::kCapabilities;
  std::vector<Geometry> refused;
  if (can.max_message_bytes < UINT32_MAX) {
    refused.push_back({.max_message_bytes = static_cast<uint32_t>(can.max_message_bytes + 1)});
  }
  if (can.max_senders < kUnlimited) refused.push_back({.senders = can.max_senders + 1});
  if (can.max_receivers < kUnlimited) refused.push_back({.receivers = can.max_receivers + 1});
  for (Wait wait : kAllWaits) {
    if (!can.waits.Has(wait)) refused.push_back({.wait = wait});
  }
  for (const Geometry& geometry : refused) {
    const absl::StatusOr<TypeParam> object = TypeParam::Create(geometry);
    EXPECT_EQ(object.status().code(), absl::StatusCode::kUnimplemented) << object.status();
    EXPECT_FALSE(object.status().message().empty());
  }
  EXPECT_EQ(TypeParam::Create({.depth_messages = 0}).status().code(), absl::StatusCode::kInvalidArgument);
}

TYPED_TEST_P(Conformance, DeliversHigherPrioritiesFirstAndEqualOnesInOrder) {
  if constexpr (!PrioritySendEnd<SenderOf<TypeParam>>) {
    EXPECT_FALSE(TypeParam::kCapabilities.has_priorities);
    GTEST_SKIP() << "it has no priorities";
  } else {
    EXPECT_TRUE(TypeParam::kCapabilities.has_priorities);
    this->ForEachWait({.depth_messages = 200, .max_message_bytes = 8}, [](TypeParam& object) {
      auto sender = object.OpenSender();
      auto receiver = object.OpenReceiver();
      ASSERT_TRUE(sender.ok() && receiver.ok());
      const uint32_t priorities[] = {0, 1, 63, 64, 4095, 4096, 32767};
      std::vector<std::pair<uint32_t, uint64_t>> expected;  // (inverted priority, number): sorts into delivery order
      for (uint64_t n = 0; n < 200; ++n) {
        const uint32_t priority = priorities[LengthOf(n + 1000, 97) % std::size(priorities)];
        ASSERT_TRUE(sender->Send(MessageOf(0, n, 8), priority, Deadline::Immediate()).ok());
        expected.emplace_back(UINT32_MAX - priority, n);
      }
      std::sort(expected.begin(), expected.end());
      std::vector<std::byte> buffer(8);
      for (const auto& [inverted, n] : expected) {
        uint32_t priority = 0;
        ASSERT_TRUE(receiver->Receive(buffer, &priority, Deadline::Immediate()).ok());
        EXPECT_EQ(priority, UINT32_MAX - inverted);
        EXPECT_TRUE(IsMessageOf(buffer, 0, n));
      }
    });
  }
}

TYPED_TEST_P(Conformance, LoansRoomInPlace) {
  if constexpr (!LoaningSendEnd<SenderOf<TypeParam>> || !LoaningReceiveEnd<ReceiverOf<TypeParam>>) {
    GTEST_SKIP() << "it does not loan";
  } else {
    this->ForEachWait({.depth_messages = 2, .max_message_bytes = 1000}, [](TypeParam& object) {
      auto sender = object.OpenSender();
      auto receiver = object.OpenReceiver();
      ASSERT_TRUE(sender.ok() && receiver.ok());
      for (uint64_t n = 0; n < 100; ++n) {
        const std::vector<std::byte> message = MessageOf(0, n, LengthOf(n, 1000));
        EXPECT_EQ(receiver->View(Deadline::Immediate()).result.outcome, Outcome::kWouldBlock);
        const LoanResult abandoned = sender->Loan(Deadline::Immediate());
        const LoanResult loan = sender->Loan(Deadline::Immediate());
        ASSERT_TRUE(loan.result.ok());
        EXPECT_EQ(loan.room.data(), abandoned.room.data()) << "a loan that was not published is reused";
        ASSERT_EQ(loan.room.size(), 1000U);
        std::copy(message.begin(), message.end(), loan.room.begin());
        EXPECT_EQ(sender->Publish(1001).outcome, Outcome::kTooBig);
        ASSERT_TRUE(sender->Publish(message.size()).ok());
        for (int look = 0; look < 2; ++look) {
          const ViewResult view = receiver->View(Deadline::Immediate());
          ASSERT_TRUE(view.result.ok());
          EXPECT_EQ(view.message.size(), message.size());
          EXPECT_TRUE(IsMessageOf(view.message, 0, n));
        }
        receiver->Release();
      }
    });
  }
}

TYPED_TEST_P(Conformance, LeavesNothingBehind) {
  const std::vector<std::string> before = Belongings();
  this->ForEachWait({.depth_messages = 4, .max_message_bytes = 4000}, [](TypeParam& object) {
    auto sender = object.OpenSender();
    auto receiver = object.OpenReceiver();
    ASSERT_TRUE(sender.ok() && receiver.ok());
    EXPECT_TRUE(sender->Send(MessageOf(0, 0, 4000), Deadline::Immediate()).ok());
  });
  EXPECT_EQ(Belongings(), before);
}

// Also when the creator is killed and cannot clean up.
TYPED_TEST_P(Conformance, LeavesNothingBehindWhenItsCreatorIsKilled) {
  const std::vector<std::string> before = Belongings();
  {
    auto group = os::ProcessGroup::Create(1);
    ASSERT_TRUE(group.ok());
    auto create = [&](os::Gate& gate) {
      for (Wait wait : kAllWaits) {
        if (!TypeParam::kCapabilities.waits.Has(wait)) continue;
        auto object = TypeParam::Create({.depth_messages = 4, .max_message_bytes = 4000, .wait = wait});
        if (!object.ok()) return object.status();
        auto sender = object->OpenSender();
        if (!sender.ok()) return sender.status();
        gate.Arrive();
        for (;;) pause();
      }
      return absl::InternalError("no wait strategy");
    };
    ASSERT_TRUE(group->Spawn("creator", os::kAnyCpu, create).ok());
    ASSERT_TRUE(group->Start(os::After(kWatchdogNanos)).ok());
    group->KillAndReap(0);
  }
  EXPECT_EQ(Belongings(), before);
}

REGISTER_TYPED_TEST_SUITE_P(Conformance, CarriesEveryLengthWhole, CarriesAStreamBetweenProcessesInOrder,
                            CarriesAStreamBetweenThreads, HoldsItsDepthAndNotMore,
                            KeepsDeadlinesAndChangesNothingWhenTheyPass, RefusesWhatIsTooBigAndKeepsTheMessage,
                            ShowsASignalToABlockedCaller, ReceiverLearnsThatItsSenderWasKilled,
                            ReceiverLearnsThatItsSenderHasClosed, SenderOnAFullObjectLearnsThatItsReceiverWasKilled,
                            SurvivesTheDeathOfItsSender, SurvivesTheDeathOfItsReceiver, OpensAsManyEndsAsItPromises,
                            SaysWhatItCannotCarry, DeliversHigherPrioritiesFirstAndEqualOnesInOrder, LoansRoomInPlace,
                            EveryReceiverOfABroadcastGetsEveryMessage, AReceiverOfABroadcastGetsWhatIsSentAfterItOpened,
                            ABroadcastWaitsForItsSlowestReceiver, ABroadcastTellsASlowReceiverExactlyWhatItMissed,
                            ReceiversOfARunawayBroadcastMissExactlyWhatTheyAreTold,
                            ABroadcastSurvivesTheDeathOfAReceiver, LeavesNothingBehind,
                            LeavesNothingBehindWhenItsCreatorIsKilled);

}  // namespace ipcmark::conformance

#endif  // IPCMARK_IPC_CONFORMANCE_CONFORMANCE_H_
