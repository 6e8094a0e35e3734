#include "bench/machine/clock.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <fstream>
#include <limits>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "ipc/os/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace ipcmark::bench {
namespace {

constexpr int64_t kCalibrationNanos = 20'000'000;
// A clock that may be further out is refused: rows are compared to a percent.
constexpr double kMostErrorPpm = 100;
// Two CPUs whose difference cannot be bounded by this are refused: a tenth of the quickest wake-up of a halted CPU.
constexpr int64_t kMostSkewNanos = 1'000;
constexpr uint32_t kSkewRounds = 2'000;

struct SkewShared {
  alignas(os::kCacheLineBytes) std::atomic<uint32_t> turn;
  uint64_t stamp;  // of the follower's answer; published by `turn`
  alignas(os::kCacheLineBytes) SkewInterval skew;
  std::atomic<int> arrived;
  std::atomic<bool> refused;  // a side could not be placed
};

void Await(const std::atomic<uint32_t>& turn, uint32_t due) noexcept {
  // Acquire: with the stamp. Yields now and then, so that it ends also where somebody else needs the CPU.
  for (int round = 1; turn.load(std::memory_order_acquire) != due; ++round) {
    if (round % 4096 == 0) sched_yield();
  }
}

void LeadSkew(SkewShared& shared) noexcept {
  SkewInterval skew = {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()};
  for (uint32_t n = 0; n < kSkewRounds; ++n) {
    const uint64_t sent = ReadTsc();
    shared.turn.store(2 * n + 1, std::memory_order_release);
    Await(shared.turn, 2 * n + 2);
    const uint64_t back = ReadTsc();
    skew.low = std::max(skew.low, static_cast<int64_t>(shared.stamp - back));
    skew.high = std::min(skew.high, static_cast<int64_t>(shared.stamp - sent));
  }
  shared.skew = skew;
}

void FollowSkew(SkewShared& shared) noexcept {
  for (uint32_t n = 0; n < kSkewRounds; ++n) {
    Await(shared.turn, 2 * n + 1);
    shared.stamp = ReadTsc();
    // Release: the stamp comes first.
    shared.turn.store(2 * n + 2, std::memory_order_release);
  }
}

// Both clocks at one instant: the tightest of some brackets, in which an interrupt would show.
struct Reading {
  uint64_t ticks;
  int64_t nanos;
  uint64_t width_ticks;
};

Reading ReadBoth() noexcept {
  constexpr int brackets = 64;
  Reading best = {0, 0, std::numeric_limits<uint64_t>::max()};
  for (int n = 0; n < brackets; ++n) {
    const uint64_t before = ReadTsc();
    const int64_t nanos = os::MonotonicNanos();
    const uint64_t width = ReadTsc() - before;
    if (width < best.width_ticks) best = {before + width / 2, nanos, width};
  }
  return best;
}

// The TSC, or why not.
absl::StatusOr<ChosenClock> TryTsc(const TscSupport& support, const std::vector<int>& cpus) {
  absl::Status usable = TscUsable(support);
  if (!usable.ok()) return usable;
  const Calibration calibration = CalibrateTsc(kCalibrationNanos);
  if (!(calibration.error_ppm <= kMostErrorPpm)) {
    return absl::FailedPreconditionError(
        absl::StrFormat("its rate is only known to %.0f parts per million", calibration.error_ppm));
  }
  std::vector<SkewInterval> skews;
  for (size_t i = 1; i < cpus.size(); ++i) {
    const absl::StatusOr<SkewInterval> skew = MeasureSkew(cpus[0], cpus[i]);
    if (!skew.ok()) return skew.status();
    skews.push_back(*skew);
  }
  const absl::StatusOr<int64_t> bound = SkewBound(cpus, skews);
  if (!bound.ok()) return bound.status();
  const double bound_nanos = static_cast<double>(*bound) * os::kNanosPerSecond / calibration.ticks_per_second;
  if (bound_nanos > kMostSkewNanos) {
    return absl::FailedPreconditionError(
        absl::StrFormat("two CPUs may differ by %.0f ns, more than %d", bound_nanos, kMostSkewNanos));
  }
  return ChosenClock{.clock = calibration.clock,
                     .ticks_per_second = calibration.ticks_per_second,
                     .error_ppm = calibration.error_ppm,
                     .skew_bound_nanos = static_cast<int64_t>(std::ceil(bound_nanos))};
}

}  // namespace

TscSupport ReadTscSupport(const std::string& root) {
  TscSupport support;
#if defined(__x86_64__)
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  if (__get_cpuid(0x80000001, &a, &b, &c, &d) != 0) support.has_rdtscp = (d >> 27 & 1) != 0;
  if (__get_cpuid(0x80000007, &a, &b, &c, &d) != 0) support.invariant = (d >> 8 & 1) != 0;
  if (__get_cpuid(1, &a, &b, &c, &d) != 0) support.hypervisor = (c >> 31 & 1) != 0;
#endif
  std::ifstream file(root + "/sys/devices/system/clocksource/clocksource0/available_clocksource");
  std::string line;
  if (std::getline(file, line)) {
    const std::vector<std::string> sources = absl::StrSplit(line, ' ', absl::SkipWhitespace());
    support.marked_unstable = std::count(sources.begin(), sources.end(), "tsc") == 0;
  }
  return support;
}

