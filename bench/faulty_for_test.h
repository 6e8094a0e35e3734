#ifndef IPCMARK_BENCH_FAULTY_FOR_TEST_H_
#define IPCMARK_BENCH_FAULTY_FOR_TEST_H_

// A pipe that does one thing wrong at a known operation, or that notes when its operations begin and end: what the
// scenarios must notice, and where their clocks must stand. The plan is global, because Create takes only a geometry;
// forked children inherit it.

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "bench/slice.h"
#include "ipc/os/clock.h"
#include "ipc/pipe/pipe.h"

namespace ipcmark::faulty {

enum class Fault : uint8_t {
  kNone,
  kCreateFails,
  kOpenSenderFails,
  kOpenReceiverFails,
  kOpenSenderHangs,
  // At Send number `at` of a process:
  kSenderDies,
  kSenderHangs,
  kSenderCancels,  // sends SIGUSR1 to the parent and hangs
  kSendFails,
  kLost,
  kDuplicated,
  kTorn,         // its second half is the message before
  kSwapped,      // it arrives after the next one
  kFlippedWord,  // one bit of word number `word` is another
  kShort,        // its last word is missing
  // After Receive number `at` of a process:
  kReceiverDies,
  kReceiverHangs,
  kStalls,  // for spin_nanos
  // At every operation:
  kInterrupts,      // the first try is kInterrupted
  kSpinsInReceive,  // for spin_nanos
  // When a process closes its receiver:
  kHangsAtClose,
};

// When a process's operations were, by their number; kept in shared memory, one for each role.
struct Times {
  static constexpr uint64_t kMost = 4096;
  int64_t send_began[kMost];
  int64_t receive_ended[kMost];
  int64_t closed;
};

struct Plan {
  Fault fault = Fault::kNone;
  uint64_t at = 0;
  bool (*is_due)(std::span<const std::byte> message) = nullptr;  // at a Send of which it holds, instead of `at`
  size_t word = 0;
  int64_t spin_nanos = 0;
  bool peers_notice_death = false;  // else both sides keep both ends open, so that only the harness can end it
  Times* sender_times = nullptr;    // of the process that opens its sender first
  Times* receiver_times = nullptr;  // of the other one
};
inline Plan g_plan;
inline Times* g_times = nullptr;  // this process's

inline void HangForEver() {
  for (;;) pause();
}

inline void Spin(int64_t nanos) noexcept {
  const int64_t until = os::MonotonicNanos() + nanos;
  while (os::MonotonicNanos() < until) {
  }
}

class Sender {
 public:
  Sender(pipe::Sender to, size_t bytes) : to_(std::move(to)), last_(bytes), held_(bytes) {}

  IoResult Send(std::span<const std::byte> message, Deadline deadline) noexcept {
    if (g_plan.fault == Fault::kInterrupts && (interrupted_ = !interrupted_))
      return IoResult::Of(Outcome::kInterrupted);
    const uint64_t n = count_++;
    if (g_times != nullptr && n < Times::kMost) g_times->send_began[n] = os::MonotonicNanos();
    const bool due = g_plan.is_due != nullptr ? g_plan.is_due(message) : n == g_plan.at;
    const IoResult result = due ? Misbehave(message, deadline) : to_.Send(message, deadline);
    if (g_plan.fault == Fault::kSwapped && n == g_plan.at + 1) to_.Send(held_, deadline);
    std::copy(message.begin(), message.end(), last_.begin());
    return result;
  }

 private:
  IoResult Misbehave(std::span<const std::byte> message, Deadline deadline) noexcept {
    std::copy(message.begin(), message.end(), held_.begin());
    switch (g_plan.fault) {
      case Fault::kSenderDies:
        kill(getpid(), SIGKILL);
        return IoResult::Ok(0);
      case Fault::kSenderCancels:
        kill(getppid(), SIGUSR1);
        HangForEver();
        return IoResult::Ok(0);
      case Fault::kSenderHangs:
        HangForEver();
        return IoResult::Ok(0);
      case Fault::kSendFails:
        return IoResult::Of(Outcome::kError, EIO);
      case Fault::kLost:
      case Fault::kSwapped:
        return IoResult::Ok(message.size());
      case Fault::kDuplicated:
        to_.Send(message, deadline);
        return to_.Send(message, deadline);
      case Fault::kTorn:
        std::copy(last_.begin() + message.size() / 2, last_.end(), held_.begin() + message.size() / 2);
        return to_.Send(held_, deadline);
      case Fault::kFlippedWord:
        held_[g_plan.word * 8 + g_plan.word % 8] ^= std::byte{16};
        return to_.Send(held_, deadline);
      case Fault::kShort:
        return to_.Send(message.first(message.size() - 8), deadline);
      default:
        return to_.Send(message, deadline);
    }
  }

