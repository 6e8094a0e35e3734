#include "bench/placed_cases.h"

#include "absl/strings/str_cat.h"

namespace ipcmark::bench {
namespace {

constexpr char kManyProcesses[] = "only a pair of processes is placed; leave out --placement";

void AddPlaced(const CaseList& from, const std::string& placement, CaseList& list) {
  const std::string suffix = absl::StrCat("/placement:", placement);
  for (const SkippedCase& skipped : from.skipped) list.skipped.push_back({skipped.name + suffix, skipped.reason});
  for (const Case& one : from.cases) {
    // A limit that one process measures belongs to the sender's CPU.
    const bool is_pair = one.senders == 1 && one.receivers == 1;
    const bool is_limit_of_one = one.receivers == 0 && one.along_messages > 0;
    if (one.pages > 0 || (!is_pair && !is_limit_of_one)) {
      list.skipped.push_back({one.name + suffix, kManyProcesses});
      continue;
    }
    list.cases.push_back(one);
    list.cases.back().name += suffix;
    list.cases.back().placement = placement;
  }
}

}  // namespace

absl::StatusOr<CaseList> BuildPlacedCases(const Options& options, const std::vector<Placement>& placements,
                                          const std::vector<CpuPlace>& topology) {
  if (placements.empty()) return BuildCases(options);
  CaseList list;
  std::string last_reason;
  for (Placement placement : placements) {
    const std::string name = PlacementName(placement);
    const absl::StatusOr<std::pair<int, int>> cpus = CpusFor(placement, topology);
    if (!cpus.ok()) {
      last_reason = std::string(cpus.status().message());
      list.skipped.push_back({"placement:" + name, last_reason});
      continue;
    }
    Options placed = options;
    std::tie(placed.sender_cpu, placed.receiver_cpu) = *cpus;
    const absl::StatusOr<CaseList> cases = BuildCases(placed);
    if (!cases.ok()) return cases.status();
    AddPlaced(*cases, name, list);
  }
  if (list.cases.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--placement: nothing is left to measure", last_reason.empty() ? "" : ": ", last_reason));
  }
  return list;
}

std::string PlacementOf(const Options& options, const std::vector<CpuPlace>& topology) {
  const CpuPlace* sender = nullptr;
  const CpuPlace* receiver = nullptr;
  for (const CpuPlace& place : topology) {
    if (place.cpu == options.sender_cpu) sender = &place;
    if (place.cpu == options.receiver_cpu) receiver = &place;
  }
  if (sender == nullptr || receiver == nullptr) return PlacementName(Placement::kUnpinned);
  return PlacementName(Between(*sender, *receiver));
}

}  // namespace ipcmark::bench
