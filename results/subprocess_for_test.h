// Runs a program and waits for it, for tests of command lines.
#ifndef IPCMARK_RESULTS_SUBPROCESS_FOR_TEST_H_
#define IPCMARK_RESULTS_SUBPROCESS_FOR_TEST_H_

#include <string>
#include <vector>

namespace ipcmark::results {

struct Outcome {
  // 128 + the signal for a program that a signal ended; -1 when it could not be started.
  int exit_code = -1;
  std::string output;
  std::string error;
};

// `arguments[0]` is the program's path; `environment` ("NAME=value") replaces the caller's. Standard input is empty;
// standard output goes to `output_path` where that is given, and is then not returned.
Outcome RunProgram(const std::vector<std::string>& arguments, const std::vector<std::string>& environment = {},
                   const std::string& output_path = "");

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_SUBPROCESS_FOR_TEST_H_
