#ifndef IPCMARK_BENCH_ATTACH_CALLS_H_
#define IPCMARK_BENCH_ATTACH_CALLS_H_

// The timed loops of Attach (attach.h), one per operation: what runs in the measuring process.

#include <cstdint>

#include "absl/status/status.h"
#include "bench/attach.h"
#include "ipc/sysv_shm/segment.h"

namespace ipcmark::bench {

// Calls (pages) that one sample covers: enough that the clock's own cost does not show in a page fault.
uint64_t CallsPerSample(const AttachSpec& spec);

// Where the timed stretches of a run go.
class Recorder {
 public:
  // Thins out evenly what is more than kMaxSamples of `samples`. `shared` may be null: a warm-up, that nobody sees.
  Recorder(SliceShared* shared, uint64_t samples)
      : shared_(shared), samples_(shared == nullptr ? nullptr : shared->samples_nanos, samples, kMaxSamples) {}

  // `whole`: a sample, and not the shorter rest of a round.
  void Add(int64_t nanos, bool whole) noexcept {
    total_nanos_ += nanos;
    if (shared_ != nullptr && whole) samples_.Add(nanos);
  }
  void Finish() noexcept;

 private:
  SliceShared* shared_;
  Sampler samples_;
  int64_t total_nanos_ = 0;
};

// Times `calls` of spec.op on `segment` (kCreate: on none). Errors: what the calls say.
absl::Status TimeCalls(const AttachSpec& spec, const sysv_shm::Segment& segment, uint64_t calls, Recorder& recorder);

// Brings in every page of the segment. They stay while it exists.
absl::Status TouchAll(const sysv_shm::Segment& segment, uint64_t page_bytes);

// For a process that is about to time kCreate and waits for nobody: from here on the end of its parent does not kill it
// but ends it between two pairs.
void EndBetweenPairs();
// Removes what the ended process `pid` has left of kCreate.
void RemoveLeftBy(pid_t pid);

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_ATTACH_CALLS_H_
