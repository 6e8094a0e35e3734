#ifndef IPCMARK_IPC_CONFORMANCE_CARRYING_TESTS_H_
#define IPCMARK_IPC_CONFORMANCE_CARRYING_TESTS_H_

// Conformance: messages whole and in order, depth, deadlines, sizes, signals.

#include <signal.h>

#include <thread>

#include "ipc/conformance/fixture.h"
#include "ipc/os/process_group.h"

namespace ipcmark::conformance {

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
      if (uint64_t{depth} * bytes > uint64_t{256} * 1024 || bytes > TypeParam::kCapabilities.max_message_bytes)
        continue;
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
  if (!TypeParam::kCapabilities.shows_signals) GTEST_SKIP() << "it does not promise to show EINTR";
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

}  // namespace ipcmark::conformance

#endif  // IPCMARK_IPC_CONFORMANCE_CARRYING_TESTS_H_
