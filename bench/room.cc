#include "bench/room.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "bench/report/format.h"

namespace ipcmark::bench {
namespace {

namespace fs = std::filesystem;

// Descriptors that a run needs besides those of its processes.
constexpr uint64_t kSpareDescriptors = 64;

absl::Status NoRoom(const std::string& why) { return absl::ResourceExhaustedError(why); }

// The number that a file consists of. Nothing for one that is not there, and for "max".
std::optional<uint64_t> NumberIn(const fs::path& file) {
  uint64_t number = 0;
  std::ifstream stream(file);
  if (stream >> number) return number;
  return std::nullopt;
}

// The number after `key` in a file of lines of "key number".
std::optional<uint64_t> NumberAfter(const std::string& key, const fs::path& file) {
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) {
    std::istringstream words(line);
    std::string first;
    uint64_t number = 0;
    if (words >> first >> number && first == key) return number;
  }
  return std::nullopt;
}

// The folders of this process's cgroup and of all above it that `controller` may limit, under cgroup v2 and v1. In a
// container the path may lead out of what is mounted; the walk up then ends where the mounted part begins.
std::vector<fs::path> CgroupsOf(const std::string& controller, const fs::path& root) {
  std::vector<fs::path> folders;
  std::ifstream lines(root / "proc/self/cgroup");
  for (std::string line; std::getline(lines, line);) {
    const std::vector<std::string> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3) continue;
    const std::vector<std::string> controllers = absl::StrSplit(fields[1], ',');
    const bool v2 = fields[0] == "0" && fields[1].empty();
    if (!v2 && std::count(controllers.begin(), controllers.end(), controller) == 0) continue;
    const fs::path mounted = v2 ? root / "sys/fs/cgroup" : root / "sys/fs/cgroup" / controller;
    for (fs::path path = fs::path(fields[2]).relative_path();; path = path.parent_path()) {
      folders.push_back(path.empty() ? mounted : mounted / path);
      if (path.empty()) break;
    }
  }
  return folders;
}

uint64_t Less(uint64_t from, uint64_t what) { return from > what ? from - what : 0; }

// What a memory cgroup leaves; its page cache counts as free as far as nobody uses it.
std::optional<uint64_t> MemoryLeftBy(const fs::path& cgroup) {
  const std::optional<uint64_t> v2 = NumberIn(cgroup / "memory.max");
  const std::optional<uint64_t> limit = v2.has_value() ? v2 : NumberIn(cgroup / "memory.limit_in_bytes");
  if (!limit.has_value()) return std::nullopt;
  const std::optional<uint64_t> used = NumberIn(cgroup / (v2.has_value() ? "memory.current" : "memory.usage_in_bytes"));
  const std::optional<uint64_t> idle_cache =
      NumberAfter(v2.has_value() ? "inactive_file" : "total_inactive_file", cgroup / "memory.stat");
  return Less(*limit, Less(used.value_or(0), idle_cache.value_or(0)));
}

// Threads of this user: what RLIMIT_NPROC counts.
uint64_t ThreadsOfThisUser(const fs::path& root) {
  uint64_t threads = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root / "proc", error)) {
    uint64_t pid = 0;
    struct stat task;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &pid)) continue;
    if (stat((entry.path() / "task").c_str(), &task) != 0 || task.st_uid != getuid()) continue;
    threads += std::max<uint64_t>(3, task.st_nlink) - 2;  // a folder's own links are two
  }
  return threads;
}

// Root of the system, not only of a user namespace: RLIMIT_NPROC does not bind it.
bool IsSystemRoot(const fs::path& root) {
  uint64_t inside = 1;
  uint64_t outside = 1;
  std::ifstream(root / "proc/self/uid_map") >> inside >> outside;
  return getuid() == 0 && inside == 0 && outside == 0;
}

}  // namespace

absl::Status RoomForMemory(uint64_t bytes, const fs::path& root) {
  constexpr uint64_t unlimited = std::numeric_limits<uint64_t>::max();
  const std::optional<uint64_t> kib = NumberAfter("MemAvailable:", root / "proc/meminfo");
  uint64_t free_bytes = kib.has_value() ? *kib * 1024 : unlimited;
  std::string says = "MemAvailable";
  for (const fs::path& cgroup : CgroupsOf("memory", root)) {
    const std::optional<uint64_t> left = MemoryLeftBy(cgroup);
    if (!left.has_value() || *left >= free_bytes) continue;
    free_bytes = *left;
    says = absl::StrCat("the memory cgroup ", cgroup.string());
  }
  if (bytes <= free_bytes / 2) return absl::OkStatus();
  constexpr uint64_t mib = 1 << 20;
  return NoRoom(absl::StrFormat("touching %s would take more than half of the %d MiB that are free (%s); free memory",
                                FormatBytes(bytes), free_bytes / mib, says));
}

absl::Status RoomForProcesses(int processes, const fs::path& root) {
  const auto wanted = static_cast<uint64_t>(processes);
  rlimit limit = {};
  if (getrlimit(RLIMIT_NPROC, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && !IsSystemRoot(root)) {
    const uint64_t running = ThreadsOfThisUser(root);
    if (running + wanted > limit.rlim_cur) {
      return NoRoom(absl::StrFormat("RLIMIT_NPROC is %d and %d processes run, %d more do not fit; raise it (ulimit -u)",
                                    limit.rlim_cur, running, wanted));
    }
  }
  for (const fs::path& cgroup : CgroupsOf("pids", root)) {
    const std::optional<uint64_t> most = NumberIn(cgroup / "pids.max");
    const uint64_t running = NumberIn(cgroup / "pids.current").value_or(0);
    if (!most.has_value() || running + wanted <= *most) continue;
    return NoRoom(absl::StrFormat("%s is %d and %d processes run, %d more do not fit; raise it",
                                  (cgroup / "pids.max").string(), *most, running, wanted));
  }
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted + kSpareDescriptors) {
    return NoRoom(absl::StrFormat("RLIMIT_NOFILE is %d, and %d processes need a descriptor each; raise it (ulimit -n)",
                                  limit.rlim_cur, wanted));
  }
  return absl::OkStatus();
}

absl::Status RoomForHugePages(uint64_t page_bytes, uint64_t bytes, const fs::path& root) {
  const std::string folder = absl::StrFormat("sys/kernel/mm/hugepages/hugepages-%dkB", page_bytes / 1024);
  const std::optional<uint64_t> all = NumberIn(root / folder / "nr_hugepages");
  if (!all.has_value()) return NoRoom(absl::StrCat("this kernel has no huge pages of ", FormatBytes(page_bytes)));
  const uint64_t needed = bytes / page_bytes;
  // Free ones may be promised to somebody.
  const uint64_t free_pages = Less(NumberIn(root / folder / "free_hugepages").value_or(0),
                                   NumberIn(root / folder / "resv_hugepages").value_or(0));
  if (free_pages >= needed) return absl::OkStatus();
  return NoRoom(
      absl::StrFormat("nr_hugepages is %d and %d are free, %d of %s are needed; reserve them as root "
                      "(echo %d > /%s/nr_hugepages)",
                      *all, free_pages, needed, FormatBytes(page_bytes), *all - free_pages + needed, folder));
}

}  // namespace ipcmark::bench
