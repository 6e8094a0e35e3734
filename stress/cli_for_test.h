#ifndef IPCMARK_STRESS_CLI_FOR_TEST_H_
#define IPCMARK_STRESS_CLI_FOR_TEST_H_

// What the tests of the stress program's command line share: the program as its users meet it, arguments in, words and
// an exit status out.

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ipcmark::stress {

inline constexpr char kStress[] = "stress/stress";
inline constexpr char kForgetful[] = "stress/mutants/forgetful_stress";
inline constexpr char kLeaking[] = "stress/mutants/leaking_stress";

struct Outcome {
  int status;
  std::string out;
  std::string err;
};

inline std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Runs `program` with a shell's `arguments`; `prefix` goes before it.
inline Outcome RunProgram(const std::string& program, const std::string& arguments, const std::string& prefix = "") {
  const std::string base = testing::TempDir() + "/run";
  const std::string command = prefix + "./" + program + " " + arguments + " >" + base + ".out 2>" + base + ".err";
  const int status = system(command.c_str());  // NOLINT(bugprone-command-processor,cert-env33-c): a test's own words
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, ReadFile(base + ".out"), ReadFile(base + ".err")};
}

// What is in /dev/shm, and the System V segments.
inline std::string SharedObjects() {
  std::string text = ReadFile("/proc/sysvipc/shm");
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) text += entry.path().string() + "\n";
  return text;
}

inline long Lines(const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }

struct BadUsage {
  const char* arguments;
  const char* named;  // what the one sentence must name
};

// Status 2, nothing done, and one sentence that names it.
inline void ExpectOneSentenceEach(std::span<const BadUsage> usages) {
  for (const BadUsage& usage : usages) {
    SCOPED_TRACE(usage.arguments);
    const Outcome outcome = RunProgram(kStress, usage.arguments);
    EXPECT_EQ(outcome.status, 2);
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.err, testing::AllOf(testing::StartsWith("stress: "), testing::HasSubstr(usage.named)));
    EXPECT_EQ(Lines(outcome.err), 1);
  }
}

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_CLI_FOR_TEST_H_