absl::Status TscUsable(const TscSupport& support) {
  if (!support.has_rdtscp) return absl::FailedPreconditionError("the processor has no RDTSCP");
  if (!support.invariant) {
    return absl::FailedPreconditionError("the processor does not say that its TSC is invariant (CPUID 0x80000007)");
  }
  if (support.marked_unstable && !support.hypervisor) {
    return absl::FailedPreconditionError("the kernel does not have it among its clock sources (it found it unstable)");
  }
  return absl::OkStatus();
}

absl::StatusOr<SkewInterval> MeasureSkew(int reference_cpu, int other_cpu) {
  // Threads, not processes: whoever interrupts or kills the program at its start finds none of its children yet.
  SkewShared shared{};
  absl::Status pinned[2];
  const auto run = [&shared, &pinned](int index, int cpu, void (*side)(SkewShared&)) {
    pinned[index] = os::PinToCpu(cpu);
    // Both or none: one would wait for the other.
    if (!pinned[index].ok()) shared.refused = true;
    shared.arrived.fetch_add(1);
    while (shared.arrived.load() < 2) sched_yield();
    if (!shared.refused.load()) side(shared);
  };
  std::thread follower(run, 0, other_cpu, FollowSkew);
  std::thread leader(run, 1, reference_cpu, LeadSkew);
  follower.join();
  leader.join();
  for (const absl::Status& status : pinned) {
    if (!status.ok()) return status;
  }
  return shared.skew;
}

absl::StatusOr<int64_t> SkewBound(const std::vector<int>& cpus, const std::vector<SkewInterval>& against_first) {
  int64_t bound = 0;
  std::vector<SkewInterval> before = {{0, 0}};  // the first CPU against itself
  for (size_t i = 0; i < against_first.size(); ++i) {
    const SkewInterval& skew = against_first[i];
    if (skew.low > skew.high) {
      return absl::FailedPreconditionError(
          absl::StrCat("the difference between CPUs ", cpus[0], " and ", cpus[i + 1], " does not stand still"));
    }
    if (skew.low > 0 || skew.high < 0) {
      return absl::FailedPreconditionError(absl::StrCat("CPU ", cpus[i + 1], " differs from CPU ", cpus[0], " by ",
                                                        std::max(skew.low, -skew.high), " ticks at least"));
    }
    for (const SkewInterval& other : before) {
      bound = std::max({bound, skew.high - other.low, other.high - skew.low});
    }
    before.push_back(skew);
  }
  return bound;
}

Calibration CalibrateTsc(int64_t nanos) {
  const Reading first = ReadBoth();
  const timespec until = os::ToTimespec(os::MonotonicNanos() + nanos);
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) != 0) {
  }
  const Reading second = ReadBoth();
  const auto ticks = static_cast<double>(second.ticks - first.ticks);
  const double ticks_per_second = ticks * os::kNanosPerSecond / static_cast<double>(second.nanos - first.nanos);
  // Each reading was somewhere in its bracket.
  const double off_ticks = static_cast<double>(first.width_ticks + second.width_ticks) / 2;
  return {.clock = Clock::Tsc(second.ticks, second.nanos, ticks_per_second),
          .ticks_per_second = ticks_per_second,
          .error_ppm = off_ticks / ticks * 1e6};
}

absl::StatusOr<ChosenClock> ChooseClock(ClockChoice choice, const TscSupport& support, const std::vector<int>& cpus) {
  if (choice == ClockChoice::kMonotonic) return ChosenClock{.clock = Clock(), .why = "--clock=monotonic"};
  absl::StatusOr<ChosenClock> tsc = TryTsc(support, cpus);
  if (tsc.ok()) return tsc;
  if (choice == ClockChoice::kTsc) {
    return absl::FailedPreconditionError(
        absl::StrCat("--clock=tsc: not to be trusted here, ", tsc.status().message(), "; leave the flag out"));
  }
  return ChosenClock{.clock = Clock(), .why = std::string(tsc.status().message())};
}

const char* ClockName(const Clock& clock) { return clock.is_tsc() ? "tsc" : "CLOCK_MONOTONIC"; }

double ClockReadNanos(const Clock& clock) {
  constexpr int reads = 1000;
  double best = os::kNanosPerSecond;
  for (int trial = 0; trial < 20; ++trial) {
    const int64_t start = os::MonotonicNanos();
    for (int i = 0; i < reads; ++i) {
      const int64_t now = clock.Now();
      asm volatile("" : : "r"(now));
    }
    best = std::min(best, static_cast<double>(os::MonotonicNanos() - start) / reads);
  }
  return best;
}

}  // namespace ipcmark::bench
