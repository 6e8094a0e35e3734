#include "stress/runner.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "ipc/os/clock.h"
#include "stress/invariants/invariant.h"

namespace ipcmark::stress {
namespace {

// The shortest traffic that still lets a fault strike something.
constexpr int64_t kLeastTrafficNanos = 5'000'000;

}  // namespace

std::vector<Breach> FindBreaches(const Record& record, const std::string& only) {
  std::vector<Breach> breaches;
  for (const Invariant* invariant : AllInvariants()) {
    if (!only.empty() && only != invariant->name) continue;
    if (record.plan.damages && !invariant->outlives_damage) continue;
    std::string text = invariant->find_breach(record);
    if (!text.empty()) breaches.push_back({invariant->name, std::move(text)});
  }
  return breaches;
}

uint64_t TrialSeed(uint64_t seed, uint64_t nth) { return nth == 0 ? seed : SubSeed(seed, nth); }

std::string ReplayCommand(const std::string& target, uint64_t trial_seed, const std::string& scenario) {
  return absl::StrFormat("./bazelw run %s -- --seed=%d --scenario='^%s$' --trials=1", target, trial_seed, scenario);
}

Runner::Runner(const Options& options, std::string target, Catalogue catalogue, const std::atomic<bool>* cancel)
    : options_(options),
      target_(std::move(target)),
      catalogue_(std::move(catalogue)),
      cancel_(cancel),
      begin_nanos_(os::MonotonicNanos()),
      end_nanos_(begin_nanos_ + static_cast<int64_t>(options.seconds) * os::kNanosPerSecond),
      on_terminal_(isatty(STDERR_FILENO) == 1),
      results_(catalogue_.scenarios.size()) {
  // A small budget is shared out, so that as many scenarios as possible have their turn. Half of it is for forking.
  const auto scenarios = static_cast<int64_t>(std::max<size_t>(catalogue_.scenarios.size(), 1));
  traffic_nanos_ = std::clamp((end_nanos_ - begin_nanos_) / (2 * scenarios), kLeastTrafficNanos, kDefaultTrafficNanos);
}

const char* Runner::ReasonToStop() const {
  if (cancel_->load(std::memory_order_relaxed)) return "interrupted";
  return os::MonotonicNanos() >= end_nanos_ ? "the time was up" : nullptr;
}

void Runner::PrintBreaches(const Scenario& scenario, uint64_t trial_seed, const std::vector<Breach>& breaches) const {
  ClearProgress();
  for (const Breach& breach : breaches) {
    absl::PrintF("BROKEN %s in %s: %s\n", breach.invariant, scenario.name, breach.text);
  }
  absl::PrintF("  replay: %s\n", ReplayCommand(target_, trial_seed, scenario.name));
  fflush(stdout);
}

absl::Status Runner::RunOne(size_t at) {
  const Scenario& scenario = catalogue_.scenarios[at];
  ScenarioResult& result = results_[at];
  const uint64_t trial_seed = TrialSeed(options_.seed, result.tally.trials);
  const absl::StatusOr<Record> record = scenario.primitive->run({.geometry = scenario.geometry,
                                                                 .fault = scenario.fault,
                                                                 .seed = trial_seed,
                                                                 .traffic_nanos = traffic_nanos_,
                                                                 .cancel = cancel_});
  if (absl::IsCancelled(record.status())) return absl::OkStatus();
  if (!record.ok()) {
    return {record.status().code(), absl::StrFormat("%s: %s", scenario.name, record.status().message())};
  }
  ++trials_;
  result.tally.Add(*record);
  result.breaches = FindBreaches(*record, options_.invariant);
  if (!result.breaches.empty()) {
    ++broken_;
    result.broken_seed = trial_seed;
    PrintBreaches(scenario, trial_seed, result.breaches);
  }
  return absl::OkStatus();
}

absl::Status Runner::Run() {
  // In an order that the seed shuffles, so that a run that is too short for all meets different ones each time.
  std::vector<size_t> order(catalogue_.scenarios.size());
  std::iota(order.begin(), order.end(), 0);
  Random random(options_.seed);
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.Below(i)]);
  for (uint64_t round = 0; round < options_.trials && broken_ < order.size(); ++round) {
    for (const size_t at : order) {
      if (!results_[at].breaches.empty()) continue;
      if (ReasonToStop() != nullptr) {
        ClearProgress();
        return absl::OkStatus();
      }
      ShowProgress();
      absl::Status status = RunOne(at);
      memory_.Note(ResidentBytes());
      if (!status.ok()) {
        ClearProgress();
        return status;
      }
    }
  }
  ClearProgress();
  return absl::OkStatus();
}

void Runner::ShowProgress() const {
  if (!on_terminal_) return;
  absl::FPrintF(stderr, "\r%.1f s: %d trials of %d scenarios, %d broken",
                static_cast<double>(os::MonotonicNanos() - begin_nanos_) / os::kNanosPerSecond, trials_,
                results_.size(), broken_);
}

void Runner::ClearProgress() const {
  if (on_terminal_) absl::FPrintF(stderr, "\r\033[K");
}

Results Runner::results() const {
  return {.seed = options_.seed,
          .catalogue = catalogue_,
          .scenarios = results_,
          .reason_to_stop = ReasonToStop(),
          .memory = memory_};
}

}  // namespace ipcmark::stress
