#ifndef IPCMARK_IPC_OS_CLOCK_H_
#define IPCMARK_IPC_OS_CLOCK_H_

// The one clock of this project, and deadlines on it.

#include <time.h>

#include <algorithm>
#include <cstdint>

#include "ipc/channel.h"

namespace ipcmark::os {

inline constexpr int64_t kNanosPerSecond = 1'000'000'000;

// CLOCK_MONOTONIC in nanoseconds: the same for all processes of the machine, never set back. A vDSO call, no system
// call, where the clocksource is a TSC. Async-signal-safe.
inline int64_t MonotonicNanos() noexcept {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kNanosPerSecond + now.tv_nsec;
}

inline timespec ToTimespec(int64_t nanos) noexcept {
  return {.tv_sec = nanos / kNanosPerSecond, .tv_nsec = nanos % kNanosPerSecond};
}

// The instant of CLOCK_REALTIME that is this one of CLOCK_MONOTONIC, as long as nobody sets the clock.
inline timespec RealtimeAt(int64_t monotonic_nanos) noexcept {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return ToTimespec(now.tv_sec * kNanosPerSecond + now.tv_nsec + monotonic_nanos - MonotonicNanos());
}

// `nanos` from now.
inline Deadline After(int64_t nanos) noexcept { return {MonotonicNanos() + nanos}; }

// The earlier of `deadline` and `nanos` from now: one slice of a wait that looks up regularly.
inline Deadline Slice(Deadline deadline, int64_t nanos) noexcept {
  return {std::min(deadline.monotonic_nanos, MonotonicNanos() + nanos)};
}

inline bool HasPassed(Deadline deadline) noexcept {
  return !deadline.never() && (deadline.immediate() || MonotonicNanos() >= deadline.monotonic_nanos);
}

}  // namespace ipcmark::os

#endif  // IPCMARK_IPC_OS_CLOCK_H_
