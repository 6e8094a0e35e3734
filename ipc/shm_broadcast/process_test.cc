// Many reader processes on one ring: each gets everything in order, or is told exactly what it missed, while others
// come, go and are killed.

#include <gtest/gtest.h>

#include "absl/strings/str_format.h"
#include "ipc/conformance/support.h"
#include "ipc/os/process_group.h"
#include "ipc/shm_broadcast/shm_broadcast.h"

namespace ipcmark::shm_broadcast {
namespace {

using conformance::IoError;
using conformance::IsMessageOf;
using conformance::LengthOf;
using conformance::MessageOf;

constexpr int64_t kWatchdogNanos = 120 * os::kNanosPerSecond;
constexpr uint64_t kMaxBytes = 200;

absl::Status SendMessages(Channel& channel, os::Gate& gate, uint64_t count) {
  auto sender = channel.OpenSender();
  if (!sender.ok()) return sender.status();
  gate.Arrive();
  for (uint64_t n = 0; n < count; ++n) {
    const IoResult sent = sender->Send(MessageOf(0, n, LengthOf(n, kMaxBytes)), os::After(kWatchdogNanos));
    if (!sent.ok()) return IoError("Send", n, sent);
  }
  return absl::OkStatus();
}

absl::Status TakeMessages(Channel& channel, os::Gate& gate, uint64_t count) {
  auto receiver = channel.OpenReceiver();
  if (!receiver.ok()) return receiver.status();
  gate.Arrive();
  std::vector<std::byte> buffer(kMaxBytes);
  uint64_t next = 0;
  for (;;) {
    const IoResult result = receiver->Receive(buffer, os::After(kWatchdogNanos));
    if (result.outcome == Outcome::kMissed && channel.geometry().slow_receiver == SlowReceiver::kMissesMessages) {
      next += result.bytes;
    } else if (result.ok()) {
      if (!IsMessageOf(std::span(buffer).first(result.bytes), 0, next)) return absl::DataLossError("wrong bytes");
      ++next;
    } else if (result.outcome == Outcome::kClosed || result.outcome == Outcome::kPeerDead) {
      return next == count ? absl::OkStatus()
                           : absl::DataLossError(absl::StrFormat("%d messages, got or missed %d", count, next));
    } else {
      return IoError("Receive", next, result);
    }
  }
}

void StreamToProcesses(const Geometry& geometry, uint64_t count) {
  auto channel = Channel::Create(geometry);
  ASSERT_TRUE(channel.ok()) << channel.status();
  const int receivers = static_cast<int>(geometry.receivers);
  auto group = os::ProcessGroup::Create(receivers + 1);
  ASSERT_TRUE(group.ok());
  const auto take = [&](os::Gate& gate) { return TakeMessages(*channel, gate, count); };
  const auto send = [&](os::Gate& gate) { return SendMessages(*channel, gate, count); };
  for (int i = 0; i < receivers; ++i) ASSERT_TRUE(group->Spawn("receiver", os::kAnyCpu, take).ok());
  ASSERT_TRUE(group->Spawn("sender", os::kAnyCpu, send).ok());
  absl::Status status = group->Start(os::After(kWatchdogNanos));
  if (status.ok()) status = group->Join(os::After(kWatchdogNanos));
  EXPECT_TRUE(status.ok()) << status;
}

TEST(ShmBroadcastProcesses, EachOf1To64GetsEverythingOrIsToldWhatItMissed) {
  conformance::Seed();
  for (SlowReceiver mode : {SlowReceiver::kBlocksSender, SlowReceiver::kMissesMessages}) {
    for (Wait wait : kAllWaits) {
      for (uint32_t receivers : {1, 2, 7, 64}) {
        // So many spinners on few processors would measure the scheduler's time slice.
        if (wait == Wait::kSpin && receivers > 7) continue;
        SCOPED_TRACE(testing::Message() << WaitName(wait) << ", " << receivers << " receivers");
        StreamToProcesses({.depth_messages = 16,
                           .max_message_bytes = kMaxBytes,
                           .wait = wait,
                           .receivers = receivers,
                           .slow_receiver = mode},
                          receivers > 7 ? 1000 : 5000);
      }
    }
  }
}

// Takes some messages, checks that they follow on each other, and is killed or closes.
absl::Status Visit(Channel& channel, os::Gate& gate, bool stay) {
  auto receiver = channel.OpenReceiver();
  if (!receiver.ok()) return receiver.status();
  gate.Arrive();
  uint64_t number = 0;
  for (uint64_t i = 0, next = 0; stay || i < 100; ++i, ++next) {
    const IoResult result = receiver->Receive(std::as_writable_bytes(std::span(&number, 1)), os::After(kWatchdogNanos));
    if (!result.ok()) return IoError("Receive", i, result);
    if (i == 0) next = number;
    if (number != next) return absl::DataLossError(absl::StrFormat("message %d instead of %d", number, next));
  }
  return absl::OkStatus();
}

// The sender and one witness stay, the others come and go; every second one is killed in the middle.
TEST(ShmBroadcastProcesses, ReceiversComeGoAndDieWhileMessagesFlow) {
  for (Wait wait : {Wait::kSpinThenBlock, Wait::kBlock}) {
    SCOPED_TRACE(WaitName(wait));
    auto channel =
        Channel::Create({.depth_messages = 8, .max_message_bytes = sizeof(uint64_t), .wait = wait, .receivers = 3});
    ASSERT_TRUE(channel.ok()) << channel.status();
    auto flow = os::ProcessGroup::Create(2);
    ASSERT_TRUE(flow.ok());
    const auto send = [&](os::Gate& gate) {
      auto sender = channel->OpenSender();
      if (!sender.ok()) return sender.status();
      gate.Arrive();
      for (uint64_t n = 0;; ++n) {
        const IoResult sent = sender->Send(std::as_bytes(std::span(&n, 1)), os::After(kWatchdogNanos));
        if (!sent.ok()) return IoError("Send", n, sent);
      }
    };
    const auto watch = [&](os::Gate& gate) { return Visit(*channel, gate, /*stay=*/true); };
    ASSERT_TRUE(flow->Spawn("sender", os::kAnyCpu, send).ok());
    ASSERT_TRUE(flow->Spawn("witness", os::kAnyCpu, watch).ok());
    ASSERT_TRUE(flow->Start(os::After(kWatchdogNanos)).ok());
    for (int visit = 0; visit < 40; ++visit) {
      auto group = os::ProcessGroup::Create(1);
      ASSERT_TRUE(group.ok());
      const bool is_killed = visit % 2 == 0;
      const auto take = [&](os::Gate& gate) { return Visit(*channel, gate, /*stay=*/is_killed); };
      ASSERT_TRUE(group->Spawn("visitor", os::kAnyCpu, take).ok());
      ASSERT_TRUE(group->Start(os::After(kWatchdogNanos)).ok());
      if (is_killed) {
        group->KillAndReap(0);
      } else {
        const absl::Status visited = group->Join(os::After(kWatchdogNanos));
        ASSERT_TRUE(visited.ok()) << visited;
      }
    }
    EXPECT_TRUE(flow->running(0) && flow->running(1));
    flow->KillAndReapAll();
  }
}

}  // namespace
}  // namespace ipcmark::shm_broadcast
