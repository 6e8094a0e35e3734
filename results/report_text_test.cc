#include "results/report_text.h"

#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "results/text.h"

namespace ipcmark::results {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Report Sample() {
  Report report;
  report.base_path = "a.json";
  report.head_path = "b.json";
  const auto add = [&](const std::string& name, Verdict verdict, double ratio) {
    Comparison comparison;
    comparison.name = name;
    comparison.verdict = verdict;
    comparison.ratio = ratio;
    if (ratio > 0) {
      comparison.base = 4700;
      comparison.head = 4700 * ratio;
      comparison.interval = Interval{ratio * 0.99, ratio * 1.01};
    }
    report.comparisons.push_back(comparison);
  };
  add("RoundTrip/pipe/block/64/manual_time/repeats:9", Verdict::kSlower, 1.5);
  add("RoundTrip/pipe/spin/64/manual_time/repeats:9", Verdict::kFaster, 0.5);
  add("RoundTrip/sysv_shm/spin/64/manual_time/repeats:9", Verdict::kSame, 1.01);
  add("Throughput/pipe/block/64/manual_time/repeats:9", Verdict::kMissingInHead, 0);
  report.comparisons.back().detail = "skipped: EMFILE\n\x1b[2J";
  report.geometric_mean = 0.75;
  return report;
}

TEST(ReportText, EndsWithTheGeometricMeanAndASummary) {
  EXPECT_THAT(ReportText(Sample(), false),
              testing::EndsWith("geometric mean of 3 ratios: 0.750\n"
                                "4 benchmarks: 1 slower, 1 faster, 1 ~, 1 missing in head\n"));
}

TEST(ReportText, StartsWithWhatDiffersBetweenTheEnvironments) {
  Report report = Sample();
  report.environment = {{"kernel", "6.1", "6.2"}};
  EXPECT_THAT(ReportText(report, false),
              testing::StartsWith("environments differ: kernel is 6.1 in base, 6.2 in head\n"));
}

TEST(ReportText, LeavesOutTheModifiersUnlessThenTwoNamesAreOne) {
  Report report = Sample();
  const std::string text = ReportText(report, false);
  EXPECT_THAT(text, HasSubstr("\nRoundTrip/pipe/block/64 "));
  report.comparisons[1].name = "RoundTrip/pipe/block/64/repeats:9";
  EXPECT_THAT(ReportText(report, false), HasSubstr("\nRoundTrip/pipe/block/64/repeats:9 "));
}

TEST(ReportText, TheTableFitsAHundredColumnsWhateverItHolds) {
  Report report = Sample();
  report.comparisons[0].name = std::string(300, 'x');
  report.comparisons[1].name = "µ" + std::string(300, 'y');
  report.comparisons[0].ratio = 1.234e300;
  report.comparisons[0].interval = Interval{1.234e-300, 1.234e300};
  report.comparisons[0].base = 1.234e-300;
  report.comparisons[0].head = 1.234e300;
  report.comparisons[0].base_repetitions = report.comparisons[0].head_repetitions = 99999;
  std::istringstream lines(ReportText(report, false));
  size_t rows = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.find("missing in head: ") != 0) {
      EXPECT_LE(Columns(line), kTableColumns) << line;
    }
    rows += line.find("...") != std::string::npos ? 1 : 0;
  }
  EXPECT_GE(rows, 2U);
}

TEST(ReportText, HasColoursOnlyWhenAskedTo) {
  EXPECT_THAT(ReportText(Sample(), false), Not(HasSubstr("\x1b")));
  const std::string text = ReportText(Sample(), true);
  EXPECT_THAT(text, HasSubstr("\x1b[31mRoundTrip/pipe/block/64 "));
  EXPECT_THAT(text, HasSubstr("\x1b[32mRoundTrip/pipe/spin/64 "));
}

TEST(ReportText, TheReasonsKeepTheFullNameAndAreNoEscapeSequences) {
  EXPECT_THAT(ReportText(Sample(), false),
              HasSubstr("missing in head: Throughput/pipe/block/64/manual_time/repeats:9: skipped: EMFILE??[2J\n"));
}

TEST(ReportText, ReadsTheMetricsUnitFromItsName) {
  Report report = Sample();
  report.options.metric = "items_per_second";
  report.comparisons[0].base = 98e6;
  EXPECT_THAT(ReportText(report, false), HasSubstr("98.0 M/s"));
  EXPECT_THAT(ReportText(report, false), HasSubstr("ratio base / head"));
  report.options.metric = "p99_ns";
  EXPECT_THAT(ReportText(report, false), HasSubstr("4.70 µs"));
}

}  // namespace
}  // namespace ipcmark::results
