#include "stress/options.h"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "ipc/os/error.h"
#include "stress/message.h"

namespace ipcmark::stress {
namespace {

constexpr absl::string_view kSeeHelp = "; see --help";
// About three years; keeps the nanoseconds in range.
constexpr uint64_t kMostSeconds = 100'000'000;
constexpr uint64_t kMostTrafficMillis = 60'000;

absl::Status ParseNumber(absl::string_view flag, absl::string_view text, uint64_t least, uint64_t most,
                         uint64_t* value) {
  if (absl::SimpleAtoi(text, value) && *value >= least && *value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(flag, "=", text, " is not a whole number from ", least, " to ", most, kSeeHelp));
}

absl::Status ParseScenario(absl::string_view text, Options* options) {
  options->scenario_text = std::string(text);
  absl::StatusOr<NamePattern> pattern = NamePattern::Compile(options->scenario_text);
  if (!pattern.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--scenario=", text, " is not a regular expression (", pattern.status().message(), ")", kSeeHelp));
  }
  options->scenario = *std::move(pattern);
  return absl::OkStatus();
}

absl::Status ParsePoints(absl::string_view text, Options* options) {
  options->only_system_calls = text == "syscalls";
  if (options->only_system_calls) return absl::OkStatus();
  const std::vector<absl::string_view> parts = absl::StrSplit(text, ':');
  if (parts.size() != 2) {
    return absl::InvalidArgumentError(absl::StrCat("--points=", text, " is neither FROM:TO nor syscalls", kSeeHelp));
  }
  absl::Status status = ParseNumber("--points", parts[0], 0, kNoLimit - 1, &options->first_point);
  if (!status.ok()) return status;
  return ParseNumber("--points", parts[1], options->first_point + 1, kNoLimit, &options->last_point);
}

// "none", or numbers from 1 on with commas between them.
absl::Status ParseStrikes(absl::string_view text, Options* options) {
  options->smaller.strikes = 0;
  if (text == "none") return absl::OkStatus();
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    uint64_t number = 0;
    if (!absl::SimpleAtoi(part, &number) || number < 1 || number > 64) {
      return absl::InvalidArgumentError(
          absl::StrCat("--strikes=", text, " is neither none nor numbers from 1 to 64, like 1,4", kSeeHelp));
    }
    options->smaller.strikes |= uint64_t{1} << (number - 1);
  }
  return absl::OkStatus();
}

// The flags of Smaller; false: it is none of them.
bool ParseSmaller(absl::string_view argument, Options* options, absl::Status* status) {
  if (absl::ConsumePrefix(&argument, "--strikes=")) {
    *status = ParseStrikes(argument, options);
    return true;
  }
  if (absl::ConsumePrefix(&argument, "--messages=")) {
    *status = ParseNumber("--messages", argument, 0, kNoLimit - 1, &options->smaller.messages);
    return true;
  }
  struct Number {
    absl::string_view flag;
    uint64_t least;
    uint64_t most;
    uint32_t* value;
  };
  Smaller& smaller = options->smaller;
  constexpr uint64_t kMost = std::numeric_limits<uint32_t>::max();
  for (const Number& number :
       {Number{"--senders", 1, kMost, &smaller.senders}, Number{"--receivers", 1, kMost, &smaller.receivers},
        Number{"--depth", 1, kMost, &smaller.depth_messages},
        Number{"--bytes", kSmallestMessageBytes, kMost, &smaller.message_bytes}}) {
    if (!absl::ConsumePrefix(&argument, absl::StrCat(number.flag, "="))) continue;
    uint64_t value = 0;
    *status = ParseNumber(number.flag, argument, number.least, number.most, &value);
    *number.value = static_cast<uint32_t>(value);
    return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<NamePattern> NamePattern::Compile(const std::string& text) {
  regex_t compiled;
  const int error = regcomp(&compiled, text.c_str(), REG_EXTENDED | REG_NOSUB);
  if (error != 0) {
    char why[128];
    regerror(error, &compiled, why, sizeof(why));
    return absl::InvalidArgumentError(why);
  }
  return NamePattern(std::shared_ptr<const regex_t>(new regex_t(compiled), [](const regex_t* owned) {
    regfree(const_cast<regex_t*>(owned));
    delete owned;
  }));
}

bool NamePattern::Fits(const std::string& name) const {
  return compiled_ == nullptr || regexec(compiled_.get(), name.c_str(), 0, nullptr, 0) == 0;
}

namespace {

// A flag whose value is a word, or some of them.
bool ParseWord(absl::string_view argument, Options* options) {
  const std::pair<absl::string_view, NameList*> kLists[] = {
      {"--primitive=", &options->primitive}, {"--fault=", &options->fault}, {"--invariant=", &options->invariant}};
  for (const auto& [prefix, list] : kLists) {
    absl::string_view value = argument;
    if (!absl::ConsumePrefix(&value, prefix) || value.empty()) continue;
    *list = NameList(value);
    return true;
  }
  const std::pair<absl::string_view, std::string*> kWords[] = {{"--json=", &options->json},
                                                               {"--isolation=", &options->isolation}};
  for (const auto& [prefix, word] : kWords) {
    absl::string_view value = argument;
    if (!absl::ConsumePrefix(&value, prefix) || value.empty()) continue;
    *word = std::string(value);
    return true;
  }
  return false;
}

bool NeedsValue(absl::string_view argument) {
  constexpr absl::string_view kFlags[] = {
      "--seconds",   "--trials",   "--seed",    "--scenario",  "--primitive",        "--fault",
      "--invariant", "--json",     "--points",  "--senders",   "--receivers",        "--depth",
      "--bytes",     "--messages", "--strikes", "--isolation", "--minimize-seconds", "--traffic-ms"};
  return std::ranges::find(kFlags, absl::StripSuffix(argument, "=")) != std::end(kFlags);
}

// Of --sweep, what means nothing without it or with it.
absl::Status CheckSweep(const Options& options, std::span<const char* const> arguments) {
  constexpr absl::string_view kOfTrials[] = {
      "--fault", "--invariant", "--minimize-seconds", "--traffic-ms", "--senders", "--receivers",
      "--depth", "--bytes",     "--messages",         "--strikes"};
  for (const absl::string_view argument : arguments) {
    const absl::string_view flag = argument.substr(0, argument.find('='));
    if (flag == "--points" && !options.sweep) {
      return absl::InvalidArgumentError(absl::StrCat(argument, " is about the points of a --sweep", kSeeHelp));
    }
    if (options.sweep && std::ranges::find(kOfTrials, flag) != std::end(kOfTrials)) {
      return absl::InvalidArgumentError(absl::StrCat(argument, " means nothing to a --sweep: leave out one", kSeeHelp));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Options> ParseOptions(std::span<const char* const> arguments) {
  Options options;
  bool has_seconds = false;
  bool has_seed = false;
  for (absl::string_view argument : arguments) {
    absl::Status status;
    absl::string_view value = argument;
    if (argument == "--help" || argument == "-h") {
      options.help = true;
    } else if (argument == "--list") {
      options.list = true;
    } else if (argument == "--sweep") {
      options.sweep = true;
    } else if (absl::ConsumePrefix(&value, "--points=")) {
      status = ParsePoints(value, &options);
    } else if (absl::ConsumePrefix(&value, "--seconds=")) {
      has_seconds = true;
      status = ParseNumber("--seconds", value, 1, kMostSeconds, &options.seconds);
    } else if (absl::ConsumePrefix(&value, "--trials=")) {
      status = ParseNumber("--trials", value, 1, kNoLimit - 1, &options.trials);
    } else if (absl::ConsumePrefix(&value, "--seed=")) {
      has_seed = true;
      status = ParseNumber("--seed", value, 0, kNoLimit, &options.seed);
    } else if (absl::ConsumePrefix(&value, "--scenario=")) {
      status = ParseScenario(value, &options);
    } else if (absl::ConsumePrefix(&value, "--traffic-ms=")) {
      status = ParseNumber("--traffic-ms", value, 1, kMostTrafficMillis, &options.traffic_millis);
    } else if (absl::ConsumePrefix(&value, "--minimize-seconds=")) {
      status = ParseNumber("--minimize-seconds", value, 0, kMostSeconds, &options.minimize_seconds);
    } else if (ParseWord(argument, &options)) {
      continue;
    } else if (ParseSmaller(argument, &options, &status)) {
      if (status.ok()) continue;
    } else if (NeedsValue(argument)) {
      status = absl::InvalidArgumentError(
          absl::StrCat(argument, " needs a value: ", absl::StripSuffix(argument, "="), "=VALUE", kSeeHelp));
    } else {
      status = absl::InvalidArgumentError(absl::StrCat("unknown argument ", argument, kSeeHelp));
    }
    if (!status.ok()) return status;
  }
  const absl::Status fits = CheckSweep(options, arguments);
  if (!fits.ok()) return fits;
  if (options.sweep && !has_seconds) options.seconds = kMostSeconds;
  // A replay runs its trials to the end.
  if (options.trials != kNoLimit && !has_seconds) options.seconds = kMostSeconds;
  if (!has_seed && getrandom(&options.seed, sizeof(options.seed), 0) != sizeof(options.seed)) {
    return os::SyscallError("getrandom(8 bytes)", errno, "give --seed=S");
  }
  return options;
}

std::string HelpText(const std::string& target) {
  return absl::StrCat(
      R"(Runs scenarios against every primitive: real processes send checksummed messages while a fault strikes, and after
each trial every invariant is checked. --list ends with the faults and the invariants.

  --seconds=N        begin no trial after N seconds and finish the one at hand (default 10, with --trials: no limit)
  --trials=N         stop after N trials of each scenario (default: no limit)
  --seed=S           draw by S what the trials do: messages, how an end waits, victims and moments of strikes (default: a new
                     one, which is printed). How the processes interleave is the machine's, and how many strikes fit into
                     the time of traffic: the first one always happens, so a replay may need some tries
  --scenario=REGEX   run the scenarios in whose names REGEX (POSIX extended) is found (default: all)
  --primitive=NAME,...  only these primitives (the first part of a scenario's name)
  --fault=NAME,...      only these faults
  --invariant=NAME,...  check only these invariants
  --minimize-seconds=N  for so long look for a smaller trial that breaks the same (default 10, 0: do not)
  --senders=N --receivers=N --depth=N --bytes=N --messages=N --strikes=1,4
                     make each trial so small: of a scenario's own (--strikes=none: nothing strikes)
  --traffic-ms=N     let each trial's traffic last for N milliseconds (default 40, less where many scenarios share little
                     time)
  --json=FILE        write the results to FILE as JSON, too
  --isolation=HOW    what removes the run's kernel objects if it is killed itself: namespaces (of IPC and of /dev/shm, the
                     default; where they are refused, a janitor), janitor (a process that outlives the run), none
  --sweep            instead: SIGKILL at every instruction and inside every system call of each call of what promises to
                     survive it (send, receive, open, close, create, ...); --scenario chooses among names like
                     mmap_queue/send, --trials=N tries N points of each call.
                     Calls named held_... are held at each instruction, while another process acts, instead of killed
  --points=FROM:TO   of a sweep: only these points of each call; --points=syscalls: before, inside and behind each
                     system call
  --list             print the scenarios (with --sweep: the calls), and what is skipped and why
  --help             print this

Examples:
  ./bazelw run )",
      target, R"( -- --seconds=60
  ./bazelw run )",
      target, R"( -- --primitive=mmap_queue,shm_mpmc --fault=sigkill --scenario=3to3 --json=/tmp/stress.json
  ./bazelw run )",
      target, R"( -- --seed=7 --scenario='^sysv_shm/1to1/block/depth:4/bytes:64/none$' --trials=1
  ./bazelw run )",
      target, R"( -- --sweep --primitive=sysv_shm

A broken scenario prints the command that replays its trial, and is not run again. Ctrl-C ends the run with the summary
so far.

Exit status: 0 nothing was broken in what was run (the summary says how many scenarios were not reached, after Ctrl-C or
when the time was up; --json= has each of them with 0 trials), 1 an invariant was broken, 2 bad usage or the system refused (its words say what).
)");
}

}  // namespace ipcmark::stress
