#ifndef IPCMARK_BENCH_PROGRAM_FOR_TEST_H_
#define IPCMARK_BENCH_PROGRAM_FOR_TEST_H_

// The bench program as its users meet it: started with arguments in a folder of its own, waited for, interrupted.

#include <sys/types.h>

#include <string>
#include <vector>

#include "rapidjson/document.h"

namespace ipcmark::bench {

// The program that most tests run, from the folder in which a test starts.
inline constexpr char kBench[] = "bench/bench";

struct Outcome {
  int status;  // 128 + the signal for a program that a signal ended
  std::string out;
  std::string err;             // without the lines that begin with "warning: "
  std::vector<pid_t> orphans;  // what it left running: waited for and, after that, gone
};

// A program that runs. Its working directory is a new empty folder, its environment the caller's without Bazel's
// BUILD_... and with `environment` ("NAME=value") on top; its output goes to files.
class Program {
 public:
  explicit Program(std::vector<std::string> arguments, const std::vector<std::string>& environment = {},
                   const std::string& program = kBench);
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program();  // removes the folder

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] const std::string& folder() const { return folder_; }
  // Sends SIGKILL to one of its children that runs just now; false when there was none before it ended.
  bool KillAChild();
  // Looks until `text` is in its output; false when it ended without.
  bool AwaitOutput(const std::string& text);
  // Looks until it has a child; false when it ended without.
  bool AwaitChild();
  Outcome Wait();

  // The regular files below its folder, relative to it, without its output.
  [[nodiscard]] std::vector<std::string> Files() const;
  [[nodiscard]] std::string Contents(const std::string& name) const;

 private:
  [[nodiscard]] bool Ended() const;

  std::string folder_;
  pid_t pid_ = -1;
};

// Start and Wait.
Outcome RunBench(std::vector<std::string> arguments, const std::vector<std::string>& environment = {});

// A result file's text; the test fails when it is no JSON.
rapidjson::Document Parse(const std::string& text);
// Of its rows, in their order.
std::vector<std::string> Names(const rapidjson::Document& document);

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_PROGRAM_FOR_TEST_H_
