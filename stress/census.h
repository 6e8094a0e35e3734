#ifndef IPCMARK_STRESS_CENSUS_H_
#define IPCMARK_STRESS_CENSUS_H_

// What the kernel says of this process and of the objects that it has made, as /proc shows it: the other opinion beside
// the primitive's own. Looks only at what carries this process' id, since others use the machine, too; where the run
// has an IPC namespace and a /dev/shm of its own, at everything in them.

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace ipcmark::stress {

// Whether all System V objects, POSIX queues and files in /dev/shm that this process sees are the run's, and where
// those queues are then listed (mq_overview(7)). Said by isolation.cc, once, before any fork.
inline bool g_has_own_objects = false;
inline constexpr char kOwnQueueList[] = "/dev/shm/.mqueue";

// How many there are of each: a descriptor by what it refers to, a System V segment, a POSIX queue, a file in /dev/shm,
// a child; with objects of our own also System V semaphores and message queues, which do not say who has made them.
using Traces = std::map<std::string, int>;
Traces TakeTraces();

// Whether a file in /dev/shm says that it is `process`'s: between the dots of its name the first whole number is that
// process's id ("ipcmark.4711.0", "mq.ipcmark.4711").
bool IsNamedAfter(const std::string& file, pid_t process);

// Waits until none of `processes` has a child or still has to handle `signal_number`, or has ended; for 5 s at most.
void AwaitQuiet(std::span<const pid_t> processes, int signal_number);

// "" or the first thing of which there is more than `before`.
std::string FindLeftBehind(const Traces& before, const Traces& now);

// One System V segment as the kernel shows it.
struct SegmentState {
  int64_t id;
  bool marked;  // for removal (IPC_RMID)
  uint64_t attached;
};

// Of this IPC namespace.
std::vector<SegmentState> AllSegments();

// Whether each of `segments` is there while one of `mapped` (an id for each mapping) has it, and is gone, if it was
// marked, when none has. "" or the first that is not. `all`: AllSegments().
std::string FindMisfate(std::span<const SegmentState> all, std::span<const int64_t> segments,
                        std::span<const int64_t> mapped);

// The names of the POSIX queues that `pid` has made, of those that are named after it like a file above. Where no list
// of them is mounted in /dev/mqueue, only the first ones that ipc/kernel_mq would have called so.
std::vector<std::string> QueuesOf(pid_t pid);

// Removes the System V segments that process `pid`, which is dead, had made, its files in /dev/shm and its POSIX queues
// (QueuesOf). How many there were.
uint64_t RemoveObjectsOf(pid_t pid);

// Compares the attach count of each of this process' System V segments with the mappings of it in `processes`, which
// must be all that can have one and must not attach or detach meanwhile. "" or the first difference.
std::string FindAttachMiscount(std::span<const pid_t> processes);

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_CENSUS_H_
