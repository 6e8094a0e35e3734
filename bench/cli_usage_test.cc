// What bench refuses: one sentence, status 2, nothing left behind.

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "bench/program_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ipc/conformance/support.h"

namespace ipcmark::bench {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

// Runs it, expects a refusal and returns the sentence.
std::string RefusalOf(const std::vector<std::string>& arguments, const std::vector<std::string>& environment = {}) {
  const std::vector<std::string> before = conformance::Belongings();
  Program program(arguments, environment);
  const std::string folder = program.folder();
  const std::vector<std::string> files = program.Files();
  const Outcome outcome = program.Wait();
  EXPECT_EQ(outcome.status, 2) << outcome.out << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, StartsWith("bench: "));
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
  EXPECT_THAT(outcome.orphans, IsEmpty());
  EXPECT_THAT(program.Files(), IsEmpty());
  EXPECT_EQ(conformance::Belongings(), before);
  return outcome.err;
}

struct BadUsage {
  std::vector<std::string> arguments;
  const char* named;  // what the sentence must say
};

TEST(BenchRefuses, BadUsageWithOneSentenceThatNamesIt) {
  for (const BadUsage& usage :
       {BadUsage{{"--frobnicate"}, "--frobnicate; see --help"},
        BadUsage{{"smoke"}, "unknown argument smoke"},
        BadUsage{{"--suite=slow"}, "choose one of smoke, quick, full"},
        BadUsage{{"--primitives=tube"}, "choose from sysv_shm, "},
        BadUsage{{"--bytes=7"}, "--bytes=7: "},
        BadUsage{{"--bytes=many"}, "\"many\" is no number"},
        BadUsage{{"--cpus=0"}, "--cpus=0: name two"},
        BadUsage{{"--cpus=0,99999"}, "may not run on CPU 99999"},
        BadUsage{{"--benchmark_filter=("}, "--benchmark_filter=(: no regular expression"},
        BadUsage{{"--benchmark_filter=^no$"}, "--benchmark_filter=^no$: matches none of "},
        BadUsage{{"--benchmark_filter=-."}, "matches none of "},
        BadUsage{{"--benchmark_frobnicate=1"}, "--benchmark_frobnicate=1: Google Benchmark has no such flag"},
        BadUsage{{"--benchmark_min_time=0.1s"}, "--benchmark_min_time=0.1s: give seconds without a unit"},
        BadUsage{{"--benchmark_repetitions=0"}, "--benchmark_repetitions=0: "},
        BadUsage{{"--benchmark_time_unit=x"}, "--benchmark_time_unit=x: choose ns, us, ms or s"},
        BadUsage{{"--benchmark_min_time=1e400"}, "--benchmark_min_time=1e400: give seconds"},
        BadUsage{{"--samples=/nonexistent/y", "--benchmark_out=run.json"}, "an existing folder in --samples"},
        BadUsage{{"--samples=run.txt", "--benchmark_out=run.txt"}, "--samples=run.txt: the rows go to this file"},
        BadUsage{{"--samples=run.txt", "--benchmark_out=./run.txt"}, "--samples=run.txt: the rows go to this file"},
        BadUsage{{"--benchmark_out="}, "--benchmark_out=: it needs a value"},
        BadUsage{{"--benchmark_format=xml"}, "choose json, csv or console"},
        BadUsage{{"--benchmark_out_format=xml"}, "choose json, csv or console"},
        BadUsage{{"--benchmark_out=missing/run.json"}, "open missing/run.json: ENOENT"},
        BadUsage{{"--benchmark_out=/dev/null/run.json"}, "open /dev/null/run.json: ENOTDIR"},
        BadUsage{{"--benchmark_out=/proc/run.json"}, "open /proc/run.json: ENOENT"},
        BadUsage{{"--benchmark_out=/"}, "open /: EISDIR"}}) {
    EXPECT_THAT(RefusalOf(usage.arguments), HasSubstr(usage.named));
  }
}

