#ifndef IPCMARK_BENCH_WAKE_H_
#define IPCMARK_BENCH_WAKE_H_

// Wake: from Send until a receiver that slept is running with the message.
//
// A sample is one message: the sender waits until the receiver has said that it takes the next message and until the
// kernel shows it asleep (sleeper.h); the clock starts before the payload is written and stops when the receiver has
// read and checked it. Left out: that wait, fork, opening, warm-up. What a CPU does while its process sleeps is the
// system's choice and part of the time: most of it is leaving a halt. The kernel also shows as asleep who was just
// about to sleep; a message that came then, as the receiver's voluntary switches tell, is left out, and more of them
// than of the others are an error. CPU time includes the sender's watching. The roofline is a bare futex wake-up of the
// same receiver (FutexWake).

#include <sched.h>

#include "absl/strings/str_format.h"
#include "bench/futex_wake.h"
#include "bench/sides.h"

namespace ipcmark::bench {

struct WakeShared {
  std::atomic<uint64_t> ready;  // how many messages the receiver was about to take
  int64_t sent_nanos;           // when the message that is on its way was
  uint64_t slept;               // timed messages that found the receiver asleep
};

template <Primitive P>
absl::Status SendToSleeper(P& object, os::Gate& gate, const SliceSpec& spec, WakeShared& wake, FutexWake& roofline,
                           SliceShared& shared) {
  auto sender = OpenSendSide(object, spec);
  if (!sender.ok()) return sender.status();
  gate.Arrive();
  absl::StatusOr<Sleeper> receiver = roofline.AwaitFollower();
  if (!receiver.ok()) return receiver.status();
  const auto send = [&](uint64_t from, uint64_t to) {
    absl::Status status;
    for (uint64_t n = from; n < to; ++n) {
      while (wake.ready.load(std::memory_order_acquire) <= n || !receiver->Sleeps()) sched_yield();
      // Read by the receiver of this very message, which Send publishes.
      wake.sent_nanos = NowNanos();
      if (!sender->Give(n, status)) break;
    }
    return status;
  };
  absl::Status status = send(0, kWakeWarmup);
  if (!status.ok()) return status;
  roofline.Lead(*receiver);
  const UsageMeter usage;
  status = send(kWakeWarmup, kWakeWarmup + spec.messages);
  shared.sender = usage.Stop();
  if (status.ok()) roofline.Lead(*receiver);
  return status;
}

template <Primitive P>
absl::Status ReceiveAsleep(P& object, os::Gate& gate, const SliceSpec& spec, WakeShared& wake, FutexWake& roofline,
                           SliceShared& shared) {
  auto receiver = OpenReceiveSide(object, spec);
  if (!receiver.ok()) return receiver.status();
  Sampler samples(shared.samples_nanos, spec.messages, kMaxSamples);
  gate.Arrive();
  roofline.IntroduceFollower();
  const auto receive = [&](uint64_t from, uint64_t to, const auto& taken) {
    absl::Status status;
    for (uint64_t n = from; n < to && status.ok(); ++n) {
      const UsageMeter usage;
      // Release: with nothing left to read of the message before.
      wake.ready.store(n + 1, std::memory_order_release);
      const bool taken_whole = receiver->Take(n, status);
      const int64_t now = NowNanos();
      if (taken_whole && usage.Stop().voluntary_switches > 0) taken(now - wake.sent_nanos);
    }
    return status;
  };
  absl::Status status = receive(0, kWakeWarmup, [](int64_t) {});
  if (!status.ok()) return status;
  roofline.Follow();
  const UsageMeter usage;
  uint64_t slept = 0;
  int64_t sum = 0;
  status = receive(kWakeWarmup, kWakeWarmup + spec.messages, [&](int64_t nanos) {
    sum += nanos;
    ++slept;
    samples.Add(nanos);
  });
  shared.end_nanos = sum;
  wake.slept = slept;
  samples.Finish(shared);
  shared.receiver = usage.Stop();
  if (!status.ok()) return status;
  if (slept <= spec.messages / 2) {
    return absl::InternalError(
        absl::StrFormat("the receiver slept before %d of %d messages only", slept, spec.messages));
  }
  roofline.Follow();
  return status;
}

template <Primitive P>
absl::StatusOr<SliceResult> Wake(const SliceSpec& spec) {
  absl::StatusOr<P> object = P::Create(spec.geometry);
  if (!object.ok()) return object.status();
  absl::StatusOr<os::Mapping> mapping = SliceShared::Create(std::min(spec.messages, kMaxSamples));
  if (!mapping.ok()) return mapping.status();
  SliceShared& shared = SliceShared::In(*mapping);
  absl::StatusOr<os::Mapping> between = os::Mapping::SharedAnonymous(sizeof(WakeShared));
  if (!between.ok()) return between.status();
  auto& wake = *new (between->address()) WakeShared{};
  absl::StatusOr<FutexWake> roofline = FutexWake::Create(spec.messages);
  if (!roofline.ok()) return roofline.status();
  absl::Status status = RunPair(
      *object, spec, [&](os::Gate& gate) { return SendToSleeper(*object, gate, spec, wake, *roofline, shared); },
      [&](os::Gate& gate) { return ReceiveAsleep(*object, gate, spec, wake, *roofline, shared); });
  if (!status.ok()) return status;
  SliceResult result = TakeResult(shared, wake.slept, /*messages_per_sample=*/1);
  // CPU time is of all messages, those that are left out too: each cost about the same.
  for (std::optional<SideUsage>* side : {&result.sender, &result.receiver}) {
    (*side)->cpu_nanos = (*side)->cpu_nanos * static_cast<int64_t>(wake.slept) / static_cast<int64_t>(spec.messages);
  }
  result.roofline_nanos = roofline->Nanos();
  result.bounds_median = true;
  return result;
}

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_WAKE_H_
