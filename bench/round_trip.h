#ifndef IPCMARK_BENCH_ROUND_TRIP_H_
#define IPCMARK_BENCH_ROUND_TRIP_H_

// RoundTrip: one message there and one back, one at a time, over two objects of the primitive.
//
// The clock starts before the sender writes message n's payload (which is right after it has read the reply to n - 1)
// and stops when it has read and checked the reply; one clock read per round trip. Inside: both payloads written and
// read on both sides. Left out: fork, opening, warm-up, and the wait for the start barrier. The roofline is the
// ping-pong of one cache line, for block that of a futex.

#include "bench/machine/clock.h"
#include "bench/roofline.h"
#include "bench/slice.h"
#include "ipc/os/clock.h"
#include "ipc/retry.h"

namespace ipcmark::bench {

// Takes the reply, or the request; ok when it is the message that is due.
template <ReceiveEnd R>
absl::Status TakeMessage(R& receiver, std::span<uint64_t> words, uint64_t n) {
  const IoResult result =
      RetryInterrupted([&] { return receiver.Receive(std::as_writable_bytes(words), Deadline::Never()); });
  if (!result.ok() || result.bytes != words.size_bytes() || !IsPayload(words, n)) [[unlikely]] {
    return MessageFailure("Receive", n, result, words.size_bytes());
  }
  return absl::OkStatus();
}

template <SendEnd S>
absl::Status GiveMessage(S& sender, std::span<uint64_t> words, uint64_t n) {
  WritePayload(words, n);
  const IoResult result = RetryInterrupted([&] { return sender.Send(std::as_bytes(words), Deadline::Never()); });
  if (!result.ok()) [[unlikely]] {
    return MessageFailure("Send", n, result, words.size_bytes());
  }
  return absl::OkStatus();
}

template <Primitive P>
absl::Status AskAndTime(P& requests, P& replies, os::Gate& gate, const SliceSpec& spec, LinePingPong& roofline,
                        SliceShared& shared) {
  auto sender = requests.OpenSender();
  if (!sender.ok()) return sender.status();
  auto receiver = replies.OpenReceiver();
  if (!receiver.ok()) return receiver.status();
  requests.ReleaseEnds();
  replies.ReleaseEnds();
  std::vector<uint64_t> words(spec.message_bytes / sizeof(uint64_t));
  const uint64_t warmup = WarmupMessages(spec);
  const uint64_t messages_apart = spec.messages / kMaxSamples + 1;
  gate.Arrive();
  for (uint64_t n = 0; n < warmup; ++n) {
    absl::Status status = GiveMessage(*sender, words, n);
    if (status.ok()) status = TakeMessage(*receiver, words, n);
    if (!status.ok()) return status;
  }
  roofline.Lead();
  const UsageMeter usage;
  uint64_t samples = 0;
  uint64_t until_sample = 1;
  int64_t before = shared.start_nanos = NowNanos();
  for (uint64_t n = warmup; n < warmup + spec.messages; ++n) {
    absl::Status status = GiveMessage(*sender, words, n);
    if (status.ok()) status = TakeMessage(*receiver, words, n);
    if (!status.ok()) return status;
    const int64_t after = NowNanos();
    if (--until_sample == 0) {
      shared.samples_nanos[samples++] = after - before;
      until_sample = messages_apart;
    }
    before = after;
  }
  shared.end_nanos = before;
  shared.samples = samples;
  shared.sender = usage.Stop();
  roofline.Lead();
  return absl::OkStatus();
}

template <Primitive P>
absl::Status Answer(P& requests, P& replies, os::Gate& gate, const SliceSpec& spec, LinePingPong& roofline,
                    SliceShared& shared) {
  auto receiver = requests.OpenReceiver();
  if (!receiver.ok()) return receiver.status();
  auto sender = replies.OpenSender();
  if (!sender.ok()) return sender.status();
  requests.ReleaseEnds();
  replies.ReleaseEnds();
  std::vector<uint64_t> words(spec.message_bytes / sizeof(uint64_t));
  const uint64_t warmup = WarmupMessages(spec);
  gate.Arrive();
  const auto answer = [&](uint64_t from, uint64_t to) {
    absl::Status status;
    for (uint64_t n = from; n < to && status.ok(); ++n) {
      status = TakeMessage(*receiver, words, n);
      if (status.ok()) status = GiveMessage(*sender, words, n);
    }
    return status;
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
  absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(2, spec.cancel);
  if (!group.ok()) return group.status();
  const Deadline watchdog = os::After(spec.watchdog_nanos);
  const auto answer = [&](os::Gate& gate) { return Answer(*requests, *replies, gate, spec, *roofline, shared); };
  const auto ask = [&](os::Gate& gate) { return AskAndTime(*requests, *replies, gate, spec, *roofline, shared); };
  absl::Status status = group->Spawn("receiver", spec.receiver_cpu, answer).status();
  if (status.ok()) status = group->Spawn("sender", spec.sender_cpu, ask).status();
  requests->ReleaseEnds();
  replies->ReleaseEnds();
  if (status.ok()) status = group->Start(watchdog);
  if (status.ok()) status = group->Join(watchdog);
  if (!status.ok()) return status;
  SliceResult result = TakeResult(shared, spec.messages, /*messages_per_sample=*/1);
  result.roofline_nanos = roofline->Nanos();
  result.bounds_median = true;
  return result;
}

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_ROUND_TRIP_H_
