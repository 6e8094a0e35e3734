#include "results/calibrate.h"

#include <cmath>
#include <random>
#include <utility>

#include "results/statistics/harrell_davis.h"

namespace ipcmark::results {
namespace {

struct Player {
  const std::vector<double>* recorded;
  size_t next;
  double change;
  SequentialTest test;
};

// The x where I_x(a, b) = share.
double BetaQuantile(double a, double b, double share) {
  double low = 0;
  double high = 1;
  for (double middle = 0.5; middle > low && middle < high; middle = low + (high - low) / 2) {
    (IncompleteBeta(a, b, middle) < share ? low : high) = middle;
  }
  return low;
}

void PlaySuite(std::vector<Player>& players, double max_pairs, std::mt19937_64& random, double& pairs) {
  bool undecided = true;
  for (double block = 0; undecided && pairs < max_pairs; ++block) {
    undecided = false;
    for (Player& player : players) {
      if (player.test.decision() != Decision::kUndecided) continue;
      const double d = (*player.recorded)[player.next];
      player.next = (player.next + 1) % player.recorded->size();
      player.test.Add(((random() & 1U) != 0 ? d : -d) + player.change);
      undecided = undecided || player.test.decision() == Decision::kUndecided;
      ++pairs;
    }
  }
  for (Player& player : players) player.test.Finish();
}

}  // namespace

Interval Bounds(const Share& share) {
  constexpr double tail = (1 - kConfidence) / 2;
  if (share.of == 0) return {0, 1};
  const auto count = static_cast<double>(share.count);
  const auto rest = static_cast<double>(share.of - share.count);
  return {share.count == 0 ? 0 : BetaQuantile(count, rest + 1, tail),
          share.count == share.of ? 1 : BetaQuantile(count + 1, rest, 1 - tail)};
}

Replay ReplaySuites(const Recording& recording, double slowdown, const ReplayOptions& options) {
  std::mt19937_64 random(options.seed);
  GateRules rules = options.rules;
  rules.benchmarks = options.benchmarks;
  const double max_pairs = options.budget_seconds / recording.seconds_per_pair;
  Replay replay;
  for (size_t suite = 0; suite < options.suites; ++suite) {
    std::vector<Player> players;
    for (size_t i = 0; i < options.benchmarks; ++i) {
      const std::vector<double>& recorded = recording.log_ratios[random() % recording.log_ratios.size()];
      players.push_back(
          {&recorded, random() % recorded.size(), i == 0 ? std::log1p(slowdown) : 0, SequentialTest(rules)});
    }
    double pairs = 0;
    PlaySuite(players, max_pairs, random, pairs);
    replay.seconds += pairs * recording.seconds_per_pair / static_cast<double>(options.suites);
    bool alarm = false;
    for (size_t i = slowdown > 0 ? 1 : 0; i < players.size(); ++i) {
      alarm = alarm || players[i].test.decision() == Decision::kFail;
    }
    replay.alarms.count += alarm ? 1 : 0;
    replay.caught.count += players[0].test.decision() == Decision::kFail ? 1 : 0;
    replay.passed.count += players[0].test.decision() == Decision::kPass ? 1 : 0;
  }
  replay.alarms.of = replay.caught.of = replay.passed.of = options.suites;
  return replay;
}

}  // namespace ipcmark::results
