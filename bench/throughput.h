#ifndef IPCMARK_BENCH_THROUGHPUT_H_
#define IPCMARK_BENCH_THROUGHPUT_H_

// Throughput: messages one way, as fast as the receiver takes them.
//
// The clock starts before the sender writes the first timed payload, with the object empty, and stops when the receiver
// has read and checked the last one. A sample is the time between the receiver's completions of a batch of messages
// (messages_per_sample of them), so that the clock read vanishes. Left out: fork, opening, warm-up, the drain between
// warm-up and start. The roofline is one copy through shared memory.

#include "bench/roofline.h"
#include "bench/sides.h"

namespace ipcmark::bench {

template <typename Carry, typename Bound, Primitive P>
absl::Status SendAll(P& object, os::Gate& gate, const SliceSpec& spec, Bound& roofline, SliceShared& shared) {
  auto sender = OpenSendSide<Carry>(object, spec);
  if (!sender.ok()) return sender.status();
  const uint64_t warmup = WarmupMessages(spec);
  gate.Arrive();
  absl::Status status = sender->GiveAll(0, warmup);
  if (!status.ok()) return status;
  AwaitWarm(shared);
  roofline.Lead();
  const UsageMeter usage;
  shared.start_nanos = NowNanos();
  status = sender->GiveAll(warmup, warmup + spec.messages);
  shared.sender = usage.Stop();
  if (!status.ok()) return status;
  {
    // Closes before the roofline's last burst: a receiver that misses a message learns so, instead of waiting.
    const SenderOf<P> closing = std::move(sender->end);
  }
  roofline.Lead();
  return status;
}

template <typename Carry, typename Bound, Primitive P>
absl::Status ReceiveAllAndTime(P& object, os::Gate& gate, const SliceSpec& spec, Bound& roofline, SliceShared& shared) {
  auto receiver = OpenReceiveSide<Carry>(object, spec);
  if (!receiver.ok()) return receiver.status();
  const uint64_t warmup = WarmupMessages(spec);
  const uint64_t batch = MessagesPerSample(spec.message_bytes);
  Sampler samples(shared.samples_nanos, spec.messages / batch, BatchSamples(spec));
  gate.Arrive();
  absl::Status status = receiver->TakeAll(0, warmup);
  if (!status.ok()) return status;
  SayWarm(shared);
  roofline.Follow();
  const UsageMeter usage;
  int64_t before = 0;
  const uint64_t end = warmup + spec.messages;
  for (uint64_t n = warmup; n < end;) {
    const uint64_t batch_end = std::min(n + batch, end);
    const bool whole = batch_end - n == batch;
    status = receiver->TakeAll(n, batch_end);
    if (!status.ok()) return status;
    n = batch_end;
    const int64_t after = NowNanos();
    // The first batch holds the start of an empty pipeline: it counts in the rate, not in the distribution.
    if (whole && before != 0) samples.Add(after - before);
    before = after;
  }
  shared.end_nanos = before;
  samples.Finish(shared);
  shared.receiver = usage.Stop();
  roofline.Follow();
  return absl::OkStatus();
}

// One way, as fast as it goes.
template <typename Carry, typename Bound, Primitive P>
absl::StatusOr<SliceResult> Stream(const SliceSpec& spec) {
  absl::StatusOr<P> object = P::Create(spec.geometry);
  if (!object.ok()) return object.status();
  absl::StatusOr<os::Mapping> mapping = SliceShared::Create(BatchSamples(spec));
  if (!mapping.ok()) return mapping.status();
  SliceShared& shared = SliceShared::In(*mapping);
  auto roofline = Bound::Create(spec.message_bytes, spec.geometry.depth_messages, spec.messages);
  if (!roofline.ok()) return roofline.status();
  absl::Status status = RunPair(
      *object, spec, [&](os::Gate& gate) { return SendAll<Carry>(*object, gate, spec, *roofline, shared); },
      [&](os::Gate& gate) { return ReceiveAllAndTime<Carry>(*object, gate, spec, *roofline, shared); });
  if (!status.ok()) return status;
  SliceResult result = TakeResult(shared, spec.messages, MessagesPerSample(spec.message_bytes));
  result.roofline_nanos = roofline->NanosPerMessage();
  return result;
}

template <Primitive P>
absl::StatusOr<SliceResult> Throughput(const SliceSpec& spec) {
  return Stream<Copied, OneCopy, P>(spec);
}

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_THROUGHPUT_H_
