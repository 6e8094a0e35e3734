#include "ipc/sysv_shm/segment_table.h"

#include <cerrno>

#include "absl/strings/str_format.h"
#include "ipc/os/error.h"

namespace ipcmark::sysv_shm {

absl::StatusOr<SegmentUsage> ReadUsage() {
  // shmctl is declared for shmid_ds only and writes another struct for these commands (shmctl(2)).
  shm_info info = {};
  const int highest = shmctl(0, SHM_INFO, reinterpret_cast<shmid_ds*>(&info));
  if (highest < 0) return os::SyscallError("shmctl(SHM_INFO)", errno, "use a kernel with CONFIG_SYSVIPC");
  return SegmentUsage{.segments = static_cast<uint32_t>(info.used_ids),
                      .total_pages = info.shm_tot,
                      .resident_pages = info.shm_rss,
                      .swapped_pages = info.shm_swp,
                      .highest_index = highest};
}

absl::StatusOr<std::vector<SegmentInfo>> ListSegments(ListScope scope) {
  const bool all = scope == ListScope::kAll;
  absl::StatusOr<SegmentUsage> usage = ReadUsage();
  if (!usage.ok()) return usage.status();
  std::vector<SegmentInfo> segments;
  for (int index = 0; index <= usage->highest_index; ++index) {
    shmid_ds ds;
    const int id = shmctl(index, all ? SHM_STAT_ANY : SHM_STAT, &ds);
    if (id >= 0) {
      segments.push_back(SegmentInfo::Of(id, ds));
      continue;
    }
    // EINVAL: a free slot. EIDRM: it went while we asked. EACCES: not for us to read.
    if (errno == EINVAL || errno == EIDRM || errno == EACCES) continue;
    return os::SyscallError(absl::StrFormat("shmctl(index=%d, %s)", index, all ? "SHM_STAT_ANY" : "SHM_STAT"), errno);
  }
  return segments;
}

}  // namespace ipcmark::sysv_shm
