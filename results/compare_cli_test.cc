// The program itself: every class of outcome by its exit code and its words.
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "results/compare_options.h"
#include "results/subprocess_for_test.h"

namespace ipcmark::results {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kProgram[] = "results/compare";

std::string Data(const std::string& name) { return "results/testdata/" + name + ".json"; }

Outcome RunCompare(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), kProgram);
  return RunProgram(arguments);
}

std::string WriteTemporary(const std::string& name, const std::string& text) {
  std::string path = testing::TempDir() + name;
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

struct CliCase {
  std::vector<std::string> arguments;
  int exit_code;
  std::string words;  // on stdout for 0, 1, 3 and 4, on stderr for 2
};

TEST(CompareCli, ExitCodeAndWordsOfEveryOutcome) {
  const std::string base = Data("gbench_base");
  const std::string ours = Data("ipcmark_base");
  const std::string head = Data("ipcmark_head");
  const std::string other_kernel =
      WriteTemporary("kernel.json", R"({"context": {"kernel": "5.4"}, "benchmarks": [{"name": "a", "real_time": 1}]})");
  const std::string this_kernel = WriteTemporary(
      "kernel2.json", R"({"context": {"kernel": "6.1"}, "benchmarks": [{"name": "a", "real_time": 9}]})");
  const std::string truncated = WriteTemporary("truncated.json", R"({"context": {}, "benchmarks": [{"name")");
  const std::string empty = WriteTemporary("empty.json", "");
  for (const CliCase& c : std::vector<CliCase>{
           {{"--help"}, 0, "exit codes"},
           {{"-h", "one.json"}, 0, "exit codes"},
           {{base, base}, 0, "3 benchmarks: 0 slower, 0 faster, 3 ~"},
           {{base, Data("gbench_head")}, 0, "3 benchmarks: 0 slower"},
           {{"--strict", ours, ours}, 0, "0 slower, 0 faster, 3 ~"},
           {{ours, head}, 1, "3 benchmarks: 1 slower, 1 faster, 1 ~"},
           {{"--threshold=40%", ours, head}, 0, "3 ~"},
           {{"--threshold", "0.4", ours, head}, 0, "threshold 40 %"},
           {{"--filter", "^Attach/", ours, head}, 0, "1 benchmark: 0 slower, 0 faster, 1 ~"},
           {{"--metric=items_per_second", "--filter=Throughput", ours, head}, 1, "1 slower"},
           {{"--format=csv", ours, head}, 1, "name,metric,base,head"},
           {{"--format=bencher", base, base}, 0, "latency"},
           {{"--format=xml", base, base}, 2, "--format=xml: choose one of text, markdown"},
           {{"--format=custom", "--metric=items_per_second", ours, ours}, 2, "smaller is not better"},
           {{"--metric=p999_ns", ours, ours}, 0, "left out: Throughput/"},
           {{"--metric=p999_ns", "--strict", ours, ours}, 3, "2 left out"},
           {{base, Data("gbench_error")}, 1, "failed in head: BM_Fails: pipe(): EMFILE"},
           {{"--threshold=1000%", Data("gbench_error"), base}, 1, "missing in head: BM_Fails"},
           {{"--threshold=1000%", Data("gbench_nan"), base}, 1, "missing in head: BM_Odd"},
           {{"--threshold=1000%", base, Data("gbench_nan")}, 0, "missing in base: BM_Odd"},
           {{"--threshold=1000%", "--strict", base, Data("gbench_nan")}, 3, "1 missing in base"},
           {{"--metric=nan", Data("gbench_nan"), Data("gbench_nan")}, 1, "no number: nan is nan"},
           {{other_kernel, this_kernel}, 1, "environments differ: kernel is 5.4 in base, 6.1 in head"},
           {{"--strict", other_kernel, this_kernel}, 4, "1 slower"},
           {{}, 2, "two files are needed"},
           {{base}, 2, "1 is given (results/testdata/gbench_base.json)"},
           {{base, base, "third.json"}, 2, "3 are given"},
           {{"--fast", base, base}, 2, "--fast: there is no such flag"},
           {{"--strict=yes", base, base}, 2, "--strict takes no value"},
           {{"--metric=", base, base}, 2, "--metric needs a value"},
           {{base, base, "--filter"}, 2, "--filter needs a value"},
           {{"--threshold=10", base, base}, 2, "--threshold=10: give a percentage"},
           {{"--metric=p98_ns", base, base}, 2, "--metric=p98_ns: no row of either file has that number"},
           {{"--filter=[a", base, base}, 2, "--filter=[a: "},
           {{"--filter=nothing", base, base}, 2, "--filter=nothing matches no benchmark"},
           {{base, ours}, 2, "no benchmark name in common"},
           {{base, "absent.json"}, 2, "open(absent.json): No such file or directory"},
           {{"--", base, "--absent"}, 2, "open(--absent)"},
           {{"results", base}, 2, "read(results): Is a directory"},
           {{empty, base}, 2, "the file is empty"},
           {{base, truncated}, 2, "breaks off at byte 38"}}) {
    const Outcome outcome = RunCompare(c.arguments);
    const std::string shown = testing::PrintToString(c.arguments) + "\n" + outcome.output + outcome.error;
    EXPECT_EQ(outcome.exit_code, c.exit_code) << shown;
    EXPECT_THAT(c.exit_code == 2 ? outcome.error : outcome.output, HasSubstr(c.words)) << shown;
    EXPECT_THAT(c.exit_code == 2 ? outcome.output : outcome.error, IsEmpty()) << shown;
    if (c.exit_code == 2) {
      EXPECT_EQ(std::count(outcome.error.begin(), outcome.error.end(), '\n'), 1) << shown;
    }
  }
}

TEST(CompareCli, RelativePathsAreMeantFromWhereBazelWasCalled) {
  const Outcome found =
      RunProgram({kProgram, "gbench_base.json", "gbench_base.json"},
                 {"BUILD_WORKING_DIRECTORY=" + std::filesystem::current_path().string() + "/results/testdata"});
  EXPECT_EQ(found.exit_code, 0) << found.error;
  const Outcome lost =
      RunProgram({kProgram, Data("gbench_base"), Data("gbench_base")}, {"BUILD_WORKING_DIRECTORY=/nowhere"});
  EXPECT_EQ(lost.exit_code, 2);
  EXPECT_THAT(lost.error, HasSubstr("open(/nowhere/results/testdata/gbench_base.json)"));
}

TEST(CompareCli, AReportThatCannotBeWrittenIsNoPass) {
  const Outcome outcome = RunProgram({kProgram, Data("gbench_base"), Data("gbench_base")}, {}, "/dev/full");
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.error, HasSubstr("No space left on device"));
}

