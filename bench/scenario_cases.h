#ifndef IPCMARK_BENCH_SCENARIO_CASES_H_
#define IPCMARK_BENCH_SCENARIO_CASES_H_

// The table of scenarios that every primitive meets, and what each is measured over beside primitive, wait strategy and
// message size.

#include <vector>

#include "bench/cases.h"

namespace ipcmark::bench {

// What a suite measures the scenarios over.
struct ScenarioAxes {
  std::vector<uint32_t> message_bytes;
  std::vector<uint32_t> loan_bytes = {};     // of Loan, which costs about the same in every size; empty: message_bytes
  std::vector<uint32_t> fan = {};            // processes on the large side of FanIn and Broadcast
  std::vector<uint32_t> shared = {};         // receivers of FanOut, pairs of Pairs
  std::vector<uint32_t> bursts = {};         // messages of one burst
  uint32_t bursts_each = 0;                  // timed bursts
  std::vector<uint32_t> load_percents = {};  // of OpenLoop's capacity
  bool highest_load = false;                 // search for it
  uint32_t wakes = 0;                        // messages of a run of Wake
  std::vector<uint32_t> depths = {};
  std::vector<Priorities> priorities = {};
  std::vector<Victim> victims = {};  // of Recovery
  uint32_t kills = 0;                // of a run of Recovery
  uint64_t limit_events = 4000;      // round trips, wake-ups, copies of a row of Roofline
  // The younger scenarios with one wait strategy a primitive, block where it has it, instead of with all of them.
  bool one_wait = false;
};

// Adds a case, or a skipped one with its reason, for every scenario over every primitive. What the user chose instead
// of the suite's sizes is in `options`. Errors: what Create says when the system carries no object at all.
absl::Status AddScenarioCases(const ScenarioAxes& axes, const std::vector<PrimitiveEntry>& primitives,
                              const Options& options, CaseList& list);

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_SCENARIO_CASES_H_
