#include "results/compare.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ipcmark::results {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

// A file with the given repetitions (real_time_ns) of each benchmark.
RunFile Runs(const std::vector<std::pair<std::string, std::vector<double>>>& benchmarks) {
  RunFile file;
  file.path = "runs.json";
  for (const auto& [name, values] : benchmarks) {
    for (const double value : values) {
      Row row;
      row.name = row.run_name = name;
      row.real_time_ns = row.cpu_time_ns = value;
      file.rows.push_back(row);
    }
  }
  return file;
}

Row Aggregate(const std::string& aggregate, double value) {
  Row row;
  row.name = absl::StrCat("a_", aggregate);
  row.run_name = "a";
  row.run_type = RunType::kAggregate;
  row.aggregate_name = aggregate;
  row.real_time_ns = value;
  return row;
}

Report MustCompare(const RunFile& base, const RunFile& head, const CompareOptions& options = {}) {
  absl::StatusOr<Report> report = Compare(base, head, options);
  EXPECT_TRUE(report.ok()) << report.status();
  return report.ok() ? *std::move(report) : Report{};
}

std::string Complaint(const RunFile& base, const RunFile& head, const CompareOptions& options = {}) {
  return std::string(Compare(base, head, options).status().message());
}

TEST(Compare, FindsARowThatHasBeenRenamed) {
  const std::string now = "Recovery/mmap_queue/block/1024/holder/manual_time";
  const Report report =
      MustCompare(Runs({{"Recovery/mmap_queue/block/64/holder/manual_time", {100, 100}}}), Runs({{now, {200, 200}}}));
  ASSERT_EQ(report.comparisons.size(), 1U);
  EXPECT_EQ(report.comparisons[0].name, now);
  EXPECT_EQ(report.comparisons[0].base_repetitions, 2U);
  EXPECT_DOUBLE_EQ(report.comparisons[0].ratio, 2);
  // No other: neither those of a killed sender nor anybody else's.
  for (const char* other : {"Recovery/pipe/block/64/sender", "Mine/64/holder", "Recovery/x/64/holders"}) {
    const Report apart = MustCompare(Runs({{"a", {1}}, {other, {1}}}), Runs({{"a", {1}}, {now, {1}}}));
    ASSERT_EQ(apart.comparisons.size(), 3U);
    EXPECT_EQ(apart.comparisons[1].name, other);
    EXPECT_EQ(apart.comparisons[1].verdict, Verdict::kMissingInHead);
  }
}

TEST(Compare, AFileWithItselfIsTheSameEverywhere) {
  for (const char* name : {"gbench_base", "gbench_head", "gbench_aggregates_only", "ipcmark_base", "ipcmark_head"}) {
    const auto file = ReadRunFile(absl::StrCat("results/testdata/", name, ".json"));
    ASSERT_TRUE(file.ok()) << file.status();
    for (const char* metric : {"real_time", "cpu_time"}) {
      const Report report = MustCompare(*file, *file, {metric, 0, ""});
      EXPECT_TRUE(report.environment.empty());
      for (const Comparison& c : report.comparisons) {
        EXPECT_EQ(c.verdict, Verdict::kSame) << name << ' ' << c.name;
        EXPECT_FALSE(c.undecided);
        EXPECT_DOUBLE_EQ(c.ratio, 1);
      }
      EXPECT_DOUBLE_EQ(report.geometric_mean.value(), 1);
      EXPECT_EQ(ExitCode(report, true), kExitFine) << name;
    }
  }
}

struct VerdictCase {
  const char* what;
  std::vector<double> base;
  std::vector<double> head;
  Verdict verdict;
  bool undecided;
};

