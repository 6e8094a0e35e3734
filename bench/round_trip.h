#ifndef IPCMARK_BENCH_ROUND_TRIP_H_
#define IPCMARK_BENCH_ROUND_TRIP_H_

// RoundTrip: one message there and one back, one at a time, over two objects of the primitive.
//
// The clock starts before the sender writes message n's payload (which is right after it has read the reply to n - 1)
// and stops when it has read and checked the reply; one clock read per round trip. Inside: both payloads written and
// read on both sides. Left out: fork, opening, warm-up, and the wait for the start barrier. The roofline is the
// ping-pong of one cache line, for block that of a futex.

#include "bench/roofline.h"
#include "bench/sides.h"

namespace ipcmark::bench {

template <Primitive P>
absl::Status AskAndTime(P& requests, P& replies, os::Gate& gate, const SliceSpec& spec, LinePingPong& roofline,
                        SliceShared& shared) {
  auto sender = OpenSendSide(requests, spec);
  if (!sender.ok()) return sender.status();
  auto receiver = OpenReceiveSide(replies, spec);
  if (!receiver.ok()) return receiver.status();
  const uint64_t warmup = WarmupMessages(spec);
  Sampler samples(shared.samples_nanos, spec.messages, kMaxSamples);
  gate.Arrive();
  absl::Status failure;
  for (uint64_t n = 0; n < warmup; ++n) {
    if (!sender->Give(n, failure) || !receiver->Take(n, failure)) return failure;
  }
  roofline.Lead();
  const UsageMeter usage;
  int64_t before = shared.start_nanos = NowNanos();
  for (uint64_t n = warmup; n < warmup + spec.messages; ++n) {
    if (!sender->Give(n, failure) || !receiver->Take(n, failure)) return failure;
    const int64_t after = NowNanos();
    samples.Add(after - before);
    before = after;
  }
  shared.end_nanos = before;
  samples.Finish(shared);
  shared.sender = usage.Stop();
  roofline.Lead();
  return absl::OkStatus();
}

template <Primitive P>
absl::Status Answer(P& requests, P& replies, os::Gate& gate, const SliceSpec& spec, LinePingPong& roofline,
                    SliceShared& shared) {
  auto receiver = OpenReceiveSide(requests, spec);
  if (!receiver.ok()) return receiver.status();
  auto sender = OpenSendSide(replies, spec);
  if (!sender.ok()) return sender.status();
  const uint64_t warmup = WarmupMessages(spec);
  gate.Arrive();
  const auto answer = [&](uint64_t from, uint64_t to) {
    absl::Status failure;
    for (uint64_t n = from; n < to; ++n) {
      if (!receiver->Take(n, failure) || !sender->Give(n, failure)) break;
    }
    return failure;
  };
  absl::Status status = answer(0, warmup);
  if (!status.ok()) return status;
  roofline.Follow();
  const UsageMeter usage;
  status = answer(warmup, warmup + spec.messages);
  shared.receiver = usage.Stop();
  if (status.ok()) roofline.Follow();
  return status;
}

// The objects of a slice, for RunPair.
template <Primitive P>
struct ThereAndBack {
  P& requests;
  P& replies;
  void ReleaseEnds() noexcept {
    requests.ReleaseEnds();
    replies.ReleaseEnds();
  }
};

template <Primitive P>
absl::StatusOr<SliceResult> RoundTrip(const SliceSpec& spec) {
  absl::StatusOr<P> requests = P::Create(spec.geometry);
  if (!requests.ok()) return requests.status();
  absl::StatusOr<P> replies = P::Create(spec.geometry);
  if (!replies.ok()) return replies.status();
  absl::StatusOr<os::Mapping> mapping = SliceShared::Create(std::min(spec.messages, kMaxSamples));
  if (!mapping.ok()) return mapping.status();
  SliceShared& shared = SliceShared::In(*mapping);
  absl::StatusOr<LinePingPong> roofline = LinePingPong::Create(spec.messages, spec.geometry.wait);
  if (!roofline.ok()) return roofline.status();
  ThereAndBack<P> objects = {*requests, *replies};
  absl::Status status = RunPair(
      objects, spec, [&](os::Gate& gate) { return AskAndTime(*requests, *replies, gate, spec, *roofline, shared); },
      [&](os::Gate& gate) { return Answer(*requests, *replies, gate, spec, *roofline, shared); });
  if (!status.ok()) return status;
  SliceResult result = TakeResult(shared, spec.messages, /*messages_per_sample=*/1);
  result.roofline_nanos = roofline->Nanos();
  result.bounds_median = true;
  return result;
}

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_ROUND_TRIP_H_
