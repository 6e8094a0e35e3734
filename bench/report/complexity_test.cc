#include "bench/report/complexity.h"

#include <unistd.h>

#include <cmath>
#include <sstream>

#include "bench/report/runner.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ipcmark::bench {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using Row = benchmark::BenchmarkReporter::Run;

Case CaseOf(uint64_t bytes, int attached, uint64_t page_bytes = sysconf(_SC_PAGESIZE)) {
  return {.name = "Attach/sysv_shm/lock/" + std::to_string(bytes) + "/attached:" + std::to_string(attached),
          .scenario = "Attach",
          .subject = "sysv_shm",
          .variant = "lock",
          .size = "",
          .bytes = static_cast<uint32_t>(bytes),
          .attached = attached,
          .pages = bytes / page_bytes};
}

std::vector<Row> Measured(const Case& one, double p50_nanos, double mean_nanos) {
  Row run;
  run.run_name.function_name = one.name;
  run.run_name.time_type = "manual_time";
  run.time_unit = benchmark::kNanosecond;
  run.iterations = 10;
  run.real_accumulated_time = 10e-9 * mean_nanos;
  run.cpu_accumulated_time = 20e-9 * mean_nanos;
  run.family_index = 7;
  run.per_family_instance_index = 0;
  run.repetitions = 1;
  run.repetition_index = 0;
  if (p50_nanos > 0) run.counters[kP50] = p50_nanos;
  return {run};
}

const std::vector<Case> kSizes = {CaseOf(4096, 1), CaseOf(65536, 1), CaseOf(1 << 20, 1)};

// As if it cost half a nanosecond a byte, with means that an interrupt has spoilt.
std::vector<std::vector<Row>> LinearReports() {
  std::vector<std::vector<Row>> reports;
  reports.reserve(kSizes.size());
  for (const Case& one : kSizes) reports.push_back(Measured(one, 0.5 * one.bytes, 1e7));
  return reports;
}

TEST(Fit, FindsTheClassOfEveryExactCurve) {
  const std::pair<benchmark::BigO, double (*)(double)> kinds[] = {
      {benchmark::o1, [](double) { return 1.0; }},
      {benchmark::oLogN, [](double n) { return std::log2(n); }},
      {benchmark::oN, [](double n) { return n; }},
      {benchmark::oNLogN, [](double n) { return n * std::log2(n); }},
      {benchmark::oNSquared, [](double n) { return n * n; }},
      {benchmark::oNCubed, [](double n) { return n * n * n; }},
  };
  for (const auto& [kind, of] : kinds) {
    std::vector<bench::Measured> points;
    for (const double n : {1.0, 8.0, 64.0, 1000.0}) points.push_back({n, 3 * of(n)});
    const Fit fit = FitTo(points, benchmark::oAuto);
    EXPECT_EQ(fit.complexity, kind);
    EXPECT_NEAR(fit.coefficient, 3, 1e-9);
    EXPECT_NEAR(fit.rms, 0, 1e-9);
  }
}

TEST(Fit, OfAClassThatIsGivenSaysByHowMuchItMisses) {
  const Fit fit = FitTo({{1, 1}, {2, 3}}, benchmark::o1);
  EXPECT_EQ(fit.coefficient, 2);
  EXPECT_EQ(fit.rms, 0.5);
}

void Spin(benchmark::State& state) {
  while (state.KeepRunning()) {
    for (int64_t n = 0; n < state.range(0); ++n) benchmark::DoNotOptimize(n);
  }
  state.SetComplexityN(state.range(0));
}
BENCHMARK(Spin)->Arg(100)->Arg(1000)->Arg(10000)->Iterations(100)->Complexity(benchmark::oAuto);

// The library fits the CPU times of a family to the class that suits these: there we must agree to the last digit.
TEST(Fit, IsThatOfGoogleBenchmark) {
  struct Collect : benchmark::BenchmarkReporter {
    bool ReportContext(const Context& /*context*/) override { return true; }
    void ReportRuns(const std::vector<Run>& report) override { rows.insert(rows.end(), report.begin(), report.end()); }
    std::vector<Run> rows;
  } collect;
  benchmark::RunSpecifiedBenchmarks(&collect);
  ASSERT_THAT(collect.rows, SizeIs(5));
  std::vector<bench::Measured> points;
  for (size_t n = 0; n < 3; ++n) {
    points.push_back({static_cast<double>(collect.rows[n].complexity_n), collect.rows[n].cpu_accumulated_time / 100});
  }
  const Fit fit = FitTo(points, benchmark::oAuto);
  EXPECT_EQ(fit.complexity, collect.rows[3].complexity);
  EXPECT_DOUBLE_EQ(fit.coefficient, collect.rows[3].cpu_accumulated_time);
  EXPECT_NEAR(fit.rms, collect.rows[4].cpu_accumulated_time * 1e9, 1e-9);
}

