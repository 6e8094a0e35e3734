#ifndef IPCMARK_BENCH_BURST_H_
#define IPCMARK_BENCH_BURST_H_

// Burst: some messages back to back, then idle, again and again: what a receiver that has nothing to do most of the
// time makes of a sudden load.
//
// A sample is one burst: the clock starts before the sender writes the burst's first payload, with the object empty,
// and stops when the receiver has read and checked its last message. Then the sender waits until the receiver says so,
// and kIdleNanos more, in which a receiver that sleeps has gone to sleep. Left out: that, fork, opening, warm-up. Rates
// and times per message are those of the bursts alone; CPU time is that of the idle times too, in which who polls burns
// it. The roofline is Throughput's, one copy of the bytes.

#include "bench/roofline.h"
#include "bench/sides.h"

namespace ipcmark::bench {

// Longer than who polls for a bounded time does so (50 us), so that it sleeps, too.
inline constexpr int64_t kIdleNanos = 200'000;

// What the sides of a slice share beside the samples.
struct BurstShared {
  std::atomic<uint32_t> taken;  // bursts that the receiver has; the sender sleeps on it
  int64_t start_nanos;          // of the burst that is on its way
};

// A slice has this many bursts, and no part of one.
inline uint64_t Bursts(const SliceSpec& spec) { return std::max<uint64_t>(1, spec.messages / spec.burst_messages); }
inline uint64_t WarmupBursts(const SliceSpec& spec) {
  return std::min<uint64_t>(20, WarmupMessages(spec) / spec.burst_messages) + 1;
}

template <Primitive P>
absl::Status SendBursts(P& object, os::Gate& gate, const SliceSpec& spec, BurstShared& burst, OneCopy& roofline,
                        SliceShared& shared) {
  auto sender = OpenSendSide(object, spec);
  if (!sender.ok()) return sender.status();
  gate.Arrive();
  uint64_t n = 0;
  const auto send = [&](uint64_t from, uint64_t to) {
    absl::Status status;
    for (uint64_t one = from; one < to && status.ok(); ++one) {
      const timespec until = os::ToTimespec(os::MonotonicNanos() + kIdleNanos);
      clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
      // Read by the receiver of the last of these messages, which Send publishes.
      burst.start_nanos = NowNanos();
      status = sender->GiveAll(n, n + spec.burst_messages);
      n += spec.burst_messages;
      for (uint32_t taken = 0; status.ok() && (taken = burst.taken.load(std::memory_order_acquire)) <= one;) {
        os::WaitOnFutex(burst.taken, taken, Deadline::Never());
      }
    }
    return status;
  };
  absl::Status status = send(0, WarmupBursts(spec));
  if (!status.ok()) return status;
  roofline.Lead();
  const UsageMeter usage;
  status = send(WarmupBursts(spec), WarmupBursts(spec) + Bursts(spec));
  shared.sender = usage.Stop();
  if (status.ok()) roofline.Lead();
  return status;
}

template <Primitive P>
absl::Status ReceiveBursts(P& object, os::Gate& gate, const SliceSpec& spec, BurstShared& burst, OneCopy& roofline,
                           SliceShared& shared) {
  auto receiver = OpenReceiveSide(object, spec);
  if (!receiver.ok()) return receiver.status();
  Sampler samples(shared.samples_nanos, Bursts(spec), kMaxSamples);
  gate.Arrive();
  uint64_t n = 0;
  const auto receive = [&](uint64_t bursts, const auto& done) {
    absl::Status status;
    for (uint64_t one = 0; one < bursts; ++one) {
      status = receiver->TakeAll(n, n + spec.burst_messages);
      n += spec.burst_messages;
      if (!status.ok()) return status;
      done(NowNanos() - burst.start_nanos);
      burst.taken.fetch_add(1, std::memory_order_release);
      os::WakeAllOnFutex(burst.taken);
    }
    return status;
  };
  absl::Status status = receive(WarmupBursts(spec), [](int64_t) {});
  if (!status.ok()) return status;
  roofline.Follow();
  const UsageMeter usage;
  int64_t sum = 0;
  status = receive(Bursts(spec), [&](int64_t nanos) {
    sum += nanos;
    samples.Add(nanos);
  });
  shared.start_nanos = 0;
  shared.end_nanos = sum;
  samples.Finish(shared);
  shared.receiver = usage.Stop();
  if (status.ok()) roofline.Follow();
  return status;
}

template <Primitive P>
absl::StatusOr<SliceResult> Burst(const SliceSpec& spec) {
  absl::StatusOr<P> object = P::Create(spec.geometry);
  if (!object.ok()) return object.status();
  absl::StatusOr<os::Mapping> mapping = SliceShared::Create(std::min(Bursts(spec), kMaxSamples));
  if (!mapping.ok()) return mapping.status();
  SliceShared& shared = SliceShared::In(*mapping);
  absl::StatusOr<os::Mapping> between = os::Mapping::SharedAnonymous(sizeof(BurstShared));
  if (!between.ok()) return between.status();
  auto& burst = *new (between->address()) BurstShared{};
  absl::StatusOr<OneCopy> roofline = OneCopy::Create(spec.message_bytes, spec.geometry.depth_messages, spec.messages);
  if (!roofline.ok()) return roofline.status();
  absl::Status status = RunPair(
      *object, spec, [&](os::Gate& gate) { return SendBursts(*object, gate, spec, burst, *roofline, shared); },
      [&](os::Gate& gate) { return ReceiveBursts(*object, gate, spec, burst, *roofline, shared); });
  if (!status.ok()) return status;
  // A sample is a whole burst and is reported as such: its first message waits for all others.
  SliceResult result = TakeResult(shared, Bursts(spec) * spec.burst_messages, /*messages_per_sample=*/1);
  result.roofline_nanos = roofline->NanosPerMessage();
  result.extras.emplace_back("burst_messages", spec.burst_messages);
  return result;
}

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_BURST_H_
