#include "results/gate_options.h"

#include <cmath>
#include <functional>
#include <map>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "results/compare_options.h"
#include "results/statistics/signed_rank.h"

namespace ipcmark::results {

const char kGateUsage[] =
    R"(gate: is head slower than base? Both run side by side on this machine, pair by pair, until that is decided

usage: gate --base=REV [--head=REV|worktree] [flags]
       gate --base_binary=PROGRAM --head_binary=PROGRAM [flags]

  bazel run //results:gate -- --base=origin/main
  bazel run //results:gate -- --base=HEAD~1 --head=HEAD --filter='^RoundTrip/pipe/' --budget=2m
  bazel run //results:gate -- --base_binary=/tmp/old --head_binary=/tmp/new --markdown=comment.md --strict

what is compared
  --base=REV            builds that revision in a git worktree of its own
  --head=REV|worktree   the same; worktree (the default): the checkout as it is, with what is not committed
  --target=//bench      what is built of both; a Google Benchmark program
  --base_binary=PATH    instead of revisions: any two Google Benchmark programs
  --head_binary=PATH
  --arg=ARGUMENT        passed to both programs, as in --arg=--suite=smoke; may be repeated
  --filter=REGEX        only the benchmarks whose name the POSIX extended regular expression finds

how
  --budget=5m           measuring time; what is not decided then is INCONCLUSIVE
  --slice=100ms         length of one slice
  --max_pairs=400       per benchmark, 5 to 1000
  --dead_band=1.5%      slowdowns up to this are never a FAIL
  --slowdown=5%         PASS means: slower by this much is ruled out (1 % error)
  --cpu=N|any           for programs that do not pin themselves; the last CPU that is allowed is the default
  --seed=N              of the random order; printed, for a replay
  --strict              exit 3 for INCONCLUSIVE, 4 when the programs' environments differ

output
  --json=FILE  --markdown=FILE (for a pull request)  --junit=FILE
  --help

FAIL is the exact one-sided signed-rank test of ln(head/base) against the dead band, at looks after 12, 20, 40, 80, 120,
200 and 400 pairs whose levels add up to 5 % over all benchmarks (O'Brien-Fleming spending, Bonferroni).

exit codes
  0    fine
  1    a regression: a FAIL, or a benchmark is missing or failed in head
  2    bad usage or input, or a build failed
  3    with --strict: INCONCLUSIVE, or missing or failed in base
  4    with --strict: the environments do not match
  130  interrupted; nothing is left behind
)";

namespace {

absl::Status Usage(const std::string& sentence) {
  return absl::InvalidArgumentError(absl::StrCat(sentence, "; see gate --help"));
}

absl::Status Bad(const std::string& flag, const std::string& value, const std::string& remedy) {
  return Usage(absl::StrCat(flag, "=", value, ": ", remedy));
}

absl::Status ReadNumbers(const std::string& flag, const std::string& value, GateOptions& options) {
  if (flag == "--budget" || flag == "--slice") {
    const absl::StatusOr<double> seconds = ParseSeconds(flag, value);
    if (!seconds.ok()) return seconds.status();
    (flag == "--budget" ? options.budget_seconds : options.slice_seconds) = *seconds;
  } else if (flag == "--dead_band" || flag == "--slowdown") {
    const absl::StatusOr<double> share = ParseThreshold(value);
    if (!share.ok()) return Bad(flag, value, "give a percentage such as 5%");
    (flag == "--dead_band" ? options.dead_band : options.slowdown) = *share;
  } else if (flag == "--max_pairs") {
    constexpr size_t least = 5;
    if (!absl::SimpleAtoi(value, &options.max_pairs) || options.max_pairs < least || options.max_pairs > kMaxPairs) {
      return Bad(flag, value, absl::StrCat("give a number from ", least, " to ", kMaxPairs));
    }
  } else if (flag == "--cpu") {
    options.pin = value != "any";
    if (options.pin && (!absl::SimpleAtoi(value, &options.cpu) || options.cpu < 0)) {
      return Bad(flag, value, "give the number of a CPU, or any");
    }
  } else {
    uint64_t seed = 0;
    if (!absl::SimpleAtoi(value, &seed)) return Bad(flag, value, "give a number from 0");
    options.seed = seed;
  }
  return absl::OkStatus();
}

absl::Status ReadFlag(const std::string& flag, const std::string& value, GateOptions& options) {
  const std::map<std::string, std::string*> texts = {{"--base", &options.base},
                                                     {"--head", &options.head},
                                                     {"--target", &options.target},
                                                     {"--base_binary", &options.base_binary},
                                                     {"--head_binary", &options.head_binary},
                                                     {"--filter", &options.filter},
                                                     {"--json", &options.json},
                                                     {"--markdown", &options.markdown},
                                                     {"--junit", &options.junit}};
  if (const auto text = texts.find(flag); text != texts.end()) {
    *text->second = value;
    return absl::OkStatus();
  }
  if (flag == "--arg") {
    options.arguments.push_back(value);
    return absl::OkStatus();
  }
  for (const char* number : {"--budget", "--slice", "--dead_band", "--slowdown", "--max_pairs", "--cpu", "--seed"}) {
    if (flag == number) return ReadNumbers(flag, value, options);
  }
  return Usage(absl::StrCat(flag, ": there is no such flag"));
}

absl::Status Check(const GateOptions& options) {
  const bool binaries = !options.base_binary.empty() || !options.head_binary.empty();
  if (binaries && (options.base_binary.empty() || options.head_binary.empty())) {
    return Usage("--base_binary and --head_binary are needed together");
  }
  if (binaries != options.base.empty()) {
    return Usage("give either --base=REV, or --base_binary=PROGRAM and --head_binary=PROGRAM");
  }
  // git would take it for one of its own flags.
  for (const std::string& revision : {options.base, options.head}) {
    if (absl::StartsWith(revision, "-")) return Usage(absl::StrCat(revision, ": no revision begins with a dash"));
  }
  if (absl::StartsWith(options.target, "-")) return Usage(absl::StrCat(options.target, ": no target"));
  if (options.dead_band >= options.slowdown) return Usage("--dead_band must be smaller than --slowdown");
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<double> ParseSeconds(const std::string& flag, const std::string& text) {
  double factor = 1;
  absl::string_view number = text;
  if (absl::ConsumeSuffix(&number, "ms")) {
    factor = 1e-3;
  } else if (absl::ConsumeSuffix(&number, "m")) {
    factor = 60;
  } else {
    absl::ConsumeSuffix(&number, "s");
  }
  double value = 0;
  constexpr double most = 1e6;
  if (!absl::SimpleAtod(number, &value) || !(value * factor > 0) || value * factor > most) {
    return absl::InvalidArgumentError(absl::StrCat(flag, "=", text, ": give a time such as 5m, 90s or 100ms"));
  }
  return value * factor;
}

absl::StatusOr<GateOptions> ParseGateOptions(const std::vector<std::string>& arguments) {
  GateOptions options;
  for (const std::string& argument : arguments) {
    const size_t equals = argument.find('=');
    const std::string flag = argument.substr(0, equals);
    if (argument == "--help" || argument == "-h") {
      options.help = true;
      return options;
    }
    if (argument == "--strict") {
      options.strict = true;
      continue;
    }
    if (!absl::StartsWith(argument, "--")) return Usage(absl::StrCat(argument, ": flags begin with two dashes"));
    const std::string value = equals == std::string::npos ? "" : argument.substr(equals + 1);
    // An empty filter is everything, which helps scripts and macros.
    if (value.empty() && flag == "--filter" && equals != std::string::npos) continue;
    if (value.empty()) return Usage(absl::StrCat(argument, ": unknown, or it lacks a value as in ", flag, "=VALUE"));
    if (absl::Status status = ReadFlag(flag, value, options); !status.ok()) return status;
  }
  if (absl::Status status = Check(options); !status.ok()) return status;
  return options;
}

}  // namespace ipcmark::results
