#include "stress/census.h"

#include <fcntl.h>
#include <mqueue.h>
#include <sched.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "ipc/os/clock.h"

namespace ipcmark::stress {
namespace {

// So many of the names of ipc/kernel_mq/limits.cc are tried; a process that dies leaves one.
constexpr int kQueueNames = 8;

// /proc/sysvipc/shm says who has created a segment. 0: whoever.
std::vector<SegmentState> SegmentsOf(pid_t creator) {
  std::ifstream table("/proc/sysvipc/shm");
  std::string line;
  std::getline(table, line);  // the titles
  std::vector<SegmentState> segments;
  while (std::getline(table, line)) {
    std::istringstream fields(line);
    int64_t key = 0;
    int64_t id = 0;
    uint64_t mode = 0;
    int64_t bytes = 0;
    int64_t its_creator = 0;
    int64_t last = 0;
    uint64_t attached = 0;
    if (!(fields >> key >> id >> std::oct >> mode >> std::dec >> bytes >> its_creator >> last >> attached)) continue;
    if (creator == 0 || creator == its_creator) segments.push_back({id, (mode & SHM_DEST) != 0, attached});
  }
  return segments;
}

// Of a table whose second column they are.
std::vector<int64_t> IdsIn(const std::string& path) {
  std::ifstream table(path);
  std::vector<int64_t> ids;
  std::string line;
  std::getline(table, line);  // the titles
  while (std::getline(table, line)) {
    std::istringstream fields(line);
    int64_t key = 0;
    int64_t id = 0;
    if (fields >> key >> id) ids.push_back(id);
  }
  return ids;
}

std::vector<SegmentState> OwnSegments() { return SegmentsOf(getpid()); }

// A mapping of a segment names it "/SYSV<key>" and has its id as inode. One that was split counts by its start.
uint64_t CountMappings(pid_t process, int64_t segment) {
  std::ifstream maps(absl::StrFormat("/proc/%d/maps", process));
  uint64_t count = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.find("/SYSV") == std::string::npos) continue;
    std::istringstream fields(line);
    std::string range;
    std::string rights;
    std::string offset;
    std::string device;
    int64_t inode = -1;
    fields >> range >> rights >> offset >> device >> inode;
    const bool start = offset.find_first_not_of('0') == std::string::npos;
    count += inode == segment && start ? 1 : 0;
  }
  return count;
}

}  // namespace

Traces TakeTraces() {
  Traces traces;
  std::error_code gone;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", gone)) {
    const std::string target = std::filesystem::read_symlink(entry.path(), gone).string();
    // The iterator's own, which names this very directory, is closed by the time of the look.
    if (!gone && target.find(absl::StrCat("/", getpid(), "/fd")) == std::string::npos) {
      ++traces[absl::StrCat("descriptor of ", target.substr(0, target.find(':')))];
    }
  }
  for (const SegmentState& segment : g_has_own_objects ? AllSegments() : OwnSegments()) {
    ++traces[absl::StrCat("System V segment ", segment.id)];
  }
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm", gone)) {
    const std::string name = entry.path().filename().string();
    if (g_has_own_objects || IsNamedAfter(name, getpid())) ++traces[absl::StrCat("file /dev/shm/", name)];
  }
  for (const std::string& queue : QueuesOf(getpid())) ++traces[absl::StrCat("POSIX queue ", queue)];
  if (g_has_own_objects) {
    for (const auto& entry : std::filesystem::directory_iterator(kOwnQueueList, gone)) {
      // Those of this process are counted already.
      const std::string name = entry.path().filename().string();
      if (!IsNamedAfter(name, getpid())) ++traces[absl::StrCat("POSIX queue /", name)];
    }
    for (const char* kind : {"sem", "msg"}) {
      for (const int64_t id : IdsIn(absl::StrCat("/proc/sysvipc/", kind))) {
        ++traces[absl::StrCat("System V object (", kind, ") ", id)];
      }
    }
  }
  siginfo_t info;
  if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0) ++traces["child process"];
  return traces;
}

bool IsNamedAfter(const std::string& file, pid_t process) {
  for (const absl::string_view part : absl::StrSplit(file, '.')) {
    if (!part.empty() && std::ranges::all_of(part, absl::ascii_isdigit)) return part == absl::StrCat(process);
  }
  return false;
}