TEST(Compare, VerdictFollowsRatioAndInterval) {
  for (const VerdictCase& c : std::vector<VerdictCase>{
           {"one repetition, inside", {100}, {109}, Verdict::kSame, false},
           {"one repetition, at the threshold", {100}, {110}, Verdict::kSame, false},
           {"exactly at the threshold with an interval", {70, 70, 70, 70}, {77, 77, 77, 77}, Verdict::kSame, false},
           {"one repetition, slower", {100}, {111}, Verdict::kSlower, false},
           {"one repetition, faster", {111}, {100}, Verdict::kFaster, false},
           {"a mirror image, not 10 % less", {100}, {90.95}, Verdict::kSame, false},
           {"clear of the threshold", {99, 100, 101, 102}, {119, 120, 121, 122}, Verdict::kSlower, false},
           {"clear on the other side", {119, 120, 121, 122}, {99, 100, 101, 102}, Verdict::kFaster, false},
           {"interval touches the band", {80, 100, 101, 130}, {118, 119, 120, 121}, Verdict::kSame, true},
           {"faster, but not surely", {118, 119, 120, 121}, {80, 100, 101, 130}, Verdict::kSame, false},
           {"surely slower, but little", {100, 100, 100, 100}, {105, 105, 105, 105}, Verdict::kSame, false},
           {"three repetitions have no interval", {80, 100, 130}, {118, 119, 120}, Verdict::kSlower, false}}) {
    const Report report = MustCompare(Runs({{"a", c.base}}), Runs({{"a", c.head}}));
    ASSERT_EQ(report.comparisons.size(), 1U);
    EXPECT_EQ(report.comparisons[0].verdict, c.verdict) << c.what;
    EXPECT_EQ(report.comparisons[0].undecided, c.undecided) << c.what;
    EXPECT_EQ(report.comparisons[0].interval.has_value(), c.base.size() >= 4) << c.what;
  }
}

TEST(Compare, SwappingTheFilesSwapsTheVerdictAndInvertsTheInterval) {
  const RunFile a = Runs({{"x", {10, 11, 12, 13, 14}}});
  const RunFile b = Runs({{"x", {20, 21, 25, 23, 24}}});
  const Comparison forward = MustCompare(a, b).comparisons[0];
  const Comparison backward = MustCompare(b, a).comparisons[0];
  EXPECT_EQ(forward.verdict, Verdict::kSlower);
  EXPECT_EQ(backward.verdict, Verdict::kFaster);
  EXPECT_NEAR(forward.ratio * backward.ratio, 1, 1e-12);
  EXPECT_NEAR(forward.interval->low * backward.interval->high, 1, 1e-12);
}

TEST(Compare, ALowerRateIsSlower) {
  RunFile base = Runs({{"a", {1, 1, 1, 1}}});
  RunFile head = base;
  for (Row& row : base.rows) row.counters["items_per_second"] = 200;
  for (Row& row : head.rows) row.counters["items_per_second"] = 100;
  const Comparison comparison = MustCompare(base, head, {"items_per_second", 0.1, ""}).comparisons[0];
  EXPECT_EQ(comparison.verdict, Verdict::kSlower);
  EXPECT_DOUBLE_EQ(comparison.ratio, 2);
  EXPECT_NEAR(comparison.interval->low, 2, 1e-12);
  EXPECT_EQ(comparison.base, 200);
}

TEST(Compare, AggregatesCountOnlyWhereThereAreNoRepetitions) {
  RunFile repetitions = Runs({{"a", {1, 2, 3}}});
  repetitions.rows.push_back(Aggregate("median", 1000));
  RunFile median = Runs({});
  for (const auto& [name, value] : {std::pair("mean", 500.0), std::pair("median", 20.0), std::pair("stddev", 9.0)}) {
    median.rows.push_back(Aggregate(name, value));
  }
  RunFile mean = Runs({});
  mean.rows = {Aggregate("mean", 30), Aggregate("cv", 0.1)};
  EXPECT_DOUBLE_EQ(MustCompare(repetitions, median).comparisons[0].ratio, 10);
  EXPECT_DOUBLE_EQ(MustCompare(repetitions, mean).comparisons[0].ratio, 15);
  RunFile spread = Runs({});
  spread.rows = {Aggregate("stddev", 9)};
  EXPECT_THAT(Complaint(spread, mean), HasSubstr("neither repetitions nor a mean or median"));
}

TEST(Compare, WhatHasNoNumberIsNeverAnImprovement) {
  for (const double bad : {0.0, -1.0, kNan, kInf, -kInf}) {
    const RunFile good = Runs({{"a", {5, 5}}});
    const RunFile broken = Runs({{"a", {5, bad}}});
    const Report head = MustCompare(good, broken);
    EXPECT_EQ(head.comparisons[0].verdict, Verdict::kFailedInHead) << bad;
    EXPECT_THAT(head.comparisons[0].detail, HasSubstr("no number: real_time is"));
    EXPECT_FALSE(head.geometric_mean.has_value());
    EXPECT_EQ(ExitCode(head, false), kExitRegression);
    const Report base = MustCompare(broken, good);
    EXPECT_EQ(base.comparisons[0].verdict, Verdict::kFailedInBase) << bad;
    EXPECT_EQ(ExitCode(base, false), kExitFine);
    EXPECT_EQ(ExitCode(base, true), kExitInconclusive);
  }
}

