#include "stress/memory_watch.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "absl/strings/str_format.h"

namespace ipcmark::stress {

void MemoryWatch::Note(uint64_t resident_bytes) {
  if (resident_bytes == 0) return;
  if (++trials_ <= kSettlingTrials) {
    settled_bytes_ = std::max(settled_bytes_, resident_bytes);
  } else if (resident_bytes > settled_bytes_) {
    growth_bytes_ = std::max(growth_bytes_, resident_bytes - settled_bytes_);
  }
}

std::string MemoryWatch::FindBreach() const {
  if (growth_bytes_ <= kMostGrowthBytes) return "";
  return absl::StrFormat(
      "expected the runner to grow by at most %d KiB beyond the %d KiB of its first %d trials, seen %d KiB more by "
      "trial "
      "%d",
      kMostGrowthBytes >> 10U, settled_bytes_ >> 10U, kSettlingTrials, growth_bytes_ >> 10U, trials_);
}

uint64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t size_pages = 0;
  uint64_t resident_pages = 0;
  if (!(file >> size_pages >> resident_pages)) return 0;
  return resident_pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace ipcmark::stress
