#ifndef IPCMARK_BENCH_OPEN_LOOP_H_
#define IPCMARK_BENCH_OPEN_LOOP_H_

// OpenLoop: messages that leave when they are due, whether or not the one before has arrived, as requests from outside
// do. Who waits for an answer before the next request sends nothing while the system stalls and does not notice the
// stall (coordinated omission); here it delays everything that was due meanwhile.
//
// A schedule is made before the fork: Poisson arrivals (exponential gaps, from a fixed seed), or a fixed gap. A sample
// is one message: its clock starts at the instant when it was *due* and stops when the receiver has read and checked
// it. A sender that is late sends at once until it has caught up; one that is early polls the clock. `nanos` runs from
// the schedule's start to the last message received. Left out: fork, opening, warm-up. The roofline is half the
// ping-pong of one cache line (of a futex where both sides share a CPU): a message is not there sooner.
//
// The rate is a share (`load`) of the capacity: what the same two loops carry when everything is due at once. It is
// measured once for all loads of an object, at the first of them. Load 0 stands for the search of the highest load
// whose p99.9 (p99, with too few samples) stays below kLatencyBoundNanos: by halving, to 1/64 of the capacity. One
// noisy slice can end it early: it is a lower bound, as a service level is.

#include <cmath>

#include "bench/report/quantile.h"
#include "bench/roofline.h"
#include "bench/sides.h"
#include "ipc/os/cpu.h"

namespace ipcmark::bench {

inline constexpr int64_t kLatencyBoundNanos = 1'000'000;
// Of the slices that measure capacity and search for the highest load.
inline constexpr double kProbeSeconds = 0.02;
inline constexpr uint64_t kMinProbeMessages = 5'000;  // as many as a p99.9 needs
inline constexpr int kSearchSteps = 6;

// When each message is due, in nanoseconds from the start; all zero: at once.
struct Schedule {
  os::Mapping mapping;
  [[nodiscard]] const int64_t* due_nanos() const { return static_cast<const int64_t*>(mapping.address()); }