// What a side can be, made by one row; empty: no row at all.
RunFile With(const std::string& state) {
  RunFile file = Runs({{"other", {1}}});
  if (state == "missing") return file;
  Row row;
  row.name = row.run_name = "x";
  row.real_time_ns = 1;
  if (state == "measured") row.counters["p99_ns"] = 7;
  if (state == "failed") row.error_occurred = true;
  if (state == "skipped") row.skipped = true;
  file.rows[0].counters["p99_ns"] = 7;
  file.rows.push_back(row);
  return file;
}

TEST(Compare, EveryPairOfStatesHasItsVerdict) {
  const std::vector<std::string> states = {"measured", "failed", "skipped", "no p99_ns", "missing"};
  constexpr Verdict same = Verdict::kSame;
  constexpr Verdict mis_b = Verdict::kMissingInBase;
  constexpr Verdict mis_h = Verdict::kMissingInHead;
  constexpr Verdict bad_b = Verdict::kFailedInBase;
  constexpr Verdict bad_h = Verdict::kFailedInHead;
  constexpr Verdict left = Verdict::kLeftOut;
  // Rows: base; columns: head; both in the order of `states`.
  const std::vector<std::vector<Verdict>> expected = {{same, bad_h, mis_h, mis_h, mis_h},
                                                      {bad_b, bad_h, mis_h, mis_h, mis_h},
                                                      {mis_b, bad_h, left, left, mis_h},
                                                      {mis_b, bad_h, left, left, mis_h},
                                                      {mis_b, bad_h, mis_b, mis_b, same}};
  for (size_t b = 0; b < states.size(); ++b) {
    for (size_t h = 0; h < states.size(); ++h) {
      RunFile base = With(states[b]);
      RunFile head = With(states[h]);
      base.rows[0].counters["p99_ns"] = head.rows[0].counters["p99_ns"] = 7;
      const Report report = MustCompare(base, head, {"p99_ns", 0.1, ""});
      if (states[b] == "missing" && states[h] == "missing") {
        EXPECT_EQ(report.comparisons.size(), 1U);
        continue;
      }
      ASSERT_EQ(report.comparisons.size(), 2U);
      EXPECT_EQ(report.comparisons[1].verdict, expected[b][h]) << "base " << states[b] << ", head " << states[h];
    }
  }
}

TEST(Compare, ACounterThatSomeRepetitionsLackIsMissing) {
  RunFile base = Runs({{"a", {1, 1}}});
  for (Row& row : base.rows) row.counters["p999_ns"] = 3;
  RunFile head = base;
  head.rows[1].counters.clear();
  const Comparison comparison = MustCompare(base, head, {"p999_ns", 0.1, ""}).comparisons[0];
  EXPECT_EQ(comparison.verdict, Verdict::kMissingInHead);
  EXPECT_EQ(comparison.detail, "no p999_ns in 1 of 2 repetitions");
}

TEST(Compare, WhatHeadMissesIsExplainedByItsListOfSkipped) {
  RunFile head = Runs({{"a", {1}}});
  head.context["skipped"] = "bb: no\nb: not supported: EPERM\nc: d";
  const Comparison comparison = MustCompare(Runs({{"a", {1}}, {"b", {1}}}), head).comparisons[1];
  EXPECT_EQ(comparison.verdict, Verdict::kMissingInHead);
  EXPECT_EQ(comparison.detail, "skipped: not supported: EPERM");
}

