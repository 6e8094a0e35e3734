// Many processes send and receive at once, while random ones of them are killed and replaced. Every message whose Send
// returned ok comes exactly once, but for one in the hands of each killed receiver; each receiver sees each sender's
// messages in order; and nobody stands still.

#include <random>

#include "ipc/conformance/support.h"
#include "ipc/os/process_group.h"
#include "ipc/shm_mpmc/ring_test_support.h"
#include "ipc/shm_mpmc/shm_mpmc.h"

namespace ipcmark::shm_mpmc {
namespace {

constexpr uint32_t kMaxStreams = 256;  // one per sending process
constexpr uint64_t kPerStream = 20'000;
constexpr uint32_t kMaxBytes = 300;

// In memory that all share, and that survives a kill.
struct Ledger {
  std::atomic<bool> stop;
  std::atomic<uint64_t> received;
  std::atomic<uint64_t> accepted[kMaxStreams];
  std::atomic<uint8_t> seen[kMaxStreams][kPerStream];
};

size_t BytesOf(uint64_t stream, uint64_t n) {
  return sizeof(uint64_t) * 2 + conformance::LengthOf(stream * 31 + n, kMaxBytes - sizeof(uint64_t) * 2);
}

absl::Status SendStream(Channel& channel, Ledger& ledger, os::Gate& gate, uint64_t stream) {
  auto sender = channel.OpenSender();
  if (!sender.ok()) return sender.status();
  gate.Arrive();
  for (uint64_t n = 0; n < kPerStream && !ledger.stop; ++n) {
    std::vector<std::byte> message = conformance::MessageOf(stream, n, BytesOf(stream, n));
    memcpy(message.data(), &stream, sizeof(stream));
    memcpy(message.data() + sizeof(stream), &n, sizeof(n));
    const IoResult sent = sender->Send(message, os::After(kWatchdogNanos));
    // All receivers may be dead for a moment.
    if (sent.outcome == Outcome::kPeerDead) {
      --n;
      continue;
    }
    if (!sent.ok()) return conformance::IoError("Send", n, sent);
    ledger.accepted[stream] = n + 1;
  }
  return absl::OkStatus();
}

absl::Status NoteMessage(std::span<const std::byte> message, Ledger& ledger, std::vector<uint64_t>& next) {
  uint64_t stream = 0;
  uint64_t n = 0;
  if (message.size() < sizeof(stream) + sizeof(n)) return absl::DataLossError("too short");
  memcpy(&stream, message.data(), sizeof(stream));
  memcpy(&n, message.data() + sizeof(stream), sizeof(n));
  if (stream >= kMaxStreams || n >= kPerStream) return absl::DataLossError("a message from nowhere");
  std::vector<std::byte> expected = conformance::MessageOf(stream, n, BytesOf(stream, n));
  memcpy(expected.data(), message.data(), sizeof(stream) + sizeof(n));
  if (!std::equal(message.begin(), message.end(), expected.begin(), expected.end())) return absl::DataLossError("torn");
  if (n < next[stream]) return absl::DataLossError("out of order");
  next[stream] = n + 1;
  if (ledger.seen[stream][n].fetch_add(1) != 0) return absl::DataLossError("a message came twice");
  ledger.received.fetch_add(1);
  return absl::OkStatus();
}

absl::Status ReceiveAll(Channel& channel, Ledger& ledger, os::Gate& gate) {
  auto receiver = channel.OpenReceiver();
  if (!receiver.ok()) return receiver.status();
  gate.Arrive();
  std::vector<uint64_t> next(kMaxStreams);
  std::vector<std::byte> buffer(kMaxBytes);
  for (;;) {
    const IoResult received = receiver->Receive(buffer, os::After(kPeerDeathNanos));
    absl::Status noted = absl::OkStatus();
    if (received.ok()) {
      noted = NoteMessage(std::span(buffer).first(received.bytes), ledger, next);
    } else if (ledger.stop) {
      break;
    } else if (received.outcome == Outcome::kError) {
      noted = conformance::IoError("Receive", 0, received);
    }
    if (!noted.ok()) return noted;
  }
  return absl::OkStatus();
}

struct Crowd {
  uint32_t senders;
  uint32_t receivers;
  uint32_t depth;
  Wait wait;
  int kills;
};

using Children = std::vector<std::pair<int, bool>>;  // index in the group, sends

class ShmMpmcStress : public testing::Test {
 protected:
  void SetUp() override {
    conformance::Seed();  // here, so that all children have the same
    auto mapping = os::Mapping::SharedAnonymous(sizeof(Ledger));
    ASSERT_TRUE(mapping.ok());
    mapping_ = *std::move(mapping);
  }

  Ledger& NewLedger() { return *new (mapping_.address()) Ledger{}; }

