#ifndef IPCMARK_IPC_SYSV_SHM_SEGMENT_TABLE_H_
#define IPCMARK_IPC_SYSV_SHM_SEGMENT_TABLE_H_

// All segments of this IPC namespace, and what they use together. Source: shmctl(2), "SHM_INFO, SHM_STAT,
// SHM_STAT_ANY"; proc(5), /proc/sysvipc/shm.

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "ipc/sysv_shm/segment.h"

namespace ipcmark::sysv_shm {

enum class ListScope : uint8_t {
  kReadable,  // SHM_STAT: those that this process may read
  kAll,  // SHM_STAT_ANY: the others too, as /proc/sysvipc/shm shows them; Linux 4.17, and the rest of ipc/ needs 5.3
};

// The segments in the order of the kernel's table, each in a consistent snapshot; ones that come or go meanwhile may be
// listed or not. Needs no permission. Errors: as ReadUsage.
absl::StatusOr<std::vector<SegmentInfo>> ListSegments(ListScope scope);

// What all segments together use, in shmctl(SHM_INFO)'s words. A page is sysconf(_SC_PAGESIZE) bytes.
struct SegmentUsage {
  uint32_t segments;
  uint64_t total_pages;     // that the segments span, touched or not; what kernel.shmall limits
  uint64_t resident_pages;  // that have memory
  uint64_t swapped_pages;
  int highest_index;  // of a used slot of the kernel's table; 0 also when there is no segment
};

// Needs no permission. Has no errors but those of a kernel without System V shared memory (ENOSYS).
absl::StatusOr<SegmentUsage> ReadUsage();

}  // namespace ipcmark::sysv_shm

#endif  // IPCMARK_IPC_SYSV_SHM_SEGMENT_TABLE_H_
