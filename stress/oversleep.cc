#include "stress/oversleep.h"

#include <algorithm>
#include <utility>

#include "ipc/os/clock.h"

namespace ipcmark::stress {
namespace {

// Before that nobody looks at /proc.
constexpr int64_t kCalmNanos = 3'000'000;
// Who has not looked for so long may itself have stood still, with all the others (a frozen group of processes, whose
// members are shown as asleep).
constexpr int64_t kMostBetweenLooksNanos = 12'000'000;

bool AllSleep(const ThreadSamples& samples) {
  return !samples.empty() && std::ranges::all_of(samples, [](const auto& entry) {
    return entry.second.state == 'S' && entry.second.times.known;
  });
}

}  // namespace

void Oversleep::Note(bool could_go_on, uint64_t progress, absl::FunctionRef<std::vector<pid_t>()> processes) {
  const int64_t now = os::MonotonicNanos();
  const int64_t gap = now - std::exchange(last_look_nanos_, now);
  if (!could_go_on || progress != progress_ || gap > kMostBetweenLooksNanos) {
    progress_ = progress;
    calm_since_nanos_ = now;
    samples_.clear();
    return;
  }
  if (now - calm_since_nanos_ < kCalmNanos) return;
  if (!samples_.empty() && now - sampled_nanos_ < kOversleptNanos) return;
  ThreadSamples seen = SampleThreads(processes());
  if (!AllSleep(seen)) seen.clear();
  if (!samples_.empty() && seen == samples_) {
    worst_nanos_ = std::max(worst_nanos_, now - sampled_nanos_);
    return;
  }
  samples_ = std::move(seen);
  // Behind the sample: what happens while it is taken is in it.
  sampled_nanos_ = os::MonotonicNanos();
}

}  // namespace ipcmark::stress