  void Run(const Crowd& crowd) {
    SCOPED_TRACE(testing::Message() << crowd.senders << " to " << crowd.receivers << ", depth " << crowd.depth << ", "
                                    << WaitName(crowd.wait) << ", " << crowd.kills << " kills");
    Ledger& ledger = NewLedger();
    auto channel = Channel::Create({.depth_messages = crowd.depth,
                                    .max_message_bytes = kMaxBytes,
                                    .wait = crowd.wait,
                                    .senders = crowd.senders,
                                    .receivers = crowd.receivers});
    ASSERT_TRUE(channel.ok()) << channel.status();
    auto group = os::ProcessGroup::Create(static_cast<int>(crowd.senders + crowd.receivers) + crowd.kills);
    ASSERT_TRUE(group.ok());
    uint64_t streams = 0;
    Children running;
    const auto spawn = [&](bool sends) {
      const uint64_t stream = streams;
      streams += sends ? 1 : 0;
      const auto child = [&](os::Gate& gate) {
        return sends ? SendStream(*channel, ledger, gate, stream) : ReceiveAll(*channel, ledger, gate);
      };
      auto index = group->Spawn(sends ? "sender" : "receiver", os::kAnyCpu, child);
      ASSERT_TRUE(index.ok()) << index.status();
      running.emplace_back(*index, sends);
    };
    for (uint32_t i = 0; i < crowd.senders; ++i) spawn(true);
    for (uint32_t i = 0; i < crowd.receivers; ++i) spawn(false);
    ASSERT_TRUE(group->Start(os::After(kWatchdogNanos)).ok());

    std::mt19937_64 random(conformance::Seed());
    uint64_t receivers_killed = 0;
    for (int kill = 0; kill < crowd.kills; ++kill) {
      AwaitProgress(*group, ledger, running, random() % 500 + 1);
      if (HasFailure()) return;
      auto& victim = running[random() % running.size()];
      const bool sends = victim.second;
      group->KillAndReap(victim.first);
      receivers_killed += sends ? 0 : 1;
      std::swap(victim, running.back());
      running.pop_back();
      spawn(sends);
    }
    Finish(*group, ledger, running);
    CheckLedger(ledger, streams, receivers_killed);
  }

 private:
  // Waits for `messages` more to be received, or until no sender is left that could send them.
  static void AwaitProgress(os::ProcessGroup& group, Ledger& ledger, const Children& running, uint64_t messages) {
    const uint64_t until = ledger.received + messages;
    const Deadline watchdog = os::After(kWatchdogNanos);
    while (ledger.received < until && !os::HasPassed(watchdog)) {
      bool sending = false;
      for (const auto& [index, sends] : running) {
        // Also of a child that another's JoinOne has reaped.
        const absl::Status end = group.JoinOne(index, os::After(100'000));
        ASSERT_TRUE(end.ok() || absl::IsDeadlineExceeded(end)) << end;
        sending |= sends && !end.ok();
      }
      if (!sending) return;
    }
    ASSERT_GE(ledger.received, until) << "everybody stands still";
  }

  static void Finish(os::ProcessGroup& group, Ledger& ledger, const Children& running) {
    const Deadline watchdog = os::After(kWatchdogNanos);
    if (!HasFailure()) {
      for (const auto& [index, sends] : running) {
        if (!sends) continue;
        const absl::Status end = group.JoinOne(index, watchdog);
        ASSERT_TRUE(end.ok()) << end;
      }
    }
    ledger.stop = true;
    const absl::Status end = group.Join(watchdog);
    ASSERT_TRUE(end.ok()) << end;
  }

  static void CheckLedger(const Ledger& ledger, uint64_t streams, uint64_t receivers_killed) {
    uint64_t missing = 0;
    uint64_t all = 0;
    for (uint64_t stream = 0; stream < streams; ++stream) {
      const uint64_t accepted = ledger.accepted[stream];
      all += accepted;
      for (uint64_t n = 0; n < kPerStream; ++n) {
        if (n < accepted && ledger.seen[stream][n] == 0) ++missing;
        if (n > accepted) {
          EXPECT_EQ(ledger.seen[stream][n], 0) << "a message from nowhere";
        }
      }
    }
    EXPECT_LE(missing, receivers_killed) << "of " << all << " accepted messages";
    printf("%lu messages, %lu missing, %lu receivers killed\n", all, missing, receivers_killed);
  }

  os::Mapping mapping_;
};

TEST_F(ShmMpmcStress, ManyProcessesLoseNothing) {
  for (Wait wait : kAllWaits) {
    Run({.senders = 3, .receivers = 2, .depth = 7, .wait = wait, .kills = 0});
    Run({.senders = 4, .receivers = 1, .depth = 64, .wait = wait, .kills = 0});
    Run({.senders = 1, .receivers = 4, .depth = 2, .wait = wait, .kills = 0});
  }
}

TEST_F(ShmMpmcStress, TheKilledTakeNothingWithThemButWhatWasInTheirHands) {
  for (Wait wait : kAllWaits) {
    Run({.senders = 3, .receivers = 3, .depth = 5, .wait = wait, .kills = 60});
    Run({.senders = 4, .receivers = 1, .depth = 16, .wait = wait, .kills = 60});
  }
}

}  // namespace
}  // namespace ipcmark::shm_mpmc
