// Clocks that disagree: ends are closed in order, and those that take their places live in time namespaces whose
// CLOCK_MONOTONIC and CLOCK_BOOTTIME are up to a month ahead or some minutes behind. No instant that one process writes
// down means anything to another. A jump of CLOCK_REALTIME is no part of it: no namespace has one of its own, and the
// machine's is not ours to set; a clock_gettime(2) that lies to the library alone would be a jump that the kernel,
// which waits by the same clock, knows nothing of.

#include <time.h>

#include <algorithm>

#include "stress/draw.h"
#include "stress/faults/fault.h"
#include "stress/shifted_clock.h"

namespace ipcmark::stress {
namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;
constexpr int64_t kMostAheadSeconds = 30 * int64_t{86'400};
constexpr int64_t kMostBehindSeconds = 600;

std::vector<Strike> Jumps(const TrialPlan& plan, Random random) {
  // A clock cannot start before the machine did. What is drawn does not depend on when that was.
  timespec up;
  clock_gettime(CLOCK_MONOTONIC, &up);
  const int64_t behind_seconds = std::min<int64_t>(kMostBehindSeconds, up.tv_sec / 2);
  std::vector<Strike> strikes = DrawDepartures(plan, random, Departure::kCloses);
  Random shifts(random.Next());
  for (Strike& strike : strikes) {
    const auto ahead = static_cast<int64_t>(1 + shifts.Below(static_cast<uint64_t>(kMostAheadSeconds)));
    const auto behind = static_cast<int64_t>(1 + shifts.Below(kMostBehindSeconds));
    strike.clock_shift_nanos = (shifts.OneIn(2) ? ahead : -std::min(behind, behind_seconds)) * kNanosPerSecond;
  }
  return strikes;
}

const char* WhyUnfit(const Capabilities& capabilities) {
  if (!g_may_shift_clocks) return "the run may make no time namespace (time_namespaces(7))";
  return capabilities.survives_sigkill ? nullptr : "it does not promise that a new end may take another one's place";
}

}  // namespace

extern const Fault kClockJump = {"clock_jump", Jumps, WhyUnfit};

}  // namespace ipcmark::stress
