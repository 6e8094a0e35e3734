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
constexpr int64_t kNanosPerMilli = 1'000'000;

}  // namespace

std::vector<Breach> FindBreaches(const Record& record, const NameList& only) {
  std::vector<Breach> breaches;
  for (const Invariant* invariant : AllInvariants()) {
    if (!only.Has(invariant->name)) continue;
    if (record.plan.damages && !invariant->outlives_damage) continue;
    std::string text = invariant->find_breach(record);
    if (!text.empty()) breaches.push_back({invariant->name, std::move(text)});
  }
  return breaches;
}

uint64_t TrialSeed(uint64_t seed, uint64_t nth) { return nth == 0 ? seed : SubSeed(seed, nth); }

std::string ReplayCommand(const std::string& target, uint64_t trial_seed, const std::string& scenario,
                          const Smaller& smaller, int64_t traffic_nanos) {
  std::string command =
      absl::StrFormat("./bazelw run %s -- --seed=%d --scenario='^%s$' --trials=1", target, trial_seed, scenario);
  for (const auto& [flag, value] :
       {std::pair(" --senders=", smaller.senders), std::pair(" --receivers=", smaller.receivers),
        std::pair(" --depth=", smaller.depth_messages), std::pair(" --bytes=", smaller.message_bytes)}) {
    if (value != 0) absl::StrAppend(&command, flag, value);
  }
  if (traffic_nanos != kDefaultTrafficNanos)
    absl::StrAppend(&command, " --traffic-ms=", traffic_nanos / kNanosPerMilli);
  if (smaller.messages != Smaller::kAll) absl::StrAppend(&command, " --messages=", smaller.messages);
  if (smaller.strikes == Smaller::kAll) return command;
  std::vector<int> strikes;
  for (int n = 0; n < 64; ++n) {
    if (smaller.HasStrike(n)) strikes.push_back(n + 1);
  }
  absl::StrAppend(&command, " --strikes=", strikes.empty() ? "none" : absl::StrJoin(strikes, ","));
  return command;
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
  // Whole ones, for the command that replays a trial.
  traffic_nanos_ -= traffic_nanos_ % kNanosPerMilli;
  if (options.traffic_millis != 0) traffic_nanos_ = static_cast<int64_t>(options.traffic_millis) * kNanosPerMilli;
}

const char* Runner::ReasonToStop() const {
  if (cancel_->load(std::memory_order_relaxed)) return "interrupted";
  // A leak only grows.
  if (!memory_.FindBreach().empty()) return "the runner's memory had grown too much";
  return os::MonotonicNanos() >= end_nanos_ ? "the time was up" : nullptr;
}

void Runner::PrintBreaches(const Scenario& scenario, const ScenarioResult& result) const {
  ClearProgress();
  for (const Breach& breach : result.breaches) {
    absl::PrintF("BROKEN %s in %s: %s\n", breach.invariant, scenario.name, breach.text);
  }
  absl::PrintF("  replay: %s\n", result.replay);
  fflush(stdout);
}

void Runner::FindSmallest(const Scenario& scenario, const TrialRequest& request, const Record& record,
                          ScenarioResult* result) {
  const std::string invariant = result->breaches[0].invariant;
  // Once for each way in which a primitive is broken.
  if (options_.minimize_seconds == 0 || !minimized_.emplace(scenario.primitive->name, invariant).second) return;
  const auto run = [&](const TrialRequest& smaller) -> Failure {
    const absl::StatusOr<Record> again = scenario.primitive->run(smaller);
    if (!again.ok()) return {};
    const std::vector<Breach> breaches = FindBreaches(*again, NameList(invariant));
    return breaches.empty() ? Failure{} : FailureOf(*again, breaches[0].text);
  };
  const int64_t begin_nanos = os::MonotonicNanos();
  const int64_t end_nanos = begin_nanos + static_cast<int64_t>(options_.minimize_seconds) * os::kNanosPerSecond;
  result->smallest = Minimize(request, FailureOf(record, result->breaches[0].text), end_nanos, run);
  // The other scenarios have the time that they would have had.
  end_nanos_ += os::MonotonicNanos() - begin_nanos;
  const Smallest& smallest = *result->smallest;
  result->smallest_replay = ReplayCommand(target_, request.seed, scenario.name, smallest.smaller);
  absl::PrintF(
      "  smallest of %d trials, broken in %d of %d runs: %d sender(s), %d receiver(s), depth %d, %d bytes, %d "
      "messages, "
      "%d strike(s); seed %d, after %d operations, at %s: %s\n  replay: %s\n",
      smallest.trials, smallest.failed, smallest.confirmed, smallest.geometry.senders, smallest.geometry.receivers,
      smallest.geometry.depth_messages, smallest.geometry.max_message_bytes, smallest.failure.messages,
      smallest.failure.strikes, request.seed, smallest.failure.step, smallest.failure.operation, smallest.failure.text,
      result->smallest_replay);
  fflush(stdout);
}

absl::Status Runner::RunOne(size_t at) {
  const Scenario& scenario = catalogue_.scenarios[at];
  ScenarioResult& result = results_[at];
  const uint64_t trial_seed = TrialSeed(options_.seed, result.tally.trials);
  const TrialRequest request = {.geometry = options_.smaller.Of(scenario.geometry),
                                .fault = scenario.fault,
                                .seed = trial_seed,
                                .traffic_nanos = traffic_nanos_,
                                .cancel = cancel_,
                                .end_nanos = end_nanos_,
                                .smaller = options_.smaller};
  const absl::StatusOr<Record> record = scenario.primitive->run(request);
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
    result.replay = ReplayCommand(target_, trial_seed, scenario.name, options_.smaller, traffic_nanos_);
    PrintBreaches(scenario, result);
    FindSmallest(scenario, request, *record, &result);
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
