#ifndef IPCMARK_STRESS_OPTIONS_H_
#define IPCMARK_STRESS_OPTIONS_H_

// The command line. Parsed by hand: abseil's flags end a program with status 1 on an unknown flag, and 1 means a broken
// invariant here.

#include <regex.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "stress/name_list.h"
#include "stress/smaller.h"

namespace ipcmark::stress {

inline constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

// A POSIX extended regular expression, searched for in names. Not std::regex: GCC 12 cannot compile that under
// AddressSanitizer with -Werror (a false -Wmaybe-uninitialized in its own headers).
class NamePattern {
 public:
  // Fits every name.
  NamePattern() = default;
  // kInvalidArgument: what regerror(3) says.
  static absl::StatusOr<NamePattern> Compile(const std::string& text);
  [[nodiscard]] bool Fits(const std::string& name) const;

 private:
  explicit NamePattern(std::shared_ptr<const regex_t> compiled) : compiled_(std::move(compiled)) {}
  std::shared_ptr<const regex_t> compiled_;
};

struct Options {
  uint64_t seconds = 10;
  uint64_t trials = kNoLimit;  // of each scenario
  uint64_t seed = 0;           // drawn from the system unless given
  std::string scenario_text;   // as given, for messages
  NamePattern scenario;
  NameList primitive;
  NameList fault;
  NameList invariant;
  std::string json;                      // a file for the results, "" : none
  std::string isolation = "namespaces";  // isolation.h
  Smaller smaller;                       // than a scenario says
  uint64_t traffic_millis = 0;           // of each trial; 0: what the run's time allows
  uint64_t minimize_seconds = 10;        // for the smallest case that breaks the same; 0: do not look for one
  bool sweep = false;
  uint64_t first_point = 0;        // of a sweep
  uint64_t last_point = kNoLimit;  // not included
  bool only_system_calls = false;  // of these points
  bool list = false;
  bool help = false;
};

// `arguments`: without the program's name. An error is one sentence for the user.
absl::StatusOr<Options> ParseOptions(std::span<const char* const> arguments);

// What --help prints. `target`: this binary's Bazel label, as in "//stress".
std::string HelpText(const std::string& target);

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_OPTIONS_H_
