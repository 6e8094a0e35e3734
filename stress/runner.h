#ifndef IPCMARK_STRESS_RUNNER_H_
#define IPCMARK_STRESS_RUNNER_H_

// Runs scenarios round-robin until time, trials or patience (Ctrl-C) are out, and says what came of it.

#include <atomic>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "stress/memory_watch.h"
#include "stress/options.h"
#include "stress/report.h"
#include "stress/scenario.h"

namespace ipcmark::stress {

// Every invariant that `record` breaks, in the order of their names; `only` restricts it.
std::vector<Breach> FindBreaches(const Record& record, const NameList& only = {});

// The seed of a scenario's nth trial in a run with `seed`. The first one's is the run's own, so that the seed of any
// trial makes it the first one of a run.
uint64_t TrialSeed(uint64_t seed, uint64_t nth);

// The command that runs that trial again.
std::string ReplayCommand(const std::string& target, uint64_t trial_seed, const std::string& scenario,
                          const Smaller& smaller = {}, int64_t traffic_nanos = kDefaultTrafficNanos);

class Runner {
 public:
  // `target`: this binary's Bazel label. `cancel`: set by a signal handler.
  Runner(const Options& options, std::string target, Catalogue catalogue, const std::atomic<bool>* cancel);

  // Prints breaches as they are found. An error: what the system refused, one sentence.
  absl::Status Run();
  // So far.
  [[nodiscard]] Results results() const;
  [[nodiscard]] bool broken() const { return broken_ > 0 || !memory_.FindBreach().empty(); }

 private:
  absl::Status RunOne(size_t at);
  void PrintBreaches(const Scenario& scenario, const ScenarioResult& result) const;
  // Of the first breach in `result`, within options_.minimize_seconds.
  void FindSmallest(const Scenario& scenario, const TrialRequest& request, const Record& record,
                    ScenarioResult* result);
  void ShowProgress() const;
  void ClearProgress() const;
  // Why no further trial begins, or null.
  [[nodiscard]] const char* ReasonToStop() const;

  const Options& options_;
  const std::string target_;
  const Catalogue catalogue_;
  const std::atomic<bool>* cancel_;
  const int64_t begin_nanos_;
  int64_t end_nanos_;
  const bool on_terminal_;
  int64_t traffic_nanos_;
  std::vector<ScenarioResult> results_;  // by scenario
  uint64_t trials_ = 0;
  uint64_t broken_ = 0;
  std::set<std::pair<std::string, std::string>> minimized_;  // primitives and the invariants that they break
  MemoryWatch memory_;
};

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_RUNNER_H_
