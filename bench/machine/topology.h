#ifndef IPCMARK_BENCH_MACHINE_TOPOLOGY_H_
#define IPCMARK_BENCH_MACHINE_TOPOLOGY_H_

// How far apart two CPUs are, as the kernel draws it in /sys, and the pairs to choose from. Placement decides a result
// more than most primitives do: one cache line takes ten times as long between nodes as between siblings.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace ipcmark::bench {

// From near to far; no pair is two of the first five.
enum class Placement : uint8_t {
  kSameCpu,
  kSmt,         // two threads of one core
  kSameCache,   // two cores that share the last level of cache
  kOtherCache,  // two of one NUMA node that do not
  kOtherNode,
  kUnpinned,  // wherever the scheduler puts them
};
inline constexpr Placement kAllPlacements[] = {Placement::kSameCpu,    Placement::kSmt,       Placement::kSameCache,
                                               Placement::kOtherCache, Placement::kOtherNode, Placement::kUnpinned};

// "same_cpu", "smt", "same_cache", "other_cache", "other_node", "unpinned".
const char* PlacementName(Placement placement);

// Two CPUs have the same core, cache or node when the number is the same; it is that of the first CPU there.
struct CpuPlace {
  int cpu;
  int core;
  int cache;  // of the last level
  int node;
};

// The places of `cpus`, read below `root`. Where the kernel says nothing, each CPU is a core of its own, all of a
// package share a cache, and there is one node.
std::vector<CpuPlace> ReadTopology(const std::vector<int>& cpus, const std::string& root = "/");

Placement Between(const CpuPlace& one, const CpuPlace& other);

// The first pair that is so placed, sender and receiver (os::kAnyCpu both for kUnpinned). kUnimplemented, with the
// reason, where there is none.
absl::StatusOr<std::pair<int, int>> CpusFor(Placement placement, const std::vector<CpuPlace>& topology);

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_MACHINE_TOPOLOGY_H_
