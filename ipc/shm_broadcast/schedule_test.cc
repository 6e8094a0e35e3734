// One sender, several receivers, as threads, so that ThreadSanitizer sees them; before shared accesses they give the
// processor away at points that a seed chooses. Every receiver must get every message or be told exactly which it
// missed.

#include <gtest/gtest.h>

#include <thread>

#include "ipc/conformance/support.h"
#include "ipc/os/instrumented_atomic.h"
#include "ipc/shm_broadcast/shm_broadcast.h"

namespace ipcmark::shm_broadcast {
namespace {

using conformance::IsMessageOf;
using conformance::LengthOf;
using conformance::MessageOf;
using os::InstrumentedAccess;
using TestChannel = BasicChannel<os::InstrumentedAtomic>;
using TestReceiver = BasicReceiver<os::InstrumentedAtomic>;

constexpr uint64_t kMaxBytes = 60;
constexpr uint64_t kMessages = 2000;
constexpr int kReceivers = 3;
constexpr int64_t kWatchdogNanos = 60 * os::kNanosPerSecond;

struct Taken {
  uint64_t received = 0;
  uint64_t missed = 0;
};

// Until the sender has closed: expects number `next` and up, whole and in order.
void TakeUntilClosed(TestReceiver& receiver, uint64_t next, bool by_view, Taken* taken) {
  std::vector<std::byte> buffer(kMaxBytes);
  for (;;) {
    IoResult result;
    std::span<const std::byte> message = buffer;
    if (by_view && next % 2 == 0) {
      const ViewResult view = receiver.View(os::After(kWatchdogNanos));
      result = view.result;
      message = view.message;
    } else {
      result = receiver.Receive(buffer, os::After(kWatchdogNanos));
    }
    if (result.outcome == Outcome::kClosed) return;
    if (result.outcome == Outcome::kMissed) {
      taken->missed += result.bytes;
      next += result.bytes;
      continue;
    }
    ASSERT_EQ(result.outcome, Outcome::kOk) << "message " << next << ", errno " << result.err;
    ASSERT_EQ(result.bytes, LengthOf(next, kMaxBytes)) << "message " << next;
    ASSERT_TRUE(IsMessageOf(message.first(result.bytes), 0, next)) << "message " << next;
    if (by_view && next % 2 == 0) receiver.Release();
    ++next;
    ++taken->received;
  }
}

void Stream(TestChannel& channel, uint64_t seed, std::array<Taken, kReceivers>* taken) {
  std::vector<TestReceiver> receivers;
  receivers.reserve(kReceivers);
  for (int i = 0; i < kReceivers; ++i) receivers.push_back(*channel.OpenReceiver());
  auto sender = std::make_unique<absl::StatusOr<BasicSender<os::InstrumentedAtomic>>>(channel.OpenSender());
  std::vector<std::thread> threads;
  threads.reserve(kReceivers);
  for (int i = 0; i < kReceivers; ++i) {
    threads.emplace_back([&, i] {
      InstrumentedAccess::Reschedule(seed * 7919 + i);
      TakeUntilClosed(receivers[i], 0, i == 0, &(*taken)[i]);
    });
  }
  InstrumentedAccess::Reschedule(seed);
  for (uint64_t n = 0; n < kMessages; ++n) {
    const IoResult sent = (*sender)->Send(MessageOf(0, n, LengthOf(n, kMaxBytes)), os::After(kWatchdogNanos));
    EXPECT_EQ(sent.outcome, Outcome::kOk) << "message " << n;
    if (!sent.ok()) break;
  }
  sender.reset();
  InstrumentedAccess::Off();
  for (std::thread& thread : threads) thread.join();
}

void StreamInEveryWait(SlowReceiver slow_receiver) {
  const uint64_t seed = conformance::Seed();
  for (Wait wait : kAllWaits) {
    for (uint32_t depth : {1, 3}) {
      SCOPED_TRACE(testing::Message() << WaitName(wait) << ", depth " << depth);
      auto channel = TestChannel::Create({.depth_messages = depth,
                                          .max_message_bytes = kMaxBytes,
                                          .wait = wait,
                                          .receivers = kReceivers,
                                          .slow_receiver = slow_receiver});
      ASSERT_TRUE(channel.ok()) << channel.status();
      std::array<Taken, kReceivers> taken = {};
      Stream(*channel, seed + depth, &taken);
      for (const Taken& one : taken) {
        EXPECT_EQ(one.received + one.missed, kMessages);
        if (slow_receiver == SlowReceiver::kBlocksSender) {
          EXPECT_EQ(one.missed, 0U);
        }
      }
    }
  }
}

TEST(ShmBroadcastSchedule, ReceiversThatBlockTheSenderGetEverything) { StreamInEveryWait(SlowReceiver::kBlocksSender); }

TEST(ShmBroadcastSchedule, ReceiversThatMissMessagesAreToldExactlyWhich) {
  StreamInEveryWait(SlowReceiver::kMissesMessages);
}

// What one receiver that opens in the middle of a stream must see: nothing that was sent before it opened, everything
// that was sent after.
void OpenTakeAndClose(TestChannel& channel, const std::atomic<uint64_t>& begun, const std::atomic<uint64_t>& accepted,
                      uint64_t count) {
  const uint64_t accepted_before = accepted.load();
  auto receiver = channel.OpenReceiver();
  ASSERT_TRUE(receiver.ok()) << receiver.status();
  const uint64_t begun_after = begun.load();
  std::vector<std::byte> buffer(sizeof(uint64_t));
  uint64_t next = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const IoResult result = receiver->Receive(buffer, os::After(kWatchdogNanos));
    if (result.outcome == Outcome::kClosed) return;
    uint64_t number = 0;
    memcpy(&number, buffer.data(), sizeof(number));
    if (result.outcome == Outcome::kMissed) {
      ASSERT_GT(result.bytes, 0U);
      // Of the first one only its number says how many there were before it.
      if (i != 0) next += result.bytes;
      if (i == 0) --i;
      continue;
    }
    ASSERT_EQ(result.outcome, Outcome::kOk);
    if (i == 0) {
      ASSERT_GE(number, accepted_before);
      if (channel.geometry().slow_receiver == SlowReceiver::kBlocksSender) {
        ASSERT_LE(number, begun_after) << "it missed one";
      }
      next = number;
    }
    ASSERT_EQ(number, next);
    ++next;
  }
}

TEST(ShmBroadcastSchedule, ReceiversComeAndGoWhileMessagesFlow) {
  const uint64_t seed = conformance::Seed();
  for (SlowReceiver mode : {SlowReceiver::kBlocksSender, SlowReceiver::kMissesMessages}) {
    for (Wait wait : kAllWaits) {
      auto channel = TestChannel::Create(
          {.depth_messages = 2, .max_message_bytes = 8, .wait = wait, .receivers = kReceivers, .slow_receiver = mode});
      ASSERT_TRUE(channel.ok()) << channel.status();
      std::atomic<uint64_t> begun = 0;
      std::atomic<uint64_t> accepted = 0;
      std::atomic<int> visitors = kReceivers;
      std::vector<std::thread> threads;
      threads.reserve(kReceivers);
      for (int i = 0; i < kReceivers; ++i) {
        threads.emplace_back([&, i] {
          InstrumentedAccess::Reschedule(seed * 31 + i);
          for (uint64_t visit = 0; visit < 150; ++visit) OpenTakeAndClose(*channel, begun, accepted, visit % 6);
          --visitors;
        });
      }
      InstrumentedAccess::Reschedule(seed + 1);
      {
        auto sender = channel->OpenSender();
        ASSERT_TRUE(sender.ok());
        for (uint64_t n = 0; visitors.load() != 0; ++n) {
          begun.store(n + 1);
          std::byte message[sizeof(n)];
          memcpy(message, &n, sizeof(n));
          const IoResult sent = sender->Send(message, os::After(kWatchdogNanos));
          EXPECT_EQ(sent.outcome, Outcome::kOk) << "message " << n;
          if (!sent.ok()) break;
          accepted.store(n + 1);
        }
      }
      InstrumentedAccess::Off();
      for (std::thread& thread : threads) thread.join();
    }
  }
}

}  // namespace
}  // namespace ipcmark::shm_broadcast
