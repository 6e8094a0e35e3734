#ifndef IPCMARK_IPC_CONFORMANCE_BROADCAST_TESTS_H_
#define IPCMARK_IPC_CONFORMANCE_BROADCAST_TESTS_H_

// Conformance: primitives whose receivers each get every message.

#include <unistd.h>

#include <atomic>

#include "ipc/conformance/fixture.h"
#include "ipc/os/mapping.h"
#include "ipc/os/process_group.h"

namespace ipcmark::conformance {

TYPED_TEST_P(Conformance, EveryReceiverOfABroadcastGetsEveryMessage) {
  if (!TypeParam::kCapabilities.broadcasts) GTEST_SKIP() << "it does not broadcast";
  constexpr size_t kMaxBytes = 500;
  constexpr uint64_t kCount = 10'000;
  constexpr int kReceivers = 4;
  Seed();
  this->ForEachWait({.depth_messages = 8, .max_message_bytes = kMaxBytes, .receivers = kReceivers},
                    [](TypeParam& object) {
                      auto group = os::ProcessGroup::Create(1 + kReceivers);
                      ASSERT_TRUE(group.ok());
                      auto receive = [&](os::Gate& gate) {
                        auto receiver = object.OpenReceiver();
                        if (!receiver.ok()) return receiver.status();
                        gate.Arrive();
                        return Conformance<TypeParam>::ReceiveStream(*receiver, 2, kCount, kMaxBytes);
                      };
                      auto send = [&](os::Gate& gate) {
                        auto sender = object.OpenSender();
                        if (!sender.ok()) return sender.status();
                        gate.Arrive();
                        return Conformance<TypeParam>::SendStream(*sender, 2, kCount, kMaxBytes);
                      };
                      for (int i = 0; i < kReceivers; ++i)
                        ASSERT_TRUE(group->Spawn("receiver", os::kAnyCpu, receive).ok());
                      ASSERT_TRUE(group->Spawn("sender", os::kAnyCpu, send).ok());
                      ASSERT_TRUE(group->Start(os::After(kWatchdogNanos)).ok());
                      const absl::Status end = group->Join(os::After(kWatchdogNanos));
                      EXPECT_TRUE(end.ok()) << end;
                    });
}

TYPED_TEST_P(Conformance, AReceiverOfABroadcastGetsWhatIsSentAfterItOpened) {
  if (!TypeParam::kCapabilities.broadcasts) GTEST_SKIP() << "it does not broadcast";
  this->ForEachWait({.depth_messages = 4, .max_message_bytes = 64, .receivers = 2}, [](TypeParam& object) {
    auto sender = object.OpenSender();
    ASSERT_TRUE(sender.ok());
    const auto send = [&](uint64_t n) {
      ASSERT_TRUE(sender->Send(MessageOf(0, n, 64), Deadline::Immediate()).ok()) << "message " << n;
    };
    for (uint64_t n = 0; n < 10; ++n) send(n);  // to nobody, without waiting for anybody
    auto early = object.OpenReceiver();
    ASSERT_TRUE(early.ok());
    send(10);
    auto late = object.OpenReceiver();
    ASSERT_TRUE(late.ok());
    send(11);
    Conformance<TypeParam>::Drain(*early, 10, 2, 64);
    Conformance<TypeParam>::Drain(*late, 11, 1, 64);
    std::vector<std::byte> buffer(64);
    EXPECT_EQ(early->Receive(buffer, Deadline::Immediate()).outcome, Outcome::kWouldBlock);
    EXPECT_EQ(late->Receive(buffer, Deadline::Immediate()).outcome, Outcome::kWouldBlock);
  });
}

TYPED_TEST_P(Conformance, ABroadcastWaitsForItsSlowestReceiver) {
  if (!TypeParam::kCapabilities.broadcasts) GTEST_SKIP() << "it does not broadcast";
  this->ForEachWait({.depth_messages = 4, .max_message_bytes = 64, .receivers = 2}, [](TypeParam& object) {
    auto sender = object.OpenSender();
    auto fast = object.OpenReceiver();
    auto slow = object.OpenReceiver();
    ASSERT_TRUE(sender.ok() && fast.ok() && slow.ok());
    const uint64_t held = Conformance<TypeParam>::Fill(*sender, 64);
    Conformance<TypeParam>::Drain(*fast, 0, held, 64);
    EXPECT_EQ(sender->Send(MessageOf(0, held, 64), Deadline::Immediate()).outcome, Outcome::kWouldBlock);
    Conformance<TypeParam>::Drain(*slow, 0, held, 64);
    ASSERT_TRUE(sender->Send(MessageOf(0, held, 64), Deadline::Immediate()).ok());
    Conformance<TypeParam>::Drain(*fast, held, 1, 64);
    Conformance<TypeParam>::Drain(*slow, held, 1, 64);
  });
}

// Receives until message `count` - 1 has come or been missed. Anything else, or another message than the number that
// follows from what was received and missed so far, is an error.
template <typename P>
absl::Status ReceiveOrMiss(ReceiverOf<P>& receiver, uint64_t count, uint64_t* received) {
  std::vector<std::byte> buffer(64);
  for (uint64_t next = 0; next < count;) {
    const IoResult result = receiver.Receive(buffer, os::After(kWatchdogNanos));
    if (result.outcome == Outcome::kMissed && result.bytes != 0 && result.bytes < count - next) {
      next += result.bytes;
      continue;
    }
    if (!result.ok()) return IoError("Receive", next, result);
    if (!IsMessageOf(std::span(buffer).first(result.bytes), 0, next)) return absl::DataLossError("wrong message");
    ++next;
    ++*received;
  }
  return absl::OkStatus();
}

TYPED_TEST_P(Conformance, ABroadcastTellsASlowReceiverExactlyWhatItMissed) {
  if (!TypeParam::kCapabilities.broadcasts) GTEST_SKIP() << "it does not broadcast";
  Geometry geometry = {.depth_messages = 4, .max_message_bytes = 64, .receivers = 2};
  geometry.slow_receiver = SlowReceiver::kMissesMessages;
  const absl::Status can = TypeParam::Create(geometry).status();
  if (absl::IsUnimplemented(can)) GTEST_SKIP() << can;
  this->ForEachWait(geometry, [](TypeParam& object) {
    auto sender = object.OpenSender();
    auto receiver = object.OpenReceiver();
    ASSERT_TRUE(sender.ok() && receiver.ok());
    const uint64_t count = 3 * object.DepthLimit(64) + 1;
    for (uint64_t n = 0; n < count; ++n) {
      ASSERT_TRUE(sender->Send(MessageOf(0, n, 64), Deadline::Immediate()).ok()) << "it waits for nobody";
    }
    uint64_t received = 0;
    const absl::Status end = ReceiveOrMiss<TypeParam>(*receiver, count, &received);
    EXPECT_TRUE(end.ok()) << end;
    EXPECT_GE(received, object.geometry().depth_messages) << "it goes on with the oldest that is still there";
    EXPECT_LE(received, object.DepthLimit(64));
    std::vector<std::byte> buffer(64);
    EXPECT_EQ(receiver->Receive(buffer, Deadline::Immediate()).outcome, Outcome::kWouldBlock);
  });
}

TYPED_TEST_P(Conformance, ReceiversOfARunawayBroadcastMissExactlyWhatTheyAreTold) {
  if (!TypeParam::kCapabilities.broadcasts) GTEST_SKIP() << "it does not broadcast";
  constexpr uint64_t kCount = 50'000;
  Seed();
  Geometry geometry = {.depth_messages = 4, .max_message_bytes = 64, .receivers = 2};
  geometry.slow_receiver = SlowReceiver::kMissesMessages;
  const absl::Status can = TypeParam::Create(geometry).status();
  if (absl::IsUnimplemented(can)) GTEST_SKIP() << can;
  this->ForEachWait(geometry, [](TypeParam& object) {
    auto group = os::ProcessGroup::Create(3);
    ASSERT_TRUE(group.ok());
    auto receive = [&](os::Gate& gate) {
      auto receiver = object.OpenReceiver();
      if (!receiver.ok()) return receiver.status();
      gate.Arrive();
      uint64_t received = 0;
      return ReceiveOrMiss<TypeParam>(*receiver, kCount, &received);
    };
    auto send = [&](os::Gate& gate) {
      auto sender = object.OpenSender();
      if (!sender.ok()) return sender.status();
      gate.Arrive();
      for (uint64_t n = 0; n < kCount; ++n) {
        const IoResult result = sender->Send(MessageOf(0, n, LengthOf(n, 64)), Deadline::Immediate());
        if (!result.ok()) return IoError("Send", n, result);
      }
      return absl::OkStatus();
    };
    for (int i = 0; i < 2; ++i) ASSERT_TRUE(group->Spawn("receiver", os::kAnyCpu, receive).ok());
    ASSERT_TRUE(group->Spawn("sender", os::kAnyCpu, send).ok());
    ASSERT_TRUE(group->Start(os::After(kWatchdogNanos)).ok());
    const absl::Status end = group->Join(os::After(kWatchdogNanos));
    EXPECT_TRUE(end.ok()) << end;
  });
}

TYPED_TEST_P(Conformance, ABroadcastSurvivesTheDeathOfAReceiver) {
  if (!TypeParam::kCapabilities.broadcasts) GTEST_SKIP() << "it does not broadcast";
  if (!TypeParam::kCapabilities.survives_sigkill) GTEST_SKIP() << "it does not promise to survive SIGKILL of an end";
  this->ForEachWait({.depth_messages = 8, .max_message_bytes = 64, .receivers = 2}, [](TypeParam& object) {
    auto sender = object.OpenSender();
    auto witness = object.OpenReceiver();
    ASSERT_TRUE(sender.ok() && witness.ok());
    const auto send_to_witness = [&](uint64_t n) {
      ASSERT_TRUE(sender->Send(MessageOf(0, n, 64), os::After(kWatchdogNanos)).ok()) << "message " << n;
      Conformance<TypeParam>::Drain(*witness, n, 1, 64);
    };
    for (uint64_t trial = 0; trial < 30; ++trial) {
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
        }
      };
      ASSERT_TRUE(group->Spawn("receiver", os::kAnyCpu, drain).ok());
      ASSERT_TRUE(group->Start(os::After(kWatchdogNanos)).ok());
      const uint64_t before_kill = trial * 7;
      for (uint64_t n = 0; n < before_kill; ++n) ASSERT_NO_FATAL_FAILURE(send_to_witness(n));
      group->KillAndReap(0);
      // Past the dead one, which has not taken all of them and never will.
      for (uint64_t n = before_kill; n < before_kill + 20; ++n) ASSERT_NO_FATAL_FAILURE(send_to_witness(n));
      auto replacement = object.OpenReceiver();
      ASSERT_TRUE(replacement.ok()) << replacement.status();
      for (uint64_t n = 0; n < 20; ++n) {
        ASSERT_NO_FATAL_FAILURE(send_to_witness(n));
        Conformance<TypeParam>::Drain(*replacement, n, 1, 64);
      }
    }
  });
}

}  // namespace ipcmark::conformance

#endif  // IPCMARK_IPC_CONFORMANCE_BROADCAST_TESTS_H_
