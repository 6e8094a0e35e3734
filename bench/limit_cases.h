#ifndef IPCMARK_BENCH_LIMIT_CASES_H_
#define IPCMARK_BENCH_LIMIT_CASES_H_

// The limits that everything is held against (hardware.h) as cases, always along.

#include <cstdint>

#include "bench/cases.h"

namespace ipcmark::bench {

// Adds a case for each, or a skipped one with its reason. `events`: round trips, wake-ups, copies of a run.
void AddLimitCases(uint64_t events, const Options& options, CaseList& list);

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_LIMIT_CASES_H_
