#ifndef IPCMARK_BENCH_FAN_H_
#define IPCMARK_BENCH_FAN_H_

// Many processes on one side: N senders to one receiver (fan-in), or one sender to N receivers that each get every
// message (broadcast), against the number of processes attached. Two ways each:
//
//   throughput   as fast as it goes. The clock starts when the first sender starts its first timed message and stops
//                when the last receiver has checked its last one. A message counts once, however many receive it.
//                Samples are batches, as in Throughput, of the first receiver.
//   latency      every sender has one message on its way at a time: it sends the next one when all receivers have
//                acknowledged the last, through a counter beside the object. A sample is the time from before Send
//                until one receiver has taken and checked the message; every receiver contributes the same number of
//                them.
//
// Left out of both: fork, opening, warm-up, the wait for everybody. CPU time is the sum over all processes of a side.
// With more than one process on a side only the single one of the other side is pinned. The roofline of a throughput is
// Throughput's, one copy of the bytes from the first sender to the first receiver: one process copies every message in
// or out. A latency has none: no one line's ping-pong stands for all its pairs of processes.

#include <array>
#include <type_traits>

#include "bench/roofline.h"
#include "bench/sides.h"
#include "ipc/os/cpu.h"

namespace ipcmark::bench {

inline constexpr uint32_t kMaxFan = 64;

enum class FanMode : uint8_t { kThroughput, kLatency };

// One process's part, on lines of its own.
struct alignas(os::kCacheLineBytes) FanMember {
  std::atomic<uint32_t> acknowledged;  // a sender's: acknowledgements of all receivers; it sleeps here
  int64_t sent_nanos;                  // a sender's: when it began to send the message that is on its way
  int64_t start_nanos;                 // a sender's
  int64_t end_nanos;                   // of a sender's last Send, or a receiver's last message
  int64_t max_nanos;                   // a receiver's largest sample
  SideUsage usage;
};

struct FanShared {
  std::atomic<uint32_t> not_warm;  // receivers that still wait for warm-up messages; who has them sleeps on it
  std::atomic<uint32_t> received;  // 1: the first receiver has everything; the first sender sleeps on it
  std::array<FanMember, kMaxFan> senders;
  std::array<FanMember, kMaxFan> receivers;
};

// What the processes of one slice know.
struct FanPlan {
  const SliceSpec& spec;
  FanMode mode;
  uint64_t warmup;        // messages of each sender
  uint64_t timed;         // likewise
  uint64_t samples_each;  // room for samples of each receiver that takes any
  FanShared& shared;
  SliceShared& samples;
};

// Payloads of many senders: the number says whose it is.
constexpr uint64_t FanNumber(uint32_t sender, uint64_t n) { return uint64_t{sender} << 48 | n; }
// The number of the message that begins with `first_word`, undoing WritePayload: an odd factor has an inverse modulo
// 2^64.
constexpr uint64_t NumberOf(uint64_t first_word) { return first_word * 0xf1de83e19937733d; }
static_assert(NumberOf(kPayloadFactor) == 1);

inline void AwaitAcknowledgements(const std::atomic<uint32_t>& acknowledged, uint32_t due, Wait wait) noexcept {
  for (;;) {
    const uint32_t seen = acknowledged.load(std::memory_order_acquire);
    if (seen == due) return;
    if (wait == Wait::kSpin) {
      os::SpinHint();
    } else {
      os::WaitOnFutex(acknowledged, seen, Deadline::Never());
    }
  }
}

// Until every receiver has its warm-up messages, and the first one the first burst of the roofline.
inline void AwaitAllWarm(const FanShared& shared) noexcept {
  for (uint32_t left = 0; (left = shared.not_warm.load(std::memory_order_acquire)) != 0;) {
    os::WaitOnFutex(shared.not_warm, left, Deadline::Never());
  }
}

template <typename Bound, Primitive P>
absl::Status FanSend(P& object, os::Gate& gate, const FanPlan& plan, Bound& roofline, uint32_t index) {
  const SliceSpec& spec = plan.spec;
  auto sender = OpenSendSide(object, spec);
  if (!sender.ok()) return sender.status();
  FanMember& self = plan.shared.senders[index];
  gate.Arrive();
  const auto send = [&](uint64_t from, uint64_t to) {
    absl::Status status;
    for (uint64_t n = from; n < to; ++n) {
      // Read by receivers of this very message, which Send publishes.
      if (plan.mode == FanMode::kLatency) self.sent_nanos = NowNanos();
      if (!sender->Give(FanNumber(index, n), status)) break;
      if (plan.mode == FanMode::kLatency) {
        const auto due = static_cast<uint32_t>((n + 1) * spec.geometry.receivers);
        AwaitAcknowledgements(self.acknowledged, due, spec.geometry.wait);
      }
    }
    return status;
  };
  absl::Status status = send(0, plan.warmup);
  if (!status.ok()) return status;
  if (index == 0) roofline.Lead();
  AwaitAllWarm(plan.shared);
  const UsageMeter usage;
  self.start_nanos = NowNanos();
  status = send(plan.warmup, plan.warmup + plan.timed);
  self.end_nanos = NowNanos();
  self.usage = usage.Stop();
  if (!status.ok() || index != 0) return status;
  {
    // Closes before the roofline's last burst, as in Throughput.
    const SenderOf<P> closing = std::move(sender->end);
  }
  std::atomic<uint32_t>& received = plan.shared.received;
  while (received.load(std::memory_order_acquire) == 0) os::WaitOnFutex(received, 0, Deadline::Never());
  roofline.Lead();
  return status;
}

// Takes `count` messages, checks that each sender's come in order, acknowledges; `taken(n, sender)` is called behind
// the n-th, before the acknowledgement.
template <ReceiveEnd R, typename Taken>
absl::Status FanTake(Side<R>& receiver, const FanPlan& plan, std::span<uint64_t> next, uint64_t count,
                     const Taken& taken) {
  const std::span<uint64_t> words = receiver.words;
  for (uint64_t n = 0; n < count; ++n) {
    const IoResult result =
        RetryInterrupted([&] { return receiver.end.Receive(std::as_writable_bytes(words), Deadline::Never()); });
    const uint64_t number = NumberOf(words[0]);
    const uint64_t sender = number >> 48;
    const bool due = result.ok() && result.bytes == words.size_bytes() && sender < next.size() &&
                     number == FanNumber(static_cast<uint32_t>(sender), next[sender]) && IsPayload(words, number);
    if (!due) [[unlikely]] {
      return MessageFailure("Receive", n, result, words.size_bytes());
    }
    ++next[sender];
    taken(n, sender);
    if (plan.mode == FanMode::kLatency) {
      std::atomic<uint32_t>& acknowledged = plan.shared.senders[sender].acknowledged;
      const uint32_t receivers = plan.spec.geometry.receivers;
      const uint32_t so_far = acknowledged.fetch_add(1, std::memory_order_acq_rel) + 1;
      if (so_far % receivers == 0 && plan.spec.geometry.wait != Wait::kSpin) os::WakeAllOnFutex(acknowledged);
    }
  }
  return absl::OkStatus();
}

template <typename Bound, Primitive P>
absl::Status FanReceive(P& object, os::Gate& gate, const FanPlan& plan, Bound& roofline, uint32_t index) {
  auto receiver = OpenReceiveSide(object, plan.spec);
  if (!receiver.ok()) return receiver.status();
  const uint64_t senders = plan.spec.geometry.senders;
  std::vector<uint64_t> next(senders, 0);
  const uint64_t batch = plan.mode == FanMode::kLatency ? 1 : MessagesPerSample(plan.spec.message_bytes);
  Sampler samples(plan.samples.samples_nanos + index * plan.samples_each, plan.timed * senders / batch,
                  plan.samples_each);
  gate.Arrive();
  absl::Status status = FanTake(*receiver, plan, next, plan.warmup * senders, [](uint64_t, uint64_t) {});
  if (!status.ok()) return status;
  if (index == 0) roofline.Follow();
  std::atomic<uint32_t>& not_warm = plan.shared.not_warm;
  // Only the last one wakes the others: they look again at whatever is not 0.
  if (not_warm.fetch_sub(1, std::memory_order_acq_rel) == 1) os::WakeAllOnFutex(not_warm);
  AwaitAllWarm(plan.shared);
  const UsageMeter usage;
  int64_t before = 0;
  if (plan.mode == FanMode::kLatency) {
    status = FanTake(*receiver, plan, next, plan.timed * senders, [&](uint64_t, uint64_t sender) {
      samples.Add(NowNanos() - plan.shared.senders[sender].sent_nanos);
    });
  } else {
    status = FanTake(*receiver, plan, next, plan.timed * senders, [&](uint64_t n, uint64_t) {
      if (index != 0 || (n + 1) % batch != 0) return;
      const int64_t now = NowNanos();
      if (before != 0) samples.Add(now - before);
      before = now;
    });
  }
  FanMember& self = plan.shared.receivers[index];
  self.end_nanos = NowNanos();
  self.usage = usage.Stop();
  self.max_nanos = samples.max_nanos();
  // Receivers take equally many samples, so that the first one's count is everybody's.
  if (index != 0 || !status.ok()) return status;
  samples.Finish(plan.samples);
  plan.shared.received.store(1, std::memory_order_release);
  os::WakeAllOnFutex(plan.shared.received);
  roofline.Follow();
  return status;
}

// Adds up what the members of one side used.
inline SideUsage SumUsage(std::span<const FanMember> members) {
  SideUsage sum = members[0].usage;
  for (const FanMember& member : members.subspan(1)) sum += member.usage;
  return sum;
}

// When the first of them began.
inline int64_t FirstStart(std::span<const FanMember> senders) {
  int64_t start = senders[0].start_nanos;
  for (const FanMember& sender : senders) start = std::min(start, sender.start_nanos);
  return start;
}

// How evenly senders of equally many messages got rid of them: by their rates.
inline double SenderFairness(std::span<const FanMember> senders) {
  std::vector<double> rates;
  for (const FanMember& sender : senders) {
    rates.push_back(1 / static_cast<double>(std::max<int64_t>(1, sender.end_nanos - sender.start_nanos)));
  }
  return Fairness(rates);
}

inline SliceResult TakeFanResult(const FanPlan& plan) {
  const Geometry& geometry = plan.spec.geometry;
  const uint64_t taken = plan.samples.samples;
  const uint32_t sampled = plan.mode == FanMode::kLatency ? geometry.receivers : 1;
  // Close up what the receivers left free behind their samples.
  for (uint32_t i = 1; i < sampled; ++i) {
    const int64_t* const from = plan.samples.samples_nanos + i * plan.samples_each;
    std::copy(from, from + taken, plan.samples.samples_nanos + i * taken);
  }
  plan.samples.samples = taken * sampled;
  SliceResult result = TakeResult(plan.samples, plan.timed * geometry.senders,
                                  plan.mode == FanMode::kLatency ? 1 : MessagesPerSample(plan.spec.message_bytes));
  const std::span senders = std::span(plan.shared.senders).first(geometry.senders);
  const std::span receivers = std::span(plan.shared.receivers).first(geometry.receivers);
  result.samples_per_event = sampled;
  int64_t end = 0;
  for (const FanMember& receiver : receivers) {
    end = std::max(end, receiver.end_nanos);
    result.max_nanos = std::max(result.max_nanos, receiver.max_nanos);
  }
  result.nanos = end - FirstStart(senders);
  result.sender = SumUsage(senders);
  result.receiver = SumUsage(receivers);
  if (geometry.senders > 1) result.extras.emplace_back("fairness", SenderFairness(senders));
  return result;
}

// Runs `send` and `receive` as many times as the geometry says, each in a process of its own and with its number; only
// the single one of a side is pinned.
template <Primitive P>
absl::Status RunSides(P& object, const SliceSpec& spec, absl::FunctionRef<absl::Status(os::Gate&, uint32_t)> send,
                      absl::FunctionRef<absl::Status(os::Gate&, uint32_t)> receive) {
  const uint32_t senders = spec.geometry.senders;
  const uint32_t receivers = spec.geometry.receivers;
  absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(static_cast<int>(senders + receivers), spec.cancel);
  if (!group.ok()) return group.status();
  absl::Status status;
  for (uint32_t i = 0; i < receivers && status.ok(); ++i) {
    const auto body = [&](os::Gate& gate) { return receive(gate, i); };
    status = group->Spawn("receiver", receivers == 1 ? spec.receiver_cpu : os::kAnyCpu, body).status();
  }
  for (uint32_t i = 0; i < senders && status.ok(); ++i) {
    const auto body = [&](os::Gate& gate) { return send(gate, i); };
    status = group->Spawn("sender", senders == 1 ? spec.sender_cpu : os::kAnyCpu, body).status();
  }
  object.ReleaseEnds();
  const Deadline watchdog = os::After(spec.watchdog_nanos);
  if (status.ok()) status = group->Start(watchdog);
  if (status.ok()) status = group->Join(watchdog);
  return status;
}

// The geometry says how many of each side, kMaxFan at most; one of them is 1.
template <FanMode mode, Primitive P>
absl::StatusOr<SliceResult> Fan(const SliceSpec& spec) {
  const uint32_t senders = spec.geometry.senders;
  const uint32_t receivers = spec.geometry.receivers;
  absl::StatusOr<P> object = P::Create(spec.geometry);
  if (!object.ok()) return object.status();
  const uint64_t timed = spec.messages / senders + 1;
  const uint64_t samples_each =
      mode == FanMode::kLatency ? std::min(timed * senders, kMaxSamples / receivers)
                                : std::min(timed * senders / MessagesPerSample(spec.message_bytes) + 1, kMaxSamples);
  absl::StatusOr<os::Mapping> samples = SliceShared::Create(samples_each * (mode == FanMode::kLatency ? receivers : 1));
  if (!samples.ok()) return samples.status();
  absl::StatusOr<os::Mapping> mapping = os::Mapping::SharedAnonymous(sizeof(FanShared));
  if (!mapping.ok()) return mapping.status();
  auto& shared = *new (mapping->address()) FanShared{};
  shared.not_warm = receivers;
  const FanPlan plan = {.spec = spec,
                        .mode = mode,
                        .warmup = WarmupMessages(spec) / senders + 1,
                        .timed = timed,
                        .samples_each = samples_each,
                        .shared = shared,
                        .samples = SliceShared::In(*samples)};
  using Bound = std::conditional_t<mode == FanMode::kThroughput, OneCopy, NoBound>;
  absl::StatusOr<Bound> roofline = Bound::Create(spec.message_bytes, spec.geometry.depth_messages, spec.messages);
  if (!roofline.ok()) return roofline.status();
  absl::Status status = RunSides(
      *object, spec, [&](os::Gate& gate, uint32_t i) { return FanSend(*object, gate, plan, *roofline, i); },
      [&](os::Gate& gate, uint32_t i) { return FanReceive(*object, gate, plan, *roofline, i); });
  if (!status.ok()) return status;
  SliceResult result = TakeFanResult(plan);
  result.roofline_nanos = roofline->NanosPerMessage();
  return result;
}

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_FAN_H_
