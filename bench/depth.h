#ifndef IPCMARK_BENCH_DEPTH_H_
#define IPCMARK_BENCH_DEPTH_H_

// Depth: what a message costs in a queue that already holds many. One process receives one message and sends one, over
// and over, so that the queue stays as full as its geometry says (depth_messages), and the messages come with
//
//   constant   one priority: first in, first out; all that primitives without priorities can do
//   rising     each higher than the one before, modulo kPriorities: the newest is received first
//   falling    each lower, likewise: the oldest is received first
//   random     any of kPriorities
//
// The clock starts before the first timed Receive and stops behind the last Send; a sample is a batch of messages
// (messages_per_sample). Left out: fork, opening, the filling, warm-up, and the emptying, which checks the order. All
// usage is the sender's. Nobody else is at work: no wake-up, no cache line of another CPU.

#include "absl/strings/str_format.h"
#include "bench/fan.h"

namespace ipcmark::bench {

// POSIX: MQ_PRIO_MAX of Linux.
inline constexpr uint32_t kPriorities = 32'768;

constexpr const char* PrioritiesName(Priorities priorities) {
  constexpr const char* kNames[] = {"constant", "rising", "falling", "random"};
  return kNames[static_cast<unsigned>(priorities)];
}

// The priority of message `n`: a function of the number, so that the receiver can check what comes with it.
constexpr uint32_t PriorityOf(Priorities priorities, uint64_t n) {
  switch (priorities) {
    case Priorities::kConstant:
      return 0;
    case Priorities::kRising:
      return static_cast<uint32_t>(n % kPriorities);
    case Priorities::kFalling:
      return static_cast<uint32_t>(kPriorities - 1 - n % kPriorities);
    case Priorities::kRandom:
      return static_cast<uint32_t>((n + 1) * kPayloadFactor >> 49);
  }
  return 0;
}
static_assert((~uint64_t{0} >> 49) == kPriorities - 1);

// A queue with `fill` messages in it, both ends in one process.
template <Primitive P>
class FilledQueue {
 public:
  FilledQueue(SenderOf<P> sender, ReceiverOf<P> receiver, const SliceSpec& spec)
      : sender_(std::move(sender)),
        receiver_(std::move(receiver)),
        priorities_(spec.priorities),
        words_(spec.message_bytes / sizeof(uint64_t)) {}

  // The next message. Never waits: the queue has room, or it is not as deep as it says.
  bool Put(absl::Status& failure) {
    const uint64_t n = next_++;
    WritePayload(words_, n);
    const std::span<const std::byte> message = std::as_bytes(std::span(words_));
    const IoResult result = RetryInterrupted([&] {
      if constexpr (PrioritySendEnd<SenderOf<P>>) {
        return sender_.Send(message, PriorityOf(priorities_, n), Deadline::Immediate());
      } else {
        return sender_.Send(message, Deadline::Immediate());
      }
    });
    if (!result.ok()) [[unlikely]] {
      return Fail(failure, "Send", n, result, words_.size() * sizeof(uint64_t));
    }
    sent_ += Mixed(n);
    return true;
  }

  // Takes one and checks that it is whole and came with its priority; `number` is which it was.
  bool Take(uint64_t* number, absl::Status& failure) {
    uint32_t priority = 0;
    const IoResult result = RetryInterrupted([&] {
      if constexpr (PriorityReceiveEnd<ReceiverOf<P>>) {
        return receiver_.Receive(std::as_writable_bytes(std::span(words_)), &priority, Deadline::Immediate());
      } else {
        return receiver_.Receive(std::as_writable_bytes(std::span(words_)), Deadline::Immediate());
      }
    });
    const uint64_t n = NumberOf(words_[0]);
    const bool due = priorities_ != Priorities::kConstant || n == taken_count_;
    if (!result.ok() || result.bytes != words_.size() * sizeof(uint64_t) || !IsPayload(words_, n) || !due ||
        priority != PriorityOf(priorities_, n)) [[unlikely]] {
      return Fail(failure, "Receive", taken_count_, result, words_.size() * sizeof(uint64_t));
    }
    ++taken_count_;
    taken_ += Mixed(n);
    *number = n;
    return true;
  }

