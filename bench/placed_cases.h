#ifndef IPCMARK_BENCH_PLACED_CASES_H_
#define IPCMARK_BENCH_PLACED_CASES_H_

// Placement as an axis: the cases once for each placement that was asked for.

#include <vector>

#include "bench/cases.h"
#include "bench/machine/topology.h"

namespace ipcmark::bench {

// Without placements: BuildCases(options), on the CPUs that the options name. With them: the cases of one sender and
// one receiver, each as NAME/placement:PLACEMENT; what this machine has not, and the scenarios of many processes, whose
// places cannot be chosen, are skipped with the reason. Fails as BuildCases does, or kInvalidArgument when nothing is
// left.
absl::StatusOr<CaseList> BuildPlacedCases(const Options& options, const std::vector<Placement>& placements,
                                          const std::vector<CpuPlace>& topology);

// Where the two sides are by these options: the name of the placement.
std::string PlacementOf(const Options& options, const std::vector<CpuPlace>& topology);

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_PLACED_CASES_H_
