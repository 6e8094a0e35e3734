#ifndef IPCMARK_IPC_SYSV_SHM_RING_TEST_SUPPORT_H_
#define IPCMARK_IPC_SYSV_SHM_RING_TEST_SUPPORT_H_

// A ring on the instrumented atomic, for tests: with its header in reach, starting at any message, and with messages
// that say which they are.

#include <sched.h>

#include <array>
#include <cstring>
#include <numeric>
#include <span>

#include "ipc/os/clock.h"
#include "ipc/os/instrumented_atomic.h"
#include "ipc/sysv_shm/sysv_shm.h"

namespace ipcmark::sysv_shm {

using TestChannel = BasicChannel<os::InstrumentedAtomic>;
using TestSender = BasicSender<os::InstrumentedAtomic>;
using TestReceiver = BasicReceiver<os::InstrumentedAtomic>;

// A hang is a failure after this long.
inline constexpr int64_t kWatchdogNanos = 60 * os::kNanosPerSecond;
inline constexpr uint32_t kTestBytes = 40;

class TestRing {
 public:
  // An empty one, through which `first` messages went before: none or at least one lap.
  TestRing(uint32_t depth, Wait wait, uint64_t first = 0)
      : channel_(*TestChannel::Create({.depth_messages = depth, .max_message_bytes = kTestBytes, .wait = wait})),
        attachment_(*channel_.segment().Attach()) {
    if (first == 0) return;
    for (uint64_t n = first - depth; n < first; ++n) CommitOf(n % depth).store(CommitWord(n, 0));
    header().head.store(first);
  }

  [[nodiscard]] TestSender OpenSender() { return *channel_.OpenSender(); }
  [[nodiscard]] TestReceiver OpenReceiver() { return *channel_.OpenReceiver(); }
  [[nodiscard]] uint32_t depth() const { return channel_.geometry().depth_messages; }
  [[nodiscard]] Wait wait() const { return channel_.geometry().wait; }
  [[nodiscard]] RingHeader<os::InstrumentedAtomic>& header() const {
    return *static_cast<RingHeader<os::InstrumentedAtomic>*>(attachment_.address());
  }

 private:
  [[nodiscard]] os::InstrumentedAtomic<uint64_t>& CommitOf(uint64_t slot) const {
    return *reinterpret_cast<os::InstrumentedAtomic<uint64_t>*>(static_cast<std::byte*>(attachment_.address()) +
                                                                kSlotsOffset + slot * SlotBytes(kTestBytes));
  }

  TestChannel channel_;
  Attachment attachment_;
};

// Message `number`: words that count up from it, so that no mixture of two is one.
using Message = std::array<uint64_t, kTestBytes / sizeof(uint64_t)>;

inline Message MessageOf(uint64_t number) {
  Message message;
  std::iota(message.begin(), message.end(), number);
  return message;
}

// Which message it is; kTorn for none.
inline constexpr uint64_t kTorn = ~uint64_t{0};

inline uint64_t NumberOf(std::span<const std::byte> bytes) {
  Message message;
  if (bytes.size() != sizeof(message)) return kTorn;
  memcpy(&message, bytes.data(), sizeof(message));
  return message == MessageOf(message.front()) ? message.front() : kTorn;
}

inline IoResult SendNumber(TestSender& sender, uint64_t number, Deadline deadline = Deadline::Immediate()) {
  const Message message = MessageOf(number);
  return sender.Send(std::as_bytes(std::span(message)), deadline);
}

inline IoResult ReceiveNumber(TestReceiver& receiver, uint64_t* number, Deadline deadline = Deadline::Immediate()) {
  Message message;
  const IoResult result = receiver.Receive(std::as_writable_bytes(std::span(message)), deadline);
  if (result.ok()) *number = NumberOf(std::as_bytes(std::span(message)).first(result.bytes));
  return result;
}

// Until somebody sleeps on `word`, or is about to. False when nobody does.
template <typename Word>
bool AwaitSleeper(const Word& word) {
  const Deadline watchdog = os::After(kWatchdogNanos);
  while (!SomebodySleeps(word)) {
    if (os::HasPassed(watchdog)) return false;
    sched_yield();
  }
  return true;
}

}  // namespace ipcmark::sysv_shm

#endif  // IPCMARK_IPC_SYSV_SHM_RING_TEST_SUPPORT_H_
