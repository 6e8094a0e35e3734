#ifndef IPCMARK_BENCH_THROUGHPUT_H_
#define IPCMARK_BENCH_THROUGHPUT_H_

// Throughput: messages one way, as fast as the receiver takes them.
//
// The clock starts before the sender writes the first timed payload, with the object empty, and stops when the receiver
// has read and checked the last one. A sample is the time between the receiver's completions of a batch of messages
// (messages_per_sample of them), so that the clock read vanishes. Left out: fork, opening, warm-up, the drain between
// warm-up and start. The roofline is one copy through shared memory.

#include "absl/functional/function_ref.h"
#include "bench/round_trip.h"
#include "ipc/os/futex.h"

namespace ipcmark::bench {

// Messages between two clock reads of the receiver: 64 small ones, each large one.
constexpr uint64_t MessagesPerSample(uint32_t message_bytes) {
  return std::clamp<uint64_t>(64 * 1024 / message_bytes, 1, 64);
}

// How messages get into the object and out of it, and what bounds that: Copied here, InPlace in loan.h.
struct Copied {
  using Bound = OneCopy;
  template <SendEnd S>
  static absl::Status Give(S& sender, std::span<uint64_t> words, uint64_t n) {
    return GiveMessage(sender, words, n);
  }
  template <ReceiveEnd R>
  static absl::Status Take(R& receiver, std::span<uint64_t> words, uint64_t n) {
    return TakeMessage(receiver, words, n);
  }
};

template <typename Carry, Primitive P>
absl::Status SendAll(P& object, os::Gate& gate, const SliceSpec& spec, typename Carry::Bound& roofline,
                     SliceShared& shared) {
  auto sender = object.OpenSender();
  if (!sender.ok()) return sender.status();
  object.ReleaseEnds();
  std::vector<uint64_t> words(spec.message_bytes / sizeof(uint64_t));
  const uint64_t warmup = WarmupMessages(spec);
  gate.Arrive();
  const auto send = [&](uint64_t from, uint64_t to) {
    absl::Status status;
    for (uint64_t n = from; n < to && status.ok(); ++n) status = Carry::Give(*sender, words, n);
    return status;
  };
  absl::Status status = send(0, warmup);
  if (!status.ok()) return status;
  while (shared.warm.load(std::memory_order_acquire) == 0) os::WaitOnFutex(shared.warm, 0, Deadline::Never());
  roofline.Lead();
  const UsageMeter usage;
  shared.start_nanos = NowNanos();
  status = send(warmup, warmup + spec.messages);
  shared.sender = usage.Stop();
  if (!status.ok()) return status;
  {
    // Closes before the roofline's last burst: a receiver that misses a message learns so, instead of waiting.
    const SenderOf<P> closing = *std::move(sender);
  }
  roofline.Lead();
  return status;
}

template <typename Carry, Primitive P>
absl::Status ReceiveAllAndTime(P& object, os::Gate& gate, const SliceSpec& spec, typename Carry::Bound& roofline,
                               SliceShared& shared) {
  auto receiver = object.OpenReceiver();
  if (!receiver.ok()) return receiver.status();
  object.ReleaseEnds();
  std::vector<uint64_t> words(spec.message_bytes / sizeof(uint64_t));
  const uint64_t warmup = WarmupMessages(spec);
  const uint64_t batch = MessagesPerSample(spec.message_bytes);
  const uint64_t batches_apart = spec.messages / batch / kMaxSamples + 1;
  gate.Arrive();
  for (uint64_t n = 0; n < warmup; ++n) {
    absl::Status status = Carry::Take(*receiver, words, n);
    if (!status.ok()) return status;
  }
  shared.warm.store(1, std::memory_order_release);
  os::WakeAllOnFutex(shared.warm);
  roofline.Follow();
  const UsageMeter usage;
  uint64_t samples = 0;
  uint64_t until_sample = batches_apart;
  int64_t before = 0;
  for (uint64_t n = 0; n < spec.messages; ++n) {
    absl::Status status = Carry::Take(*receiver, words, warmup + n);
    if (!status.ok()) return status;
    if ((n + 1) % batch != 0) continue;
    const int64_t after = NowNanos();
    // The first batch holds the start of an empty pipeline: it counts in the rate, not in the distribution.
    if (before != 0 && --until_sample == 0) {
      shared.samples_nanos[samples++] = after - before;
      until_sample = batches_apart;
    }
    before = after;
  }
  shared.end_nanos = NowNanos();
  shared.samples = samples;
  shared.receiver = usage.Stop();
  roofline.Follow();
  return absl::OkStatus();
}

// Runs the two sides in processes of their own, each on its CPU, until both are done.
template <typename Object>
absl::Status RunPair(Object& object, const SliceSpec& spec, absl::FunctionRef<absl::Status(os::Gate&)> send,
                     absl::FunctionRef<absl::Status(os::Gate&)> receive) {
  absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(2, spec.cancel);
  if (!group.ok()) return group.status();
  const Deadline watchdog = os::After(spec.watchdog_nanos);
  absl::Status status = group->Spawn("receiver", spec.receiver_cpu, receive).status();
  if (status.ok()) status = group->Spawn("sender", spec.sender_cpu, send).status();
  object.ReleaseEnds();
  if (status.ok()) status = group->Start(watchdog);
  if (status.ok()) status = group->Join(watchdog);
  return status;
}

// One way, as fast as it goes.
template <typename Carry, Primitive P>
absl::StatusOr<SliceResult> Stream(const SliceSpec& spec) {
  absl::StatusOr<P> object = P::Create(spec.geometry);
  if (!object.ok()) return object.status();
  absl::StatusOr<os::Mapping> mapping =
      SliceShared::Create(std::min(spec.messages / MessagesPerSample(spec.message_bytes) + 1, kMaxSamples));
  if (!mapping.ok()) return mapping.status();
  SliceShared& shared = SliceShared::In(*mapping);
  auto roofline = Carry::Bound::Create(spec.message_bytes, spec.geometry.depth_messages, spec.messages);
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
  return Stream<Copied, P>(spec);
}

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_THROUGHPUT_H_
