// The command line of //results:compare. Parsed by hand: abseil's flags exit with 1 on a mistake, and 1 means a
// regression here.
#ifndef IPCMARK_RESULTS_COMPARE_OPTIONS_H_
#define IPCMARK_RESULTS_COMPARE_OPTIONS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "results/compare.h"

namespace ipcmark::results {

struct CommandLine {
  CompareOptions options;
  std::string base_path;
  std::string head_path;
  std::string format = "text";  // one of kFormats
  bool strict = false;
  bool help = false;
};

// `arguments` without the program's name. A value follows its flag after '=' or as the next argument; "--" ends the
// flags. InvalidArgument, in one sentence, names the argument that is wrong.
absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& arguments);

// "10%" and "0.1" are both 0.1.
absl::StatusOr<double> ParseThreshold(const std::string& text);

// `bazel run` starts a program in its runfiles: a relative path is meant from `working_directory`, where the caller is.
std::string ResolvePath(const std::string& path, const char* working_directory);

extern const char kUsage[];

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_COMPARE_OPTIONS_H_
