#ifndef IPCMARK_BENCH_MACHINE_CLOCK_H_
#define IPCMARK_BENCH_MACHINE_CLOCK_H_

// What times the rows: the time stamp counter (TSC) of the processors where it can be trusted, else CLOCK_MONOTONIC.
//
//   Clock        an instant in nanoseconds, from either
//   ChooseClock  which one this machine allows, calibrated, and why
//   UseClock     makes it this process's, and that of all children forked after; NowNanos reads it
//
// Every duration is between two NowNanos of one slice, whose processes all have their parent's clock.

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ipc/os/clock.h"

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace ipcmark::bench {

// The time stamp counter, read when all instructions before have been executed (RDTSCP): as ordered as the kernel's own
// read in clock_gettime. 0 where the architecture has none that we read.
inline uint64_t ReadTsc() noexcept {
#if defined(__x86_64__)
  unsigned cpu = 0;
  return __rdtscp(&cpu);
#else
  return 0;
#endif
}

class Clock {
 public:
  // CLOCK_MONOTONIC.
  constexpr Clock() = default;
  // The TSC; `base_ticks` was the instant `base_nanos` of CLOCK_MONOTONIC. 1 MHz < ticks_per_second.
  static Clock Tsc(uint64_t base_ticks, int64_t base_nanos, double ticks_per_second) {
    Clock clock;
    clock.base_ticks_ = base_ticks;
    clock.base_nanos_ = base_nanos;
    clock.scaled_nanos_per_tick_ =
        std::llround(os::kNanosPerSecond / ticks_per_second * static_cast<double>(int64_t{1} << kShift));
    return clock;
  }

  [[nodiscard]] bool is_tsc() const noexcept { return scaled_nanos_per_tick_ != 0; }

  // Of a TSC, before or after its base: with 128 bits in between nothing overflows within 292 years of nanoseconds.
  [[nodiscard]] int64_t NanosAt(uint64_t ticks) const noexcept {
    const auto since = static_cast<int64_t>(ticks - base_ticks_);
    return base_nanos_ + static_cast<int64_t>((static_cast<__int128>(since) * scaled_nanos_per_tick_) >> kShift);
  }

  // Nanoseconds of CLOCK_MONOTONIC, or those of the TSC, which were the same at the base and differ by the error of the
  // calibration since. Async-signal-safe.
  [[nodiscard, gnu::always_inline]] int64_t Now() const noexcept {
    return is_tsc() ? NanosAt(ReadTsc()) : os::MonotonicNanos();
  }

 private:
  static constexpr int kShift = 40;  // nanoseconds per tick: to 1e-12

  uint64_t base_ticks_ = 0;
  int64_t base_nanos_ = 0;
  int64_t scaled_nanos_per_tick_ = 0;  // times 2^kShift; 0: not a TSC
};

namespace internal {
inline constinit Clock clock_in_use;
}  // namespace internal

// Before the fork, from a process of one thread.
inline void UseClock(const Clock& clock) noexcept { internal::clock_in_use = clock; }
inline const Clock& ClockInUse() noexcept { return internal::clock_in_use; }

// Now, by this process's clock.
[[gnu::always_inline]] inline int64_t NowNanos() noexcept { return internal::clock_in_use.Now(); }

// What the processor and the kernel say of the TSC.
struct TscSupport {
  bool has_rdtscp = false;       // CPUID 0x80000001, EDX bit 27
  bool invariant = false;        // CPUID 0x80000007, EDX bit 8: one rate in all states of power and frequency
  bool hypervisor = false;       // CPUID 1, ECX bit 31: the kernel's choice says nothing then, it may prefer kvm-clock
  bool marked_unstable = false;  // the kernel names its clock sources and the TSC is none of them
};
TscSupport ReadTscSupport(const std::string& root = "/");

// OK, or in half a sentence why it is not to be used.
absl::Status TscUsable(const TscSupport& support);

// How much more the TSC of one CPU reads than that of another at the same instant, in ticks: between these. From a
// message there and back with a time stamp at each step, as in Cristian's algorithm and NTP: the other's stamp is not
// before the one of sending nor after the one of receiving. `low` > `high`: the difference does not stand still.
struct SkewInterval {
  int64_t low;
  int64_t high;
};
// Starts two threads that bind themselves to these CPUs; takes milliseconds where both are idle.
absl::StatusOr<SkewInterval> MeasureSkew(int reference_cpu, int other_cpu);

// The most that two of the CPUs may differ, in ticks, when each but the first has been held against the first. Fails,
// with the reason, when a difference is certain.
absl::StatusOr<int64_t> SkewBound(const std::vector<int>& cpus, const std::vector<SkewInterval>& against_first);

struct Calibration {
  Clock clock;
  double ticks_per_second;
  double error_ppm;  // of ticks_per_second, at most: from what bracketed the two readings of CLOCK_MONOTONIC
};
// Sleeps for `nanos` between two readings of both clocks.
Calibration CalibrateTsc(int64_t nanos);

enum class ClockChoice : uint8_t { kAuto, kTsc, kMonotonic };

struct ChosenClock {
  Clock clock;
  // Of a TSC only:
  double ticks_per_second = 0;
  double error_ppm = 0;
  int64_t skew_bound_nanos = 0;
  // Why it is not the TSC.
  std::string why = {};
};

// For processes on any of `cpus`. With kAuto a TSC that is refused becomes CLOCK_MONOTONIC, with kTsc it is
// kFailedPrecondition with one sentence. About 20 ms, and some for each CPU.
absl::StatusOr<ChosenClock> ChooseClock(ClockChoice choice, const TscSupport& support, const std::vector<int>& cpus);

// "tsc" or "CLOCK_MONOTONIC".
const char* ClockName(const Clock& clock);

// Of one read of `clock` in nanoseconds: the cheapest of many, so that an interrupt does not count.
double ClockReadNanos(const Clock& clock);

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_MACHINE_CLOCK_H_
