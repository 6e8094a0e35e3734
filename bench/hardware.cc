#include "bench/hardware.h"

#include <algorithm>

#include "bench/roofline.h"
#include "bench/sides.h"
#include "bench/wake.h"

namespace ipcmark::bench {
namespace {

constexpr uint64_t kBatch = 64;

// A primitive's ends that do nothing. What they are handed is what the compiler cannot see, so that the payload is
// really written and really read.
struct EmptySender {
  IoResult Send(std::span<const std::byte> message, Deadline /*deadline*/) noexcept {
    asm volatile("" : : "r"(message.data()) : "memory");
    return IoResult::Ok(message.size());
  }
};
struct EmptyReceiver {
  IoResult Receive(std::span<std::byte> buffer, Deadline /*deadline*/) noexcept {
    asm volatile("" : : "r"(buffer.data()) : "memory");
    return IoResult::Ok(buffer.size());
  }
};
static_assert(SendEnd<EmptySender> && ReceiveEnd<EmptyReceiver>);

// Messages first, first + 1, ... that one process hands to itself; the same words on both sides, as nobody copies them.
absl::Status HandOver(std::span<uint64_t> words, uint64_t first, uint64_t count) {
  EmptySender sender;
  EmptyReceiver receiver;
  absl::Status status;
  for (uint64_t n = first; n < first + count; ++n) {
    if (!GiveMessage(sender, words, n, status) || !TakeMessage(receiver, words, n, status)) break;
  }
  return status;
}

// The payloads alone.
absl::Status WriteAndCheck(std::span<uint64_t> words, uint64_t first, uint64_t count) {
  for (uint64_t n = first; n < first + count; ++n) {
    WritePayload(words, n);
    asm volatile("" : : "r"(words.data()) : "memory");
    if (!IsPayload(words, n)) return absl::DataLossError("a payload came out wrong");
  }
  return absl::OkStatus();
}

// Runs `batch(first, count)` over all messages in one pinned process.
absl::Status RunAlone(const SliceSpec& spec, SliceShared& shared,
                      absl::FunctionRef<absl::Status(uint64_t first, uint64_t count)> batch) {
  const auto body = [&](os::Gate& gate) {
    Sampler samples(shared.samples_nanos, spec.messages / kBatch, kMaxSamples);
    gate.Arrive();
    absl::Status status = batch(0, kBatch * kBatch);  // warm-up
    const UsageMeter usage;
    shared.start_nanos = NowNanos();
    int64_t before = shared.start_nanos;
    for (uint64_t n = 0; n < spec.messages && status.ok();) {
      const uint64_t count = std::min(kBatch, spec.messages - n);
      status = batch(n, count);
      n += count;
      const int64_t after = NowNanos();
      if (count == kBatch) samples.Add(after - before);
      before = after;
    }
    shared.end_nanos = before;
    samples.Finish(shared);
    shared.sender = usage.Stop();
    return status;
  };
  NoObject none;
  return RunOne(none, spec, "loop", body);
}

absl::StatusOr<SliceResult> MeasureAlone(Limit limit, const SliceSpec& spec) {
  absl::StatusOr<os::Mapping> mapping = SliceShared::Create(std::min(spec.messages / kBatch + 1, kMaxSamples));
  if (!mapping.ok()) return mapping.status();
  SliceShared& shared = SliceShared::In(*mapping);
  Words words(spec.message_bytes / sizeof(uint64_t));
  // Any rate will do.
  const Clock clock = limit == Limit::kTscRead ? Clock::Tsc(0, 0, os::kNanosPerSecond) : Clock();
  const auto read_clock = [&](uint64_t /*first*/, uint64_t count) {
    for (uint64_t n = 0; n < count; ++n) {
      const int64_t now = clock.Now();
      asm volatile("" : : "r"(now));
    }
    return absl::OkStatus();
  };
  const auto hand_over = [&](uint64_t first, uint64_t count) { return HandOver(words, first, count); };
  const auto check = [&](uint64_t first, uint64_t count) { return WriteAndCheck(words, first, count); };
  absl::Status status = limit == Limit::kEmptyLoop   ? RunAlone(spec, shared, hand_over)
                        : limit == Limit::kIntegrity ? RunAlone(spec, shared, check)
                                                     : RunAlone(spec, shared, read_clock);
  if (!status.ok()) return status;
  SliceResult result = TakeResult(shared, spec.messages, kBatch);
  result.receiver.reset();
  return result;
}

// Two bursts of `limit` between the two CPUs.
absl::StatusOr<SliceResult> MeasurePair(const SliceSpec& spec, absl::FunctionRef<absl::Status()> lead,
                                        absl::FunctionRef<absl::Status()> follow) {
  absl::StatusOr<os::Mapping> mapping = SliceShared::Create(0);
  if (!mapping.ok()) return mapping.status();
  SliceShared& shared = SliceShared::In(*mapping);
  const auto twice = [](os::Gate& gate, absl::FunctionRef<absl::Status()> burst, SideUsage& used) {
    gate.Arrive();
    const UsageMeter usage;
    absl::Status status = burst();
    if (status.ok()) status = burst();
    used = usage.Stop();
    return status;
  };
  NoObject none;
  absl::Status status = RunPair(
      none, spec, [&](os::Gate& gate) { return twice(gate, lead, shared.sender); },
      [&](os::Gate& gate) { return twice(gate, follow, shared.receiver); });
  if (!status.ok()) return status;
  return TakeResult(shared, 0, /*messages_per_sample=*/1);
}

// The samples of single events and what follows from them.
SliceResult WithSamples(SliceResult result, std::span<const int64_t> samples) {
  SetSamples({samples.begin(), samples.end()}, result);
  result.messages = samples.size();
  result.nanos = 0;
  for (const int64_t sample : samples) result.nanos += sample;
  return result;
}

absl::StatusOr<SliceResult> MeasureLine(const SliceSpec& spec) {
  absl::StatusOr<LinePingPong> line = LinePingPong::Create(spec.messages);
  if (!line.ok()) return line.status();
  absl::StatusOr<SliceResult> result = MeasurePair(
      spec,
      [&] {
        line->Lead();
        return absl::OkStatus();
      },
      [&] {
        line->Follow();
        return absl::OkStatus();
      });
  if (!result.ok()) return result.status();
  return WithSamples(*std::move(result), line->Samples());
}

absl::StatusOr<SliceResult> MeasureWake(const SliceSpec& spec) {
  absl::StatusOr<FutexWake> wake = FutexWake::Create(spec.messages);
  if (!wake.ok()) return wake.status();
  absl::StatusOr<SliceResult> result = MeasurePair(
      spec,
      [&]() -> absl::Status {
        absl::StatusOr<Sleeper> follower = wake->AwaitFollower();
        if (!follower.ok()) return follower.status();
        wake->Lead(*follower);
        return absl::OkStatus();
      },
      [&] {
        wake->IntroduceFollower();
        wake->Follow();
        return absl::OkStatus();
      });
  if (!result.ok()) return result.status();
  return WithSamples(*std::move(result), wake->Samples());
}

absl::StatusOr<SliceResult> MeasureCopy(const SliceSpec& spec) {
  constexpr uint32_t depth = 16;
  absl::StatusOr<OneCopy> copy = OneCopy::Create(spec.message_bytes, depth, spec.messages);
  if (!copy.ok()) return copy.status();
  absl::StatusOr<SliceResult> result = MeasurePair(
      spec,
      [&] {
        copy->Lead();
        return absl::OkStatus();
      },
      [&] {
        copy->Follow();
        return absl::OkStatus();
      });
  if (!result.ok()) return result.status();
  if (copy->NanosPerMessage() == 0) return absl::DataLossError("a payload came out wrong");
  // The median over the bursts stands for all of them; there are too few for a distribution. Usage is of all, however
  // many were asked for.
  result->messages = copy->Messages();
  result->nanos = static_cast<int64_t>(copy->NanosPerMessage() * static_cast<double>(result->messages));
  return result;
}

}  // namespace

const char* LimitName(Limit limit) {
  constexpr const char* kNames[] = {"cache_line",           "copy",       "futex_wake", "clock_read/tsc",
                                    "clock_read/monotonic", "empty_loop", "integrity"};
  return kNames[static_cast<unsigned>(limit)];
}

absl::StatusOr<SliceResult> MeasureLimit(Limit limit, const SliceSpec& spec) {
  switch (limit) {
    case Limit::kCacheLine:
      return MeasureLine(spec);
    case Limit::kCopy:
      return MeasureCopy(spec);
    case Limit::kFutexWake:
      return MeasureWake(spec);
    case Limit::kTscRead:
      if (!ReadTscSupport().has_rdtscp) return absl::UnimplementedError("the processor has no RDTSCP");
      return MeasureAlone(limit, spec);
    case Limit::kMonotonicRead:
    case Limit::kEmptyLoop:
    case Limit::kIntegrity:
      return MeasureAlone(limit, spec);
  }
  return absl::InternalError("no such limit");
}

}  // namespace ipcmark::bench
