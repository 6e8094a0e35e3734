// What is the pipe's own: framing of a byte stream, atomic writes, capacity, SIGPIPE.

#include "ipc/pipe/pipe.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>

#include "ipc/conformance/support.h"
#include "ipc/os/clock.h"
#include "ipc/os/process_group.h"

namespace ipcmark::pipe {
namespace {

using conformance::IoError;
using conformance::IsMessageOf;
using conformance::LengthOf;
using conformance::MessageOf;
using conformance::Seed;

constexpr int64_t kWatchdogNanos = 60 * os::kNanosPerSecond;
constexpr uint32_t kMaxBytes = 100;

std::vector<std::byte> FrameOf(std::span<const std::byte> message) {
  const auto bytes = static_cast<uint32_t>(message.size());
  std::vector<std::byte> frame(kFrameHeaderBytes + message.size());
  memcpy(frame.data(), &bytes, kFrameHeaderBytes);
  std::copy(message.begin(), message.end(), frame.begin() + kFrameHeaderBytes);
  return frame;
}

// A receiver whose pipe the test writes byte by byte.
class RawPipe {
 public:
  explicit RawPipe(uint32_t max_message_bytes) : receiver_(Open(), {.max_message_bytes = max_message_bytes}) {}

  void Write(std::span<const std::byte> bytes) {
    ASSERT_EQ(write(write_end_.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  void Close() { write_end_.Reset(); }
  [[nodiscard]] int fd() const { return write_end_.get(); }
  Receiver& receiver() { return receiver_; }

 private:
  os::Fd Open() {
    int fds[2];
    EXPECT_EQ(pipe2(fds, O_CLOEXEC), 0);
    write_end_ = os::Fd(fds[1]);
    return os::Fd(fds[0]);
  }

  os::Fd write_end_;
  Receiver receiver_;
};

TEST(Pipe, AFrameThatItsSenderTornIsAPeersDeath) {
  const std::vector<std::byte> frame = FrameOf(MessageOf(0, 0, 10));
  for (size_t bytes = 1; bytes < frame.size(); ++bytes) {
    SCOPED_TRACE(testing::Message() << bytes << " bytes of " << frame.size());
    RawPipe pipe(kMaxBytes);
    std::vector<std::byte> buffer(kMaxBytes);
    pipe.Write(std::span(frame).first(bytes));
    EXPECT_EQ(pipe.receiver().Receive(buffer, Deadline::Immediate()).outcome, Outcome::kWouldBlock);
    pipe.Close();
    for (Deadline deadline : {Deadline::Never(), Deadline::Immediate(), os::After(kWatchdogNanos)}) {
      EXPECT_EQ(pipe.receiver().Receive(buffer, deadline).outcome, Outcome::kPeerDead);
    }
  }
}

TEST(Pipe, AStreamThatEndsBetweenFramesIsClosed) {
  RawPipe pipe(kMaxBytes);
  std::vector<std::byte> buffer(kMaxBytes);
  pipe.Write(FrameOf(MessageOf(0, 0, 10)));
  pipe.Close();
  EXPECT_TRUE(pipe.receiver().Receive(buffer, Deadline::Never()).ok());
  EXPECT_EQ(pipe.receiver().Receive(buffer, Deadline::Never()).outcome, Outcome::kClosed);
}

TEST(Pipe, AFrameThatClaimsMoreThanTheLargestMessageStaysAnError) {
  for (uint32_t claimed : {kMaxBytes + 1, uint32_t{1} << 31, UINT32_MAX}) {
    // Alone, and as what the guess takes along behind a good frame.
    for (bool behind_another : {false, true}) {
      SCOPED_TRACE(testing::Message() << claimed << " bytes, behind another: " << behind_another);
      RawPipe pipe(kMaxBytes);
      std::vector<std::byte> buffer(kMaxBytes);
      if (behind_another) {
        pipe.Write(FrameOf(MessageOf(0, 0, 60)));
        EXPECT_TRUE(pipe.receiver().Receive(buffer, Deadline::Never()).ok());
        pipe.Write(FrameOf(MessageOf(0, 1, 1)));
      }
      pipe.Write(std::as_bytes(std::span(&claimed, 1)));
      // What follows looks like a good frame, but nobody knows where the bad one ends.
      for (uint64_t n = 0; n < 3; ++n) pipe.Write(FrameOf(MessageOf(0, n, 10)));
      if (behind_another) {
        EXPECT_TRUE(pipe.receiver().Receive(buffer, Deadline::Never()).ok());
      }
      for (int again = 0; again < 3; ++again) {
        const IoResult result = pipe.receiver().Receive(buffer, Deadline::Immediate());
        EXPECT_EQ(result.outcome, Outcome::kError);
        EXPECT_EQ(result.err, EBADMSG);
      }
    }
  }
}

TEST(Pipe, AFrameThatHasPartlyArrivedOutlivesADeadlineAndIsCompletedLater) {
  const std::vector<std::byte> frame = FrameOf(MessageOf(0, 7, 50));
  for (size_t bytes = 1; bytes < frame.size(); ++bytes) {
    SCOPED_TRACE(testing::Message() << bytes << " bytes of " << frame.size());
    RawPipe pipe(kMaxBytes);
    std::vector<std::byte> buffer(kMaxBytes);
    pipe.Write(std::span(frame).first(bytes));
    EXPECT_EQ(pipe.receiver().Receive(buffer, os::After(100'000)).outcome, Outcome::kDeadline);
    EXPECT_EQ(pipe.receiver().Receive(buffer, Deadline::Immediate()).outcome, Outcome::kWouldBlock);
    // The bytes wait inside the receiver, not in the caller's buffer.
    std::fill(buffer.begin(), buffer.end(), std::byte{0});
    pipe.Write(std::span(frame).subspan(bytes));
    const IoResult result = pipe.receiver().Receive(buffer, Deadline::Never());
    ASSERT_TRUE(result.ok()) << testing::PrintToString(result);
    ASSERT_EQ(result.bytes, 50U);
    EXPECT_TRUE(IsMessageOf(std::span(buffer).first(50), 0, 7));
  }
}

// The stream arrives in random pieces, and is asked for at random moments with buffers of random sizes: wherever a
// guess reads into the next frames, every byte is kept.
TEST(Pipe, KeepsEveryByteHoweverTheStreamIsCut) {
  std::mt19937_64 random(Seed());
  RawPipe pipe(kMaxBytes);
  std::vector<std::byte> unsent;
  std::vector<std::byte> buffer(kMaxBytes);
  uint64_t framed = 0;
  uint64_t received = 0;
  size_t in_pipe = 0;
  while (received < 20'000) {
    while (unsent.size() < 1000) {
      const std::vector<std::byte> frame = FrameOf(MessageOf(0, framed, LengthOf(framed, kMaxBytes)));
      unsent.insert(unsent.end(), frame.begin(), frame.end());
      ++framed;
    }
    const size_t piece = random() % 4 == 0 ? random() % 400 : random() % 12;
    if (in_pipe + piece < 4096) {
      pipe.Write(std::span(unsent).first(piece));
      unsent.erase(unsent.begin(), unsent.begin() + static_cast<ptrdiff_t>(piece));
    }
    const size_t room = random() % 3 == 0 ? random() % (kMaxBytes + 1) : kMaxBytes;
    std::fill(buffer.begin(), buffer.end(), std::byte{0});
    const IoResult result = pipe.receiver().Receive(std::span(buffer).first(room), Deadline::Immediate());
    const size_t expected = LengthOf(received, kMaxBytes);
    if (result.ok()) {
      ASSERT_EQ(result.bytes, expected) << "message " << received;
      ASSERT_TRUE(IsMessageOf(std::span(buffer).first(expected), 0, received)) << "message " << received;
      ++received;
    } else if (result.outcome == Outcome::kTooBig) {
      ASSERT_EQ(result.bytes, expected);
      ASSERT_GT(expected, room);
    } else {
      ASSERT_EQ(result.outcome, Outcome::kWouldBlock);
    }
    int unread = 0;
    ASSERT_EQ(ioctl(pipe.fd(), FIONREAD, &unread), 0);
    in_pipe = static_cast<size_t>(unread);
  }
}

TEST(Pipe, AMessageThatWasTooBigIsThereForALargerBuffer) {
  for (uint32_t before : {0U, 10U, 90U}) {  // the guess: nothing, a part, all of the buffer below
    RawPipe pipe(kMaxBytes);
    std::vector<std::byte> buffer(kMaxBytes);
    pipe.Write(FrameOf(MessageOf(0, 0, before)));
    ASSERT_TRUE(pipe.receiver().Receive(buffer, Deadline::Never()).ok());
    pipe.Write(FrameOf(MessageOf(0, 1, 80)));
    pipe.Write(FrameOf(MessageOf(0, 2, 5)));
    for (size_t room : {0, 79, 1}) {
      const IoResult result = pipe.receiver().Receive(std::span(buffer).first(room), Deadline::Never());
      EXPECT_EQ(result.outcome, Outcome::kTooBig);
      EXPECT_EQ(result.bytes, 80U);
    }
    ASSERT_EQ(pipe.receiver().Receive(buffer, Deadline::Never()).bytes, 80U);
    EXPECT_TRUE(IsMessageOf(std::span(buffer).first(80), 0, 1));
    ASSERT_EQ(pipe.receiver().Receive(buffer, Deadline::Never()).bytes, 5U);
    EXPECT_TRUE(IsMessageOf(std::span(buffer).first(5), 0, 2));
  }
}

Channel NewChannel(const Geometry& geometry) {
  absl::StatusOr<Channel> channel = Channel::Create(geometry);
  EXPECT_TRUE(channel.ok()) << channel.status();
  return *std::move(channel);
}

TEST(Pipe, CarriesFramesThatAreLargerThanItsCapacity) {
  constexpr uint32_t kLarge = 3U << 20;
  constexpr uint64_t kCount = 5;
  Channel channel = NewChannel({.depth_messages = 1, .max_message_bytes = kLarge});
  ASSERT_LT(channel.capacity_bytes(), kLarge) << "the kernel gave more than this test is about";
  os::ProcessGroup group = *os::ProcessGroup::Create(1);
  auto send = [&](os::Gate& gate) -> absl::Status {
    Sender sender = *channel.OpenSender();
    channel.ReleaseEnds();
    gate.Arrive();
    for (uint64_t n = 0; n < kCount; ++n) {
      // With a deadline it may wait for the frame to begin, and completes it whatever the time.
      const Deadline deadline = n % 2 == 0 ? Deadline::Never() : os::After(kWatchdogNanos);
      const IoResult result = sender.Send(MessageOf(0, n, kLarge - n), deadline);
      if (!result.ok()) return IoError("Send", n, result);
    }
    return absl::OkStatus();
  };
  ASSERT_TRUE(group.Spawn("sender", os::kAnyCpu, send).ok());
  ASSERT_TRUE(group.Start(os::After(kWatchdogNanos)).ok());
  Receiver receiver = *channel.OpenReceiver();
  channel.ReleaseEnds();
  std::vector<std::byte> buffer(kLarge);
  for (uint64_t n = 0; n < kCount; ++n) {
    const IoResult result = receiver.Receive(buffer, os::After(kWatchdogNanos));
    ASSERT_EQ(result.bytes, kLarge - n) << testing::PrintToString(result);
    EXPECT_TRUE(IsMessageOf(std::span(buffer).first(result.bytes), 0, n));
  }
  EXPECT_EQ(group.Join(os::After(kWatchdogNanos)), absl::OkStatus());
}

TEST(Pipe, DoesNotBeginALargeFrameThatItMayNotWaitToComplete) {
  constexpr uint32_t kLarge = 20'000;
  Channel channel = NewChannel({.depth_messages = 4, .max_message_bytes = kLarge});
  Sender sender = *channel.OpenSender();
  Receiver receiver = *channel.OpenReceiver();
  std::mt19937_64 random(Seed());
  std::vector<std::byte> buffer(kLarge);
  uint64_t sent = 0;
  uint64_t received = 0;
  // Sends at once or not at all, at every fill level: a write that blocked would hang here, a part would show below.
  for (int step = 0; step < 2000; ++step) {
    if (random() % 2 == 0) {
      const IoResult result = sender.Send(MessageOf(0, sent, LengthOf(sent, kLarge)), Deadline::Immediate());
      ASSERT_TRUE(result.ok() || result.outcome == Outcome::kWouldBlock) << testing::PrintToString(result);
      if (result.ok()) ++sent;
    }
    if (random() % 3 != 0) continue;
    const IoResult result = receiver.Receive(buffer, Deadline::Immediate());
    ASSERT_EQ(result.ok(), received < sent) << testing::PrintToString(result);
    if (!result.ok()) continue;
    ASSERT_EQ(result.bytes, LengthOf(received, kLarge));
    ASSERT_TRUE(IsMessageOf(std::span(buffer).first(result.bytes), 0, received)) << received;
    ++received;
  }
  EXPECT_GT(received, 0U);
}

// Each message is one of the next ones of its senders, whole: nothing is interleaved, lost or out of order.
TEST(Pipe, SeveralSendersNeverInterleaveWithinWhatIsAtomic) {
  constexpr uint32_t kSenders = 3;
  constexpr uint32_t kLargest = PIPE_BUF - kFrameHeaderBytes;
  constexpr uint64_t kCount = 2000;
  constexpr size_t kLeast = 16;  // so that a message names its sender
  Seed();
  Channel channel = NewChannel({.depth_messages = 4, .max_message_bytes = kLargest, .senders = kSenders});
  os::ProcessGroup group = *os::ProcessGroup::Create(kSenders);
  const auto length = [](uint64_t stream, uint64_t n) {
    return kLeast + LengthOf(stream * kCount + n, kLargest - kLeast);
  };
  for (uint64_t stream = 0; stream < kSenders; ++stream) {
    auto send = [&, stream](os::Gate& gate) -> absl::Status {
      Sender sender = *channel.OpenSender();
      channel.ReleaseEnds();
      gate.Arrive();
      for (uint64_t n = 0; n < kCount; ++n) {
        const Deadline deadline = n % 2 == 0 ? Deadline::Never() : os::After(kWatchdogNanos);
        const IoResult result = sender.Send(MessageOf(stream, n, length(stream, n)), deadline);
        if (!result.ok()) return IoError("Send", n, result);
      }
      return absl::OkStatus();
    };
    ASSERT_TRUE(group.Spawn("sender", os::kAnyCpu, send).ok());
  }
  ASSERT_TRUE(group.Start(os::After(kWatchdogNanos)).ok());
  Receiver receiver = *channel.OpenReceiver();
  channel.ReleaseEnds();
  std::vector<uint64_t> next(kSenders, 0);
  std::vector<std::byte> buffer(kLargest);
  for (uint64_t i = 0; i < kSenders * kCount; ++i) {
    const IoResult result = receiver.Receive(buffer, os::After(kWatchdogNanos));
    ASSERT_TRUE(result.ok()) << testing::PrintToString(result);
    uint64_t from = kSenders;
    for (uint64_t stream = 0; stream < kSenders; ++stream) {
      if (IsMessageOf(std::span(buffer).first(result.bytes), stream, next[stream])) from = stream;
    }
    ASSERT_LT(from, kSenders) << "message " << i << " is nobody's next";
    ASSERT_EQ(result.bytes, length(from, next[from]));
    ++next[from];
  }
  EXPECT_EQ(receiver.Receive(buffer, os::After(kWatchdogNanos)).outcome, Outcome::kClosed);
  EXPECT_EQ(group.Join(os::After(kWatchdogNanos)), absl::OkStatus());
}

TEST(Pipe, RefusesSeveralSendersWhoseFramesWouldNotBeAtomic) {
  Geometry geometry = {.max_message_bytes = PIPE_BUF - kFrameHeaderBytes, .senders = 2};
  EXPECT_TRUE(Channel::Create(geometry).ok());
  ++geometry.max_message_bytes;
  const absl::Status refused = Channel::Create(geometry).status();
  EXPECT_TRUE(absl::IsUnimplemented(refused)) << refused;
  EXPECT_THAT(refused.message(), testing::HasSubstr("up to 4092 bytes"));
  geometry.senders = 1;
  EXPECT_TRUE(Channel::Create(geometry).ok());
}

TEST(Pipe, AVanishedReaderIsAnOutcomeAndNoSignal) {
  os::ProcessGroup group = *os::ProcessGroup::Create(1);
  auto send = [&](os::Gate&) -> absl::Status {
    signal(SIGPIPE, SIG_DFL);
    for (size_t bytes : {size_t{10}, size_t{10'000}}) {
      Channel channel = NewChannel({.max_message_bytes = 10'000});
      Sender sender = *channel.OpenSender();
      channel.ReleaseEnds();
      for (Deadline deadline : {Deadline::Never(), Deadline::Immediate(), os::After(kWatchdogNanos)}) {
        const IoResult result = sender.Send(MessageOf(0, 0, bytes), deadline);
        if (result.outcome != Outcome::kClosed || result.err != EPIPE) return IoError("Send", bytes, result);
      }
    }
    return absl::OkStatus();
  };
  ASSERT_TRUE(group.Spawn("sender", os::kAnyCpu, send).ok());
  EXPECT_EQ(group.Join(os::After(kWatchdogNanos)), absl::OkStatus());
}

TEST(Pipe, LeavesAHandlerOfSigpipeAlone) {
  struct sigaction mine = {};
  mine.sa_handler = [](int) {};
  struct sigaction before;
  ASSERT_EQ(sigaction(SIGPIPE, &mine, &before), 0);
  Channel channel = NewChannel({});
  ASSERT_TRUE(channel.OpenSender().ok());
  struct sigaction after;
  ASSERT_EQ(sigaction(SIGPIPE, &before, &after), 0);
  EXPECT_EQ(after.sa_handler, mine.sa_handler);
}

TEST(Pipe, ReportsTheCapacityThatTheKernelGave) {
  constexpr uint32_t kBytes = 64 - kFrameHeaderBytes;  // such frames fill pages without a gap
  for (uint32_t depth : {1, 64, 1000}) {
    Channel channel = NewChannel({.depth_messages = depth, .max_message_bytes = kBytes});
    Sender sender = *channel.OpenSender();
    uint64_t held = 0;
    while (sender.Send(MessageOf(0, held, kBytes), Deadline::Immediate()).ok()) ++held;
    EXPECT_EQ(held * 64, channel.capacity_bytes());
    EXPECT_GE(held, depth);
    EXPECT_LE(held, channel.DepthLimit(kBytes));
  }
}

}  // namespace
}  // namespace ipcmark::pipe
