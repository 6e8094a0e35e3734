// A process is killed before each access that it makes to the ring's shared words, one access further every time, until
// it lives through the whole script. After each death the survivors and a replacement check everything that was
// promised: no message twice, none lost that was accepted, exact counts of what was missed, and nobody waits for ever.

#include <gtest/gtest.h>

#include <functional>

#include "absl/strings/str_format.h"
#include "ipc/conformance/support.h"
#include "ipc/os/instrumented_atomic.h"
#include "ipc/os/process_group.h"
#include "ipc/shm_broadcast/shm_broadcast.h"

namespace ipcmark::shm_broadcast {
namespace {

using conformance::IsMessageOf;
using conformance::MessageOf;
using os::InstrumentedAccess;
using TestChannel = BasicChannel<os::InstrumentedAtomic>;
using TestSender = BasicSender<os::InstrumentedAtomic>;
using TestReceiver = BasicReceiver<os::InstrumentedAtomic>;

constexpr int64_t kWatchdogNanos = 60 * os::kNanosPerSecond;
constexpr uint64_t kDepth = 4;
constexpr uint32_t kBytes = 20;
// A script that is not through after so many accesses does not end.
constexpr uint64_t kMostAccesses = 500;

Geometry GeometryOf(SlowReceiver slow_receiver, Wait wait) {
  return {.depth_messages = kDepth,
          .max_message_bytes = kBytes,
          .wait = wait,
          .receivers = 2,
          .slow_receiver = slow_receiver};
}

// What the victim has told the world before it died, in memory that outlives it.
struct Progress {
  std::atomic<uint64_t> accepted;  // messages whose Send has returned ok
  std::atomic<uint64_t> begun;     // messages whose Send has been called
};

// Long enough to sleep once; at once where waiting is thousands of equal polls, each of which would be a death more.
Deadline Briefly(const TestChannel& channel) {
  return channel.geometry().wait == Wait::kBlock ? os::After(1'000'000) : Deadline::Immediate();
}

void SendCounted(TestSender& sender, uint64_t n, Progress& progress, Deadline deadline) {
  progress.begun.store(n + 1);
  if (sender.Send(MessageOf(0, n, kBytes), deadline).ok()) progress.accepted.store(n + 1);
}

// The next message or how many were missed; advances *next accordingly. False when nothing is there.
bool TakeOne(TestReceiver& receiver, uint64_t* next) {
  std::vector<std::byte> buffer(kBytes);
  const IoResult result = receiver.Receive(buffer, Deadline::Immediate());
  if (result.outcome == Outcome::kMissed) {
    *next += result.bytes;
    return true;
  }
  if (!result.ok()) {
    EXPECT_TRUE(result.outcome == Outcome::kWouldBlock || result.outcome == Outcome::kPeerDead ||
                result.outcome == Outcome::kClosed)
        << static_cast<int>(result.outcome);
    return false;
  }
  EXPECT_EQ(result.bytes, kBytes);
  EXPECT_TRUE(IsMessageOf(buffer, 0, *next)) << "message " << *next;
  ++*next;
  return true;
}

// Three laps through a ring whose victim is dead, by a new sender.
void ExpectTheRingWorks(TestChannel& channel, TestReceiver& witness, uint64_t next) {
  auto sender = channel.OpenSender();
  ASSERT_TRUE(sender.ok()) << sender.status();
  const auto send_and_take = [&](uint64_t n) {
    ASSERT_TRUE(sender->Send(MessageOf(0, n, kBytes), os::After(kWatchdogNanos)).ok()) << "message " << n;
    ASSERT_TRUE(TakeOne(witness, &next));
    ASSERT_EQ(next, n + 1) << "nothing is missed by who keeps up";
  };
  // First with the dead one in the table, then with somebody in its place.
  const uint64_t dead_end = next + 2 * kDepth + 1;
  for (uint64_t n = next; n < dead_end; ++n) ASSERT_NO_FATAL_FAILURE(send_and_take(n));
  auto newcomer = channel.OpenReceiver();
  ASSERT_TRUE(newcomer.ok()) << newcomer.status();
  uint64_t newcomers_next = next;
  for (uint64_t n = dead_end; n < dead_end + kDepth; ++n) {
    ASSERT_NO_FATAL_FAILURE(send_and_take(n));
    ASSERT_TRUE(TakeOne(*newcomer, &newcomers_next));
    ASSERT_EQ(newcomers_next, n + 1);
  }
}

using Script = std::function<void(TestChannel&, Progress&, std::function<void()> arm, std::function<void()> disarm)>;
using Check = std::function<void(TestChannel&, TestReceiver& witness, const Progress&)>;

// Runs `script` in a child that dies before access k after arm(), k = 0, 1, ...; then `check`, here.
void KillBeforeEachAccess(const Geometry& geometry, const Script& script, const Check& check) {
  auto memory = os::Mapping::SharedAnonymous(sizeof(Progress));
  ASSERT_TRUE(memory.ok());
  for (uint64_t access = 0; access < kMostAccesses; ++access) {
    SCOPED_TRACE(testing::Message() << "killed before access " << access << ", " << WaitName(geometry.wait));
    auto& progress = *new (memory->address()) Progress{};
    auto channel = TestChannel::Create(geometry);
    ASSERT_TRUE(channel.ok()) << channel.status();
    auto witness = channel->OpenReceiver();
    ASSERT_TRUE(witness.ok()) << witness.status();
    auto group = os::ProcessGroup::Create(1);
    ASSERT_TRUE(group.ok());
    const auto victim = [&](os::Gate&) {
      uint64_t done = 0;
      const auto arm = [&] { InstrumentedAccess::KillBefore(access - done); };
      const auto disarm = [&] {
        done += InstrumentedAccess::accesses();
        InstrumentedAccess::Off();
      };
      script(*channel, progress, arm, disarm);
      return absl::OkStatus();
    };
    ASSERT_TRUE(group->Spawn("victim", os::kAnyCpu, victim).ok());
    const bool survived = group->JoinOne(0, os::After(kWatchdogNanos)).ok();
    check(*channel, *witness, progress);
    if (testing::Test::HasFatalFailure()) return;
    if (survived) {
      absl::PrintF("%d accesses (%s)\n", access, WaitName(geometry.wait));
      EXPECT_GT(access, 10U) << "the script makes no accesses worth the name";
      return;
    }
  }
  FAIL() << "the script does not end";
}

void CheckAfterASendersDeath(TestChannel& channel, TestReceiver& witness, const Progress& progress) {
  uint64_t next = 0;
  while (TakeOne(witness, &next)) {
  }
  EXPECT_GE(next, progress.accepted.load()) << "an accepted message is gone";
  EXPECT_LE(next, progress.begun.load()) << "a message came from nowhere";
  std::vector<std::byte> buffer(kBytes);
  const Outcome end = witness.Receive(buffer, Deadline::Immediate()).outcome;
  EXPECT_TRUE(end == Outcome::kPeerDead || end == Outcome::kClosed ||
              (end == Outcome::kWouldBlock && progress.begun.load() == 0))
      << static_cast<int>(end);
  ExpectTheRingWorks(channel, witness, next);
}

// Open, four messages, one that finds the ring full (or overwrites), a loan, close.
void SendersScript(TestChannel& channel, Progress& progress, const std::function<void()>& arm,
                   const std::function<void()>& disarm) {
  arm();
  {
    auto sender = channel.OpenSender();
    for (uint64_t n = 0; n < kDepth; ++n) SendCounted(*sender, n, progress, Deadline::Never());
    SendCounted(*sender, kDepth, progress, Briefly(channel));
    const uint64_t n = progress.accepted.load();
    const LoanResult loan = sender->Loan(Deadline::Immediate());
    if (loan.result.ok()) {
      progress.begun.store(n + 1);
      const auto message = MessageOf(0, n, kBytes);
      std::copy(message.begin(), message.end(), loan.room.begin());
      if (sender->Publish(kBytes).ok()) progress.accepted.store(n + 1);
    }
  }
  disarm();
}

TEST(ShmBroadcastKill, ASenderMayDieBeforeAnyAccess) {
  for (SlowReceiver mode : {SlowReceiver::kBlocksSender, SlowReceiver::kMissesMessages}) {
    for (Wait wait : kAllWaits) {
      ASSERT_NO_FATAL_FAILURE(KillBeforeEachAccess(GeometryOf(mode, wait), SendersScript, CheckAfterASendersDeath));
    }
  }
}

// The same behind a wrap, over a predecessor's messages: the slots hold old ones when the victim takes over.
TEST(ShmBroadcastKill, ATakenOverSenderMayDieBeforeAnyAccess) {
  const auto script = [](TestChannel& channel, Progress& progress, const std::function<void()>& arm,
                         const std::function<void()>& disarm) {
    auto reader = channel.OpenReceiver();
    uint64_t taken = 0;
    {
      auto first = channel.OpenSender();
      for (uint64_t n = 0; n < 2; ++n) SendCounted(*first, n, progress, Deadline::Never());
    }
    arm();
    auto sender = channel.OpenSender();
    for (uint64_t n = 2; n < 4; ++n) SendCounted(*sender, n, progress, Deadline::Never());
    disarm();
    while (TakeOne(*reader, &taken)) {
    }
    arm();
    // Only in the mode that overwrites: the witness has read nothing.
    for (uint64_t n = 4; n < 4 + 2 * kDepth; ++n) SendCounted(*sender, n, progress, Deadline::Immediate());
    disarm();
  };
  const auto misses = GeometryOf(SlowReceiver::kMissesMessages, Wait::kBlock);
  ASSERT_NO_FATAL_FAILURE(KillBeforeEachAccess(misses, script, CheckAfterASendersDeath));
}

void CheckAfterAReceiversDeath(TestChannel& channel, TestReceiver& witness, const Progress& progress) {
  uint64_t next = 0;
  while (TakeOne(witness, &next)) {
  }
  EXPECT_EQ(next, progress.accepted.load()) << "the sender was not the one that died in a call";
  ExpectTheRingWorks(channel, witness, next);
}

// Open, take, wait in vain, view and release, find out what was missed (where one can miss), close. The sender lives in
// the same process and dies between two calls.
void ReceiversScript(TestChannel& channel, Progress& progress, const std::function<void()>& arm,
                     const std::function<void()>& disarm) {
  auto sender = channel.OpenSender();
  SendCounted(*sender, 0, progress, Deadline::Immediate());
  std::vector<std::byte> buffer(kBytes);
  arm();
  {
    auto receiver = channel.OpenReceiver();
    disarm();
    for (uint64_t n = 1; n < 3; ++n) SendCounted(*sender, n, progress, Deadline::Immediate());
    arm();
    receiver->Receive(buffer, Deadline::Never());
    if (receiver->View(Deadline::Never()).result.ok()) receiver->Release();
    receiver->Receive(buffer, Briefly(channel));
    disarm();
    // Never blocks: the witness has not read, so the blocking mode says kWouldBlock before it would run over it.
    for (uint64_t n = 3; n < 3 + 2 * kDepth; ++n) SendCounted(*sender, n, progress, Deadline::Immediate());
    arm();
    receiver->Receive(buffer, Deadline::Immediate());
    receiver->Receive(buffer, Deadline::Immediate());
  }
  disarm();
}

TEST(ShmBroadcastKill, AReceiverMayDieBeforeAnyAccess) {
  for (SlowReceiver mode : {SlowReceiver::kBlocksSender, SlowReceiver::kMissesMessages}) {
    for (Wait wait : kAllWaits) {
      ASSERT_NO_FATAL_FAILURE(KillBeforeEachAccess(GeometryOf(mode, wait), ReceiversScript, CheckAfterAReceiversDeath));
    }
  }
}

}  // namespace
}  // namespace ipcmark::shm_broadcast
