#include "bench/report/report.h"

#include <cmath>
#include <limits>
#include <sstream>

#include "absl/strings/str_split.h"
#include "bench/report/benchstat.h"
#include "bench/report/format.h"
#include "bench/report/runner.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ipcmark::bench {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using Row = benchmark::BenchmarkReporter::Run;
using Reports = std::vector<std::vector<Row>>;
using Counters = std::vector<std::pair<std::string, double>>;

Row RunOf(const std::string& name, const Counters& counters) {
  Row run;
  run.run_name.function_name = name;
  for (const auto& [key, value] : counters) run.counters[key] = value;
  return run;
}

Row Failed(const std::string& name, const std::string& message) {
  Row run = RunOf(name, {});
  run.error_occurred = true;
  run.error_message = message;
  run.iterations = 0;
  return run;
}

Row Aggregate(const std::string& name, const std::string& aggregate, benchmark::StatisticUnit unit,
              const Counters& counters) {
  Row run = RunOf(name, counters);
  run.run_type = Row::RT_Aggregate;
  run.aggregate_name = aggregate;
  run.aggregate_unit = unit;
  run.iterations = 3;
  return run;
}

Case CaseOf(const std::string& name, const std::string& subject = "pipe", const std::string& variant = "block") {
  return {.name = name, .scenario = "RoundTrip", .subject = subject, .variant = variant, .size = "64 B", .bytes = 64};
}

TEST(Colour, IsForTerminalsWhoseUserHasNotRefusedIt) {
  EXPECT_TRUE(WantsColour(true, nullptr, "xterm"));
  EXPECT_TRUE(WantsColour(true, "", "xterm"));
  EXPECT_FALSE(WantsColour(true, "1", "xterm"));
  EXPECT_FALSE(WantsColour(true, nullptr, "dumb"));
  EXPECT_FALSE(WantsColour(true, nullptr, nullptr));
  EXPECT_FALSE(WantsColour(false, nullptr, "xterm"));
}

TEST(Colour, MarksHeadingsFailuresAndDrift) {
  EXPECT_EQ(Coloured("\nRoundTrip (x)\n a  1\n b  2 !\n\nFAILED\n  c: lost\n\nskipped\n  d\n"),
            "\n\033[1mRoundTrip (x)\033[0m\n a  1\n\033[33m b  2 !\033[0m\n\n\033[31mFAILED\033[0m\n"
            "\033[31m  c: lost\033[0m\n\n\033[1mskipped\033[0m\n  d\n");
}

TEST(Table, HasEachPlacementUnderAHeadingOfItsOwn) {
  Case placed = CaseOf("b");
  placed.placement = "smt";
  EXPECT_THAT(Table({CaseOf("a"), placed}, {}, {{RunOf("a", {})}, {RunOf("b", {})}}),
              AllOf(HasSubstr("\nRoundTrip ("), HasSubstr("\nRoundTrip, smt (")));
}

