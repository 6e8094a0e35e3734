#ifndef IPCMARK_BENCH_HARDWARE_H_
#define IPCMARK_BENCH_HARDWARE_H_

// Roofline: the limits themselves as rows, measured on the CPUs of the run: what the hardware, the kernel and this
// harness need when no primitive is there.
//
//   cache_line   a cache line there and back between the two CPUs; both poll (LinePingPong)
//   copy         one copy of 64 KiB through shared memory, written by one process, read by the other (OneCopy)
//   futex_wake   from FUTEX_WAKE until a process that slept is running (FutexWake)
//   clock_read   one read of the clock
//   empty_loop   the loops of the scenarios around a primitive that does nothing: a payload written, an empty Send, an
//                empty Receive, the payload checked. What is in every other row and is not the primitive's.
//
// A sample is one of them, of clock_read and empty_loop a batch. Left out: fork.

#include "bench/slice.h"

namespace ipcmark::bench {

enum class Limit : uint8_t { kCacheLine, kCopy, kFutexWake, kClockRead, kEmptyLoop };
inline constexpr Limit kAllLimits[] = {Limit::kCacheLine, Limit::kCopy, Limit::kFutexWake, Limit::kClockRead,
                                       Limit::kEmptyLoop};
// "cache_line", ...: as above.
const char* LimitName(Limit limit);

// The spec's geometry says nothing here; message_bytes is the size of a copy or of the payload of empty_loop.
absl::StatusOr<SliceResult> MeasureLimit(Limit limit, const SliceSpec& spec);

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_HARDWARE_H_
