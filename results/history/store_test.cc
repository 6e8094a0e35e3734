// What a store keeps, what it refuses, and what it says about a file that is none.
#include "results/history/store.h"

#include <sqlite3.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "results/history/export.h"
#include "results/history/for_test.h"

namespace ipcmark::results {
namespace {

using testing::HasSubstr;

namespace fs = std::filesystem;

HistoryRun RunOf(const FakeRun& fake) {
  absl::StatusOr<HistoryRun> run = MakeRun(Json(fake), "fake.json", 0);
  EXPECT_TRUE(run.ok()) << run.status();
  return *std::move(run);
}

class HistoryStore : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    path_ = folder_ / "h.db";
  }
  void TearDown() override { fs::remove_all(folder_); }

  Store Open(Store::Mode mode = Store::Mode::kAdd, const std::string& path = "") const {
    absl::StatusOr<Store> store = Store::Open(path.empty() ? path_ : path, mode);
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }

  std::string WhyNot(Store::Mode mode) const {
    const absl::StatusOr<Store> store = Store::Open(path_, mode);
    return store.ok() ? "it opens" : std::string(store.status().message());
  }

  // As any other program would.
  std::string Sql(const std::string& sql) const {
    sqlite3* database = nullptr;
    sqlite3_open(path_.c_str(), &database);
    char* error = nullptr;
    sqlite3_exec(database, sql.c_str(), nullptr, nullptr, &error);
    std::string text = error == nullptr ? "done" : error;
    sqlite3_free(error);
    sqlite3_close(database);
    return text;
  }

  fs::path folder_;
  std::string path_;
};

TEST_F(HistoryStore, GivesBackWhatWasAdded) {
  const HistoryRun run = RunOf({90, 250, FakeRun().context, 3});
  EXPECT_TRUE(*Open().Add(run));
  const Store store = Open(Store::Mode::kRead);
  const HistoryRun found = *store.Find(run.id.substr(0, 6));
  EXPECT_EQ(found.id, run.id);
  EXPECT_EQ(found.unix_seconds, 1795397400);  // date -d 2026-11-23T01:30Z +%s
  EXPECT_EQ(found.git_revision, "abc");
  EXPECT_EQ(found.machine_text, "Zilog Z80, 2 CPUs, Linux 6.1");
  EXPECT_EQ(*store.Json(run.id), run.json);
  const std::vector<HistoryPoint> points = *store.Points(run.id);
  ASSERT_EQ(points.size(), 12U);
  EXPECT_EQ(points[2].metric, "p50_ns");
  EXPECT_EQ(points[2].value, 250);
  EXPECT_TRUE(store.Check().ok());
  EXPECT_THAT(store.Find("xyz").status().message(), HasSubstr("no run has an id that begins so"));
}

