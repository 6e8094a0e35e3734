#ifndef IPCMARK_IPC_CONFORMANCE_FIXTURE_H_
#define IPCMARK_IPC_CONFORMANCE_FIXTURE_H_

// What all conformance tests share: see conformance.h.

#include <gtest/gtest.h>

#include <vector>

#include "ipc/channel.h"
#include "ipc/conformance/support.h"
#include "ipc/os/clock.h"

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
      // What this machine's limits forbid; what the primitive itself cannot is in its capabilities.
      if (absl::IsUnimplemented(object.status())) GTEST_SKIP() << object.status();
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

}  // namespace ipcmark::conformance

#endif  // IPCMARK_IPC_CONFORMANCE_FIXTURE_H_