TEST(Compare, EnvironmentsDifferByWhatBothNameAndOnlyByWhatMatters) {
  RunFile base = Runs({{"a", {1}}});
  RunFile head = base;
  base.context = {{"date", "1"},
                  {"clock_read_ns", "22"},
                  {"host_name", "a"},
                  {"git_revision", "1"},
                  {"load_avg", "[1]"},
                  {"kernel", "6.1"},
                  {"mhz_per_cpu", "2596"},
                  {"cpu_model", "EPYC"},
                  {"only_base", "1"},
                  {"skipped", "x"},
                  {"executable", "a"},
                  {"governor", "powersave"},
                  {"json_schema_version", "1"}};
  head.context = {{"date", "2"},
                  {"clock_read_ns", "40"},
                  {"host_name", "b"},
                  {"git_revision", "2"},
                  {"load_avg", "[2]"},
                  {"kernel", "6.2"},
                  {"mhz_per_cpu", "2600"},
                  {"cpu_model", "EPYC"},
                  {"only_head", "1"},
                  {"skipped", "y"},
                  {"executable", "b"},
                  {"governor", "performance"},
                  {"json_schema_version", "2"}};
  Report report = MustCompare(base, head);
  std::vector<std::string> keys;
  for (const EnvironmentDifference& difference : report.environment) keys.push_back(difference.key);
  EXPECT_THAT(keys, ElementsAre("governor", "kernel"));
  EXPECT_EQ(ExitCode(report, false), kExitFine);
  EXPECT_EQ(ExitCode(report, true), kExitEnvironmentsDiffer);
  head.context["mhz_per_cpu"] = "3600";
  EXPECT_EQ(MustCompare(base, head).environment.size(), 3U);
}

TEST(Compare, ExitCodesHaveAnOrder) {
  Comparison slower;
  slower.verdict = Verdict::kSlower;
  Comparison undecided;
  undecided.undecided = true;
  Comparison faster;
  faster.verdict = Verdict::kFaster;
  Report report;
  report.comparisons = {faster, {}};
  EXPECT_EQ(ExitCode(report, true), kExitFine);
  report.comparisons.push_back(undecided);
  EXPECT_EQ(ExitCode(report, false), kExitFine);
  EXPECT_EQ(ExitCode(report, true), kExitInconclusive);
  report.comparisons.push_back(slower);
  EXPECT_EQ(ExitCode(report, false), kExitRegression);
  EXPECT_EQ(ExitCode(report, true), kExitRegression);
  report.environment.push_back({"kernel", "1", "2"});
  EXPECT_EQ(ExitCode(report, false), kExitRegression);
  EXPECT_EQ(ExitCode(report, true), kExitEnvironmentsDiffer);
}

TEST(Compare, ExtremeTimesHaveARatioStill) {
  const RunFile tiny = Runs({{"a", {1e-300}}});
  const RunFile huge = Runs({{"a", {1e300}}});
  EXPECT_EQ(MustCompare(tiny, huge).comparisons[0].verdict, Verdict::kSlower);
  EXPECT_EQ(MustCompare(huge, tiny).comparisons[0].verdict, Verdict::kFaster);
  EXPECT_GT(MustCompare(huge, tiny).geometric_mean.value(), 0);
}

TEST(Compare, TheGeometricMeanIsOfTheRatiosThereAre) {
  const Report report =
      MustCompare(Runs({{"a", {1}}, {"b", {1}}, {"c", {1}}}), Runs({{"a", {2}}, {"b", {8}}, {"d", {9}}}));
  EXPECT_DOUBLE_EQ(report.geometric_mean.value(), 4);
  ASSERT_EQ(report.comparisons.size(), 4U);
  EXPECT_EQ(report.comparisons[3].name, "d");
}

TEST(Compare, RefusesWhatCannotBeCompared) {
  const RunFile a = Runs({{"a", {1}}});
  const RunFile b = Runs({{"b", {1}}});
  EXPECT_THAT(Complaint(a, b), HasSubstr("no benchmark name in common (a in one, b in the other)"));
  EXPECT_THAT(Complaint(a, a, {"real_time", 0.1, "x+"}), HasSubstr("--filter=x+ matches no benchmark"));
  EXPECT_THAT(Complaint(a, a, {"real_time", 0.1, "("}), HasSubstr("--filter=(: "));
  EXPECT_THAT(Complaint(a, a, {"p99", 0.1, ""}), HasSubstr("--metric=p99: no row of either file has that number"));
  RunFile both = Runs({{"a", {1}}, {"b", {1}}});
  both.rows[1].counters["p99_ns"] = 1;
  EXPECT_THAT(Complaint(both, both, {"p99_ns", 0.1, "a"}), HasSubstr("nothing to compare: a has no p99_ns"));
}

TEST(Compare, AFilterDoesNotTurnAMissingBenchmarkIntoBadInput) {
  const RunFile base = Runs({{"a", {1}}, {"b", {1}}});
  const Report report = MustCompare(base, Runs({{"a", {1}}}), {"real_time", 0.1, "^b$"});
  ASSERT_EQ(report.comparisons.size(), 1U);
  EXPECT_EQ(ExitCode(report, false), kExitRegression);
}

}  // namespace
}  // namespace ipcmark::results
