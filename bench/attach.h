#ifndef IPCMARK_BENCH_ATTACH_H_
#define IPCMARK_BENCH_ATTACH_H_

// Attach: what it costs a process to attach and detach a System V segment, against the number of processes that have it
// attached already, and what the first touch of its pages costs.
//
// One process does the timed calls; `attached` others hold the segment. kShmat and kShmdt time the call alone, on a
// segment that is not touched in between. kFirstTouch times one write to each page of a fresh attachment whose pages
// the segment does not have (they are given back between two rounds with MADV_REMOVE): page fault, allocation and
// zeroing.

#include <cstdint>

#include "absl/status/statusor.h"
#include "bench/slice.h"

namespace ipcmark::bench {

enum class AttachOp : uint8_t { kShmat, kShmdt, kFirstTouch };
inline constexpr AttachOp kAttachOps[] = {AttachOp::kShmat, AttachOp::kShmdt, AttachOp::kFirstTouch};
// "shmat", "shmdt", "first_touch".
const char* AttachOpName(AttachOp op);

struct AttachSpec {
  AttachOp op;
  uint64_t segment_bytes;
  int attached;     // other processes that hold the segment meanwhile, 1 or more
  uint64_t rounds;  // timed ones
  int cpu = os::kAnyCpu;
  const std::atomic<bool>* cancel = nullptr;
};

// The sender's usage is the measuring process's over all that it does, timed or not; a sample is one call, or for
// kFirstTouch one whole segment; `nanos` is the sum of the samples. Errors: what the calls say, or kInternal when the
// kernel's attach count is not what it should be.
absl::StatusOr<SliceResult> Attach(const AttachSpec& spec);

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_ATTACH_H_
