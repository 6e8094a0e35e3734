#include "bench/roofline.h"

#include <sched.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>

#include "bench/machine/clock.h"
#include "bench/slice.h"
#include "ipc/copy.h"
#include "ipc/os/cpu.h"
#include "ipc/os/futex.h"

namespace ipcmark::bench {
namespace {

constexpr uint64_t kMinRoundTrips = 20;
constexpr uint64_t kMaxRoundTrips = 1'000;
constexpr uint64_t kMaxSleepingRoundTrips = 200;
constexpr uint64_t kBursts = 2;  // of a slice: before and behind its timed messages
constexpr uint64_t kMaxPingPongs = kBursts * kMaxRoundTrips;
constexpr uint64_t kChunkBytes = 4096;
// Behind each chunk lies so much that nobody touches: a prefetcher at the end of one would take the beginning of the
// next from who is writing it (ipc/sysv_shm/ring_layout.h).
constexpr uint64_t kGapBytes = 4096;
constexpr uint64_t kCopyBursts = 3;  // of one Lead
constexpr uint64_t kMaxCopyBursts = kBursts * kCopyBursts;
constexpr uint64_t kMaxBurstBytes = 2 << 20;
constexpr uint64_t kMinBurstChunks = 8;

// No PAUSE: it costs about as much as the line that is waited for.
template <typename Ready>
void SpinFor(const Ready& ready) noexcept {
  for (int round = 1; !ready(); ++round) {
    if (round % 4096 == 0) sched_yield();
  }
}

double MedianOf(std::vector<double> values) {
  if (values.empty()) return 0;
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

}  // namespace

struct LinePingPong::Shared {
  alignas(os::kCacheLineBytes) std::atomic<uint32_t> line;
  alignas(os::kCacheLineBytes) uint64_t samples;
  int64_t samples_nanos[kMaxPingPongs];
};

absl::StatusOr<LinePingPong> LinePingPong::Create(uint64_t messages, Wait wait) {
  absl::StatusOr<os::Mapping> mapping = os::Mapping::SharedAnonymous(sizeof(Shared));
  if (!mapping.ok()) return mapping.status();
  auto* shared = new (mapping->address()) Shared{};
  std::fill_n(shared->samples_nanos, kMaxPingPongs, 0);  // touched before the clock starts
  const bool sleeps = wait == Wait::kBlock;
  const uint64_t most = sleeps ? kMaxSleepingRoundTrips : kMaxRoundTrips;
  return LinePingPong(*std::move(mapping), static_cast<uint32_t>(std::clamp(messages / 4, kMinRoundTrips, most)),
                      sleeps);
}

void LinePingPong::Await(uint32_t turn) const noexcept {
  const std::atomic<uint32_t>& line = shared().line;
  // Acquire, and release in Give: what a message's commit word needs, and no more.
  if (!sleeps_) return SpinFor([&]() noexcept { return line.load(std::memory_order_acquire) == turn; });
  for (uint32_t seen = 0; (seen = line.load(std::memory_order_acquire)) != turn;) {
    os::WaitOnFutex(line, seen, Deadline::Never());
  }
}

void LinePingPong::Give(uint32_t turn) const noexcept {
  std::atomic<uint32_t>& line = shared().line;
  line.store(turn, std::memory_order_release);
  if (sleeps_) os::WakeAllOnFutex(line);
}

void LinePingPong::Lead() noexcept {
  Shared& all = shared();
  const auto there_and_back = [&]() noexcept {
    Give(2 * turn_ + 1);
    Await(2 * turn_ + 2);
    ++turn_;
  };
  there_and_back();  // the rendezvous
  int64_t before = NowNanos();
  for (uint32_t n = 0; n < rounds_; ++n) {
    there_and_back();
    const int64_t after = NowNanos();
    if (all.samples < kMaxPingPongs) all.samples_nanos[all.samples++] = after - before;
    before = after;
  }
}

void LinePingPong::Follow() noexcept {
  for (const uint32_t end = turn_ + rounds_ + 1; turn_ < end; ++turn_) {
    Await(2 * turn_ + 1);
    Give(2 * turn_ + 2);
  }
}

std::span<const int64_t> LinePingPong::Samples() const {
  const Shared& all = shared();
  return {all.samples_nanos, all.samples};
}

double LinePingPong::Nanos() const { return MedianOf({Samples().begin(), Samples().end()}); }

struct OneCopy::Shared {
  alignas(os::kCacheLineBytes) std::atomic<uint64_t> filled;  // chunks written so far
  alignas(os::kCacheLineBytes) std::atomic<uint64_t> taken;   // chunks copied out so far
  uint64_t bursts;
  double nanos_per_message[kMaxCopyBursts];
  bool spoilt;
  alignas(os::kCacheLineBytes) uint64_t payload[];  // chunks_ chunks, ChunkStrideWords apart
};

namespace {

uint64_t ChunkStrideWords(uint64_t chunk_words) { return chunk_words + kGapBytes / sizeof(uint64_t); }

}  // namespace

OneCopy::OneCopy(uint32_t message_bytes, uint32_t depth_messages, uint64_t messages)
    : words_(message_bytes / sizeof(uint64_t)),
      messages_per_chunk_(std::max<uint64_t>(1, kChunkBytes / message_bytes)),
      chunks_(std::max<uint64_t>(2, depth_messages / messages_per_chunk_)),
      chunks_per_burst_(std::max(kMinBurstChunks, std::min(messages * message_bytes / 4, kMaxBurstBytes) /
                                                      (messages_per_chunk_ * message_bytes))),
      out_(words_) {}

absl::StatusOr<OneCopy> OneCopy::Create(uint32_t message_bytes, uint32_t depth_messages, uint64_t messages) {
  OneCopy copy(message_bytes, depth_messages, messages);
  const uint64_t payload_words = copy.chunks_ * ChunkStrideWords(copy.messages_per_chunk_ * copy.words_);
  absl::StatusOr<os::Mapping> mapping = os::Mapping::SharedAnonymous(sizeof(Shared) + payload_words * sizeof(uint64_t));
  if (!mapping.ok()) return mapping.status();
  auto* shared = new (mapping->address()) Shared{};
  std::fill_n(shared->payload, payload_words, 0);  // touched before the clock starts
  copy.mapping_ = *std::move(mapping);
  return copy;
}

void OneCopy::LeadOnce() noexcept {
  Shared& all = shared();
  for (uint64_t left = chunks_per_burst_; left > 0; --left, ++next_) {
    // Acquire: the follower has read what is overwritten now.
    SpinFor([&]() noexcept { return next_ - all.taken.load(std::memory_order_acquire) < chunks_; });
    uint64_t* const chunk = all.payload + next_ % chunks_ * ChunkStrideWords(messages_per_chunk_ * words_);
    for (uint64_t n = 0; n < messages_per_chunk_; ++n) WritePayload({chunk + n * words_, words_}, next_ + n);
    // Release: the payloads come first.
    all.filled.store(next_ + 1, std::memory_order_release);
  }
  // Until the follower has noted its time: the next burst is one of its own.
  SpinFor([&]() noexcept { return all.taken.load(std::memory_order_acquire) == next_; });
}

void OneCopy::FollowOnce() noexcept {
  Shared& all = shared();
  int64_t start = 0;
  const uint64_t last = next_ + chunks_per_burst_ - 1;
  bool intact = true;
  for (; next_ <= last; ++next_) {
    SpinFor([&]() noexcept { return all.filled.load(std::memory_order_acquire) > next_; });
    uint64_t* const chunk = all.payload + next_ % chunks_ * ChunkStrideWords(messages_per_chunk_ * words_);
    for (uint64_t n = 0; n < messages_per_chunk_; ++n) {
      memcpy(out_.data(), chunk + n * words_, words_ * sizeof(uint64_t));
      intact &= IsPayload(out_, next_ + n);
    }
    // From the first chunk's end on: its start is the leader's.
    if (start == 0) start = NowNanos();
    if (next_ == last && all.bursts < kMaxCopyBursts) {
      const auto messages = static_cast<double>((chunks_per_burst_ - 1) * messages_per_chunk_);
      all.nanos_per_message[all.bursts++] = static_cast<double>(NowNanos() - start) / messages;
    }
    // Of any size: the leader fetches the lines of all.
    HandBack(reinterpret_cast<std::byte*>(chunk), messages_per_chunk_ * words_ * sizeof(uint64_t), SIZE_MAX);
    all.taken.store(next_ + 1, std::memory_order_release);
  }
  if (!intact) all.spoilt = true;
}

void OneCopy::Lead() noexcept {
  for (uint64_t burst = 0; burst < kCopyBursts; ++burst) LeadOnce();
}

void OneCopy::Follow() noexcept {
  for (uint64_t burst = 0; burst < kCopyBursts; ++burst) FollowOnce();
}

uint64_t OneCopy::Messages() const { return shared().bursts * chunks_per_burst_ * messages_per_chunk_; }

double OneCopy::NanosPerMessage() const {
  const Shared& all = shared();
  return all.spoilt ? 0 : MedianOf({all.nanos_per_message, all.nanos_per_message + all.bursts});
}

}  // namespace ipcmark::bench
