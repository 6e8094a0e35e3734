#ifndef IPCMARK_STRESS_SHARED_MEMORY_H_
#define IPCMARK_STRESS_SHARED_MEMORY_H_

// The memory that a process shares with others, as /proc/PID/maps shows it: how stress finds the state of a primitive
// without knowing the primitive.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ipcmark::stress {

struct SharedRange {
  uint64_t address;    // in that process
  uint64_t offset;     // in the object
  uint64_t bytes;      //
  std::string object;  // device, inode and name: the same in every process that maps it
  int64_t segment;     // the id of a System V segment, else -1
};

// What `process` has mapped shared and writable, in the order of addresses. Empty when it is gone. Allocates.
std::vector<SharedRange> SharedRanges(pid_t process);

// The ranges of `process` that belong to one of `objects`.
std::vector<SharedRange> RangesOf(pid_t process, const std::vector<std::string>& objects);

// The objects that `now` has and `before` has not, each once.
std::vector<std::string> NewObjects(const std::vector<SharedRange>& before, const std::vector<SharedRange>& now);

// The ids of those `objects` that are System V segments.
std::vector<int64_t> SegmentsAmong(const std::vector<std::string>& objects);

// The segments among the ranges of `processes` that belong to one of `objects`: an id for each mapping.
std::vector<int64_t> MappedSegments(std::span<const pid_t> processes, const std::vector<std::string>& objects);

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_SHARED_MEMORY_H_