// What the program writes when its standard output is a terminal.
std::string OnTerminal(const char* name, const char* value) {
  int terminal = -1;
  const pid_t child = forkpty(&terminal, nullptr, nullptr, nullptr);
  if (child == 0) {
    setenv(name, value, 1);
    execl(kProgram, kProgram, Data("ipcmark_base").c_str(), Data("ipcmark_head").c_str(), nullptr);
    _exit(127);
  }
  EXPECT_GT(child, 0);
  std::string text;
  std::array<char, 4096> chunk;
  // The terminal ends with EIO when the last writer has gone.
  for (ssize_t got = 0; (got = read(terminal, chunk.data(), chunk.size())) > 0;) text.append(chunk.data(), got);
  int status = 0;
  waitpid(child, &status, 0);
  close(terminal);
  EXPECT_EQ(WEXITSTATUS(status), 1);
  return text;
}

TEST(CompareCli, HasColoursOnATerminalOnly) {
  EXPECT_THAT(RunCompare({Data("ipcmark_base"), Data("ipcmark_head")}).output, Not(HasSubstr("\x1b")));
  EXPECT_THAT(OnTerminal("TERM", "xterm"), HasSubstr("\x1b[31mThroughput/"));
  EXPECT_THAT(OnTerminal("NO_COLOR", "1"), Not(HasSubstr("\x1b")));
  EXPECT_THAT(OnTerminal("TERM", "dumb"), Not(HasSubstr("\x1b")));
}

// The library's own test flips many more; here the whole way to the exit code is taken.
TEST(CompareCli, FlippedBytesEndWithOneOfTheExitCodes) {
  constexpr unsigned seed = 99;
  std::cout << "seed " << seed << '\n';
  std::mt19937_64 random(seed);
  std::ifstream stream(Data("gbench_head"), std::ios::binary);
  const std::string whole{std::istreambuf_iterator<char>(stream), {}};
  ASSERT_FALSE(whole.empty());
  for (int round = 0; round < 100; ++round) {
    std::string json = whole;
    json[random() % json.size()] = static_cast<char>(random() & 0xFFU);
    const Outcome outcome = RunCompare({Data("gbench_base"), WriteTemporary("flipped.json", json)});
    EXPECT_GE(outcome.exit_code, 0) << "seed " << seed << " round " << round;
    EXPECT_LE(outcome.exit_code, 2) << "seed " << seed << " round " << round << "\n" << outcome.error;
  }
}

TEST(Threshold, IsAPercentageOrAFraction) {
  EXPECT_DOUBLE_EQ(ParseThreshold("10%").value(), 0.1);
  EXPECT_DOUBLE_EQ(ParseThreshold("0.1").value(), 0.1);
  EXPECT_DOUBLE_EQ(ParseThreshold("0").value(), 0);
  EXPECT_DOUBLE_EQ(ParseThreshold("150%").value(), 1.5);
  for (const char* bad : {"", "%", "10", "1", "ten", "-1%", "nan", "nan%", "inf%", "0.1%%", "1e9%", "0.1x"}) {
    EXPECT_FALSE(ParseThreshold(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace ipcmark::results
