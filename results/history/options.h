// The command line of //results:history. Parsed by hand: abseil's flags exit with 1 on a mistake, and 1 means a
// regression here.
#ifndef IPCMARK_RESULTS_HISTORY_OPTIONS_H_
#define IPCMARK_RESULTS_HISTORY_OPTIONS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "results/history/trend.h"

namespace ipcmark::results {

struct HistoryOptions {
  std::string command;                 // add, list, show, trend, export, merge or check
  std::vector<std::string> arguments;  // of the command, without flags
  std::string db;                      // empty: the default
  std::string format;                  // empty: the command's default
  TrendOptions trend;
  bool strict = false;
  bool help = false;
};

// `arguments` without the program's name; "--" ends the flags. InvalidArgument, in one sentence, names what is wrong.
absl::StatusOr<HistoryOptions> ParseHistoryOptions(const std::vector<std::string>& arguments);

extern const char kHistoryUsage[];

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_HISTORY_OPTIONS_H_
