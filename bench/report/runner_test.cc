// A slice whose numbers are known, through Google Benchmark, to its row: each quantity by the count that it is of.

#include "bench/report/runner.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "bench/report/report.h"
#include "bench/report/result_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ipcmark::bench {
namespace {

using testing::HasSubstr;
using testing::Not;
using Row = benchmark::BenchmarkReporter::Run;

// 100 samples of 10 messages each: 1, 2, ... 100 µs.
SliceResult Slice(uint64_t messages) {
  SliceResult result;
  result.nanos = static_cast<int64_t>(messages) * 1'500;
  result.messages = messages;
  result.messages_per_sample = 10;
  for (int64_t micros = 1; micros <= 100; ++micros) result.samples_nanos.push_back(1'000 * micros);
  result.samples_in_order = result.samples_nanos;
  result.max_nanos = 250'000;
  const auto times = [&](int64_t each) { return each * static_cast<int64_t>(messages); };
  result.sender = SideUsage{times(2'000), times(2), times(3), times(4), times(5)};
  result.receiver = SideUsage{times(600), times(1), 0, 0, 0};
  result.other_cpu_nanos = times(30);
  result.roofline_nanos = 500;
  return result;
}

Case CaseOf(const std::string& name, const std::function<void(SliceResult&)>& change = {}) {
  Case one = {.name = name,
              .scenario = "Throughput",
              .subject = "pipe",
              .variant = "block",
              .size = "64 B",
              .bytes = 64,
              .sender_cpu = 3,
              .receiver_cpu = 5};
  one.run = [change](uint64_t messages, const std::atomic<bool>* /*cancel*/) -> absl::StatusOr<SliceResult> {
    SliceResult result = Slice(messages);
    if (change) change(result);
    return result;
  };
  return one;
}

// What comes of the cases, each run once with 1,000 messages.
std::vector<std::vector<Row>> ReportsOf(const std::vector<Case>& cases) {
  const std::atomic<bool> cancel = false;
  Progress progress(static_cast<int>(cases.size()));
  RegisterCases(cases, &cancel, &progress, 1'000);
  Collector collector(&progress);
  benchmark::RunSpecifiedBenchmarks(&collector, "all");
  benchmark::ClearRegisteredBenchmarks();
  return collector.reports();
}

Row RowOf(const Case& one) {
  const std::vector<std::vector<Row>> reports = ReportsOf({one});
  EXPECT_THAT(reports, testing::SizeIs(1));
  return reports.at(0).at(0);
}

class Runner : public testing::Test {
 protected:
  // One run of each: Google Benchmark looks for no number when the first has taken long enough.
  static void SetUpTestSuite() {
    static char program[] = "runner_test";
    char short_time[] = "--benchmark_min_time=0.000000001";
    char* argv[] = {program, short_time, nullptr};
    int argc = 2;
    benchmark::Initialize(&argc, argv);
  }
};

TEST_F(Runner, DividesEachQuantityByItsOwnCount) {
  const Row row = RowOf(CaseOf("plain"));
  EXPECT_FALSE(row.error_occurred);
  const auto value = [&](const std::string& name) { return row.counters.at(name).value; };
  EXPECT_DOUBLE_EQ(row.GetAdjustedRealTime(), 1'500);
  EXPECT_DOUBLE_EQ(row.GetAdjustedCPUTime(), 2'000 + 600 + 30);
  // Of a sample of ten messages a tenth; rank ceil(q * 100).
  EXPECT_DOUBLE_EQ(value(kP50), 5'000);
  EXPECT_DOUBLE_EQ(value(kP90), 9'000);
  EXPECT_EQ(row.counters.count(kP99), 0U) << "one sample is beyond it";
  EXPECT_DOUBLE_EQ(value(kMax), 25'000);
  EXPECT_DOUBLE_EQ(value("samples"), 100);
  EXPECT_DOUBLE_EQ(value("sample_messages"), 10);
  EXPECT_DOUBLE_EQ(value(kSenderCpu), 2'000);
  EXPECT_DOUBLE_EQ(value(kSenderSwitches), 2);
  EXPECT_DOUBLE_EQ(value("sender_involuntary_switches"), 3);
  EXPECT_DOUBLE_EQ(value("sender_minor_faults"), 4);
  EXPECT_DOUBLE_EQ(value("sender_major_faults"), 5);
  EXPECT_DOUBLE_EQ(value(kReceiverCpu), 600);
  EXPECT_DOUBLE_EQ(value(kReceiverSwitches), 1);
  EXPECT_NEAR(value("items_per_second"), 1e9 / 1'500, 1e-3);
  EXPECT_NEAR(value("bytes_per_second"), 64 * 1e9 / 1'500, 1e-1);
  EXPECT_DOUBLE_EQ(value(kRoofline), 500);
  EXPECT_DOUBLE_EQ(value(kOfRoofline), 3);
  EXPECT_EQ(value("pinned_sender_cpu"), 3);
  EXPECT_EQ(value("pinned_receiver_cpu"), 5);
}

TEST_F(Runner, HoldsADistributionAgainstItsLimitByItsMedian) {
  const Row row = RowOf(CaseOf("median", [](SliceResult& result) {
    result.bounds_median = true;
    result.messages_per_sample = 1;
  }));
  EXPECT_DOUBLE_EQ(row.counters.at(kOfRoofline).value, 50'000.0 / 500);
}

// Where each of several processes sends equally many, more came than were asked for.
TEST_F(Runner, CountsTheMessagesThatCame) {
  const auto a_fifth_more = [](SliceResult& result) { result = Slice(result.messages * 6 / 5); };
  Case one = CaseOf("more", a_fifth_more);
  for (const uint64_t own_number : {0UL, 1'000UL}) {
    one.fixed_messages = own_number;
    const Row row = RowOf(one);
    EXPECT_NEAR(row.GetAdjustedRealTime(), 1'500, 1e-6);
    EXPECT_NEAR(row.GetAdjustedCPUTime(), 2'630, 1e-6);
    EXPECT_NEAR(row.counters.at("items_per_second").value, 1e9 / 1'500, 1e-3);
  }
}

TEST_F(Runner, SaysOfHowManySamplesOneWasKept) {
  const std::vector<std::vector<Row>> reports =
      ReportsOf({CaseOf("all"), CaseOf("third", [](SliceResult& result) { result.samples_apart = 3; })});
  ASSERT_THAT(reports, testing::SizeIs(2));
  EXPECT_EQ(reports[0][0].counters.count("thinned"), 0U);
  EXPECT_EQ(reports[1][0].counters.at("thinned").value, 3);
  const char* const folder = getenv("TEST_TMPDIR");
  const std::filesystem::path file = std::filesystem::path(folder == nullptr ? "/tmp" : folder) / "thinned.json";
  ASSERT_TRUE(WriteRows(file, "json", reports).ok());
  std::ostringstream written;
  written << std::ifstream(file).rdbuf();
  std::filesystem::remove(file);
  const std::string text = written.str();
  const size_t third = text.find("\"name\": \"third");
  ASSERT_NE(third, std::string::npos) << text;
  EXPECT_THAT(text.substr(0, third), Not(HasSubstr("thinned")));
  EXPECT_THAT(text.substr(third), HasSubstr("\"thinned\": 3.0000000000000000e+00"));
}

}  // namespace
}  // namespace ipcmark::bench