  // At a mean rate of `per_second` (0: all at once).
  static absl::StatusOr<Schedule> Create(uint64_t messages, double per_second, Arrivals arrivals) {
    absl::StatusOr<os::Mapping> mapping = os::Mapping::SharedAnonymous((messages + 1) * sizeof(int64_t));
    if (!mapping.ok()) return mapping.status();
    auto* const due = static_cast<int64_t*>(mapping->address());
    double at = 0;
    for (uint64_t n = 0; n < messages; ++n) {
      due[n] = static_cast<int64_t>(at);
      if (per_second == 0) continue;
      if (arrivals == Arrivals::kFixed) {
        at = static_cast<double>(n + 1) * os::kNanosPerSecond / per_second;
        continue;
      }
      // The upper bits of a counter times an odd factor, mixed once more: as random as gaps need to be.
      uint64_t bits = (n + 1) * kPayloadFactor;
      bits = (bits ^ bits >> 29) * 0xbf58476d1ce4e5b9;
      bits ^= bits >> 32;
      const double uniform = (static_cast<double>(bits >> 11) + 1) * 0x1p-53;  // in (0, 1]
      at -= std::log(uniform) / per_second * os::kNanosPerSecond;
    }
    return Schedule{*std::move(mapping)};
  }
};

// Polls the clock until `due`; sleeps through most of a long wait, so that others may use the CPU.
inline int64_t AwaitInstant(int64_t due) noexcept {
  constexpr int64_t worth_sleeping_nanos = 2'000'000;
  int64_t now = NowNanos();
  if (due - now > worth_sleeping_nanos) {
    // For so long, not until then: the kernel does not know our clock.
    const timespec nap = os::ToTimespec(due - now - worth_sleeping_nanos / 2);
    nanosleep(&nap, nullptr);
  }
  while (now < due) now = NowNanos();
  return now;
}

template <Primitive P>
absl::Status SendWhenDue(P& object, os::Gate& gate, const SliceSpec& spec, const int64_t* due_nanos,
                         LinePingPong& roofline, SliceShared& shared) {
  auto sender = OpenSendSide(object, spec);
  if (!sender.ok()) return sender.status();
  const uint64_t warmup = WarmupMessages(spec);
  gate.Arrive();
  absl::Status status = sender->GiveAll(0, warmup);
  if (!status.ok()) return status;
  AwaitWarm(shared);
  roofline.Lead();
  const UsageMeter usage;
  // Read by the receiver of the first timed message, which Send publishes.
  const int64_t start = NowNanos();
  shared.start_nanos = start;
  int64_t now = start;
  for (uint64_t n = 0; n < spec.messages; ++n) {
    // A late sender does not read the clock: it was late before and is later now.
    const int64_t due = start + due_nanos[n];
    if (now < due) now = AwaitInstant(due);
    if (!sender->Give(warmup + n, status)) break;
  }
  shared.sender = usage.Stop();
  if (!status.ok()) return status;
  {
    // Closes before the roofline's last burst, as in Throughput.
    const SenderOf<P> closing = std::move(sender->end);
  }
  roofline.Lead();
  return status;
}

template <Primitive P>
absl::Status ReceiveAndTimeEach(P& object, os::Gate& gate, const SliceSpec& spec, const int64_t* due_nanos,
                                LinePingPong& roofline, SliceShared& shared) {
  auto receiver = OpenReceiveSide(object, spec);
  if (!receiver.ok()) return receiver.status();
  const uint64_t warmup = WarmupMessages(spec);
  Sampler samples(shared.samples_nanos, spec.messages, kMaxSamples);
  gate.Arrive();
  absl::Status status = receiver->TakeAll(0, warmup);
  if (!status.ok()) return status;
  SayWarm(shared);
  roofline.Follow();
  const UsageMeter usage;
  int64_t after = 0;
  for (uint64_t n = 0; n < spec.messages; ++n) {
    if (!receiver->Take(warmup + n, status)) return status;
    after = NowNanos();
    samples.Add(after - shared.start_nanos - due_nanos[n]);
  }
  shared.end_nanos = after;
  samples.Finish(shared);
  shared.receiver = usage.Stop();
  roofline.Follow();
  return absl::OkStatus();
}

// One slice at a mean rate of so many messages a second; 0: all at once.
template <Primitive P>
absl::StatusOr<SliceResult> OpenLoopAt(const SliceSpec& spec, double per_second) {
  absl::StatusOr<P> object = P::Create(spec.geometry);
  if (!object.ok()) return object.status();
  absl::StatusOr<Schedule> schedule = Schedule::Create(spec.messages, per_second, spec.arrivals);
  if (!schedule.ok()) return schedule.status();
  absl::StatusOr<os::Mapping> mapping = SliceShared::Create(std::min(spec.messages, kMaxSamples));
  if (!mapping.ok()) return mapping.status();
  SliceShared& shared = SliceShared::In(*mapping);
  const int64_t* const due = schedule->due_nanos();
  // Polling sides that share a CPU would measure the scheduler.
  const bool one_cpu = spec.sender_cpu != os::kAnyCpu && spec.sender_cpu == spec.receiver_cpu;
  // Short: where the scheduler put unpinned sides on one CPU after all, each round trip is a time slice.
  constexpr uint64_t enough_messages = 400;
  absl::StatusOr<LinePingPong> roofline =
      LinePingPong::Create(std::min(spec.messages, enough_messages), one_cpu ? Wait::kBlock : Wait::kSpin);
  if (!roofline.ok()) return roofline.status();
  absl::Status status = RunPair(
      *object, spec, [&](os::Gate& gate) { return SendWhenDue(*object, gate, spec, due, *roofline, shared); },
      [&](os::Gate& gate) { return ReceiveAndTimeEach(*object, gate, spec, due, *roofline, shared); });
  if (!status.ok()) return status;
  SliceResult result = TakeResult(shared, spec.messages, /*messages_per_sample=*/1);
  result.roofline_nanos = roofline->Nanos() / 2;
  result.bounds_median = true;
  return result;
}

constexpr double PerSecond(uint64_t messages, int64_t nanos) {
  return static_cast<double>(messages) * os::kNanosPerSecond / static_cast<double>(std::max<int64_t>(1, nanos));
}

// Messages a second when everything is due at once. The second of two slices, whose number of messages the first one
// tells, counts.
template <Primitive P>
absl::StatusOr<double> MeasureCapacity(SliceSpec spec) {
  double per_second = 0;
  for (int slice = 0; slice < 2; ++slice) {
    spec.messages =
        std::clamp<uint64_t>(static_cast<uint64_t>(per_second * kProbeSeconds), kMinProbeMessages, kMaxSamples);
    absl::StatusOr<SliceResult> result = OpenLoopAt<P>(spec, 0);
    if (!result.ok()) return result.status();
    per_second = PerSecond(result->messages, result->nanos);
  }
  return per_second;
}

// Whether the samples' tail stays below the bound.
inline bool IsInTime(const SliceResult& result) {
  std::optional<int64_t> tail = Quantile(result.samples_nanos, 0.999);
  if (!tail.has_value()) tail = Quantile(result.samples_nanos, 0.99);
  return tail.value_or(result.samples_nanos.back()) < kLatencyBoundNanos;
}

// The slice at the highest load that is in time. Where none is, highest_rate is 0, and the slice and its load are of
// the lowest one tried.
template <Primitive P>
absl::StatusOr<SliceResult> SearchHighestLoad(SliceSpec spec, double capacity) {
  double low = 0;
  double high = 1;
  SliceResult best;
  double best_rate = 0;
  for (int step = 0; step < kSearchSteps; ++step) {
    const double load = (low + high) / 2;
    spec.messages =
        std::clamp<uint64_t>(static_cast<uint64_t>(load * capacity * kProbeSeconds), kMinProbeMessages, kMaxSamples);
    absl::StatusOr<SliceResult> result = OpenLoopAt<P>(spec, load * capacity);
    if (!result.ok()) return result.status();
    const bool in_time = IsInTime(*result);
    (in_time ? low : high) = load;
    if (in_time || best_rate == 0) best = *std::move(result);
    if (in_time) best_rate = load * capacity;
  }
  best.extras.emplace_back("highest_rate", best_rate);
  best.extras.emplace_back("load", best_rate == 0 ? high : low);
  return best;
}

template <Primitive P>
absl::StatusOr<SliceResult> OpenLoop(const SliceSpec& spec) {
  double capacity = spec.capacity_per_second == nullptr ? 0 : *spec.capacity_per_second;
  if (capacity == 0) {
    absl::StatusOr<double> measured = MeasureCapacity<P>(spec);
    if (!measured.ok()) return measured.status();
    capacity = *measured;
    if (spec.capacity_per_second != nullptr) *spec.capacity_per_second = capacity;
  }
  absl::StatusOr<SliceResult> result =
      spec.load == 0 ? SearchHighestLoad<P>(spec, capacity) : OpenLoopAt<P>(spec, spec.load * capacity);
  if (!result.ok()) return result.status();
  if (spec.load != 0) result->extras.emplace_back("load", spec.load);
  result->extras.emplace_back("capacity_per_second", capacity);
  return result;
}

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_OPEN_LOOP_H_
