#include "results/compare_options.h"

#include <algorithm>
#include <cmath>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "results/report_formats.h"

namespace ipcmark::results {

const char kUsage[] =
    R"(compare: two files of benchmark results, as Google Benchmark's JSON of any program

usage: compare [flags] BASE.json HEAD.json

  bazel run //results:compare -- base.json head.json
  bazel run //results:compare -- --metric=p99_ns --threshold=20% base.json head.json
  bazel run //results:compare -- --filter='^RoundTrip/' --strict base.json head.json

flags
  --metric=NAME      real_time (the default), cpu_time, or a counter such as p99_ns or items_per_second
  --threshold=10%    changes up to this are ~; 0.1 is the same
  --filter=REGEX     only the benchmarks whose name the POSIX extended regular expression finds
  --format=NAME      text (the default), markdown, json, csv, benchstat, bencher or custom; see below
  --strict           also fail when the environments differ (4) or something stays inconclusive (3)
  --help             this text

The ratio is median(head) / median(base), the other way round for a rate (*_per_second): above 1 always means that
head is slower. From four repetitions on both sides it comes with a 95 % interval (inverted exact Mann-Whitney test);
a benchmark is `slower` only when that lies beyond the threshold as a whole, too. With fewer the ratio alone decides.
The interval knows the spread between the repetitions of these two files, not what another day, another placement or
another build of the same source would change.

formats
  text, markdown, csv  a table, with the geometric mean of the ratios
  json                 the same with every repetition
  benchstat            both sides as Go's benchmark lines: benchstat -col side FILE
  bencher              head as Bencher Metric Format, for bencher run --adapter json
  custom               head as customSmallerIsBetter, which GitHub benchmark actions read; not for rates

exit codes
  0  fine
  1  a regression: a benchmark is slower, or it is missing or failed in head
  2  bad usage or input
  3  with --strict: a benchmark is undecided, left out, or missing or failed in base
  4  with --strict: the environments do not match
)";

namespace {

absl::Status Usage(const std::string& sentence) {
  return absl::InvalidArgumentError(absl::StrCat(sentence, "; see compare --help"));
}

// Takes the value of the flag at `arguments[i]`, and moves on when it is the next argument.
absl::StatusOr<std::string> TakeValue(const std::vector<std::string>& arguments, const std::string& flag, size_t& i) {
  const std::string& argument = arguments[i];
  std::string value;
  if (argument.size() > flag.size()) {
    value = argument.substr(flag.size() + 1);
  } else if (i + 1 < arguments.size()) {
    value = arguments[++i];
  }
  if (value.empty()) return Usage(absl::StrCat(flag, " needs a value, as in ", flag, "=VALUE"));
  return value;
}

absl::Status ReadFlag(const std::vector<std::string>& arguments, size_t& i, CommandLine& line) {
  const std::string& argument = arguments[i];
  const std::string flag = argument.substr(0, argument.find('='));
  if (flag == "--strict" || flag == "--help" || flag == "-h") {
    if (argument != flag) return Usage(absl::StrCat(argument, ": ", flag, " takes no value"));
    (flag == "--strict" ? line.strict : line.help) = true;
    return absl::OkStatus();
  }
  if (flag != "--metric" && flag != "--threshold" && flag != "--filter" && flag != "--format") {
    return Usage(
        absl::StrCat(argument, ": there is no such flag, only --metric --threshold --filter --format --strict --help"));
  }
  const absl::StatusOr<std::string> value = TakeValue(arguments, flag, i);
  if (!value.ok()) return value.status();
  if (flag == "--metric") line.options.metric = *value;
  if (flag == "--filter") line.options.filter = *value;
  if (flag == "--format") line.format = *value;
  if (flag == "--threshold") {
    const absl::StatusOr<double> threshold = ParseThreshold(*value);
    if (!threshold.ok()) return threshold.status();
    line.options.threshold = *threshold;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<double> ParseThreshold(const std::string& text) {
  const bool percent = absl::EndsWith(text, "%");
  double number = 0;
  const bool parsed = absl::SimpleAtod(percent ? text.substr(0, text.size() - 1) : text, &number);
  // A plain 10 would be 1,000 % and pass everything; whoever writes it means percent.
  if (!parsed || !std::isfinite(number) || std::signbit(number) || number > 1000 || (!percent && number >= 1)) {
    return Usage(
        absl::StrCat("--threshold=", text, ": give a percentage such as 10% or a fraction below 1 such as 0.1"));
  }
  return percent ? number / 100 : number;
}

absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& arguments) {
  CommandLine line;
  std::vector<std::string> paths;
  bool flags_ended = false;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (flags_ended || !absl::StartsWith(arguments[i], "-")) {
      paths.push_back(arguments[i]);
    } else if (arguments[i] == "--") {
      flags_ended = true;
    } else if (absl::Status status = ReadFlag(arguments, i, line); !status.ok()) {
      return status;
    }
  }
  if (line.help) return line;
  if (std::find(kFormats.begin(), kFormats.end(), line.format) == kFormats.end()) {
    return Usage(absl::StrCat("--format=", line.format, ": choose one of ", absl::StrJoin(kFormats, ", ")));
  }
  if (line.format == "custom" && absl::EndsWith(line.options.metric, "_per_second")) {
    return Usage(
        absl::StrCat("--format=custom: smaller is not better in ", line.options.metric, "; choose another --metric"));
  }
  if (paths.size() != 2) {
    return Usage(absl::StrCat("two files are needed, base and head, but ", paths.size(),
                              paths.size() == 1 ? " is given" : " are given",
                              paths.empty() ? "" : absl::StrCat(" (", absl::StrJoin(paths, ", "), ")")));
  }
  line.base_path = paths[0];
  line.head_path = paths[1];
  return line;
}

std::string ResolvePath(const std::string& path, const char* working_directory) {
  if (working_directory == nullptr || *working_directory == '\0' || path.empty() || path.front() == '/') return path;
  return absl::StrCat(working_directory, "/", path);
}

}  // namespace ipcmark::results
