#ifndef IPCMARK_BENCH_ROOM_H_
#define IPCMARK_BENCH_ROOM_H_

// Whether this system carries what a case needs, asked before it is tried: memory that is really touched, processes,
// huge pages. Each answers OK or one sentence that names the limit, what it is and how to change it.
//
// `root` is where proc and sys are: "/" but for tests. What cannot be read does not forbid anything: the case is then
// tried. Source: proc(5), cgroups(7), getrlimit(2), Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/*.rst.

#include <cstdint>
#include <filesystem>

#include "absl/status/status.h"

namespace ipcmark::bench {

// At most half of what is free: MemAvailable, and what every memory cgroup above this process leaves.
absl::Status RoomForMemory(uint64_t bytes, const std::filesystem::path& root = "/");

// So many more processes, with a descriptor each in this one: RLIMIT_NPROC (which does not bind the system's root),
// every pids cgroup, RLIMIT_NOFILE.
absl::Status RoomForProcesses(int processes, const std::filesystem::path& root = "/");

// `bytes` in free huge pages of `page_bytes` each.
absl::Status RoomForHugePages(uint64_t page_bytes, uint64_t bytes, const std::filesystem::path& root = "/");

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_ROOM_H_
