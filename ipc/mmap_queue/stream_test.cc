// How often ends that block go to sleep (view.h, PollForOtherSide): seldom in a stream, each time in a round trip.
//
// What the scheduler does shows in these counts: an end whose peer does not run has to sleep. So each is the best of
// some trials with a new queue: a busy machine spoils many, only a defect spoils all of them.

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "absl/functional/function_ref.h"
#include "ipc/conformance/support.h"
#include "ipc/mmap_queue/mmap_queue.h"
#include "ipc/os/clock.h"
#include "ipc/os/cpu.h"
#include "ipc/os/mapping.h"
#include "ipc/os/process_group.h"

namespace ipcmark::mmap_queue {
namespace {

using conformance::IoError;

constexpr int64_t kWatchdogNanos = 60 * os::kNanosPerSecond;
constexpr uint32_t kBytes = 64;
constexpr uint32_t kDepth = 10;  // mq_open's default
constexpr int kTrials = 500;

int64_t VoluntarySwitches() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nvcsw;
}

class MmapQueueStream : public testing::Test {
 protected:
  void SetUp() override {
    if (cpus_.size() < 2) GTEST_SKIP() << "needs two CPUs: on one, each end sleeps so that the other can run";
  }

  static Channel NewChannel() {
    return *Channel::Create({.depth_messages = kDepth, .max_message_bytes = kBytes, .wait = Wait::kBlock});
  }
  // How often two processes on two CPUs went to sleep between the start and the end of what they do.
  int64_t SleepsOf(absl::FunctionRef<absl::Status()> one, absl::FunctionRef<absl::Status()> other) {
    std::atomic<int64_t>& sleeps = *new (memory_.address()) std::atomic<int64_t>(0);
    os::ProcessGroup group = *os::ProcessGroup::Create(2);
    for (int i = 0; i < 2; ++i) {
      const auto body = [&](os::Gate& gate) {
        gate.Arrive();
        const int64_t before = VoluntarySwitches();
        absl::Status result = i == 0 ? one() : other();
        sleeps += VoluntarySwitches() - before;
        return result;
      };
      EXPECT_TRUE(group.Spawn(i == 0 ? "one" : "other", cpus_[i], body).ok());
    }
    EXPECT_TRUE(group.Start(os::After(kWatchdogNanos)).ok());
    const absl::Status ended = group.Join(os::After(kWatchdogNanos));
    EXPECT_TRUE(ended.ok()) << ended;
    return sleeps;
  }

 private:
  const std::vector<int> cpus_ = os::AllowedCpus();
  const os::Mapping memory_ = *os::Mapping::SharedAnonymous(sizeof(std::atomic<int64_t>));
};

absl::Status Send(Sender& sender) {
  const std::vector<std::byte> message(kBytes);
  const IoResult result = sender.Send(message, os::After(kWatchdogNanos));
  return result.ok() ? absl::OkStatus() : IoError("Send", 0, result);
}

absl::Status Receive(Receiver& receiver) {
  std::vector<std::byte> buffer(kBytes);
  const IoResult result = receiver.Receive(buffer, os::After(kWatchdogNanos));
  return result.ok() ? absl::OkStatus() : IoError("Receive", 0, result);
}

absl::Status Repeat(int times, absl::FunctionRef<absl::Status()> call) {
  absl::Status result;
  for (int i = 0; i < times && result.ok(); ++i) result = call();
  return result;
}

TEST_F(MmapQueueStream, EndsThatBlockSleepSeldom) {
  constexpr int kMessages = 4000;
  constexpr int64_t kMost = kMessages / 50;
  int64_t least = INT64_MAX;
  for (int trial = 0; trial < kTrials && least > kMost && !HasFailure(); ++trial) {
    Channel channel = NewChannel();
    Sender sender = *channel.OpenSender();
    Receiver receiver = *channel.OpenReceiver();
    const int64_t sleeps = SleepsOf([&] { return Repeat(kMessages, [&] { return Send(sender); }); },
                                    [&] { return Repeat(kMessages, [&] { return Receive(receiver); }); });
    least = std::min(least, sleeps);
  }
  EXPECT_LE(least, kMost) << "of " << kMessages << " messages through " << kDepth << " slots";
}

TEST_F(MmapQueueStream, EndsThatWaitForEachOtherSleepEachTime) {
  constexpr int kRoundTrips = 1000;
  // Twice in each, but when one end was preempted before it went to sleep.
  constexpr int64_t kFewest = 2 * kRoundTrips * 9 / 10;
  int64_t most = 0;
  for (int trial = 0; trial < kTrials && most < kFewest && !HasFailure(); ++trial) {
    Channel there = NewChannel();
    Channel back = NewChannel();
    Sender asks = *there.OpenSender();
    Receiver is_asked = *there.OpenReceiver();
    Sender answers = *back.OpenSender();
    Receiver is_answered = *back.OpenReceiver();
    const auto ask = [&] {
      const absl::Status sent = Send(asks);
      return sent.ok() ? Receive(is_answered) : sent;
    };
    const auto answer = [&] {
      const absl::Status received = Receive(is_asked);
      return received.ok() ? Send(answers) : received;
    };
    const int64_t sleeps =
        SleepsOf([&] { return Repeat(kRoundTrips, ask); }, [&] { return Repeat(kRoundTrips, answer); });
    most = std::max(most, sleeps);
  }
  EXPECT_GE(most, kFewest) << "in " << kRoundTrips << " round trips";
}

}  // namespace
}  // namespace ipcmark::mmap_queue
