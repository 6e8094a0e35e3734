// bazel run //results:calibrate: how often the gate errs on this machine. See calibrate.h.
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "results/calibrate.h"
#include "results/gate_options.h"
#include "results/gate_session.h"
#include "results/text.h"

namespace ipcmark::results {
namespace {

constexpr char kUsage[] =
    R"(calibrate: how often does the gate err on this machine?

usage: calibrate [flags]

  bazel run //results:calibrate
  bazel run //results:calibrate -- --budget=20m
  bazel run //results:calibrate -- --binary=bazel-bin/bench/bench --filter='^RoundTrip/.*/64/' --budget=10m

  --budget=5m       measuring time in all
  --binary=PATH     a Google Benchmark program to record; the default is a small one of our own, which is then also run
                    with slowdowns of 3, 5 and 10 % that are really there, for 40 % of the budget
  --arg=ARGUMENT    passed to it; may be repeated
  --filter=REGEX    only the benchmarks whose name it finds
  --benchmarks=30   of a replayed suite
  --suites=2000     replayed for each slowdown
  --seed=N          of all random choices; printed
  --help

It records pairs of slices of one and the same program, then makes suites out of them, of which one benchmark is slowed
down by 0, 3, 5 and 10 %, with five minutes for each suite. Shares come with exact 95 % bounds.

exit codes: 0 done, 2 bad usage or input, 130 interrupted
)";

constexpr int kExitInterrupted = 130;
constexpr double kSlowdowns[] = {0.03, 0.05, 0.10};
// Of the budget, for really slowed programs.
constexpr double kInjectedShare = 0.4;

using Clock = std::chrono::steady_clock;

struct Options {
  double budget_seconds = 300;
  std::string binary;
  std::vector<std::string> arguments;
  std::string filter;
  ReplayOptions replay;
  bool help = false;
};

absl::StatusOr<Options> Parse(const std::vector<std::string>& arguments) {
  Options options;
  options.replay.seed = std::random_device()();
  for (const std::string& argument : arguments) {
    const size_t equals = argument.find('=');
    const std::string flag = argument.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : argument.substr(equals + 1);
    constexpr size_t most = 1'000'000;
    bool good = !value.empty();
    if (argument == "--help" || argument == "-h") {
      options.help = good = true;
    } else if (flag == "--budget" && good) {
      const absl::StatusOr<double> seconds = ParseSeconds(flag, value);
      if (!seconds.ok()) return seconds.status();
      options.budget_seconds = *seconds;
    } else if (flag == "--binary") {
      options.binary = std::filesystem::absolute(value);
    } else if (flag == "--arg") {
      options.arguments.push_back(value);
    } else if (flag == "--filter") {
      options.filter = value;
    } else if (flag == "--benchmarks") {
      size_t& number = options.replay.benchmarks;
      good = absl::SimpleAtoi(value, &number) && number > 0 && number <= most;
    } else if (flag == "--suites") {
      size_t& number = options.replay.suites;
      good = absl::SimpleAtoi(value, &number) && number > 0 && number <= most;
    } else if (flag == "--seed") {
      good = absl::SimpleAtoi(value, &options.replay.seed);
    } else {
      good = false;
    }
    if (!good) {
      return absl::InvalidArgumentError(
          absl::StrCat(argument, ": no such flag, or its value is missing or out of range; see calibrate --help"));
    }
  }
  return options;
}

double Seconds(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::string Percent(const Share& share) {
  const Interval bounds = Bounds(share);
  return absl::StrFormat("%5.1f %% (%d of %d; %.1f–%.1f %%)", share.value() * 100, share.count, share.of,
                         bounds.low * 100, bounds.high * 100);
}

SliceOptions Slices() {
  SliceOptions slices;
  slices.cpu = LastAllowedCpu();
  return slices;
}

absl::StatusOr<Recording> Record(const Program& program, const Options& options, double seconds,
                                 const Janitor& janitor) {
  const Clock::time_point start = Clock::now();
  const absl::StatusOr<Session> session = Prepare(program, program, options.filter, Slices(), janitor);
  if (!session.ok()) return session.status();
  for (const std::string& warning : session->report.warnings) std::fprintf(stderr, "warning: %s\n", warning.c_str());
  const Clock::time_point recording_start = Clock::now();
  size_t pairs = 0;
  GateRun run;
  run.seed = options.replay.seed;
  run.measure = [&](Side side, size_t row) { return Measure(*session, side, row, janitor); };
  // At least one block, however late it is.
  run.time_is_up = [&] { return pairs > 0 && Seconds(start) >= seconds; };
  run.progress = [&](size_t so_far, size_t) { pairs = so_far; };
  GateReport report = session->report;
  RecordPairs(run, report);
  if (report.interrupted) return absl::CancelledError("interrupted");
  Recording recording;
  for (const GateRow& row : report.rows) {
    if (!row.log_ratios.empty()) recording.log_ratios.push_back(row.log_ratios);
    if (!row.detail.empty()) std::fprintf(stderr, "left out: %s: %s\n", row.name.c_str(), row.detail.c_str());
  }
  if (recording.log_ratios.empty()) return absl::InvalidArgumentError("nothing was recorded; give more --budget");
  recording.seconds_per_pair = Seconds(recording_start) / static_cast<double>(pairs);
  std::printf("recorded %zu pairs of %zu benchmarks, %.2f s a pair\n", pairs, recording.log_ratios.size(),
              recording.seconds_per_pair);
  return recording;
}

void PrintReplays(const Recording& recording, const ReplayOptions& options) {
  const Replay same = ReplaySuites(recording, 0, options);
  std::printf("replayed suites of %zu benchmarks, %.0f s for each (they took %.0f s)\n", options.benchmarks,
              options.budget_seconds, same.seconds);
  std::printf("  nothing changed: alarms       %s\n", Percent(same.alarms).c_str());
  for (const double slowdown : kSlowdowns) {
    const Replay replay = ReplaySuites(recording, slowdown, options);
    std::printf("  one slower by %2.0f %%: caught    %s, passed %s\n", slowdown * 100, Percent(replay.caught).c_str(),
                Percent(replay.passed).c_str());
  }
}

// Gates of the real thing, for `seconds` each.
absl::Status PrintInjected(const Program& program, const Options& options, double seconds, const Janitor& janitor) {
  std::printf("gates of a program that really is slower, %.0f s for each\n", seconds);
  for (const double slowdown : kSlowdowns) {
    Program slow = program;
    slow.arguments.push_back(absl::StrCat("--slowdown=", slowdown * 100));
    const Clock::time_point start = Clock::now();
    const absl::StatusOr<Session> session = Prepare(program, slow, options.filter, Slices(), janitor);
    if (!session.ok()) return session.status();
    GateRun run;
    run.seed = options.replay.seed;
    run.rules.benchmarks = session->report.rows.size();
    run.measure = [&](Side side, size_t row) { return Measure(*session, side, row, janitor); };
    run.time_is_up = [&] { return Seconds(start) >= seconds; };
    run.progress = [](size_t, size_t) {};
    GateReport report = session->report;
    RunGate(run, report);
    if (report.interrupted) return absl::CancelledError("interrupted");
    Share caught = {0, report.rows.size()};
    Share passed = caught;
    std::string ratios;
    for (const GateRow& row : report.rows) {
      caught.count += row.verdict == GateVerdict::kFail ? 1 : 0;
      passed.count += row.verdict == GateVerdict::kPass ? 1 : 0;
      absl::StrAppend(&ratios, " ", absl::StrFormat("%.3f", row.estimate.ratio));
    }
    std::printf("  slower by %2.0f %%: caught        %s, passed %s; ratios%s\n", slowdown * 100,
                Percent(caught).c_str(), Percent(passed).c_str(), ratios.c_str());
    std::fflush(stdout);
  }
  return absl::OkStatus();
}

absl::Status Calibrate(const Options& options, const Janitor& janitor) {
  const bool ours = options.binary.empty();
  std::error_code error;
  const std::string beside = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  const Program program = {ours ? beside + "/synthetic_benchmark" : options.binary, options.arguments};
  std::printf("seed %llu\n", static_cast<unsigned long long>(options.replay.seed));
  const double injected = ours ? options.budget_seconds * kInjectedShare : 0;
  const absl::StatusOr<Recording> recording = Record(program, options, options.budget_seconds - injected, janitor);
  if (!recording.ok()) return recording.status();
  PrintReplays(*recording, options.replay);
  std::fflush(stdout);
  return ours ? PrintInjected(program, options, injected / std::size(kSlowdowns), janitor) : absl::OkStatus();
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "calibrate: %s\n", PrintableUtf8(std::string(status.message())).c_str());
  return absl::IsCancelled(status) ? kExitInterrupted : kExitBadInput;
}

int Main(const std::vector<std::string>& arguments) {
  const char* caller = std::getenv("BUILD_WORKING_DIRECTORY");
  if (caller != nullptr && chdir(caller) != 0) return Fail(absl::UnavailableError(absl::StrCat("chdir ", caller)));
  const absl::StatusOr<Options> options = Parse(arguments);
  if (!options.ok()) return Fail(options.status());
  if (options->help) {
    std::fputs(kUsage, stdout);
    return kExitFine;
  }
  CatchInterrupts();
  const absl::StatusOr<std::unique_ptr<Janitor>> janitor = Janitor::Start();
  if (!janitor.ok()) return Fail(janitor.status());
  if (absl::Status status = Calibrate(*options, **janitor); !status.ok()) return Fail(status);
  return std::fflush(stdout) == 0 ? kExitFine : kExitBadInput;
}

}  // namespace
}  // namespace ipcmark::results

int main(int argc, char** argv) { return ipcmark::results::Main(std::vector<std::string>(argv + 1, argv + argc)); }
