#include "bench/flags.h"

#include <algorithm>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "ipc/os/clock.h"
#include "ipc/os/cpu.h"

namespace ipcmark::bench {
namespace {

// The value of --name=value; false when `argument` is another flag.
bool HasValue(const std::string& argument, const std::string& name, std::string* value) {
  const std::string prefix = absl::StrCat("--", name, "=");
  if (argument.rfind(prefix, 0) != 0) return false;
  *value = argument.substr(prefix.size());
  return true;
}

template <typename Int>
absl::StatusOr<std::vector<Int>> ParseNumbers(const std::string& flag, const std::string& value) {
  std::vector<Int> numbers;
  for (const std::string& part : std::vector<std::string>(absl::StrSplit(value, ','))) {
    Int number = 0;
    if (!absl::SimpleAtoi(part, &number)) {
      return absl::InvalidArgumentError(absl::StrCat("--", flag, "=", value, ": \"", part, "\" is no number up to ",
                                                     std::numeric_limits<Int>::max(),
                                                     "; give whole numbers with commas between them"));
    }
    numbers.push_back(number);
  }
  return numbers;
}

absl::Status ParseCpus(const std::string& value, Options& options) {
  absl::StatusOr<std::vector<int>> cpus = ParseNumbers<int>("cpus", value);
  if (!cpus.ok()) return cpus.status();
  const std::vector<int> allowed = os::AllowedCpus();
  for (int cpu : *cpus) {
    if (std::count(allowed.begin(), allowed.end(), cpu) == 0) {
      return absl::InvalidArgumentError(absl::StrCat("--cpus=", value, ": this process may not run on CPU ", cpu,
                                                     "; choose from ", absl::StrJoin(allowed, ",")));
    }
  }
  if (cpus->size() != 2) {
    return absl::InvalidArgumentError(absl::StrCat("--cpus=", value, ": name two, the sender's and the receiver's"));
  }
  options.sender_cpu = (*cpus)[0];
  options.receiver_cpu = (*cpus)[1];
  return absl::OkStatus();
}

// As Google Benchmark understands a value of a flag that is on or off.
bool IsOn(const std::string& value) {
  const std::string lower = absl::AsciiStrToLower(value);
  return lower != "0" && lower != "f" && lower != "false" && lower != "n" && lower != "no" && lower != "off";
}

// More would be a mistake rather than a measurement.
constexpr double kMostSeconds = 86'400;

// Values of Google Benchmark's flags that it takes for something else without a word (whatever is not "false" is true),
// or answers with its usage and status 0.
absl::Status CheckTheirValue(const std::string& argument) {
  constexpr const char* switches[] = {
      "benchmark_list_tests",       "benchmark_enable_random_interleaving", "benchmark_report_aggregates_only",
      "benchmark_counters_tabular", "benchmark_display_aggregates_only",    "benchmark_color"};
  constexpr const char* words[] = {"1", "t", "true", "y", "yes", "on", "0", "f", "false", "n", "no", "off"};
  std::string value;
  for (const char* name : switches) {
    if (!HasValue(argument, name, &value)) continue;
    const std::string lower = absl::AsciiStrToLower(value);
    const bool is_auto = lower == "auto" && std::string(name) == "benchmark_color";
    if (!is_auto && std::find(std::begin(words), std::end(words), lower) == std::end(words)) {
      return absl::InvalidArgumentError(absl::StrCat(argument, ": choose true or false"));
    }
  }
  if (HasValue(argument, "benchmark_time_unit", &value) && value != "ns" && value != "us" && value != "ms" &&
      value != "s") {
    return absl::InvalidArgumentError(absl::StrCat(argument, ": choose ns, us, ms or s"));
  }
  int level = 0;
  if (HasValue(argument, "v", &value) && !absl::SimpleAtoi(value, &level)) {
    return absl::InvalidArgumentError(absl::StrCat(argument, ": give a number"));
  }
  return absl::OkStatus();
}

// --benchmark_min_time; false when it is only to be passed on.
absl::StatusOr<bool> ParseMinTime(const std::string& value, Flags& flags) {
  const std::string flag = absl::StrCat("--benchmark_min_time=", value);
  if (value.back() == 'x') {
    // As Google Benchmark 1.8 has it, whose older versions know seconds only.
    if (absl::SimpleAtoi(value.substr(0, value.size() - 1), &flags.messages) && flags.messages >= 1) return true;
    return absl::InvalidArgumentError(absl::StrCat(flag, ": give a number from 1 before x"));
  }
  double seconds = 0;
  if (!absl::SimpleAtod(value, &seconds) || !(seconds > 0) || seconds > kMostSeconds) {
    return absl::InvalidArgumentError(absl::StrCat(flag, ": give seconds without a unit, above 0 and up to ",
                                                   kMostSeconds, ", or a number of messages such as 1000x"));
  }
  flags.messages = 0;
  flags.min_seconds = seconds;
  return false;
}

// A flag of Google Benchmark that we carry out ourselves, or whose bad values it answers with its usage and status 0
// (formats, nothing at all) or an abort (repetitions); false when it is only to be passed on.
absl::StatusOr<bool> ParseTheirs(const std::string& argument, Flags& flags) {
  std::string value;
  if (argument.back() == '=' && argument != "--benchmark_filter=") {
    return absl::InvalidArgumentError(absl::StrCat(argument, ": it needs a value"));
  }
  absl::Status checked = CheckTheirValue(argument);
  if (!checked.ok()) return checked;
  if (HasValue(argument, "benchmark_out", &flags.out)) return true;
  for (const auto& [name, format] :
       {std::pair("benchmark_format", &flags.format), std::pair("benchmark_out_format", &flags.out_format)}) {
    if (!HasValue(argument, name, &value)) continue;
    if (value != "json" && value != "csv" && value != "console") {
      return absl::InvalidArgumentError(absl::StrCat("--", name, "=", value, ": choose json, csv or console"));
    }
    *format = value;
    return format == &flags.out_format;
  }
  if (HasValue(argument, "benchmark_repetitions", &value)) {
    if (!absl::SimpleAtoi(value, &flags.repetitions) || flags.repetitions < 1) {
      return absl::InvalidArgumentError(absl::StrCat("--benchmark_repetitions=", value, ": give a number from 1"));
    }
  }
  if (HasValue(argument, "benchmark_min_time", &value)) return ParseMinTime(value, flags);
  if (argument == "--benchmark_list_tests") flags.list_only = true;
  if (HasValue(argument, "benchmark_list_tests", &value)) flags.list_only = IsOn(value);
  return false;
}

absl::Status ParsePlacements(const std::string& value, Flags& flags) {
  flags.placements.clear();
  if (value == "auto") return absl::OkStatus();
  for (const std::string& name : std::vector<std::string>(absl::StrSplit(value, ','))) {
    const size_t before = flags.placements.size();
    for (Placement placement : kAllPlacements) {
      const bool meant = name == "all" || name == PlacementName(placement);
      const bool is_new = std::count(flags.placements.begin(), flags.placements.end(), placement) == 0;
      if (meant && is_new) flags.placements.push_back(placement);
    }
    if (flags.placements.size() == before) {
      return absl::InvalidArgumentError(absl::StrCat("--placement=", value, ": \"", name, "\" is none or named twice; ",
                                                     "choose auto, all, or some of same_cpu, smt, same_cache, ",
                                                     "other_cache, other_node, unpinned"));
    }
  }
  return absl::OkStatus();
}

// How the rows are shown; json and csv are Google Benchmark's.
absl::Status ParseFormat(const std::string& value, Flags& flags) {
  if (value != "table" && value != "json" && value != "csv" && value != "benchstat") {
    return absl::InvalidArgumentError(absl::StrCat("--format=", value, ": choose table, json, csv or benchstat"));
  }
  flags.benchstat = value == "benchstat";
  flags.format = value == "json" || value == "csv" ? value : "";
  if (value == "json") flags.passed.push_back("--benchmark_format=json");
  return absl::OkStatus();
}

absl::Status ParseClock(const std::string& value, Flags& flags) {
  for (const auto& [name, choice] : {std::pair("auto", ClockChoice::kAuto), std::pair("tsc", ClockChoice::kTsc),
                                     std::pair("monotonic", ClockChoice::kMonotonic)}) {
    if (value != name) continue;
    flags.clock = choice;
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("--clock=", value, ": choose auto, tsc or monotonic"));
}

// One argument that is ours; false when it is not.
absl::StatusOr<bool> ParseOurs(const std::string& argument, Flags& flags) {
  std::string value;
  Options& options = flags.options;
  if (argument == "--help" || argument == "-h") {
    flags.help = true;
  } else if (HasValue(argument, "suite", &value)) {
    options.suite = value;
  } else if (HasValue(argument, "primitives", &value)) {
    options.primitives = absl::StrSplit(value, ',');
  } else if (HasValue(argument, "bytes", &value)) {
    absl::StatusOr<std::vector<uint32_t>> sizes = ParseNumbers<uint32_t>("bytes", value);
    if (!sizes.ok()) return sizes.status();
    options.message_bytes = *std::move(sizes);
  } else if (HasValue(argument, "depth", &value)) {
    absl::StatusOr<std::vector<uint32_t>> depth = ParseNumbers<uint32_t>("depth", value);
    if (!depth.ok()) return depth.status();
    if (depth->size() != 1 || (*depth)[0] == 0) {
      return absl::InvalidArgumentError(absl::StrCat("--depth=", value, ": give one number of messages, at least 1"));
    }
    options.depth_messages = (*depth)[0];
  } else if (HasValue(argument, "cpus", &value)) {
    absl::Status parsed = ParseCpus(value, options);
    if (!parsed.ok()) return parsed;
  } else if (HasValue(argument, "placement", &value)) {
    absl::Status parsed = ParsePlacements(value, flags);
    if (!parsed.ok()) return parsed;
  } else if (HasValue(argument, "clock", &value)) {
    absl::Status parsed = ParseClock(value, flags);
    if (!parsed.ok()) return parsed;
  } else if (HasValue(argument, "format", &value)) {
    absl::Status parsed = ParseFormat(value, flags);
    if (!parsed.ok()) return parsed;
  } else if (HasValue(argument, "samples", &flags.samples)) {
    if (flags.samples.empty()) return absl::InvalidArgumentError("--samples=: name a file");
  } else if (argument == "--noroofline") {
    flags.roofline = false;
  } else if (argument == "--unpinned") {
    options.sender_cpu = options.receiver_cpu = os::kAnyCpu;
  } else {
    return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<Flags> ParseFlags(const std::vector<std::string>& arguments) {
  Flags flags;
  const std::vector<int> cpus = os::AllowedCpus();
  if (!cpus.empty()) {
    flags.options.sender_cpu = cpus.front();
    flags.options.receiver_cpu = cpus.size() > 1 ? cpus[1] : cpus.front();
  }
  for (const std::string& argument : arguments) {
    absl::StatusOr<bool> ours = ParseOurs(argument, flags);
    if (!ours.ok()) return ours.status();
    if (*ours) continue;
    if (argument.rfind("--benchmark_", 0) != 0 && argument.rfind("--v=", 0) != 0) {
      return absl::InvalidArgumentError(absl::StrCat("unknown argument ", argument, "; see --help"));
    }
    absl::StatusOr<bool> done = ParseTheirs(argument, flags);
    if (!done.ok()) return done.status();
    if (!*done) flags.passed.push_back(argument);
  }
  return flags;
}

std::vector<std::string> BenchmarkArguments(const Flags& flags, const SuiteTiming& timing) {
  // Any run lasts longer, so that Google Benchmark does not ask for a second one.
  constexpr double one_run_seconds = 1e-9;
  const int repetitions = flags.repetitions > 0 ? flags.repetitions : timing.repetitions;
  std::vector<std::string> arguments = {absl::StrCat("--benchmark_min_time=", timing.min_seconds),
                                        absl::StrCat("--benchmark_repetitions=", repetitions),
                                        // Without a file it takes no file reporter, which is our Collector; WriteRows
                                        // writes the real one.
                                        "--benchmark_out=/dev/null"};
  if (repetitions > 1) arguments.emplace_back("--benchmark_enable_random_interleaving=true");
  arguments.insert(arguments.end(), flags.passed.begin(), flags.passed.end());
  if (flags.messages > 0) arguments.push_back(absl::StrCat("--benchmark_min_time=", one_run_seconds));
  return arguments;
}

int64_t WatchdogNanos(const Flags& flags, const SuiteTiming& timing) {
  constexpr int64_t nanos_per_message = 1'000'000;
  constexpr int64_t most_messages = 1'000'000'000;  // eleven days
  if (flags.messages > 0) return kSliceWatchdogNanos + std::min(flags.messages, most_messages) * nanos_per_message;
  const double seconds = flags.min_seconds > 0 ? flags.min_seconds : timing.min_seconds;
  return kSliceWatchdogNanos + static_cast<int64_t>(10 * seconds * os::kNanosPerSecond);
}

std::string HelpText() {
  std::vector<std::string> primitives;
  for (const PrimitiveEntry& primitive : Primitives()) primitives.emplace_back(primitive.name);
  const std::string help = absl::StrCat(
      R"(Measures inter-process communication: latency, throughput and attach cost, between real processes.

usage: $RUN -- [flags]

  --suite=NAME        smoke (about 15 s), quick (4 min, the default) or full (about an hour)
  --primitives=A,B    only these; known: )",
      absl::StrJoin(primitives, ", "), R"(
  --bytes=N,M         only these message sizes
  --depth=N           messages that an object holds (default: what 64 KiB hold, 64 to 1,024 of them, and 64 in
                      RoundTrip; large messages get fewer, see depth_messages in the file)
  --cpus=S,R          CPUs of the sender and the receiver (default: the first two that are allowed)
  --placement=P,Q     each row once with its two processes on the same_cpu, on two threads of a core (smt), two cores that
                      share the last cache (same_cache) or do not (other_cache), on two NUMA nodes (other_node), or
                      unpinned; all: what this machine has; auto (the default): as --cpus
  --unpinned          let the scheduler place the processes
  --clock=C           what times: tsc, monotonic (CLOCK_MONOTONIC), or auto (the default): the time stamp counter where it
                      is invariant, of a known rate and the same on all CPUs
  --format=F          what stdout gets: table (the default), json, csv or benchstat (Go's); the file is always written
  --noroofline        only the rows that --benchmark_filter selects; else those of Roofline run along, shortly, unless a
                      filter that begins with - leaves them out
  --samples=FILE      keeps every raw sample, in the order taken
  --benchmark_...     every flag of Google Benchmark: --benchmark_filter=REGEX, --benchmark_repetitions=N,
                      --benchmark_min_time=SECONDS or a count such as 1000x (a run that takes 60 s and ten times as
                      long, or 60 s and 1 ms a message, is killed and fails), --benchmark_list_tests,
                      --benchmark_enable_random_interleaving=false (default: true with several repetitions),
                      --benchmark_format=json|csv|console,
                      --benchmark_out=FILE (default: a new file under results/runs),
                      --benchmark_out_format=json|csv|console

Attach (with sysv_shm): create, shmat, shmdt, first_touch and lock, against the segment's size (up to 1 GiB in full) and
the number of processes attached (up to 1,000 in full), and the complexity fitted to each curve of three points or more.
What this system has no memory, processes or huge pages for is skipped, and the reason printed.
OpenLoop: Poisson and fixed arrivals at shares of the capacity, timed from the instant when a message was due, and of each
(load:highest, not in smoke) the highest rate with p99.9 below 1 ms. FanOut, Pairs: one or N senders, N receivers that
share the messages. Burst: messages back to back, then idle. Depth: a queue kept full. Wake: of a receiver that sleeps.
Recovery: from SIGKILL until the survivors go on. Roofline: the limits themselves.

examples
  $RUN -- --suite=smoke
  $RUN -- --suite=full --benchmark_filter='^Attach/'
  $RUN -- --primitives=sysv_shm,pipe --bytes=64,4096
  $RUN -- --placement=all --benchmark_filter=^RoundTrip/ --bytes=64
  $RUN -- --benchmark_filter='^RoundTrip/.*/64/' --benchmark_repetitions=5

A row that ends in ! was in no steady state. Colours: on a terminal, unless NO_COLOR is set.

exit codes: 0 fine, 1 a benchmark failed, 2 bad usage or no permission, 130 interrupted (what was done is written)
)");
  return absl::StrReplaceAll(help, {{"$RUN", RunCommand()}});
}

}  // namespace ipcmark::bench