TEST(Curves, AreOfOneCallAgainstEachAxis) {
  std::vector<Case> cases = kSizes;
  cases.push_back(CaseOf(1 << 20, 8));
  cases.push_back(CaseOf(1 << 21, 1, 1 << 21));  // a huge page: another thing
  Case message = CaseOf(4096, 0);
  message.pages = 0;
  cases.push_back(message);
  const std::vector<Curve> curves = CurvesOf(cases);
  ASSERT_THAT(curves, SizeIs(2));
  EXPECT_EQ(curves[0].name, "Attach/sysv_shm/lock/bytes");
  EXPECT_EQ(curves[0].title, "lock vs bytes");
  EXPECT_THAT(curves[0].points, SizeIs(3));
  EXPECT_EQ(curves[1].name, "Attach/sysv_shm/lock/attached");
  ASSERT_THAT(curves[1].points, SizeIs(2));
  EXPECT_EQ(curves[1].points[0].case_name, kSizes[2].name);
  EXPECT_EQ(curves[1].points[1].n, 8);
}

TEST(Curves, AreFittedToMediansAndPrintedALineEach) {
  const std::vector<FittedCurve> fitted = FitCurves(kSizes, LinearReports());
  ASSERT_THAT(fitted, SizeIs(1));
  EXPECT_EQ(fitted[0].time.complexity, benchmark::oN);
  EXPECT_NEAR(fitted[0].time.coefficient, 0.5, 1e-12);
  EXPECT_THAT(FitLines(fitted), HasSubstr("\n  lock vs bytes: O(N), 0.5 ns * N, rms 0 %\n"));
}

TEST(Curves, AreFittedToMeansWhereAMedianIsMissing) {
  std::vector<std::vector<Row>> reports = LinearReports();
  reports[1] = Measured(kSizes[1], -1, 1e7);
  EXPECT_THAT(FitLines(FitCurves(kSizes, reports)),
              HasSubstr("\n  lock vs bytes: O(1), 10.0 ms, rms 0 % (of means: too few samples)\n"));
}

TEST(Curves, WithFewerThanThreePointsAreNotFitted) {
  std::vector<std::vector<Row>> reports = LinearReports();
  reports[0].push_back(reports[0][0]);  // a repetition is no point
  reports[1][0].error_occurred = true;
  EXPECT_THAT(FitCurves(kSizes, reports), IsEmpty());
  reports.erase(reports.begin() + 1);
  EXPECT_THAT(FitCurves(kSizes, reports), IsEmpty());
  EXPECT_EQ(FitLines({}), "");
  EXPECT_THAT(FitRows({}), IsEmpty());
}

TEST(Curves, OfAggregatesOnlyAreFittedToTheMedianRows) {
  std::vector<std::vector<Row>> reports = LinearReports();
  for (auto& report : reports) {
    report[0].run_type = Row::RT_Aggregate;
    report[0].aggregate_name = "median";
    report.push_back(report[0]);
    report[1].aggregate_name = "mean";
    report[1].counters[kP50] = 1e9;
  }
  ASSERT_THAT(FitCurves(kSizes, reports), SizeIs(1));
  EXPECT_NEAR(FitCurves(kSizes, reports)[0].time.coefficient, 0.5, 1e-12);
}

TEST(Curves, BecomeTheRowsThatGoogleBenchmarkWrites) {
  const std::vector<Row> rows = FitRows(FitCurves(kSizes, LinearReports()));
  std::ostringstream text;
  benchmark::JSONReporter json;
  json.SetOutputStream(&text);
  json.ReportContext(benchmark::BenchmarkReporter::Context());
  json.ReportRuns(rows);
  json.Finalize();
  EXPECT_THAT(text.str(), AllOf(HasSubstr("\"name\": \"Attach/sysv_shm/lock/bytes/manual_time_BigO\""),
                                HasSubstr("\"run_type\": \"aggregate\""), HasSubstr("\"aggregate_name\": \"RMS\""),
                                HasSubstr("\"big_o\": \"N\""), HasSubstr("\"real_coefficient\": 5.0000000000000"),
                                HasSubstr("\"rms\": ")));
}

}  // namespace
}  // namespace ipcmark::bench
