#ifndef IPCMARK_IPC_CONFORMANCE_CONFORMANCE_H_
#define IPCMARK_IPC_CONFORMANCE_CONFORMANCE_H_

// The conformance suite: what ipc/channel.h says, as tests of any primitive P. What P does not promise is skipped with
// the reason printed. Each test runs for every wait strategy that P has; processes are real, and nothing sleeps to
// synchronise. Instantiated by conformance.bzl.

#include <gtest/gtest.h>
#include <signal.h>

#include <thread>

#include "ipc/channel.h"
#include "ipc/conformance/support.h"
#include "ipc/os/clock.h"
#include "ipc/os/process_group.h"

namespace ipcmark::conformance {

// A hang is a failure after this long, not a test time-out.
inline constexpr int64_t kWatchdogNanos = 60 * os::kNanosPerSecond;
inline constexpr int64_t kBriefNanos = 20'000'000;

template <typename P>
class Conformance : public testing::Test {
 protected:
  // Runs `body` for every wait strategy that P has.
  template <typename Body>
  void ForEachWait(Geometry geometry, const Body& body) {
    for (Wait wait : kAllWaits) {
      if (!P::kCapabilities.waits.Has(wait)) continue;
      SCOPED_TRACE(WaitName(wait));
      geometry.wait = wait;
      absl::StatusOr<P> object = P::Create(geometry);
      ASSERT_TRUE(object.ok()) << object.status();
      body(*object);
    }
  }

  // Sends messages 0 .. count-1 of stream `stream` with lengths LengthOf.
  static absl::Status SendStream(SenderOf<P>& sender, uint64_t stream, uint64_t count, size_t max_bytes) {
    for (uint64_t n = 0; n < count; ++n) {
      const IoResult result = sender.Send(MessageOf(stream, n, LengthOf(n, max_bytes)), Deadline::Never());
      if (!result.ok()) return IoError("Send", n, result);
    }
    return absl::OkStatus();
  }

  static absl::Status ReceiveStream(ReceiverOf<P>& receiver, uint64_t stream, uint64_t count, size_t max_bytes) {
    std::vector<std::byte> buffer(max_bytes);
    for (uint64_t n = 0; n < count; ++n) {
      const IoResult result = receiver.Receive(buffer, Deadline::Never());
      if (!result.ok()) return IoError("Receive", n, result);
      if (result.bytes != LengthOf(n, max_bytes)) return absl::DataLossError("wrong length");
      if (!IsMessageOf(std::span(buffer).first(result.bytes), stream, n)) return absl::DataLossError("wrong bytes");
    }
    return absl::OkStatus();
  }

  // Fills the object; returns how many messages it took.
  static uint64_t Fill(SenderOf<P>& sender, size_t bytes) {
    for (uint64_t n = 0;; ++n) {
      const IoResult result = sender.Send(MessageOf(0, n, bytes), Deadline::Immediate());
      if (result.ok()) continue;
      EXPECT_EQ(result.outcome, Outcome::kWouldBlock);
      return n;
    }
  }

