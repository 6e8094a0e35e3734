#ifndef IPCMARK_STRESS_CENSUS_H_
#define IPCMARK_STRESS_CENSUS_H_

// What the kernel says of this process and of the objects that it has made, as /proc shows it: the other opinion beside
// the primitive's own. Looks only at what carries this process' id, since others use the machine, too.

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <span>
#include <string>

namespace ipcmark::stress {

// How many there are of each: a descriptor by what it refers to, a System V segment, a file in /dev/shm, a child.
using Traces = std::map<std::string, int>;
Traces TakeTraces();

// "" or the first thing of which there is more than `before`.
std::string FindLeftBehind(const Traces& before, const Traces& now);

// Removes the System V segments that process `pid`, which is dead, had made. How many there were.
uint64_t RemoveSegmentsOf(pid_t pid);

// Compares the attach count of each of this process' System V segments with the mappings of it in `processes`, which
// must be all that can have one and must not attach or detach meanwhile. "" or the first difference.
std::string FindAttachMiscount(std::span<const pid_t> processes);

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_CENSUS_H_
