#ifndef IPCMARK_BENCH_MACHINE_ENVIRONMENT_H_
#define IPCMARK_BENCH_MACHINE_ENVIRONMENT_H_

// Where and with what was measured: for the context of the JSON file, and as warnings for people.

#include <string>
#include <utility>
#include <vector>

#include "bench/cases.h"
#include "bench/machine/clock.h"

namespace ipcmark::bench {

// Key and value pairs for the JSON context; results/schema.md defines them. Takes a few milliseconds (one `git`).
std::vector<std::pair<std::string, std::string>> Environment(const Options& options,
                                                             const std::vector<SkippedCase>& skipped,
                                                             const ChosenClock& clock);

// One line for each thing that spoils numbers here, with how to mend it.
std::vector<std::string> Warnings(const Options& options, ClockChoice wanted, const ChosenClock& clock);

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_MACHINE_ENVIRONMENT_H_
