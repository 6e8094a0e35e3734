#ifndef IPCMARK_IPC_CONFORMANCE_DEATH_TESTS_H_
#define IPCMARK_IPC_CONFORMANCE_DEATH_TESTS_H_

// Conformance: what becomes of one end when the other one dies or closes.

#include <unistd.h>

#include <atomic>

#include "ipc/conformance/fixture.h"
#include "ipc/os/mapping.h"
#include "ipc/os/process_group.h"

namespace ipcmark::conformance {

// Sends `count` messages and is then killed, or closes; the receiver gets them all and then learns of it.
template <typename P>
void ExpectReceiverLearnsThatSenderIsGone(P& object, bool killed) {
  constexpr uint64_t kCount = 3;
  auto group = os::ProcessGroup::Create(1);
  ASSERT_TRUE(group.ok());
  auto receiver = object.OpenReceiver();
  ASSERT_TRUE(receiver.ok());
  auto send = [&](os::Gate& gate) {
    auto sender = object.OpenSender();
    if (!sender.ok()) return sender.status();
    object.ReleaseEnds();
    for (uint64_t n = 0; n < kCount; ++n) {
      const IoResult result = sender->Send(MessageOf(0, n, 64), Deadline::Never());
      if (!result.ok()) return IoError("Send", n, result);
    }
    gate.Arrive();
    if (!killed) return absl::OkStatus();
    for (;;) pause();
  };
  ASSERT_TRUE(group->Spawn("sender", os::kAnyCpu, send).ok());
  object.ReleaseEnds();
  ASSERT_TRUE(group->Start(os::After(kWatchdogNanos)).ok());
  if (killed) {
    group->KillAndReap(0);
  } else {
    ASSERT_TRUE(group->JoinOne(0, os::After(kWatchdogNanos)).ok());
  }
  std::vector<std::byte> buffer(64);
  for (uint64_t n = 0; n < kCount; ++n) {
    ASSERT_TRUE(receiver->Receive(buffer, os::After(kWatchdogNanos)).ok()) << "message " << n << " was accepted";
    EXPECT_TRUE(IsMessageOf(buffer, 0, n));
  }
  const IoResult end = receiver->Receive(buffer, os::After(kWatchdogNanos));
  EXPECT_TRUE(end.outcome == Outcome::kPeerDead || end.outcome == Outcome::kClosed) << testing::PrintToString(end);
}

TYPED_TEST_P(Conformance, ReceiverLearnsThatItsSenderWasKilled) {
  if (!TypeParam::kCapabilities.reports_peer_death) GTEST_SKIP() << "it does not promise to report a peer's death";
  this->ForEachWait({.depth_messages = 4, .max_message_bytes = 64},
                    [](TypeParam& object) { ExpectReceiverLearnsThatSenderIsGone(object, /*killed=*/true); });
}

TYPED_TEST_P(Conformance, ReceiverLearnsThatItsSenderHasClosed) {
  if (!TypeParam::kCapabilities.reports_peer_death) GTEST_SKIP() << "it does not promise to report a peer's end";
  this->ForEachWait({.depth_messages = 4, .max_message_bytes = 64},
                    [](TypeParam& object) { ExpectReceiverLearnsThatSenderIsGone(object, /*killed=*/false); });
}

TYPED_TEST_P(Conformance, SenderOnAFullObjectLearnsThatItsReceiverWasKilled) {
  if (!TypeParam::kCapabilities.reports_peer_death) GTEST_SKIP() << "it does not promise to report a peer's death";
  this->ForEachWait({.depth_messages = 2, .max_message_bytes = 64}, [](TypeParam& object) {
    auto group = os::ProcessGroup::Create(1);
    ASSERT_TRUE(group.ok());
    auto sender = object.OpenSender();
    ASSERT_TRUE(sender.ok());
    auto idle = [&](os::Gate& gate) {
      auto receiver = object.OpenReceiver();
      if (!receiver.ok()) return receiver.status();
      object.ReleaseEnds();
      gate.Arrive();
      for (;;) pause();
    };
    ASSERT_TRUE(group->Spawn("receiver", os::kAnyCpu, idle).ok());
    object.ReleaseEnds();
    ASSERT_TRUE(group->Start(os::After(kWatchdogNanos)).ok());
    Conformance<TypeParam>::Fill(*sender, 64);
    group->KillAndReap(0);
    const IoResult end = sender->Send(MessageOf(0, 0, 64), os::After(kWatchdogNanos));
    if (TypeParam::kCapabilities.broadcasts) {
      // It does not depend on who listens: the dead one stops counting, and the message is for who is left.
      EXPECT_TRUE(end.ok()) << testing::PrintToString(end);
    } else {
      EXPECT_TRUE(end.outcome == Outcome::kPeerDead || end.outcome == Outcome::kClosed) << testing::PrintToString(end);
    }
  });
}

// One trial of SurvivesTheDeathOfEitherEnd: a victim sends (or receives) as fast as it can and is killed; a new end
// takes its place. `accepted` counts what the victim knows to be sent; `before_kill` messages are received before the
// kill.
template <typename P>
void KillSenderAndReplaceIt(P& object, std::atomic<uint64_t>& accepted, ReceiverOf<P>& receiver, uint64_t before_kill) {
  accepted = 0;
  auto group = os::ProcessGroup::Create(1);
  ASSERT_TRUE(group.ok());
  auto flood = [&](os::Gate& gate) {
    auto sender = object.OpenSender();
    if (!sender.ok()) return sender.status();
    gate.Arrive();
    for (uint64_t n = 0;; ++n) {
      const IoResult result = sender->Send(MessageOf(0, n, 64), Deadline::Never());
      if (!result.ok()) return IoError("Send", n, result);
      accepted.store(n + 1);
    }
  };
  ASSERT_TRUE(group->Spawn("sender", os::kAnyCpu, flood).ok());
  ASSERT_TRUE(group->Start(os::After(kWatchdogNanos)).ok());
  std::vector<std::byte> buffer(64);
  uint64_t received = 0;
  for (; received < before_kill; ++received) {
    ASSERT_TRUE(receiver.Receive(buffer, os::After(kWatchdogNanos)).ok());
    ASSERT_TRUE(IsMessageOf(buffer, 0, received));
  }
  group->KillAndReap(0);
  auto replacement = object.OpenSender();
  ASSERT_TRUE(replacement.ok()) << replacement.status();
  while (receiver.Receive(buffer, Deadline::Immediate()).ok()) {
    ASSERT_TRUE(IsMessageOf(buffer, 0, received)) << "message " << received;
    ++received;
  }
  EXPECT_GE(received, accepted.load()) << "an accepted message is gone";
  EXPECT_LE(received, accepted.load() + 1) << "a message came from nowhere";
  ASSERT_TRUE(replacement->Send(MessageOf(0, 7, 64), os::After(kWatchdogNanos)).ok());
  ASSERT_TRUE(receiver.Receive(buffer, os::After(kWatchdogNanos)).ok());
  EXPECT_TRUE(IsMessageOf(buffer, 0, 7));
}

TYPED_TEST_P(Conformance, SurvivesTheDeathOfItsSender) {
  if (!TypeParam::kCapabilities.survives_sigkill) GTEST_SKIP() << "it does not promise to survive SIGKILL of an end";
  Seed();
  auto shared = os::Mapping::SharedAnonymous(sizeof(std::atomic<uint64_t>));
  ASSERT_TRUE(shared.ok());
  auto& accepted = *new (shared->address()) std::atomic<uint64_t>(0);
  this->ForEachWait({.depth_messages = 8, .max_message_bytes = 64}, [&](TypeParam& object) {
    auto receiver = object.OpenReceiver();
    ASSERT_TRUE(receiver.ok());
    for (int trial = 0; trial < 50; ++trial) {
      KillSenderAndReplaceIt(object, accepted, *receiver, LengthOf(trial, 500));
    }
  });
}

TYPED_TEST_P(Conformance, SurvivesTheDeathOfItsReceiver) {
  if (!TypeParam::kCapabilities.survives_sigkill) GTEST_SKIP() << "it does not promise to survive SIGKILL of an end";
  if (TypeParam::kCapabilities.broadcasts) GTEST_SKIP() << "ABroadcastSurvivesTheDeathOfAReceiver is its test";
  auto shared = os::Mapping::SharedAnonymous(sizeof(std::atomic<uint64_t>));
  ASSERT_TRUE(shared.ok());
  auto& taken = *new (shared->address()) std::atomic<uint64_t>(0);
  this->ForEachWait({.depth_messages = 8, .max_message_bytes = 64}, [&](TypeParam& object) {
    auto sender = object.OpenSender();
    ASSERT_TRUE(sender.ok());
    for (int trial = 0; trial < 50; ++trial) {
      taken = 0;
      auto group = os::ProcessGroup::Create(1);
      ASSERT_TRUE(group.ok());
      auto drain = [&](os::Gate& gate) {
        auto receiver = object.OpenReceiver();
        if (!receiver.ok()) return receiver.status();
        gate.Arrive();
        std::vector<std::byte> buffer(64);
        for (uint64_t n = 0;; ++n) {
          const IoResult result = receiver->Receive(buffer, Deadline::Never());
          if (!result.ok() || !IsMessageOf(buffer, 0, n)) return IoError("Receive", n, result);
          taken.store(n + 1);
        }
      };
      ASSERT_TRUE(group->Spawn("receiver", os::kAnyCpu, drain).ok());
      ASSERT_TRUE(group->Start(os::After(kWatchdogNanos)).ok());
      const uint64_t count = 8 + trial * 7;
      for (uint64_t n = 0; n < count; ++n) {
        ASSERT_TRUE(sender->Send(MessageOf(0, n, 64), os::After(kWatchdogNanos)).ok()) << "message " << n;
      }
      group->KillAndReap(0);
      auto receiver = object.OpenReceiver();
      ASSERT_TRUE(receiver.ok()) << receiver.status();
      std::vector<std::byte> buffer(64);
      uint64_t next = taken.load();
      // The message in the killed receiver's hands may be gone, no other one.
      for (bool first = true; receiver->Receive(buffer, Deadline::Immediate()).ok(); first = false, ++next) {
        if (first && !IsMessageOf(buffer, 0, next)) ++next;
        ASSERT_TRUE(IsMessageOf(buffer, 0, next)) << "message " << next;
      }
      EXPECT_GE(next + 1, count) << "accepted messages are gone";
      EXPECT_LE(next, count);
    }
  });
}

}  // namespace ipcmark::conformance

#endif  // IPCMARK_IPC_CONFORMANCE_DEATH_TESTS_H_
