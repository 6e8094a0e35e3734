#include "bench/machine/topology.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "ipc/os/process_group.h"

namespace ipcmark::bench {
namespace {

namespace fs = std::filesystem;

// A list of CPUs as the kernel writes it: "0-3,8". Empty where the file is missing or is none.
std::vector<int> CpuList(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  std::vector<int> cpus;
  for (const std::string& range : std::vector<std::string>(absl::StrSplit(line, ','))) {
    const std::vector<std::string> ends = absl::StrSplit(range, absl::MaxSplits('-', 1));
    int first = 0;
    int last = 0;
    if (!absl::SimpleAtoi(ends.front(), &first) || !absl::SimpleAtoi(ends.back(), &last)) return {};
    for (int cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
  }
  return cpus;
}

int FirstOr(const std::vector<int>& cpus, int otherwise) { return cpus.empty() ? otherwise : cpus.front(); }

// The first CPU that shares the highest level of cache; `otherwise` where no cache is named.
int LastLevelCache(const std::string& cpu_folder, int otherwise) {
  int highest = 0;
  int first = otherwise;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(cpu_folder + "/cache", error)) {
    int level = 0;
    std::ifstream(entry.path() / "level") >> level;
    const std::vector<int> shared = CpuList(entry.path() / "shared_cpu_list");
    if (level <= highest || shared.empty()) continue;
    highest = level;
    first = shared.front();
  }
  return first;
}

int NodeOf(int cpu, const std::string& root) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root + "/sys/devices/system/node", error)) {
    const std::vector<int> cpus = CpuList(entry.path() / "cpulist");
    if (std::count(cpus.begin(), cpus.end(), cpu) != 0) return cpus.front();
  }
  return 0;
}

// Why a machine has no such pair.
const char* WhyNone(Placement placement) {
  switch (placement) {
    case Placement::kSmt:
      return "no core with two threads";
    case Placement::kSameCache:
      return "no two cores that share their last level of cache";
    case Placement::kOtherCache:
      return "no two last levels of cache in one NUMA node";
    case Placement::kOtherNode:
      return "one NUMA node";
    default:
      return "no CPU";
  }
}

}  // namespace

const char* PlacementName(Placement placement) {
  constexpr const char* kNames[] = {"same_cpu", "smt", "same_cache", "other_cache", "other_node", "unpinned"};
  static_assert(std::size(kNames) == std::size(kAllPlacements));
  return kNames[static_cast<unsigned>(placement)];
}

std::vector<CpuPlace> ReadTopology(const std::vector<int>& cpus, const std::string& root) {
  std::vector<CpuPlace> places;
  for (int cpu : cpus) {
    const std::string folder = absl::StrCat(root, "/sys/devices/system/cpu/cpu", cpu);
    const int package = FirstOr(CpuList(folder + "/topology/core_siblings_list"), 0);
    places.push_back({.cpu = cpu,
                      .core = FirstOr(CpuList(folder + "/topology/thread_siblings_list"), cpu),
                      .cache = LastLevelCache(folder, package),
                      .node = NodeOf(cpu, root)});
  }
  return places;
}

Placement Between(const CpuPlace& one, const CpuPlace& other) {
  if (one.cpu == other.cpu) return Placement::kSameCpu;
  if (one.core == other.core) return Placement::kSmt;
  if (one.node != other.node) return Placement::kOtherNode;
  return one.cache == other.cache ? Placement::kSameCache : Placement::kOtherCache;
}

absl::StatusOr<std::pair<int, int>> CpusFor(Placement placement, const std::vector<CpuPlace>& topology) {
  if (placement == Placement::kUnpinned) return std::pair(os::kAnyCpu, os::kAnyCpu);
  for (const CpuPlace& sender : topology) {
    for (const CpuPlace& receiver : topology) {
      if (receiver.cpu >= sender.cpu && Between(sender, receiver) == placement) {
        return std::pair(sender.cpu, receiver.cpu);
      }
    }
  }
  return absl::UnimplementedError(
      absl::StrCat("this machine (its CPUs that this process may use) has ", WhyNone(placement)));
}

}  // namespace ipcmark::bench