  pipe::Sender to_;
  std::vector<std::byte> last_;
  std::vector<std::byte> held_;
  uint64_t count_ = 0;
  bool interrupted_ = false;
};

class Receiver {
 public:
  explicit Receiver(pipe::Receiver from) : from_(std::move(from)) {}
  Receiver(Receiver&&) = default;
  ~Receiver() {
    if (count_ == 0) return;  // moved from or never used
    if (g_times != nullptr) g_times->closed = os::MonotonicNanos();
    if (g_plan.fault == Fault::kHangsAtClose) HangForEver();
  }

  IoResult Receive(std::span<std::byte> buffer, Deadline deadline) noexcept {
    if (g_plan.fault == Fault::kInterrupts && (interrupted_ = !interrupted_))
      return IoResult::Of(Outcome::kInterrupted);
    const IoResult result = from_.Receive(buffer, deadline);
    const uint64_t n = count_++;
    if (g_times != nullptr && n < Times::kMost) g_times->receive_ended[n] = os::MonotonicNanos();
    if (g_plan.fault == Fault::kSpinsInReceive) Spin(g_plan.spin_nanos);
    if (n == g_plan.at && g_plan.fault == Fault::kStalls) Spin(g_plan.spin_nanos);
    if (n == g_plan.at && g_plan.fault == Fault::kReceiverDies) kill(getpid(), SIGKILL);
    if (n == g_plan.at && g_plan.fault == Fault::kReceiverHangs) HangForEver();
    return result;
  }

 private:
  pipe::Receiver from_;
  uint64_t count_ = 0;
  bool interrupted_ = false;
};

class Channel {
 public:
  static constexpr const Capabilities& kCapabilities = pipe::Channel::kCapabilities;

  static absl::StatusOr<Channel> Create(const Geometry& geometry) {
    if (g_plan.fault == Fault::kCreateFails) return absl::ResourceExhaustedError("create(): ENOSPC; make room");
    absl::StatusOr<pipe::Channel> pipe = pipe::Channel::Create(geometry);
    if (!pipe.ok()) return pipe.status();
    return Channel(*std::move(pipe));
  }

  [[nodiscard]] const Geometry& geometry() const { return pipe_.geometry(); }
  [[nodiscard]] uint64_t DepthLimit(uint32_t bytes) const { return pipe_.DepthLimit(bytes); }

  absl::StatusOr<Sender> OpenSender() {
    if (g_plan.fault == Fault::kOpenSenderFails) return absl::UnavailableError("open(sender): EMFILE; close some");
    if (g_plan.fault == Fault::kOpenSenderHangs) HangForEver();
    if (g_times == nullptr) g_times = g_plan.sender_times;
    absl::StatusOr<pipe::Sender> sender = pipe_.OpenSender();
    if (!sender.ok()) return sender.status();
    return Sender(*std::move(sender), geometry().max_message_bytes);
  }
  absl::StatusOr<Receiver> OpenReceiver() {
    if (g_plan.fault == Fault::kOpenReceiverFails) return absl::UnavailableError("open(receiver): EMFILE; close some");
    if (g_times == nullptr) g_times = g_plan.receiver_times;
    absl::StatusOr<pipe::Receiver> receiver = pipe_.OpenReceiver();
    if (!receiver.ok()) return receiver.status();
    return Receiver(*std::move(receiver));
  }
  void ReleaseEnds() noexcept {
    if (g_plan.peers_notice_death) pipe_.ReleaseEnds();
  }

 private:
  explicit Channel(pipe::Channel pipe) : pipe_(std::move(pipe)) {}
  pipe::Channel pipe_;
};

static_assert(Primitive<Channel>);

}  // namespace ipcmark::faulty

namespace ipcmark::bench {

// A slice of small messages in a shallow object whose ends sleep.
inline SliceSpec SmallSpec(uint32_t senders, uint32_t receivers, uint64_t messages = 600) {
  return {.geometry = {.depth_messages = 8,
                       .max_message_bytes = 64,
                       .wait = Wait::kBlock,
                       .senders = senders,
                       .receivers = receivers},
          .message_bytes = 64,
          .messages = messages};
}

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_FAULTY_FOR_TEST_H_
