// The gate's decisions on slices that are made up or recorded, its reports and its command line.
#include "results/gate.h"

#include <cmath>
#include <limits>
#include <map>
#include <random>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rapidjson/document.h"
#include "results/gate_options.h"
#include "results/gate_report.h"
#include "results/revisions.h"
#include "results/slice.h"
#include "results/statistics/noise_for_test.h"

namespace ipcmark::results {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

GateReport Rows(const std::vector<std::string>& names) {
  GateReport report;
  for (const std::string& name : names) {
    report.rows.emplace_back();
    report.rows.back().name = name;
  }
  return report;
}

// Time stands still; slices of 1,000 ns with the noise of a quiet machine, head times `factor` of its row.
GateRun QuietRun(const std::vector<double>& factors) {
  GateRun run;
  run.seed = 5;
  run.rules.benchmarks = factors.size();
  auto random = std::make_shared<std::mt19937_64>(3);
  run.measure = [factors, random](Side side, size_t row) -> absl::StatusOr<SliceTimes> {
    std::normal_distribution<double> noise(0, 0.01);
    return SliceTimes{1000 * std::exp(noise(*random)) * (side == Side::kHead ? factors[row] : 1)};
  };
  run.time_is_up = [] { return false; };
  run.progress = [](size_t, size_t) {};
  return run;
}

TEST(Gate, TellsTheSlowFromTheRest) {
  GateReport report = Rows({"same", "slow", "fast"});
  RunGate(QuietRun({1, 1.2, 0.8}), report);
  EXPECT_EQ(report.rows[0].verdict, GateVerdict::kPass);
  EXPECT_EQ(report.rows[1].verdict, GateVerdict::kFail);
  EXPECT_EQ(report.rows[2].verdict, GateVerdict::kPass);
  EXPECT_NEAR(report.rows[1].estimate.ratio, 1.2, 0.01);
  EXPECT_NEAR(report.rows[1].head_nanos, 1200, 12);
  EXPECT_LT(report.rows[0].log_ratios.size(), report.rows[1].log_ratios.size()) << "a decided row costs no more time";
  EXPECT_EQ(Overall(report), GateVerdict::kFail);
  EXPECT_EQ(GateExitCode(report, false), kExitRegression);
}

TEST(Gate, ASeedReplaysTheOrder) {
  std::vector<std::string> orders;
  for (const uint64_t seed : {1, 1, 2}) {
    GateRun run = QuietRun({1, 1, 1});
    run.seed = seed;
    std::string& order = orders.emplace_back();
    run.measure = [&order](Side side, size_t row) -> absl::StatusOr<SliceTimes> {
      order += std::to_string(row) + (side == Side::kBase ? "b" : "h");
      return SliceTimes{1000};
    };
    GateReport report = Rows({"a", "b", "c"});
    RunGate(run, report);
  }
  EXPECT_EQ(orders[0], orders[1]);
  EXPECT_NE(orders[0], orders[2]);
}

TEST(Gate, WhatFailsIsAnErrorOfThatSide) {
  GateRun run = QuietRun({1, 1, 1});
  run.measure = [](Side side, size_t row) -> absl::StatusOr<SliceTimes> {
    if (row == 1 && side == Side::kHead) return absl::FailedPreconditionError("told to fail");
    if (row == 2 && side == Side::kBase) return absl::FailedPreconditionError("told to fail");
    return SliceTimes{1000};
  };
  GateReport report = Rows({"good", "bad head", "bad base"});
  RunGate(run, report);
  EXPECT_EQ(report.rows[0].verdict, GateVerdict::kPass);
  EXPECT_EQ(report.rows[1].verdict, GateVerdict::kErrorInHead);
  EXPECT_EQ(report.rows[2].verdict, GateVerdict::kErrorInBase);
  EXPECT_EQ(report.rows[1].detail, "told to fail");
  EXPECT_EQ(GateExitCode(report, false), kExitRegression);
  report.rows[1].verdict = GateVerdict::kPass;
  EXPECT_EQ(GateExitCode(report, false), kExitFine);
  EXPECT_EQ(GateExitCode(report, true), kExitInconclusive);
  report.environment.push_back({"compiler", "a", "b"});
  EXPECT_EQ(GateExitCode(report, true), kExitEnvironmentsDiffer);
}

TEST(Gate, WithoutTimeThereIsNoPass) {
  GateRun run = QuietRun({1, 1});
  run.time_is_up = [] { return true; };
  GateReport report = Rows({"a", "b"});
  RunGate(run, report);
  EXPECT_EQ(Overall(report), GateVerdict::kInconclusive);
  EXPECT_EQ(GateExitCode(report, true), kExitInconclusive);
  EXPECT_THAT(GateText(report), HasSubstr("2 benchmarks: 2 INCONCLUSIVE"));
}

TEST(Gate, AnInterruptEndsItWithoutALastLook) {
  GateRun run = QuietRun({1.5});
  auto slices = std::make_shared<int>(0);
  run.measure = [slices](Side side, size_t) -> absl::StatusOr<SliceTimes> {
    if (++*slices > 31) return absl::CancelledError("interrupted");
    return SliceTimes{side == Side::kHead ? 1500.0 : 1000.0};
  };
  GateReport report = Rows({"a"});
  RunGate(run, report);
  EXPECT_TRUE(report.interrupted);
  EXPECT_EQ(report.rows[0].log_ratios.size(), 15U) << "half a pair is none";
  EXPECT_EQ(report.rows[0].verdict, GateVerdict::kInconclusive);
}

TEST(Gate, ATailThatBecameSlowerAdvisesAndChangesNoVerdict) {
  GateRun run = QuietRun({1, 1});
  auto random = std::make_shared<std::mt19937_64>(3);
  run.measure = [random](Side side, size_t row) -> absl::StatusOr<SliceTimes> {
    std::normal_distribution<double> noise(0, 0.01);
    const double factor = side == Side::kHead && row == 1 ? 3 : 1;
    return SliceTimes{1000 * std::exp(noise(*random)), {{"p99_ns", 5000 * factor * std::exp(noise(*random))}}};
  };
  GateReport report = Rows({"same", "slow tail"});
  RunGate(run, report);
  EXPECT_EQ(Overall(report), GateVerdict::kPass);
  ASSERT_EQ(report.rows[1].advice.size(), 1U) << "p999_ns was not measured";
  EXPECT_EQ(report.rows[0].advice[0].decision, Decision::kPass);
  EXPECT_EQ(report.rows[1].advice[0].decision, Decision::kFail);
  EXPECT_THAT(GateText(report), HasSubstr("advisory: slow tail: p99_ns is slower, ratio 2.9"));
  EXPECT_THAT(GateMarkdown(report), HasSubstr("- advisory: slow tail"));
  EXPECT_THAT(GateJson(report), HasSubstr("\"advice\": \"FAIL\""));
}

GateReport Sample() {
  GateReport report = Rows({"a|b<c>&\"", "slow"});
  RunGate(QuietRun({1, 1.3}), report);
  report.rows.emplace_back();
  report.rows.back().name = "gone";
  report.rows.back().verdict = GateVerdict::kErrorInHead;
  report.rows.back().detail = "missing there";
  report.base = "old";
  report.head = "new";
  return report;
}

TEST(GateReports, MarkdownHasTheVerdictFirstAndFoldsWhatPassed) {
  const std::string text = GateMarkdown(Sample());
  EXPECT_EQ(text.find("## Performance gate: FAIL"), 0U);
  EXPECT_LT(text.find("| slow | FAIL"), text.find("| gone | ERROR in head: missing there"));
  EXPECT_LT(text.find("| gone"), text.find("<details>"));
  EXPECT_THAT(text, AllOf(HasSubstr("a\\|b&lt;c>"), HasSubstr("seed 5")));
}

TEST(GateReports, MarkdownFitsIntoAComment) {
  GateReport report;
  for (int i = 0; i < 3000; ++i) {
    report.rows.emplace_back();
    report.rows.back().name = "a benchmark with a rather long name " + std::to_string(i);
    report.rows.back().verdict = i % 2 == 0 ? GateVerdict::kPass : GateVerdict::kFail;
  }
  const std::string text = GateMarkdown(report);
  EXPECT_LT(text.size(), 65536U);
  EXPECT_THAT(text, AllOf(HasSubstr("more left out"), HasSubstr("3000 benchmarks: 1500 FAIL, 1500 PASS")));
}

TEST(GateReports, JunitCountsFailuresAndErrors) {
  const std::string text = GateJunit(Sample());
  EXPECT_THAT(text, AllOf(HasSubstr("tests=\"3\" failures=\"1\" errors=\"1\" skipped=\"0\""),
                          HasSubstr("a|b&lt;c&gt;&amp;&quot;"), Not(HasSubstr("b<c"))));
}

TEST(GateReports, JsonHoldsEveryPair) {
  const GateReport report = Sample();
  rapidjson::Document document;
  document.Parse(GateJson(report).c_str());
  ASSERT_FALSE(document.HasParseError());
  EXPECT_STREQ(document["verdict"].GetString(), "FAIL");
  EXPECT_EQ(document["benchmarks"].Size(), 3U);
  EXPECT_EQ(document["benchmarks"][1]["log_ratios"].Size(), report.rows[1].log_ratios.size());
  EXPECT_FALSE(document["benchmarks"][2].HasMember("ratio"));
}

TEST(GateReports, AFileThatCannotBeWrittenIsAnError) {
  EXPECT_FALSE(WriteFile("/nonexistent/file", "text").ok());
  EXPECT_FALSE(WriteFile("/dev/full/file", "text").ok());
  EXPECT_TRUE(WriteFile(testing::TempDir() + "/written", "text").ok());
}

TEST(GateCommandLine, IsUnderstood) {
  const absl::StatusOr<GateOptions> options =
      ParseGateOptions({"--base_binary=a", "--head_binary=b", "--budget=2m", "--slice=50ms", "--max_pairs=20",
                        "--seed=9", "--arg=--x=y", "--filter=", "--cpu=any", "--strict", "--slowdown=10%"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->budget_seconds, 120);
  EXPECT_EQ(options->slice_seconds, 0.05);
  EXPECT_EQ(options->arguments, std::vector<std::string>{"--x=y"});
  EXPECT_FALSE(options->pin);
  EXPECT_TRUE(options->strict);
}

TEST(GateCommandLine, MistakesAreNamedInOneSentence) {
  for (const auto& [arguments, words] : std::map<std::vector<std::string>, std::string>{
           {{}, "give either --base=REV"},
           {{"--base=x", "--base_binary=a", "--head_binary=b"}, "give either"},
           {{"--base_binary=a"}, "needed together"},
           {{"--base=--upload-pack"}, "begins with a dash"},
           {{"--base=x", "--nonsense=1"}, "--nonsense: there is no such flag"},
           {{"--base=x", "--nonsense"}, "--nonsense: unknown"},
           {{"--base=x", "extra"}, "extra: flags begin"},
           {{"--base=x", "--budget=0"}, "give a time such as 5m"},
           {{"--base=x", "--budget=nan"}, "give a time such as 5m"},
           {{"--base=x", "--max_pairs=2"}, "give a number from 5 to 1000"},
           {{"--base=x", "--cpu=-1"}, "number of a CPU"},
           {{"--base=x", "--seed=-1"}, "give a number from 0"},
           {{"--base=x", "--slowdown=1%"}, "smaller than --slowdown"}}) {
    const absl::StatusOr<GateOptions> options = ParseGateOptions(arguments);
    ASSERT_FALSE(options.ok()) << words;
    EXPECT_THAT(std::string(options.status().message()), HasSubstr(words));
  }
}

TEST(Slices, AFilterFindsItsNameOnly) { EXPECT_EQ(ExactFilter("BM<a>/x:1+(2)"), "^BM<a>/x:1\\+\\(2\\)$"); }

TEST(Revisions, ATargetsProgramLiesWhereBazelPutsIt) {
  EXPECT_EQ(OutputOf("//bench"), "bench/bench");
  EXPECT_EQ(OutputOf("//a/b"), "a/b/b");
  EXPECT_EQ(OutputOf("//a/b:c"), "a/b/c");
  EXPECT_EQ(OutputOf("//:c"), "c");
  EXPECT_EQ(OutputOf(":c"), "c");
}

}  // namespace
}  // namespace ipcmark::results