namespace {

bool IsQuiet(pid_t process, int signal_number) {
  std::ifstream status(absl::StrFormat("/proc/%d/status", process));
  const uint64_t bit = uint64_t{1} << (signal_number - 1);
  for (std::string line; std::getline(status, line);) {
    // Blocked: its handler is running.
    for (const char* field : {"SigPnd:", "ShdPnd:", "SigBlk:"}) {
      if (line.starts_with(field) && (std::stoull(line.substr(strlen(field)), nullptr, 16) & bit) != 0) return false;
    }
  }
  std::ifstream children(absl::StrFormat("/proc/%d/task/%d/children", process, process));
  pid_t child = 0;
  return !(children >> child);
}

}  // namespace

void AwaitQuiet(std::span<const pid_t> processes, int signal_number) {
  const Deadline end = os::After(5 * os::kNanosPerSecond);
  for (const pid_t process : processes) {
    while (!IsQuiet(process, signal_number) && !os::HasPassed(end)) sched_yield();
  }
}

std::string FindLeftBehind(const Traces& before, const Traces& now) {
  for (const auto& [name, count] : now) {
    const auto at = before.find(name);
    const int was = at == before.end() ? 0 : at->second;
    if (count > was) return absl::StrFormat("%d more %s than before", count - was, name);
  }
  return "";
}

std::vector<SegmentState> AllSegments() { return SegmentsOf(0); }

std::string FindMisfate(std::span<const SegmentState> all, std::span<const int64_t> segments,
                        std::span<const int64_t> mapped) {
  for (const int64_t id : segments) {
    const auto mappings = std::ranges::count(mapped, id);
    const auto state = std::ranges::find(all, id, &SegmentState::id);
    if (state == all.end()) {
      if (mappings > 0) return absl::StrFormat("segment %d gone with %d mapping(s) of it left", id, mappings);
    } else if (state->marked && mappings == 0) {
      return absl::StrFormat(
          "segment %d, marked for removal, still there with no mapping of it and an attach count of %d", id,
          state->attached);
    }
  }
  return "";
}

std::vector<std::string> QueuesOf(pid_t pid) {
  std::set<std::string> queues;
  for (int nth = 0; nth < kQueueNames; ++nth) {
    const std::string name = absl::StrFormat("/ipcmark.%d.%d", pid, nth);
    const mqd_t queue = mq_open(name.c_str(), O_RDONLY | O_CLOEXEC);
    if (queue >= 0) mq_close(queue);
    if (queue >= 0 || errno == EACCES) queues.insert(name);
  }
  std::error_code gone;
  for (const auto& entry :
       std::filesystem::directory_iterator(g_has_own_objects ? kOwnQueueList : "/dev/mqueue", gone)) {
    const std::string name = entry.path().filename().string();
    if (IsNamedAfter(name, pid)) queues.insert("/" + name);
  }
  return {queues.begin(), queues.end()};
}

uint64_t RemoveObjectsOf(pid_t pid) {
  // Not by /proc/sysvipc/shm, whose lines a reader may miss while others come and go.
  shm_info info;
  const int last = shmctl(0, SHM_INFO, reinterpret_cast<shmid_ds*>(&info));
  uint64_t removed = 0;
  for (int slot = 0; slot <= last; ++slot) {
    shmid_ds segment;
    const int id = shmctl(slot, SHM_STAT, &segment);
    if (id >= 0 && segment.shm_cpid == pid && shmctl(id, IPC_RMID, nullptr) == 0) ++removed;
  }
  std::vector<std::filesystem::path> files;
  std::error_code gone;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm", gone)) {
    if (IsNamedAfter(entry.path().filename().string(), pid)) files.push_back(entry.path());
  }
  for (const std::filesystem::path& file : files) removed += std::filesystem::remove(file, gone) ? 1 : 0;
  for (const std::string& queue : QueuesOf(pid)) removed += mq_unlink(queue.c_str()) == 0 ? 1 : 0;
  return removed;
}

std::string FindAttachMiscount(std::span<const pid_t> processes) {
  for (const SegmentState& segment : OwnSegments()) {
    uint64_t mapped = 0;
    for (const pid_t process : processes) mapped += CountMappings(process, segment.id);
    if (mapped != segment.attached) {
      return absl::StrFormat("segment %d with an attach count of %d and %d mappings in %d processes", segment.id,
                             segment.attached, mapped, processes.size());
    }
  }
  return "";
}

}  // namespace ipcmark::stress
