// Runs one program to its end, for the gate: in a process group of its own, with a time limit, stopped when the gate is
// interrupted, or killed.
#ifndef IPCMARK_RESULTS_CHILD_H_
#define IPCMARK_RESULTS_CHILD_H_

#include <atomic>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "results/janitor.h"

namespace ipcmark::results {

constexpr int kAnyCpu = -1;

struct Command {
  std::vector<std::string> arguments;  // the first is the program, looked for in PATH
  std::string folder;                  // to start in; empty: ours
  int cpu = kAnyCpu;                   // to be pinned to
  double limit_seconds = 0;            // 0: none
};

struct ChildEnd {
  // 128 + the signal for a program that a signal ended.
  int exit_code = 0;
  std::string output;
  std::string error;
};

// Set by SIGINT, SIGTERM and SIGHUP once CatchInterrupts was called.
extern std::atomic<bool> interrupted;
void CatchInterrupts();

// Cancelled when interrupted, DeadlineExceeded after the limit (both after the whole group was ended, by SIGTERM or
// else by SIGKILL), Unavailable when it cannot be started; each in one sentence.
absl::StatusOr<ChildEnd> RunChild(const Command& command, const Janitor& janitor);

// The last line that says something, for an error message.
std::string LastLine(const std::string& text);

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_CHILD_H_