  // Takes `count` messages of `bytes` bytes and expects numbers first, first + 1, ...
  static void Drain(ReceiverOf<P>& receiver, uint64_t first, uint64_t count, size_t bytes) {
    std::vector<std::byte> buffer(bytes);
    for (uint64_t n = first; n < first + count; ++n) {
      const IoResult result = receiver.Receive(buffer, Deadline::Immediate());
      ASSERT_TRUE(result.ok()) << "message " << n << ": " << testing::PrintToString(result);
      ASSERT_EQ(result.bytes, bytes);
      ASSERT_TRUE(IsMessageOf(buffer, 0, n)) << "message " << n;
    }
  }
};

TYPED_TEST_SUITE_P(Conformance);

TYPED_TEST_P(Conformance, CarriesEveryLengthWhole) {
  this->ForEachWait({.depth_messages = 4, .max_message_bytes = 8192}, [](TypeParam& object) {
    auto sender = object.OpenSender();
    auto receiver = object.OpenReceiver();
    ASSERT_TRUE(sender.ok() && receiver.ok());
    std::vector<std::byte> buffer(8192);
    for (size_t bytes : {0, 1, 7, 8, 9, 63, 64, 65, 255, 256, 257, 4091, 4092, 4093, 4096, 8191, 8192}) {
      EXPECT_EQ(sender->Send(MessageOf(1, bytes, bytes), Deadline::Immediate()).bytes, bytes);
      const IoResult received = receiver->Receive(buffer, Deadline::Immediate());
      ASSERT_TRUE(received.ok()) << bytes << " bytes: " << testing::PrintToString(received);
      ASSERT_EQ(received.bytes, bytes);
      EXPECT_TRUE(IsMessageOf(std::span(buffer).first(bytes), 1, bytes)) << bytes;
    }
  });
}

TYPED_TEST_P(Conformance, CarriesAStreamBetweenProcessesInOrder) {
  constexpr size_t kMaxBytes = 5000;
  constexpr uint64_t kCount = 20'000;
  Seed();
  this->ForEachWait({.depth_messages = 8, .max_message_bytes = kMaxBytes}, [](TypeParam& object) {
    auto group = os::ProcessGroup::Create(2);
    ASSERT_TRUE(group.ok());
    auto send = [&](os::Gate& gate) {
      auto sender = object.OpenSender();
      if (!sender.ok()) return sender.status();
      object.ReleaseEnds();
      gate.Arrive();
      return Conformance<TypeParam>::SendStream(*sender, 2, kCount, kMaxBytes);
    };
    auto receive = [&](os::Gate& gate) {
      auto receiver = object.OpenReceiver();
      if (!receiver.ok()) return receiver.status();
      object.ReleaseEnds();
      gate.Arrive();
      return Conformance<TypeParam>::ReceiveStream(*receiver, 2, kCount, kMaxBytes);
    };
    ASSERT_TRUE(group->Spawn("sender", os::kAnyCpu, send).ok());
    ASSERT_TRUE(group->Spawn("receiver", os::kAnyCpu, receive).ok());
    object.ReleaseEnds();
    ASSERT_TRUE(group->Start(os::After(kWatchdogNanos)).ok());
    const absl::Status end = group->Join(os::After(kWatchdogNanos));
    EXPECT_TRUE(end.ok()) << end;
  });
}

// Threads instead of processes, because ThreadSanitizer sees those only.
TYPED_TEST_P(Conformance, CarriesAStreamBetweenThreads) {
  constexpr size_t kMaxBytes = 300;
  constexpr uint64_t kCount = 5'000;
  Seed();
  this->ForEachWait({.depth_messages = 4, .max_message_bytes = kMaxBytes}, [](TypeParam& object) {
    auto sender = object.OpenSender();
    auto receiver = object.OpenReceiver();
    ASSERT_TRUE(sender.ok() && receiver.ok());
    absl::Status sent;
    std::thread thread([&] { sent = Conformance<TypeParam>::SendStream(*sender, 3, kCount, kMaxBytes); });
    const absl::Status received = Conformance<TypeParam>::ReceiveStream(*receiver, 3, kCount, kMaxBytes);
    thread.join();
    EXPECT_TRUE(sent.ok()) << sent;
    EXPECT_TRUE(received.ok()) << received;
  });
}

TYPED_TEST_P(Conformance, HoldsItsDepthAndNotMore) {
  for (uint32_t depth : {1, 2, 7, 64}) {
    for (uint32_t bytes : {8, 64, 4092, 65536}) {
      SCOPED_TRACE(testing::Message() << "depth " << depth << ", " << bytes << " bytes");
      // What the kernel lets a pipe hold for every user.
      if (uint64_t{depth} * bytes > 256 * 1024) continue;
      this->ForEachWait({.depth_messages = depth, .max_message_bytes = bytes}, [&](TypeParam& object) {
        auto sender = object.OpenSender();
        auto receiver = object.OpenReceiver();
        ASSERT_TRUE(sender.ok() && receiver.ok());
        uint64_t first = 0;
        for (int lap = 0; lap < 3; ++lap) {
          const uint64_t held = Conformance<TypeParam>::Fill(*sender, bytes);
          EXPECT_GE(held, depth);
          EXPECT_LE(held, object.DepthLimit(bytes));
          first = 0;  // Fill numbers each lap from zero
          Conformance<TypeParam>::Drain(*receiver, first, held, bytes);
        }
        std::vector<std::byte> buffer(bytes);
        EXPECT_EQ(receiver->Receive(buffer, Deadline::Immediate()).outcome, Outcome::kWouldBlock);
      });
    }
  }
}

TYPED_TEST_P(Conformance, KeepsDeadlinesAndChangesNothingWhenTheyPass) {
  this->ForEachWait({.depth_messages = 2, .max_message_bytes = 64}, [](TypeParam& object) {
    auto sender = object.OpenSender();
    auto receiver = object.OpenReceiver();
    ASSERT_TRUE(sender.ok() && receiver.ok());
    std::vector<std::byte> buffer(64);
    Deadline deadline = os::After(kBriefNanos);
    EXPECT_EQ(receiver->Receive(buffer, deadline).outcome, Outcome::kDeadline);
    EXPECT_GE(os::MonotonicNanos(), deadline.monotonic_nanos) << "gave up early";
    EXPECT_EQ(receiver->Receive(buffer, Deadline{1}).outcome, Outcome::kDeadline) << "a deadline long past";

    const uint64_t held = Conformance<TypeParam>::Fill(*sender, 64);
    deadline = os::After(kBriefNanos);
    EXPECT_EQ(sender->Send(MessageOf(0, 99, 64), deadline).outcome, Outcome::kDeadline);
    EXPECT_GE(os::MonotonicNanos(), deadline.monotonic_nanos) << "gave up early";
    Conformance<TypeParam>::Drain(*receiver, 0, held, 64);
    EXPECT_EQ(receiver->Receive(buffer, Deadline::Immediate()).outcome, Outcome::kWouldBlock);
  });
}

TYPED_TEST_P(Conformance, RefusesWhatIsTooBigAndKeepsTheMessage) {
  this->ForEachWait({.depth_messages = 4, .max_message_bytes = 100}, [](TypeParam& object) {
    auto sender = object.OpenSender();
    auto receiver = object.OpenReceiver();
    ASSERT_TRUE(sender.ok() && receiver.ok());
    EXPECT_EQ(sender->Send(MessageOf(0, 0, 101), Deadline::Immediate()).outcome, Outcome::kTooBig);
    ASSERT_TRUE(sender->Send(MessageOf(0, 0, 100), Deadline::Immediate()).ok());
    ASSERT_TRUE(sender->Send(MessageOf(0, 1, 100), Deadline::Immediate()).ok());
    std::vector<std::byte> buffer(100);
    for (size_t small : {99, 0, 50}) {
      const IoResult result = receiver->Receive(std::span(buffer).first(small), Deadline::Immediate());
      EXPECT_EQ(result.outcome, Outcome::kTooBig);
      EXPECT_EQ(result.bytes, 100U) << "it says how much room is needed";
    }
    Conformance<TypeParam>::Drain(*receiver, 0, 2, 100);
  });
}

TYPED_TEST_P(Conformance, ShowsASignalToABlockedCaller) {
  if (!TypeParam::kCapabilities.waits.Has(Wait::kBlock)) GTEST_SKIP() << "it never sleeps in the kernel";
  Geometry geometry = {.depth_messages = 1, .max_message_bytes = 64, .wait = Wait::kBlock};
  auto object = TypeParam::Create(geometry);
  ASSERT_TRUE(object.ok()) << object.status();
  auto keep_open = object->OpenSender();
  ASSERT_TRUE(keep_open.ok());
  auto group = os::ProcessGroup::Create(1);
  ASSERT_TRUE(group.ok());
  auto wait = [&](os::Gate& gate) {
    struct sigaction action = {};
    action.sa_handler = [](int) {};
    sigaction(SIGUSR1, &action, nullptr);
    auto receiver = object->OpenReceiver();
    if (!receiver.ok()) return receiver.status();
    gate.Arrive();
    std::vector<std::byte> buffer(64);
    const IoResult result = receiver->Receive(buffer, os::After(kWatchdogNanos));
    return result.outcome == Outcome::kInterrupted ? absl::OkStatus() : IoError("Receive", 0, result);
  };
  ASSERT_TRUE(group->Spawn("receiver", os::kAnyCpu, wait).ok());
  ASSERT_TRUE(group->Start(os::After(kWatchdogNanos)).ok());
  // Nobody can see from outside when it sleeps: signal until one has found it asleep.
  const Deadline watchdog = os::After(kWatchdogNanos);
  absl::Status end = absl::DeadlineExceededError("");
  while (absl::IsDeadlineExceeded(end) && !os::HasPassed(watchdog)) {
    group->Signal(0, SIGUSR1);
    end = group->JoinOne(0, os::After(1'000'000));
  }
  EXPECT_TRUE(end.ok()) << end;
}

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
    while (killed) pause();
    return absl::OkStatus();
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
    EXPECT_TRUE(end.outcome == Outcome::kPeerDead || end.outcome == Outcome::kClosed) << testing::PrintToString(end);
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
      ASSERT_TRUE(receivers[n % receivers.size()].Receive(buffer, Deadline::Immediate()).ok());
      EXPECT_TRUE(IsMessageOf(buffer, 0, n));
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
                            LeavesNothingBehind, LeavesNothingBehindWhenItsCreatorIsKilled);

}  // namespace ipcmark::conformance

#endif  // IPCMARK_IPC_CONFORMANCE_CONFORMANCE_H_