TEST_F(HistoryStore, KeepsTheSameRunOnceHoweverItIsIndented) {
  Store store = Open();
  EXPECT_TRUE(*store.Add(RunOf({})));
  EXPECT_FALSE(*store.Add(RunOf({})));
  const std::string other_layout = absl::StrReplaceAll(Json({}), {{": ", " :\n\t"}, {"\n", "\r\n"}});
  EXPECT_FALSE(*store.Add(*MakeRun(other_layout, "x", 0)));
  EXPECT_TRUE(*store.Add(RunOf({0, 101})));
  // White space inside a string is content.
  EXPECT_TRUE(*store.Add(RunOf({0, 100, R"("cpu_model": "ZilogZ80")"})));
  EXPECT_TRUE(*store.Add(RunOf({0, 100, R"("cpu_model": "Zilog \" Z80")"})));
  EXPECT_TRUE(*store.Add(RunOf({0, 100, R"("cpu_model": "Zilog \"Z80")"})));
  EXPECT_EQ(store.Runs()->size(), 5U);
}

TEST_F(HistoryStore, RefusesEveryChangeFromAnyProgram) {
  ASSERT_TRUE(*Open().Add(RunOf({})));
  for (const char* sql :
       {"UPDATE runs SET git_revision = 'x'", "DELETE FROM runs", "UPDATE points SET value = 1", "DELETE FROM points",
        "INSERT OR REPLACE INTO runs SELECT id, 0, machine, '', '', suite, points, json FROM runs",
        "INSERT INTO points SELECT run, 'new', metric, value, 1 FROM points LIMIT 1",
        "INSERT OR REPLACE INTO points SELECT run, benchmark, metric, 0, 1 FROM points LIMIT 1"}) {
    EXPECT_THAT(Sql(sql), HasSubstr("the history is append-only")) << sql;
  }
  EXPECT_EQ(Sql("INSERT INTO runs VALUES ('half', 0, '', '', '', '', 2, x'')"), "a run comes with all its points");
  EXPECT_EQ(Sql("PRAGMA foreign_keys=ON; INSERT INTO points VALUES ('none', 'b', 'm', 1, 1)"),
            "FOREIGN KEY constraint failed");
  EXPECT_TRUE(Open(Store::Mode::kRead).Check().ok());
}

TEST_F(HistoryStore, ChecksTheContentOfEveryRun) {
  ASSERT_TRUE(*Open().Add(RunOf({})));
  ASSERT_EQ(Sql("DROP TRIGGER runs_keep_update; UPDATE runs SET json = CAST(replace(json, 'abc', 'abd') AS BLOB)"),
            "done");
  EXPECT_THAT(Open(Store::Mode::kRead).Check().message(), HasSubstr("is not what was added"));
  const std::string other = folder_ / "other.db";
  Store target = Open(Store::Mode::kAdd, other);
  EXPECT_THAT(MergeInto(target, Open(Store::Mode::kRead), path_).status().message(),
              HasSubstr(path_ + ": the history is damaged"));
  EXPECT_EQ(target.Runs()->size(), 0U);
}

TEST_F(HistoryStore, MergesAreIdempotent) {
  const std::string other_path = folder_ / "other.db";
  Store store = Open();
  Store other = Open(Store::Mode::kAdd, other_path);
  ASSERT_TRUE(store.Add(RunOf({1})).ok());
  ASSERT_TRUE(store.Add(RunOf({2})).ok());
  ASSERT_TRUE(other.Add(RunOf({2})).ok());
  ASSERT_TRUE(other.Add(RunOf({3})).ok());
  EXPECT_EQ(MergeInto(store, other, other_path)->added, 1U);
  EXPECT_EQ(MergeInto(store, other, other_path)->added, 0U);
  EXPECT_EQ(MergeInto(other, store, path_)->added, 1U);
  EXPECT_EQ(store.Runs()->size(), 3U);
  EXPECT_EQ(other.Runs()->size(), 3U);
}

TEST_F(HistoryStore, AFileWithoutADateKeepsTheTimeItWasFirstAdded) {
  const std::string json = R"({"benchmarks": [{"name": "a", "real_time": 1}]})";
  Store store = Open();
  ASSERT_TRUE(*store.Add(*MakeRun(json, "x", 77)));
  Store other = Open(Store::Mode::kAdd, folder_ / "other.db");
  ASSERT_TRUE(MergeInto(other, store, path_).ok());
  EXPECT_EQ(other.Runs()->at(0).unix_seconds, 77);
}

TEST_F(HistoryStore, SaysWhatIsWrongWithTheFile) {
  EXPECT_THAT(WhyNot(Store::Mode::kRead), HasSubstr("there is no history"));
  std::ofstream(path_).flush();
  EXPECT_THAT(WhyNot(Store::Mode::kRead), HasSubstr("it is empty"));
  EXPECT_EQ(WhyNot(Store::Mode::kAdd), "it opens");
  std::ofstream(path_) << std::string(5000, 'x');
  for (const Store::Mode mode : {Store::Mode::kRead, Store::Mode::kAdd}) {
    EXPECT_THAT(WhyNot(mode), HasSubstr("it is no history, nor any SQLite database"));
  }
  fs::remove(path_);
  ASSERT_EQ(Sql("CREATE TABLE mine (a)"), "done");
  for (const Store::Mode mode : {Store::Mode::kRead, Store::Mode::kAdd}) {
    EXPECT_THAT(WhyNot(mode), HasSubstr("it is an SQLite database, but no history"));
  }
  fs::remove(path_);
  Open();
  ASSERT_EQ(Sql("PRAGMA user_version=2"), "done");
  EXPECT_THAT(WhyNot(Store::Mode::kAdd), HasSubstr("version 2, this program knows version 1; update ipcmark"));
  path_ = folder_;
  EXPECT_THAT(WhyNot(Store::Mode::kAdd), HasSubstr("it is no file"));
  path_ = folder_ / "none" / "h.db";
  EXPECT_THAT(WhyNot(Store::Mode::kAdd), HasSubstr("No such file or directory"));
}

TEST_F(HistoryStore, SaysThatItIsDamaged) {
  ASSERT_TRUE(*Open().Add(RunOf({0, 100, FakeRun().context, 200})));
  std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
  constexpr std::streamoff page_bytes = 4096;
  for (std::streamoff page = 4; page < 12; ++page) {
    file.seekp(page * page_bytes);
    file << std::string(2000, '\xee');
  }
  file.close();
  const absl::StatusOr<Store> store = Store::Open(path_, Store::Mode::kRead);
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_THAT(store->Check().message(), HasSubstr("the history is damaged"));
}

// What makes two runs come from one machine.
TEST(HistoryRun, TheMachineIsWhatTimesDependOn) {
  const auto machine = [](const std::string& context) { return RunOf({0, 100, context}).machine; };
  const std::string base = machine(R"("cpu_model": "A", "num_cpus": 2, "kernel": "6.1", "host_name": "x")");
  EXPECT_EQ(base, machine(R"("host_name": "y", "kernel": "6.1", "num_cpus": 2, "cpu_model": "A", "load_avg": [1])"));
  EXPECT_NE(base, machine(R"("cpu_model": "B", "num_cpus": 2, "kernel": "6.1")"));
  EXPECT_NE(base, machine(R"("cpu_model": "A", "num_cpus": 4, "kernel": "6.1")"));
  EXPECT_NE(base, machine(R"("cpu_model": "A", "num_cpus": 2, "kernel": "6.2")"));
  EXPECT_NE(base, machine(R"("cpu_model": "A", "num_cpus": 2, "kernel": "6.1", "build": "debug")"));
  const std::string plain = machine(R"("host_name": "x", "num_cpus": 2, "mhz_per_cpu": 2596, "caches": [])");
  EXPECT_EQ(plain, machine(R"("host_name": "x", "num_cpus": 2, "mhz_per_cpu": 2600, "caches": [])"));
  EXPECT_NE(plain, machine(R"("host_name": "y", "num_cpus": 2, "mhz_per_cpu": 2596, "caches": [])"));
}

TEST(HistoryRun, TakesMediansAndLeavesOutWhatFailed) {
  const absl::StatusOr<HistoryRun> run = MakeRun(
      R"({"benchmarks": [
        {"name": "a", "real_time": 3}, {"name": "a", "real_time": 1}, {"name": "a", "real_time": 9},
        {"name": "b", "real_time": 3}, {"name": "b", "real_time": 0, "error_occurred": true},
        {"name": "c_mean", "run_name": "c", "run_type": "aggregate", "aggregate_name": "mean", "real_time": 5},
        {"name": "c_median", "run_name": "c", "run_type": "aggregate", "aggregate_name": "median", "real_time": 4},
        {"name": "d", "real_time": NaN}]})",
      "x", 0);
  ASSERT_TRUE(run.ok()) << run.status();
  ASSERT_EQ(run->points.size(), 2U);
  EXPECT_EQ(run->points[0].value, 3);
  EXPECT_EQ(run->points[0].repetitions, 3);
  EXPECT_EQ(run->points[1].benchmark, "c");
  EXPECT_EQ(run->points[1].value, 4);
  EXPECT_THAT(MakeRun(R"({"benchmarks": [{"name": "a", "error_occurred": true}]})", "x.json", 0).status().message(),
              HasSubstr("x.json: every benchmark in it failed"));
}

TEST(HistoryRun, AddsARowUnderTheNameThatItHasToday) {
  const absl::StatusOr<HistoryRun> run = MakeRun(
      R"({"benchmarks": [{"name": "Recovery/mmap_queue/block/64/holder/manual_time", "real_time": 3}]})", "x", 0);
  ASSERT_TRUE(run.ok()) << run.status();
  ASSERT_EQ(run->points.size(), 1U);
  EXPECT_EQ(run->points[0].benchmark, "Recovery/mmap_queue/block/1024/holder/manual_time");
}

}  // namespace
}  // namespace ipcmark::results
