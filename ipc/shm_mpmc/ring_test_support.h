#ifndef IPCMARK_IPC_SHM_MPMC_RING_TEST_SUPPORT_H_
#define IPCMARK_IPC_SHM_MPMC_RING_TEST_SUPPORT_H_

// A ring in plain shared memory for tests, with the header and the words in reach, and ends on any Atomic.

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "ipc/os/instrumented_atomic.h"
#include "ipc/os/mapping.h"
#include "ipc/shm_mpmc/ring_receiver.h"
#include "ipc/shm_mpmc/ring_sender.h"

namespace ipcmark::shm_mpmc {

// A hang is a failure after this long.
inline constexpr int64_t kWatchdogNanos = 60 * os::kNanosPerSecond;

template <template <typename> class Atomic>
class TestRing {
 public:
  using Sender = BasicSender<Atomic>;
  using Receiver = BasicReceiver<Atomic>;

  explicit TestRing(uint32_t depth, uint32_t max_message_bytes = 16, uint64_t first = 0, Wait wait = Wait::kBlock)
      : depth_(depth), wait_(wait) {
    auto mapping = os::Mapping::SharedAnonymous(RingBytes(depth, max_message_bytes));
    EXPECT_TRUE(mapping.ok()) << mapping.status();
    mapping_ = std::make_shared<os::Mapping>(*std::move(mapping));
    FormatRing<Atomic>(mapping_->address(), depth, max_message_bytes, first);
  }

  [[nodiscard]] std::shared_ptr<void> memory() const { return {mapping_, mapping_->address()}; }
  [[nodiscard]] uint64_t bytes() const { return mapping_->bytes(); }
  [[nodiscard]] uint32_t depth() const { return depth_; }
  [[nodiscard]] RingHeader<Atomic>& header() const { return *static_cast<RingHeader<Atomic>*>(mapping_->address()); }
  [[nodiscard]] Atomic<uint64_t>& WordOf(uint64_t slot) const {
    return *reinterpret_cast<Atomic<uint64_t>*>(static_cast<std::byte*>(mapping_->address()) + kSlotsOffset +
                                                slot * header().constants.slot_bytes);
  }
  [[nodiscard]] Sender OpenSender() const { return *Sender::Open(memory(), Constants(), wait_); }
  [[nodiscard]] Receiver OpenReceiver() const { return *Receiver::Open(memory(), Constants(), wait_); }

 private:
  [[nodiscard]] RingConstants Constants() const { return *ReadConstants(mapping_->address(), bytes()); }

  uint32_t depth_;
  Wait wait_;
  std::shared_ptr<os::Mapping> mapping_;
};

// Messages that are a number.
template <typename Sender>
IoResult SendNumber(Sender& sender, uint64_t number, Deadline deadline = Deadline::Immediate()) {
  return sender.Send(std::as_bytes(std::span(&number, 1)), deadline);
}

template <typename Receiver>
IoResult ReceiveNumber(Receiver& receiver, uint64_t* number, Deadline deadline = Deadline::Immediate()) {
  return receiver.Receive(std::as_writable_bytes(std::span(number, 1)), deadline);
}

// Receives until nothing is left.
template <typename Receiver>
std::vector<uint64_t> DrainNumbers(Receiver& receiver) {
  std::vector<uint64_t> numbers;
  uint64_t number = 0;
  IoResult result = ReceiveNumber(receiver, &number);
  for (; result.ok(); result = ReceiveNumber(receiver, &number)) numbers.push_back(number);
  EXPECT_EQ(result.outcome, Outcome::kWouldBlock) << OutcomeName(result.outcome) << " errno " << result.err;
  return numbers;
}

// Sends first, first + 1, ... until it is full.
template <typename Sender>
std::vector<uint64_t> FillNumbers(Sender& sender, uint64_t first) {
  std::vector<uint64_t> numbers;
  IoResult result = SendNumber(sender, first);
  for (; result.ok(); result = SendNumber(sender, ++first)) numbers.push_back(first);
  EXPECT_EQ(result.outcome, Outcome::kWouldBlock) << OutcomeName(result.outcome) << " errno " << result.err;
  return numbers;
}

}  // namespace ipcmark::shm_mpmc

#endif  // IPCMARK_IPC_SHM_MPMC_RING_TEST_SUPPORT_H_
