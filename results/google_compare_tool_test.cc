// Google Benchmark's own compare tool (Debian: libbenchmark-tools) reads the files that we read and that we write.
#include <array>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "results/subprocess_for_test.h"

namespace ipcmark::results {
namespace {

using ::testing::HasSubstr;

// A tool that is not installed gives -1 or 2 and fails the tests, too: packages.txt promises it.
Outcome RunTool(const std::string& base, const std::string& head) {
  return RunProgram({"/usr/bin/python3", "/usr/share/benchmark/compare.py", "--no-color", "benchmarks", base, head},
                    {"PATH=/usr/local/bin:/usr/bin:/bin"});
}

std::string Data(const std::string& name) { return "results/testdata/" + name + ".json"; }

TEST(GoogleCompareTool, AcceptsEveryFileOfOurs) {
  for (const auto& [base, head, row] : std::vector<std::array<std::string, 3>>{
           {"gbench_base", "gbench_head", "BM_Copy/4096_median"},
           {"gbench_aggregates_only", "gbench_aggregates_only", "BM_Sum_mean"},
           {"gbench_error", "gbench_error", "BM_Fails"},
           {"gbench_nan", "gbench_nan", "BM_Odd"},
           {"ipcmark_base", "ipcmark_head", "RoundTrip/sysv_shm/spin/64/manual_time/repeats:5"}}) {
    const Outcome outcome = RunTool(Data(base), Data(head));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output << outcome.error;
    EXPECT_THAT(outcome.output, HasSubstr("Comparing " + Data(base)));
    EXPECT_THAT(outcome.output, HasSubstr("\n" + row + " ")) << outcome.error;
  }
}

// So that the test above can fail.
TEST(GoogleCompareTool, RefusesWhatIsNoResultFile) {
  const Outcome outcome = RunTool(Data("gbench_base"), "results/schema.md");
  EXPECT_NE(outcome.exit_code, 0);
  EXPECT_THAT(outcome.output, HasSubstr("Invalid input file")) << outcome.error;
}

}  // namespace
}  // namespace ipcmark::results