TEST(Table, ShowsNoRateWhereNoneWasInTime) {
  const Counters late = {{kP999, 4e6}, {"items_per_second", 17'200}, {kHighestRate, 0}};
  const Counters in_time = {{kP999, 4e5}, {"items_per_second", 17'200}, {kHighestRate, 17'000}};
  EXPECT_THAT(Table({CaseOf("a")}, {}, {{RunOf("a", late)}}),
              AllOf(ContainsRegex("4.00 ms +none +-"), Not(HasSubstr("17.2 k/s")),
                    HasSubstr("\nnone: no load tried was in time")));
  EXPECT_THAT(Table({CaseOf("a")}, {}, {{RunOf("a", in_time)}}), AllOf(HasSubstr("17.2 k/s"), Not(HasSubstr("none"))));
}

TEST(Table, MarksARowThatDriftedAndSaysByHowMuch) {
  const std::string drifted =
      Table({CaseOf("a"), CaseOf("b")}, {}, {{RunOf("a", {{kDrift, 0.25}})}, {RunOf("b", {{kDrift, 0}})}});
  EXPECT_THAT(drifted, AllOf(ContainsRegex("\n pipe .*!\n pipe .*[^!]\n"), HasSubstr("changed by up to +25 %")));
  EXPECT_THAT(Table({CaseOf("b")}, {}, {{RunOf("b", {{kDrift, 0}})}}), Not(HasSubstr("!")));
}

TEST(Benchstat, HasALineForEachRepetitionAndTheEnvironmentBefore) {
  Row run = RunOf("RoundTrip/pipe/block/8", {{kP50, 90}, {"bytes_per_second", 8e7}});
  run.iterations = 1000;
  run.real_accumulated_time = 1e-4;
  EXPECT_EQ(BenchstatText({{"cpu_model", "a b"}, {"skipped", "x\ny"}, {"none", ""}},
                          {{run, run, Failed("f", "lost"), Aggregate("a", "median", benchmark::kTime, {})}}),
            "cpu-model: a b\n\n"
            "BenchmarkRoundTrip/pipe/block/8 1000 100 ns/op 90 p50-ns 8e+07 B/s\n"
            "BenchmarkRoundTrip/pipe/block/8 1000 100 ns/op 90 p50-ns 8e+07 B/s\n");
}

TEST(Benchstat, HasTheMedianWhereThereAreOnlyAggregates) {
  Row median = Aggregate("a", "median", benchmark::kTime, {{kP50, 90}});
  median.real_accumulated_time = 3e-7;  // of three repetitions, as Google Benchmark scales it
  const std::string text = BenchstatText({}, {{Aggregate("a", "mean", benchmark::kTime, {{kP50, 7}}), median}});
  EXPECT_EQ(text, "\nBenchmarka 3 100 ns/op 90 p50-ns\n");
}

TEST(CpuTime, IsThatOfTheMeasuredProcessesPerIteration) {
  std::vector<Row> runs = {RunOf("a", {{kAllCpu, 250}, {kSenderCpu, 200}})};
  runs[0].iterations = 1000;
  runs[0].cpu_accumulated_time = 77;  // the parent's
  CorrectCpuTime(runs);
  EXPECT_DOUBLE_EQ(runs[0].GetAdjustedCPUTime(), 250);
  EXPECT_EQ(runs[0].counters.count(kAllCpu), 0U);
  EXPECT_EQ(runs[0].counters.count(kSenderCpu), 1U);
}

TEST(CpuTime, OfAnAggregateIsTheAggregateOfTheSum) {
  std::vector<Row> runs = {Aggregate("a", "median", benchmark::kTime, {{kAllCpu, 250}}),
                           Aggregate("a", "cv", benchmark::kPercentage, {{kAllCpu, 0.03}})};
  CorrectCpuTime(runs);
  EXPECT_DOUBLE_EQ(runs[0].GetAdjustedCPUTime(), 250);
  EXPECT_DOUBLE_EQ(runs[1].cpu_accumulated_time, 0.03);  // reporters show a share as it is
}

TEST(CpuTime, OfAFailedRunStaysZero) {
  std::vector<Row> runs = {Failed("a", "lost")};
  CorrectCpuTime(runs);
  EXPECT_EQ(runs[0].GetAdjustedCPUTime(), 0);
}

TEST(Collector, LeavesOutWhatAnInterruptCutOff) {
  Progress progress(4);
  Collector collector(&progress);
  collector.ReportRuns({RunOf("a", {{kAllCpu, 1}})});
  for (const char* name : {"b", "nothing", "only aggregates"}) progress.CutOff(name);
  // The repetitions that were done stay, without what counts all of them.
  collector.ReportRuns({RunOf("b", {{kAllCpu, 1}}), Failed("b", kInterrupted)});
  collector.ReportRuns({Aggregate("b", "median", benchmark::kTime, {{kAllCpu, 1}})});
  collector.ReportRuns({Failed("nothing", kInterrupted)});
  collector.ReportRuns({Aggregate("only aggregates", "median", benchmark::kTime, {{kAllCpu, 1}})});
  collector.ReportRuns({Failed("c", "receiver: interrupted by nobody")});
  ASSERT_THAT(collector.reports(), SizeIs(3));
  EXPECT_EQ(collector.reports()[0][0].run_name.function_name, "a");
  EXPECT_EQ(collector.reports()[0][0].counters.count(kAllCpu), 0U);
  ASSERT_THAT(collector.reports()[1], SizeIs(1));
  EXPECT_EQ(collector.reports()[1][0].run_type, Row::RT_Iteration);
  EXPECT_EQ(collector.reports()[2][0].run_name.function_name, "c");
}

TEST(Reports, AreInTheOrderOfTheirCasesWhicheverEndsFirst) {
  const Reports ordered =
      InOrderOf({CaseOf("a"), CaseOf("b")}, {{RunOf("fit", {})}, {RunOf("b", {})}, {RunOf("a", {})}});
  ASSERT_THAT(ordered, SizeIs(3));
  EXPECT_EQ(ordered[0][0].run_name.function_name, "a");
  EXPECT_EQ(ordered[1][0].run_name.function_name, "b");
  EXPECT_EQ(ordered[2][0].run_name.function_name, "fit");
}

TEST(Display, ShowsCorrectedRowsAndNothingThatWasCutOff) {
  Progress progress(2);
  std::ostringstream shown;
  benchmark::JSONReporter json;
  json.SetOutputStream(&shown);
  Display display(&progress, &json);
  ASSERT_TRUE(display.ReportContext(benchmark::BenchmarkReporter::Context()));
  display.ReportRuns({RunOf("whole", {{kAllCpu, 250}})});
  display.ReportRuns({Failed("half", kInterrupted)});
  display.Finalize();
  EXPECT_THAT(shown.str(), AllOf(HasSubstr("\"whole\""), HasSubstr("\"cpu_time\": 2.5"), Not(HasSubstr("half")),
                                 Not(HasSubstr(kAllCpu))));
  Display silent(&progress, nullptr);
  EXPECT_TRUE(silent.ReportContext(benchmark::BenchmarkReporter::Context()));
  silent.ReportRuns({RunOf("a", {})});
}

TEST(Table, ShowsTheMedianOfRepetitions) {
  Reports reports(1);
  for (const double p50 : {9000.0, 1000.0, 3000.0}) {
    reports[0].push_back(RunOf("x", {{kP50, p50}, {"items_per_second", 1e9 / p50}, {kAllCpu, 2 * p50}}));
  }
  reports[0].push_back(Aggregate("x", "mean", benchmark::kTime, {{kP50, 77000}}));
  reports[0].push_back(Aggregate("x", "median", benchmark::kTime, {{kP50, 88000}}));
  for (auto& report : reports) CorrectCpuTime(report);
  const std::string table = Table({CaseOf("x")}, {}, reports);
  EXPECT_THAT(table, ContainsRegex("pipe +block +64 B +3.00 µs +- +- +333 k/s +- +6.00 µs"));
  EXPECT_THAT(table, Not(HasSubstr("77.0")));
}

TEST(Table, ShowsTheMedianAggregateWhereNothingElseIs) {
  const Reports reports = {{Aggregate("x", "mean", benchmark::kTime, {{kP50, 77000}}),
                            Aggregate("x", "median", benchmark::kTime, {{kP50, 88000}})}};
  EXPECT_THAT(Table({CaseOf("x")}, {}, reports), AllOf(HasSubstr("88.0 µs"), Not(HasSubstr("77.0"))));
}

TEST(Table, ListsFailedRowsWithTheirReasonsAndNoNumber) {
  const std::string table =
      Table({CaseOf("x"), CaseOf("y")}, {}, {{RunOf("x", {{kP50, 5}})}, {Failed("y", "it broke")}});
  EXPECT_THAT(table, HasSubstr("\nFAILED\n  y: it broke\n"));
  EXPECT_THAT(table, HasSubstr("5.00 ns"));
  EXPECT_THAT(Table({CaseOf("x")}, {}, {{RunOf("x", {})}}), Not(HasSubstr("FAILED")));
}

TEST(Table, ListsEveryReasonForSkippingOnce) {
  const std::string table = Table({}, {{"a", "cannot"}, {"b", "will not"}, {"c", "cannot"}}, {});
  EXPECT_EQ(table, "\nskipped\n  a and 1 more: cannot\n  b: will not\n");
}

TEST(Table, FoldsWhatIsSaidOfSeveralPrimitives) {
  const std::string table = Table({},
                                  {{"A/mmap_queue/spin/8", "mmap_queue cannot spin"},
                                   {"A/pipe/spin/8", "pipe cannot spin"},
                                   {"A/pipe/spin/64", "pipe: cannot spin"},
                                   {"A/pipe/block/8", "pipe_of_another: cannot"},
                                   {"B/kernel_mq/block/8", "kernel_mq cannot block"}},
                                  {});
  EXPECT_EQ(table,
            "\nskipped\n  cannot spin: mmap_queue, pipe (3 rows)\n  A/pipe/block/8: pipe_of_another: cannot\n"
            "  cannot block: kernel_mq (1 row)\n");
}

TEST(Table, WrapsHeadingsAndReasonsThatAreLonger) {
  Case one = CaseOf("x");
  one.unit =
      "Poisson or fixed arrivals at a share of the capacity; from the instant when a message was due until received";
  one.placement = "other_cache";
  const std::string reason = "hands nothing over in place, and " + std::string(40, 'y') + " " + std::string(40, 'z');
  const std::string table =
      Table({one, CaseOf("f")},
            {{"A/pipe/spin/8", "pipe " + reason}, {"A/mmap_queue/spin/8", "mmap_queue " + reason}, {"B", reason}},
            {{RunOf("x", {})}, {Failed("f", reason)}});
  EXPECT_THAT(table, AllOf(HasSubstr("\nRoundTrip, other_cache (Poisson "), HasSubstr("\n  "), HasSubstr("(2 rows)")));
  for (const std::string& line : std::vector<std::string>(absl::StrSplit(table, '\n'))) {
    EXPECT_LE(Columns(line), 100) << line;
  }
}

// What is left when this is the value of --benchmark_filter.
std::vector<std::string> SkippedWith(const std::string& filter, int expected_rows) {
  CaseList list = {
      .cases = {CaseOf("Throughput/pipe/block/8"), CaseOf("RoundTrip/pipe/block/8")},
      .skipped = {{"Throughput/pipe/spin/8", "x"}, {"RoundTrip/pipe/spin/8", "x"}, {"placement:smt", "y"}}};
  const absl::StatusOr<int> rows = ApplyFilter(filter, /*with_roofline=*/true, list);
  EXPECT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ(rows.value_or(-1), expected_rows) << filter;
  EXPECT_THAT(list.cases, SizeIs(expected_rows)) << filter;
  std::vector<std::string> names;
  for (const SkippedCase& one : list.skipped) names.push_back(one.name);
  return names;
}

TEST(ApplyFilter, LeavesOutSkippedRowsThatNobodyAskedFor) {
  const std::string throughput = "Throughput/pipe/spin/8";
  const std::string round_trip = "RoundTrip/pipe/spin/8";
  const std::string placement = "placement:smt";
  EXPECT_THAT(SkippedWith("", 2), ElementsAre(throughput, round_trip, placement));
  EXPECT_THAT(SkippedWith("all", 2), ElementsAre(throughput, round_trip, placement));
  EXPECT_THAT(SkippedWith("^Throughput", 1), ElementsAre(throughput, placement));
  EXPECT_THAT(SkippedWith("-^Throughput", 1), ElementsAre(round_trip, placement));
  EXPECT_THAT(SkippedWith("manual_time$", 2), ElementsAre(throughput, round_trip, placement));
  EXPECT_THAT(SkippedWith("^Throughput/pipe/block", 1), ElementsAre(placement));
  CaseList list;
  EXPECT_THAT(std::string(ApplyFilter("(", true, list).status().message()), HasSubstr("no regular expression"));
}

// Names of the cases that are left, those that run along in brackets.
std::vector<std::string> CasesWith(const std::string& filter, bool with_roofline, int expected_rows) {
  CaseList list;
  for (const char* placement : {"smt", "unpinned"}) {
    for (const char* name : {"Depth/", "Wake/", "Roofline/"}) {
      list.cases.push_back(CaseOf(absl::StrCat(name, placement)));
      list.cases.back().placement = placement;
      if (name[0] == 'R') list.cases.back().along_messages = 400;
    }
  }
  EXPECT_EQ(ApplyFilter(filter, with_roofline, list).value_or(-1), expected_rows) << filter;
  std::vector<std::string> names;
  for (const Case& one : list.cases) {
    EXPECT_EQ(one.fixed_messages, one.runs_along ? 400U : 0U) << one.name;
    names.push_back(one.runs_along ? "(" + one.name + ")" : one.name);
  }
  return names;
}

TEST(ApplyFilter, LetsTheLimitsOfTheSamePlacementRunAlong) {
  EXPECT_THAT(CasesWith("^Wake/smt", true, 1), ElementsAre("Wake/smt", "(Roofline/smt)"));
  EXPECT_THAT(CasesWith("^Wake", true, 2),
              ElementsAre("Wake/smt", "(Roofline/smt)", "Wake/unpinned", "(Roofline/unpinned)"));
  EXPECT_THAT(CasesWith("^Wake", false, 2), ElementsAre("Wake/smt", "Wake/unpinned"));
  EXPECT_THAT(CasesWith("^(Wake|Roofline)/smt", true, 2), ElementsAre("Wake/smt", "Roofline/smt"));
  EXPECT_THAT(CasesWith("-Depth|Roofline", true, 2), ElementsAre("Wake/smt", "Wake/unpinned"));
  EXPECT_THAT(CasesWith("^no", true, 0), IsEmpty()) << "they run along with nothing";
  EXPECT_THAT(CasesWith("", true, 6), SizeIs(6));
}

TEST(Table, OfNothingIsEmpty) { EXPECT_THAT(Table({CaseOf("x")}, {}, {}), IsEmpty()); }

TEST(Table, HasAtMostAHundredColumnsForEveryNameAndNumber) {
  const std::string endless(60, 'n');
  for (const char* scenario : {"RoundTrip", "Throughput", "FanInLatency", "Attach"}) {
    for (const double number : {0.0, 1.0, 9.995, 999.4, 999.5, 123456.0, 1e12, 1e18, 1e30, 1e300, double(INFINITY)}) {
      for (const std::string& subject : {std::string("p"), std::string("mmap_queue"), endless}) {
        for (const uint64_t bytes : {8UL, 4096UL, 1048568UL, 1073741816UL}) {
          Case one = CaseOf("x", subject, subject == endless ? endless : "spin_then_block");
          one.scenario = scenario;
          one.size = FormatBytes(bytes);
          one.attached = one.scenario == "Attach" ? 64 : 0;
          Reports reports = {{RunOf("x", {{kP50, number},
                                          {kP99, number},
                                          {kP999, number},
                                          {"items_per_second", number},
                                          {"bytes_per_second", number},
                                          {kSenderSwitches, number},
                                          {kReceiverSwitches, number},
                                          {kDrift, 0.5},
                                          {kAllCpu, number}})}};
          CorrectCpuTime(reports[0]);
          const std::string table = Table({one}, {}, reports);
          EXPECT_THAT(table, HasSubstr(one.size));
          for (const std::string& line : std::vector<std::string>(absl::StrSplit(table, '\n'))) {
            EXPECT_LE(Columns(line), 100) << line;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace ipcmark::bench