  // Empties it and checks that what is left comes in order and that everything sent came once.
  absl::Status Drain() {
    uint32_t last_priority = kPriorities;
    uint64_t last = 0;
    while (taken_count_ < next_) {
      uint64_t n = 0;
      absl::Status failure;
      if (!Take(&n, failure)) return failure;
      const uint32_t priority = PriorityOf(priorities_, n);
      if (priority > last_priority || (priority == last_priority && n < last)) {
        return absl::DataLossError(absl::StrFormat("message %d of priority %d came behind message %d of priority %d", n,
                                                   priority, last, last_priority));
      }
      last_priority = priority;
      last = n;
    }
    if (taken_ != sent_) return absl::DataLossError("a message was lost and another one came twice");
    return absl::OkStatus();
  }

 private:
  // Of a sum that tells apart what equally many other numbers would add up to.
  static uint64_t Mixed(uint64_t n) noexcept { return (n + 1) * (n + 1) * kPayloadFactor; }

  SenderOf<P> sender_;
  ReceiverOf<P> receiver_;
  Priorities priorities_;
  Words words_;
  uint64_t next_ = 0;         // number of the next message
  uint64_t taken_count_ = 0;  // messages received
  uint64_t sent_ = 0;         // sums over what was sent and received
  uint64_t taken_ = 0;
};

template <Primitive P>
absl::Status StayFilled(P& object, os::Gate& gate, const SliceSpec& spec, SliceShared& shared) {
  auto receiver = object.OpenReceiver();
  if (!receiver.ok()) return receiver.status();
  auto sender = object.OpenSender();
  if (!sender.ok()) return sender.status();
  object.ReleaseEnds();
  FilledQueue<P> queue(*std::move(sender), *std::move(receiver), spec);
  const uint64_t batch = MessagesPerSample(spec.message_bytes);
  Sampler samples(shared.samples_nanos, spec.messages / batch, BatchSamples(spec));
  gate.Arrive();
  absl::Status status;
  for (uint32_t n = 0; n < spec.geometry.depth_messages; ++n) {
    if (!queue.Put(status)) return status;
  }
  uint64_t number = 0;
  const auto turn = [&](uint64_t messages) {
    for (uint64_t n = 0; n < messages; ++n) {
      if (!queue.Take(&number, status) || !queue.Put(status)) break;
    }
  };
  turn(WarmupMessages(spec));
  if (!status.ok()) return status;
  const UsageMeter usage;
  shared.start_nanos = NowNanos();
  int64_t before = shared.start_nanos;
  for (uint64_t left = spec.messages; left > 0 && status.ok();) {
    const uint64_t now = std::min(left, batch);
    turn(now);
    left -= now;
    const int64_t after = NowNanos();
    if (now == batch) samples.Add(after - before);
    before = after;
  }
  shared.end_nanos = before;
  samples.Finish(shared);
  shared.sender = usage.Stop();
  return status.ok() ? queue.Drain() : status;
}

// kUnimplemented when the object is not as deep, or has no priorities where some are wanted.
template <Primitive P>
absl::Status CanStayFilled(const Geometry& geometry, Priorities priorities) {
  if (priorities != Priorities::kConstant && !(PrioritySendEnd<SenderOf<P>> && PriorityReceiveEnd<ReceiverOf<P>>)) {
    return absl::UnimplementedError("it has no priorities");
  }
  absl::StatusOr<P> object = P::Create(geometry);
  if (!object.ok()) return object.status();
  const uint64_t limit = object->DepthLimit(geometry.max_message_bytes);
  if (limit >= geometry.depth_messages) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrFormat("it holds %d such messages, not %d", limit, geometry.depth_messages));
}

template <Primitive P>
absl::StatusOr<SliceResult> Depth(const SliceSpec& spec) {
  absl::StatusOr<P> object = P::Create(spec.geometry);
  if (!object.ok()) return object.status();
  absl::StatusOr<os::Mapping> mapping = SliceShared::Create(BatchSamples(spec));
  if (!mapping.ok()) return mapping.status();
  SliceShared& shared = SliceShared::In(*mapping);
  absl::Status status =
      RunOne(*object, spec, "queue", [&](os::Gate& gate) { return StayFilled(*object, gate, spec, shared); });
  if (!status.ok()) return status;
  SliceResult result = TakeResult(shared, spec.messages, MessagesPerSample(spec.message_bytes));
  result.receiver.reset();
  return result;
}

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_DEPTH_H_
