#ifndef IPCMARK_BENCH_ATTACH_H_
#define IPCMARK_BENCH_ATTACH_H_

// Attach: what a System V segment costs a process, against its size and against the number of processes that have it
// attached already.
//
// One process does the timed calls; `attached` others hold the segment meanwhile and sleep. Timed is
//   kCreate      shmget and IPC_RMID, as one pair, of a segment that nobody attaches
//   kShmat       the call alone, on a segment that is not touched in between
//   kShmdt       likewise
//   kFirstTouch  one write to each page of a fresh attachment whose pages the segment does not have (they are given
//                back between two rounds with MADV_REMOVE): page fault, allocation and zeroing; per page
//   kLock        SHM_LOCK and SHM_UNLOCK, as one pair, of a segment that has all its pages
// Left out: fork, the setting up of the segment, and whatever else a round needs (shmdt after a timed shmat).
//
// Nothing stays when a process is killed: a segment that is attached was marked for removal before the first process
// was forked. Between kCreate's two calls none is; see its loop in attach_calls.cc for how that ends. Only who kills
// the measuring process and its parent in the same microseconds (SIGKILL to the whole group) can leave that segment.

#include <cstdint>

#include "absl/status/statusor.h"
#include "bench/slice.h"

namespace ipcmark::bench {

enum class AttachOp : uint8_t { kCreate, kShmat, kShmdt, kFirstTouch, kLock };
inline constexpr AttachOp kAttachOps[] = {AttachOp::kCreate, AttachOp::kShmat, AttachOp::kShmdt, AttachOp::kFirstTouch,
                                          AttachOp::kLock};
// "create", "shmat", "shmdt", "first_touch", "lock".
const char* AttachOpName(AttachOp op);
// Whether the segment's pages are brought in: it takes as much memory as it is large.
bool TouchesPages(AttachOp op);

struct AttachSpec {
  AttachOp op;
  uint64_t segment_bytes;  // whole pages
  uint64_t page_bytes;     // the system's, or those of huge pages, 2 MiB or 1 GiB
  int attached;            // other processes that hold the segment meanwhile, 1 or more; 0 for kCreate
  uint64_t calls;          // timed ones; pairs of calls, or pages, where these are what is timed
  int cpu = os::kAnyCpu;
  const std::atomic<bool>* cancel = nullptr;
  int64_t watchdog_nanos = kSliceWatchdogNanos;
};

// The sender's usage is the measuring process's over all that it does, timed or not; a sample is one call (one pair),
// or for kFirstTouch up to 16 pages; `nanos` is the sum of all that was timed. Errors: what the calls say, or kInternal
// when the kernel's attach count is not what it should be.
absl::StatusOr<SliceResult> Attach(const AttachSpec& spec);

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_ATTACH_H_
