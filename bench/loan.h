#ifndef IPCMARK_BENCH_LOAN_H_
#define IPCMARK_BENCH_LOAN_H_

// Loan: messages handed over in place, one way, as fast as the receiver takes them. The sender loans room, writes a
// stamp into the first and the last eight bytes, publishes; the receiver views, checks both stamps, releases. The bytes
// between are not touched: this is what the hand-over costs, whatever the message's size.
//
// The clock and the samples are Throughput's. No roofline: several hand-overs may be on their way at once, so the round
// trip of a cache line does not bound them, and no bytes are copied.

#include <cstring>

#include "bench/throughput.h"

namespace ipcmark::bench {

// Stamps message `n` into the loaned room.
inline void WriteStamps(std::span<std::byte> room, uint64_t n) noexcept {
  const uint64_t stamp = n * kPayloadFactor;
  memcpy(room.data(), &stamp, sizeof(stamp));
  memcpy(room.data() + room.size() - sizeof(stamp), &stamp, sizeof(stamp));
}
[[nodiscard]] inline bool HasStamps(std::span<const std::byte> message, uint64_t n) noexcept {
  uint64_t first = 0;
  uint64_t last = 0;
  memcpy(&first, message.data(), sizeof(first));
  memcpy(&last, message.data() + message.size() - sizeof(last), sizeof(last));
  return first == n * kPayloadFactor && last == first;
}

struct InPlace {
  template <LoaningSendEnd S>
  static bool Give(S& sender, std::span<uint64_t> words, uint64_t n, absl::Status& failure) {
    const size_t bytes = words.size_bytes();
    const LoanResult loan = RetryInterrupted([&] { return sender.Loan(Deadline::Never()); });
    if (!loan.result.ok()) [[unlikely]] {
      return Fail(failure, "Loan", n, loan.result, bytes);
    }
    WriteStamps(loan.room.first(bytes), n);
    const IoResult published = sender.Publish(bytes);
    return published.ok() || Fail(failure, "Publish", n, published, bytes);
  }

  template <LoaningReceiveEnd R>
  static bool Take(R& receiver, std::span<uint64_t> words, uint64_t n, absl::Status& failure) {
    const size_t bytes = words.size_bytes();
    const ViewResult view = RetryInterrupted([&] { return receiver.View(Deadline::Never()); });
    if (!view.result.ok() || view.message.size() != bytes || !HasStamps(view.message, n)) [[unlikely]] {
      return Fail(failure, "View", n, view.result, bytes);
    }
    receiver.Release();
    return true;
  }
};

// As PrimitiveEntry has it; null where the primitive cannot.
template <Primitive P>
constexpr auto LoanOf() -> absl::StatusOr<SliceResult> (*)(const SliceSpec&) {
  if constexpr (LoaningSendEnd<SenderOf<P>> && LoaningReceiveEnd<ReceiverOf<P>>) {
    return &Stream<InPlace, NoBound, P>;
  } else {
    return nullptr;
  }
}

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_LOAN_H_