TEST(BenchRefuses, ACallersFolderThatIsGone) {
  EXPECT_THAT(RefusalOf({}, {"BUILD_WORKING_DIRECTORY=/nonexistent"}), HasSubstr("chdir /nonexistent: ENOENT"));
}

TEST(BenchRefuses, AQueueFolderThatDoesNotExist) {
  EXPECT_THAT(RefusalOf({"--suite=smoke"}, {"IPCMARK_QUEUE_DIR=/nonexistent"}),
              AllOf(HasSubstr("open(/nonexistent, O_TMPFILE): ENOENT"), HasSubstr("IPCMARK_QUEUE_DIR")));
}

TEST(BenchRefuses, NoQueueFolderThatItDoesNotNeed) {
  const Outcome outcome =
      RunBench({"--suite=smoke", "--primitives=pipe", "--benchmark_list_tests"}, {"IPCMARK_QUEUE_DIR=/nonexistent"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
}

// In a namespace of its own, so that nobody else's limits change.
class BenchInFullSystem : public testing::TestWithParam<int> {};

TEST_P(BenchInFullSystem, SaysWhichLimitToRaise) {
  const std::string limit = std::to_string(GetParam());
  const std::string script = "echo " + limit + " >/proc/sys/kernel/shmmni && exec \"$@\"";
  // A sandboxed test may be root in a user namespace that does not own the file.
  const std::string probe = "/usr/bin/unshare --ipc /bin/sh -c 'echo 4096 >/proc/sys/kernel/shmmni' 2>/dev/null";
  if (system(probe.c_str()) != 0) GTEST_SKIP() << "no permission for an IPC namespace with limits of its own";
  Program program({"--ipc", "/bin/sh", "-c", script, "sh", std::filesystem::absolute(kBench), "--suite=smoke",
                   "--primitives=sysv_shm"},
                  {}, "/usr/bin/unshare");
  const Outcome outcome = program.Wait();
  EXPECT_EQ(outcome.status, 2) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.err, AllOf(StartsWith("bench: shmget(key=0, "), HasSubstr(" bytes): ENOSPC"),
                                 HasSubstr("raise kernel.shmmni")));
  EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1);
  EXPECT_THAT(program.Files(), IsEmpty());
}

// None at all, and one where a round trip takes two.
INSTANTIATE_TEST_SUITE_P(, BenchInFullSystem, testing::Values(0, 1));

TEST(BenchHelp, SaysWhatItIsForWithExamplesAndExitCodes) {
  const Outcome outcome = RunBench({"--help", "--suite=smoke"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.err, "");
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("known: sysv_shm, "), HasSubstr("./bazelw run //bench -- "),
                                 HasSubstr("exit codes: 0 fine")));
}

// Whatever a case of one suite alone is too large for on this system is skipped.
TEST(BenchList, ShowsEverySuite) {
  for (const char* suite : {"smoke", "quick", "full"}) {
    const Outcome outcome = RunBench({std::string("--suite=") + suite, "--benchmark_list_tests"});
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr("RoundTrip/pipe/block/8/manual_time\n"));
  }
}

TEST(BenchList, ShowsWhatTheFilterSelectsAndMeasuresNothing) {
  for (const char* flag : {"--benchmark_list_tests", "--benchmark_list_tests=1"}) {
    Program program({"--suite=smoke", "--primitives=sysv_shm,mmap_queue,pipe", "--bytes=8", flag,
                     "--benchmark_filter=^RoundTrip/.*/block/"});
    const Outcome outcome = program.Wait();
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_EQ(outcome.out,
              "RoundTrip/sysv_shm/block/8/manual_time\nRoundTrip/mmap_queue/block/8/manual_time\n"
              "RoundTrip/pipe/block/8/manual_time\n");
    EXPECT_EQ(outcome.err, "");
    EXPECT_THAT(program.Files(), IsEmpty());
  }
  EXPECT_THAT(RunBench({"--suite=smoke", "--benchmark_list_tests",
                        "--benchmark_filter=-RoundTrip|Throughput|Loan|FanIn|Broadcast"})
                  .out,
              StartsWith("FanOut/"));
}

}  // namespace
}  // namespace ipcmark::bench
