#include "results/history/options.h"

#include <algorithm>
#include <array>
#include <limits>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace ipcmark::results {

const char kHistoryUsage[] =
    R"(history: keeps every run, and finds when a benchmark changed

usage: history add FILE...                stores result files, each whole or not at all
       history list                       every run, oldest first
       history show ID                    one run; the first digits of its id are enough
       history trend BENCHMARK-REGEX      values over time, and where they changed, per machine
       history export                     everything, for other programs
       history merge OTHER.db...          adds the runs of other histories that are not in this one
       history check                      whether every run is as it was added

  bazel run //results:history -- add results/runs/*.json
  bazel run //results:history -- trend '^RoundTrip/pipe/'
  bazel run //results:history -- trend . --metric=p99_ns --strict
  bazel run //results:history -- --db=all.db merge laptop.db server.db
  bazel run //results:history -- export --format=csv > all.csv

flags
  --db=PATH          the history; results/history.db of the workspace unless given, history.db outside of one
  --format=NAME      show, trend: text (the default) or json (of show: the file as it was added); export: json or csv
  --help             this text

flags of trend
  --metric=NAME      p50_ns where a benchmark has it and real_time elsewhere, unless given; or cpu_time, or a counter
  --last=300         the newest so many runs of each series
  --alpha=0.01       share of series without a change in which one is seen
  --min_segment=5    runs on either side of a change, from 2
  --permutations=999
  --seed=1           of the permutations; the same seed gives the same answer
  --strict           exit 1 when the newest segment of a series is worse than the one before it

Changes are found by E-divisive (energy statistics with a permutation test) on logarithms. Runs are kept apart by
machine: cpu_model, num_cpus, caches, kernel, governor, clocksource and build of the file's context (host_name where
there is no cpu_model). `git_revision` is the file's; any Google Benchmark program takes
--benchmark_context=git_revision=$(git rev-parse HEAD). The same run is stored once, however often it is added or merged.

exit codes
  0  fine
  1  trend --strict: a series ends worse
  2  bad usage or input, or the history cannot be read or written
)";

