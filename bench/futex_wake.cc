#include "bench/futex_wake.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <new>
#include <vector>

#include "bench/machine/clock.h"
#include "ipc/os/cpu.h"
#include "ipc/os/futex.h"

namespace ipcmark::bench {
namespace {

constexpr uint64_t kMinWakes = 10;
constexpr uint64_t kMaxWakes = 1'000;
constexpr uint64_t kMaxSamples = 2 * kMaxWakes;  // two bursts: before and behind the timed messages

}  // namespace

struct FutexWake::Shared {
  alignas(os::kCacheLineBytes) std::atomic<uint32_t> turn;   // wake-ups so far; the follower sleeps on it
  int64_t woke_nanos;                                        // when the leader was about to do the latest one
  alignas(os::kCacheLineBytes) std::atomic<uint32_t> ready;  // how many the follower was about to sleep for
  std::atomic<pid_t> follower;
  uint64_t samples;
  int64_t samples_nanos[kMaxSamples];
};

absl::StatusOr<FutexWake> FutexWake::Create(uint64_t messages) {
  absl::StatusOr<os::Mapping> mapping = os::Mapping::SharedAnonymous(sizeof(Shared));
  if (!mapping.ok()) return mapping.status();
  auto* shared = new (mapping->address()) Shared{};
  std::fill_n(shared->samples_nanos, kMaxSamples, 0);  // touched before the clock starts
  return FutexWake(*std::move(mapping), static_cast<uint32_t>(std::clamp(messages / 4, kMinWakes, kMaxWakes)));
}

void FutexWake::IntroduceFollower() noexcept { shared().follower.store(getpid(), std::memory_order_release); }

absl::StatusOr<Sleeper> FutexWake::AwaitFollower() noexcept {
  pid_t pid = 0;
  while ((pid = shared().follower.load(std::memory_order_acquire)) == 0) sched_yield();
  return Sleeper::Watch(pid);
}

void FutexWake::Lead(const Sleeper& follower) noexcept {
  Shared& all = shared();
  for (const uint32_t end = turn_ + rounds_; turn_ < end; ++turn_) {
    while (all.ready.load(std::memory_order_acquire) != turn_ + 1 || !follower.Sleeps()) {
      // The harness ends this process when the other one is gone; until then it is on its way.
      sched_yield();
    }
    all.woke_nanos = NowNanos();
    // Release: with the time of the wake-up.
    all.turn.store(turn_ + 1, std::memory_order_release);
    os::WakeAllOnFutex(all.turn);
  }
}

void FutexWake::Follow() noexcept {
  Shared& all = shared();
  for (const uint32_t end = turn_ + rounds_; turn_ < end; ++turn_) {
    all.ready.store(turn_ + 1, std::memory_order_release);
    while (all.turn.load(std::memory_order_acquire) == turn_) os::WaitOnFutex(all.turn, turn_, Deadline::Never());
    const int64_t now = NowNanos();
    if (all.samples < kMaxSamples) all.samples_nanos[all.samples++] = now - all.woke_nanos;
  }
}

std::span<const int64_t> FutexWake::Samples() const {
  const Shared& all = shared();
  return {all.samples_nanos, all.samples};
}

double FutexWake::Nanos() const {
  const std::span<const int64_t> samples = Samples();
  std::vector<int64_t> values(samples.begin(), samples.end());
  if (values.empty()) return 0;
  std::nth_element(values.begin(), values.begin() + static_cast<ptrdiff_t>(values.size() / 2), values.end());
  return static_cast<double>(values[values.size() / 2]);
}

}  // namespace ipcmark::bench
