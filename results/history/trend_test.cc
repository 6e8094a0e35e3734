#include "results/history/trend.h"

#include <cmath>
#include <filesystem>
#include <optional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rapidjson/document.h"
#include "results/history/for_test.h"

namespace ipcmark::results {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr char kOther[] = R"("cpu_model": "MOS 6502", "num_cpus": 1, "kernel": "6.1")";

class TrendTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "trend.db";
    std::filesystem::remove(path_);
    store_ = *Store::Open(path_, Store::Mode::kAdd);
  }
  void TearDown() override { std::filesystem::remove(path_); }

  std::string Add(const FakeRun& fake) {
    const HistoryRun run = *MakeRun(Json(fake), "x", 0);
    EXPECT_TRUE(*store_->Add(run));
    return run.id;
  }

  std::vector<Trend> Find(const TrendOptions& options) {
    absl::StatusOr<std::vector<Trend>> trends = FindTrends(*store_, options);
    EXPECT_TRUE(trends.ok()) << trends.status();
    return *std::move(trends);
  }

  std::string path_;
  std::optional<Store> store_;
};

// Not operator[]: its way to say "none" is one that clang-analyzer takes for a mistake.
const rapidjson::Value& Member(const rapidjson::Value& value, const char* key) { return value.FindMember(key)->value; }

// A level that is a few thousandths wide.
double Around(double level, int i) { return level * (1 + 0.001 * (i * 7 % 5)); }

TEST_F(TrendTest, FindsTheRunThatMadeItWorse) {
  // Added in another order than they ran in.
  std::string first_slow;
  for (const int start : {10, 0}) {
    for (int i = start; i < start + 10; ++i) {
      const std::string id = Add({i, Around(i < 12 ? 100 : 130, i)});
      if (i == 12) first_slow = id;
      Add({i, Around(500, i), kOther});
    }
  }
  TrendOptions options;
  options.benchmarks = "^A/";
  const std::vector<Trend> trends = Find(options);
  ASSERT_EQ(trends.size(), 2U) << "one a machine";
  const Trend& changed = trends[trends[0].changes.empty() ? 1 : 0];
  const Trend& steady = trends[trends[0].changes.empty() ? 0 : 1];
  EXPECT_EQ(changed.metric, "p50_ns");
  ASSERT_EQ(changed.changes.size(), 1U);
  const TrendChange& change = changed.changes[0];
  EXPECT_EQ(changed.points[change.point.index].run, first_slow);
  EXPECT_NEAR(change.before, 100.2, 0.3);
  EXPECT_NEAR(change.after, 130.3, 0.4);
  EXPECT_NEAR(change.ratio, 1.3, 0.01);
  EXPECT_TRUE(EndsWorse(changed));
  EXPECT_EQ(steady.key.machine_text, "MOS 6502, 1 CPU, Linux 6.1");
  EXPECT_TRUE(steady.changes.empty());
  EXPECT_FALSE(EndsWorse(steady));

  EXPECT_THAT(TrendText(trends, options),
              AllOf(HasSubstr("  ▁▁▁▁▁▁▁▁▁▁▁▁████████\n"), HasSubstr("----- change: 100 ns -> 130 ns"),
                    HasSubstr("worse"), HasSubstr("2 series, 1 changes, 1 end worse"), HasSubstr("seed 1")));
  rapidjson::Document document;
  document.Parse(TrendJson(trends, options).c_str());
  ASSERT_FALSE(document.HasParseError());
  const rapidjson::Value& all = Member(document, "series");
  ASSERT_EQ(all.Size(), 2U);
  const rapidjson::Value& series = all[changed.key.machine == trends[0].key.machine ? 0 : 1];
  EXPECT_TRUE(Member(series, "ends_worse").GetBool());
  EXPECT_EQ(Member(Member(series, "changes")[0], "run").GetString(), first_slow);
  EXPECT_EQ(Member(series, "points").Size(), 20U);
}

TEST_F(TrendTest, ARateThatFallsIsWorseAndOneThatRisesIsBetter) {
  for (int i = 0; i < 20; ++i) Add({i, Around(i < 10 ? 130 : 100, i)});
  TrendOptions options;
  options.benchmarks = ".";
  options.metric = "items_per_second";
  std::vector<Trend> trends = Find(options);
  ASSERT_EQ(trends.at(0).changes.size(), 1U);
  EXPECT_NEAR(trends[0].changes[0].ratio, 1 / 1.3, 0.01);
  EXPECT_FALSE(EndsWorse(trends[0]));
  for (int i = 20; i < 40; ++i) Add({i, Around(200, i)});
  trends = Find(options);
  ASSERT_EQ(trends.at(0).changes.size(), 2U);
  EXPECT_NEAR(trends[0].changes[1].ratio, 2, 0.02);
  EXPECT_TRUE(EndsWorse(trends[0]));
  EXPECT_THAT(TrendText(trends, options), HasSubstr("better"));
}

TEST_F(TrendTest, LooksAtTheNewestRunsOnly) {
  for (int i = 0; i < 20; ++i) Add({i, Around(i < 10 ? 100 : 130, i)});
  TrendOptions options;
  options.benchmarks = ".";
  options.last = 10;
  const std::vector<Trend> trends = Find(options);
  ASSERT_EQ(trends.at(0).points.size(), 10U);
  EXPECT_GT(trends[0].points[0].value, 129);
  EXPECT_TRUE(trends[0].changes.empty());
}

TEST_F(TrendTest, FilesWithoutQuantilesAreJudgedByTheirTime) {
  ASSERT_TRUE(*store_->Add(*MakeRun(R"({"benchmarks": [{"name": "A/0", "real_time": 2, "time_unit": "us"}]})", "", 0)));
  TrendOptions options;
  options.benchmarks = "A";
  const std::vector<Trend> trends = Find(options);
  EXPECT_EQ(trends.at(0).metric, "real_time");
  EXPECT_EQ(trends[0].points.at(0).value, 2000);
}

TEST_F(TrendTest, SaysWhatIsNotThere) {
  TrendOptions options;
  options.benchmarks = "A";
  EXPECT_THAT(FindTrends(*store_, options).status().message(), HasSubstr("the history has no run yet"));
  Add({});
  options.benchmarks = "(";
  EXPECT_THAT(FindTrends(*store_, options).status().message(), HasSubstr("(: Unmatched ("));
  options.benchmarks = "B";
  EXPECT_THAT(FindTrends(*store_, options).status().message(),
              HasSubstr("B matches no benchmark of the history; a name there is A/0"));
  options.benchmarks = "A";
  options.metric = "p98_ns";
  EXPECT_THAT(FindTrends(*store_, options).status().message(), HasSubstr("--metric=p98_ns: no run of A/0"));
}

}  // namespace
}  // namespace ipcmark::results
