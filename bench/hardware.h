#ifndef IPCMARK_BENCH_HARDWARE_H_
#define IPCMARK_BENCH_HARDWARE_H_

// Roofline: the limits themselves as rows, measured on the CPUs of the run: what the hardware, the kernel and this
// harness need when no primitive is there.
//
//   cache_line   a cache line there and back between the two CPUs; both poll (LinePingPong)
//   copy         one copy of 64 KiB through shared memory, written by one process, read by the other (OneCopy)
//   futex_wake   from FUTEX_WAKE until a process that slept is running (FutexWake)
//   clock_read/tsc, clock_read/monotonic
//                one read of either clock, whichever times the rows
//   empty_loop   the loops of the scenarios around a primitive that does nothing: a payload written, an empty Send, an
//                empty Receive, the payload checked. What is in every other row and is not the primitive's.
//   integrity    of that the payload alone: its sequence and checksum written and checked
//
// A sample is one of them, of clock_read, empty_loop and integrity a batch. Left out: fork.

#include "bench/slice.h"

namespace ipcmark::bench {

enum class Limit : uint8_t { kCacheLine, kCopy, kFutexWake, kTscRead, kMonotonicRead, kEmptyLoop, kIntegrity };
inline constexpr Limit kAllLimits[] = {Limit::kCacheLine,     Limit::kCopy,      Limit::kFutexWake, Limit::kTscRead,
                                       Limit::kMonotonicRead, Limit::kEmptyLoop, Limit::kIntegrity};
// "cache_line", ...: as above.
const char* LimitName(Limit limit);

// Whether one process measures it, and no receiver takes part.
constexpr bool IsAlone(Limit limit) { return limit >= Limit::kTscRead; }

// The spec's geometry says nothing here; message_bytes is the size of a copy or of the payload of empty_loop and
// integrity. kUnimplemented where the processor has no such thing.
absl::StatusOr<SliceResult> MeasureLimit(Limit limit, const SliceSpec& spec);

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_HARDWARE_H_