namespace {

struct CommandRule {
  const char* name;
  size_t least;
  size_t most;
  const char* what;
};

constexpr size_t kAny = std::numeric_limits<size_t>::max();
constexpr std::array<CommandRule, 7> kCommands = {{{"add", 1, kAny, "a file or more"},
                                                   {"list", 0, 0, "no argument"},
                                                   {"show", 1, 1, "the id of one run"},
                                                   {"trend", 1, 1, "one regular expression, '.' for all"},
                                                   {"export", 0, 0, "no argument"},
                                                   {"merge", 1, kAny, "a history or more"},
                                                   {"check", 0, 0, "no argument"}}};

absl::Status Usage(const std::string& sentence) {
  return absl::InvalidArgumentError(absl::StrCat(sentence, "; see history --help"));
}

absl::Status ReadNumber(const std::string& flag, const std::string& value, size_t least, size_t most, size_t& number) {
  uint64_t parsed = 0;
  if (!absl::SimpleAtoi(value, &parsed) || parsed < least || parsed > most) {
    return Usage(absl::StrCat(flag, "=", value, ": give a number from ", least, " to ", most));
  }
  number = parsed;
  return absl::OkStatus();
}

absl::Status ReadTrendFlag(const std::string& flag, const std::string& value, TrendOptions& trend) {
  constexpr size_t most_runs = 5000;
  constexpr size_t most_permutations = 100000;
  if (flag == "--last") return ReadNumber(flag, value, 1, most_runs, trend.last);
  if (flag == "--min_segment") return ReadNumber(flag, value, 2, most_runs, trend.search.min_segment);
  if (flag == "--permutations") return ReadNumber(flag, value, 1, most_permutations, trend.search.permutations);
  if (flag == "--seed") return ReadNumber(flag, value, 0, kAny, trend.search.seed);
  if (flag == "--metric") {
    trend.metric = value;
    return absl::OkStatus();
  }
  const bool parsed = absl::SimpleAtod(value, &trend.search.alpha);
  if (parsed && trend.search.alpha > 0 && trend.search.alpha < 1) return absl::OkStatus();
  return Usage(absl::StrCat("--alpha=", value, ": give a share between 0 and 1, such as 0.01"));
}

absl::Status ReadFlag(const std::string& argument, HistoryOptions& options, bool& has_trend_flag) {
  const size_t equals = argument.find('=');
  const std::string flag = argument.substr(0, equals);
  const std::string value = equals == std::string::npos ? "" : argument.substr(equals + 1);
  constexpr std::array<const char*, 7> trend_flags = {"--metric",       "--last", "--alpha", "--min_segment",
                                                      "--permutations", "--seed", "--strict"};
  const bool of_trend = std::find(trend_flags.begin(), trend_flags.end(), flag) != trend_flags.end();
  has_trend_flag |= of_trend;
  if (!of_trend && flag != "--db" && flag != "--format") {
    return Usage(absl::StrCat(argument, ": there is no such flag"));
  }
  if (flag == "--strict") {
    options.strict = true;
    return equals == std::string::npos ? absl::OkStatus() : Usage(absl::StrCat(argument, ": --strict takes no value"));
  }
  if (value.empty()) return Usage(absl::StrCat(argument, ": it needs a value, as in ", flag, "=VALUE"));
  if (of_trend) return ReadTrendFlag(flag, value, options.trend);
  (flag == "--db" ? options.db : options.format) = value;
  return absl::OkStatus();
}

std::vector<std::string> FormatsOf(const std::string& command) {
  if (command == "export") return {"json", "csv"};
  if (command == "show" || command == "trend") return {"text", "json"};
  return {};
}

absl::Status Check(HistoryOptions& options, bool has_trend_flag) {
  const auto rule = std::find_if(kCommands.begin(), kCommands.end(),
                                 [&](const CommandRule& one) { return options.command == one.name; });
  if (rule == kCommands.end()) {
    const std::string names =
        absl::StrJoin(kCommands, ", ", [](std::string* out, const CommandRule& one) { out->append(one.name); });
    return Usage(options.command.empty() ? absl::StrCat("what is to be done? give one of ", names)
                                         : absl::StrCat(options.command, ": there is no such command, only ", names));
  }
  if (options.arguments.size() < rule->least || options.arguments.size() > rule->most) {
    return Usage(absl::StrCat(options.command, " takes ", rule->what, ", but ", options.arguments.size(),
                              options.arguments.size() == 1 ? " is given" : " are given"));
  }
  if (has_trend_flag && options.command != "trend") {
    return Usage(absl::StrCat(options.command, " takes no flags of trend"));
  }
  const std::vector<std::string> formats = FormatsOf(options.command);
  if (options.format.empty() && !formats.empty()) options.format = formats.front();
  if (!options.format.empty() && formats.empty()) return Usage(absl::StrCat(options.command, " takes no --format"));
  if (!formats.empty() && std::find(formats.begin(), formats.end(), options.format) == formats.end()) {
    return Usage(absl::StrCat("--format=", options.format, ": choose one of ", absl::StrJoin(formats, ", ")));
  }
  const ChangePointOptions& search = options.trend.search;
  if (search.alpha * static_cast<double>(search.permutations + 1) < 1) {
    return Usage(
        absl::StrCat("--permutations=", search.permutations, ": too few to ever reach --alpha=", search.alpha));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<HistoryOptions> ParseHistoryOptions(const std::vector<std::string>& arguments) {
  HistoryOptions options;
  std::vector<std::string> words;
  bool has_trend_flag = false;
  bool flags_ended = false;
  for (const std::string& argument : arguments) {
    if (flags_ended || !absl::StartsWith(argument, "-") || argument == "-") {
      words.push_back(argument);
    } else if (argument == "--") {
      flags_ended = true;
    } else if (argument == "--help" || argument == "-h") {
      options.help = true;
      return options;
    } else if (absl::Status status = ReadFlag(argument, options, has_trend_flag); !status.ok()) {
      return status;
    }
  }
  if (!words.empty()) {
    options.command = words.front();
    options.arguments.assign(words.begin() + 1, words.end());
  }
  if (absl::Status status = Check(options, has_trend_flag); !status.ok()) return status;
  if (options.command == "trend") options.trend.benchmarks = options.arguments[0];
  return options;
}

}  // namespace ipcmark::results
