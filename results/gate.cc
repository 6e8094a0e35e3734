#include "results/gate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <random>

#include "absl/status/status.h"

namespace ipcmark::results {
namespace {

struct Contest {
  size_t row;
  SequentialTest test;
  std::vector<double> base;
  std::vector<double> head;
  // Of each slice so far.
  std::vector<std::map<std::string, double>> base_tails;
  std::vector<std::map<std::string, double>> head_tails;
};

bool IsError(const GateRow& row) {
  return row.verdict == GateVerdict::kErrorInBase || row.verdict == GateVerdict::kErrorInHead;
}

// Measures one pair. An error goes into the row; false ends the gate.
bool RunPair(const GateRun& run, bool head_first, Contest& contest, GateRow& row) {
  for (const bool is_head : {head_first, !head_first}) {
    const Side side = is_head ? Side::kHead : Side::kBase;
    const absl::StatusOr<SliceTimes> times = run.measure(side, contest.row);
    if (absl::IsCancelled(times.status())) {
      // Half a pair is none.
      const size_t whole = std::min(contest.base.size(), contest.head.size());
      contest.base.resize(whole);
      contest.head.resize(whole);
      return false;
    }
    if (!times.ok()) {
      row.verdict = is_head ? GateVerdict::kErrorInHead : GateVerdict::kErrorInBase;
      row.detail = std::string(times.status().message());
      return true;
    }
    (is_head ? contest.head : contest.base).push_back(times->typical);
    (is_head ? contest.head_tails : contest.base_tails).push_back(times->tails);
  }
  contest.test.Add(std::log(contest.head.back() / contest.base.back()));
  return true;
}

// One look at the end, at the same levels as for the typical time.
std::vector<Advice> Advise(const Contest& contest, const GateRules& rules) {
  std::vector<Advice> all;
  const size_t pairs = contest.test.differences().size();
  for (const TailLimit& limit : kTails) {
    GateRules tail_rules = rules;
    tail_rules.slowdown = limit.slowdown;
    tail_rules.looks = {std::numeric_limits<size_t>::max()};
    SequentialTest test(tail_rules);
    for (size_t i = 0; i < pairs; ++i) {
      const auto base = contest.base_tails[i].find(limit.metric);
      const auto head = contest.head_tails[i].find(limit.metric);
      if (base == contest.base_tails[i].end() || head == contest.head_tails[i].end()) break;
      test.Add(std::log(head->second / base->second));
    }
    if (pairs == 0 || test.differences().size() < pairs) continue;
    const Decision decision = test.Finish();
    all.push_back({limit.metric, decision, test.Summarise(), pairs});
  }
  return all;
}

void Conclude(Contest& contest, const GateRules& rules, bool was_interrupted, GateRow& row) {
  row.log_ratios = contest.test.differences();
  if (!row.log_ratios.empty()) {
    row.estimate = contest.test.Summarise();
    row.base_nanos = Median(contest.base);
    row.head_nanos = Median(contest.head);
  }
  if (IsError(row)) return;
  row.advice = Advise(contest, rules);
  // An interrupted gate must not decide by when it was interrupted.
  const Decision decision = was_interrupted ? contest.test.decision() : contest.test.Finish();
  row.verdict = GateVerdict::kInconclusive;
  if (decision == Decision::kFail) row.verdict = GateVerdict::kFail;
  if (decision == Decision::kPass) row.verdict = GateVerdict::kPass;
}

// One for every row without an error.
std::vector<Contest> Contests(const GateRun& run, const GateReport& report) {
  std::vector<Contest> contests;
  for (size_t i = 0; i < report.rows.size(); ++i) {
    if (!IsError(report.rows[i])) contests.push_back({i, SequentialTest(run.rules), {}, {}, {}, {}});
  }
  return contests;
}

void RunBlocks(const GateRun& run, std::vector<Contest>& contests, GateReport& report) {
  report.seed = run.seed;
  report.rules = run.rules;
  std::mt19937_64 random(run.seed);
  std::vector<size_t> active(contests.size());
  std::iota(active.begin(), active.end(), size_t{0});
  size_t pairs = 0;
  while (!active.empty() && !report.interrupted && !run.time_is_up()) {
    std::shuffle(active.begin(), active.end(), random);
    for (const size_t i : active) {
      Contest& contest = contests[i];
      if (!RunPair(run, (random() & 1U) != 0, contest, report.rows[contest.row])) {
        report.interrupted = true;
        break;
      }
      ++pairs;
    }
    const auto is_done = [&](size_t i) {
      return IsError(report.rows[contests[i].row]) || contests[i].test.decision() != Decision::kUndecided;
    };
    active.erase(std::remove_if(active.begin(), active.end(), is_done), active.end());
    run.progress(pairs, active.size());
  }
}

}  // namespace

void RunGate(const GateRun& run, GateReport& report) {
  std::vector<Contest> contests = Contests(run, report);
  RunBlocks(run, contests, report);
  for (Contest& contest : contests) Conclude(contest, run.rules, report.interrupted, report.rows[contest.row]);
}

void RecordPairs(GateRun run, GateReport& report) {
  run.rules.looks = {std::numeric_limits<size_t>::max()};
  std::vector<Contest> contests = Contests(run, report);
  RunBlocks(run, contests, report);
  for (const Contest& contest : contests) report.rows[contest.row].log_ratios = contest.test.differences();
}

const char* GateVerdictName(GateVerdict verdict) {
  switch (verdict) {
    case GateVerdict::kPass:
      return "PASS";
    case GateVerdict::kFail:
      return "FAIL";
    case GateVerdict::kInconclusive:
      return "INCONCLUSIVE";
    case GateVerdict::kErrorInBase:
      return "ERROR in base";
    case GateVerdict::kErrorInHead:
      return "ERROR in head";
  }
  return "";
}

GateVerdict Overall(const GateReport& report) {
  const auto any = [&](GateVerdict verdict) {
    return std::any_of(report.rows.begin(), report.rows.end(),
                       [verdict](const GateRow& row) { return row.verdict == verdict; });
  };
  for (const GateVerdict verdict :
       {GateVerdict::kFail, GateVerdict::kErrorInHead, GateVerdict::kErrorInBase, GateVerdict::kInconclusive}) {
    if (any(verdict)) return verdict;
  }
  return report.interrupted ? GateVerdict::kInconclusive : GateVerdict::kPass;
}

Exit GateExitCode(const GateReport& report, bool strict) {
  if (strict && !report.environment.empty()) return kExitEnvironmentsDiffer;
  switch (Overall(report)) {
    case GateVerdict::kFail:
    case GateVerdict::kErrorInHead:
      return kExitRegression;
    case GateVerdict::kErrorInBase:
    case GateVerdict::kInconclusive:
      return strict ? kExitInconclusive : kExitFine;
    case GateVerdict::kPass:
      break;
  }
  return kExitFine;
}

}  // namespace ipcmark::results
