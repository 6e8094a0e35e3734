#ifndef IPCMARK_BENCH_ATTACH_CASES_H_
#define IPCMARK_BENCH_ATTACH_CASES_H_

// The cases of Attach (attach.h): which calls are timed, on segments of which size, with how many attached; and what
// this system does not carry.

#include <cstdint>
#include <vector>

#include "bench/cases.h"

namespace ipcmark::bench {

// Of the segments whose attach count varies, in every suite.
inline constexpr uint64_t kAttachBytes = 1 << 20;

// Points of the curves: every size with one attached, every count at kAttachBytes.
struct AttachAxes {
  std::vector<uint64_t> segment_bytes;
  std::vector<int> attached;
  bool huge_pages = false;  // a segment of huge pages of 2 MiB and one of 1 GiB too
};

// Adds a case, or a skipped one with its reason, for every call and point. Names: results/schema.md.
void AddAttachCases(const AttachAxes& axes, const Options& options, CaseList& list);

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_ATTACH_CASES_H_
