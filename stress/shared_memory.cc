#include "stress/shared_memory.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <fstream>

namespace ipcmark::stress {
namespace {

bool Parse(const std::string& line, SharedRange* range) {
  uint64_t end = 0;
  char rights[5] = "";
  char device[16] = "";
  int64_t inode = 0;
  int named = 0;
  if (sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %15s %" SCNd64 " %n", &range->address, &end, rights,
             &range->offset, device, &inode, &named) < 6) {
    return false;
  }
  if (rights[1] != 'w' || rights[3] != 's') return false;
  const std::string name = line.substr(static_cast<size_t>(named));
  range->bytes = end - range->address;
  range->object = std::string(device) + " " + std::to_string(inode) + " " + name;
  // A segment's inode is its id (Linux ipc/shm.c, newseg).
  range->segment = name.starts_with("/SYSV") ? inode : -1;
  return true;
}

}  // namespace

std::vector<SharedRange> SharedRanges(pid_t process) {
  std::ifstream maps("/proc/" + std::to_string(process) + "/maps");
  std::vector<SharedRange> ranges;
  SharedRange range;
  for (std::string line; std::getline(maps, line);) {
    if (Parse(line, &range)) ranges.push_back(range);
  }
  return ranges;
}

std::vector<SharedRange> RangesOf(pid_t process, const std::vector<std::string>& objects) {
  std::vector<SharedRange> ranges;
  if (objects.empty()) return ranges;
  ranges = SharedRanges(process);
  std::erase_if(ranges, [&](const SharedRange& range) { return std::ranges::count(objects, range.object) == 0; });
  return ranges;
}

std::vector<std::string> NewObjects(const std::vector<SharedRange>& before, const std::vector<SharedRange>& now) {
  std::vector<std::string> objects;
  for (const SharedRange& range : now) {
    if (std::ranges::count(before, range.object, &SharedRange::object) == 0) objects.push_back(range.object);
  }
  objects.erase(std::unique(objects.begin(), objects.end()), objects.end());
  return objects;
}

std::vector<int64_t> SegmentsAmong(const std::vector<std::string>& objects) {
  std::vector<int64_t> segments;
  for (const std::string& object : objects) {
    // As Parse composes it: device, inode, name.
    const size_t inode = object.find(' ') + 1;
    if (object.find("/SYSV") == object.find(' ', inode) + 1) segments.push_back(std::stoll(object.substr(inode)));
  }
  return segments;
}

std::vector<int64_t> MappedSegments(std::span<const pid_t> processes, const std::vector<std::string>& objects) {
  std::vector<int64_t> segments;
  for (const pid_t process : processes) {
    for (const SharedRange& range : RangesOf(process, objects)) {
      // One that was split counts by its start.
      if (range.segment >= 0 && range.offset == 0) segments.push_back(range.segment);
    }
  }
  return segments;
}

}  // namespace ipcmark::stress
