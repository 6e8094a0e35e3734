#include "bench/report/result_file.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ipcmark::bench {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;
using Row = benchmark::BenchmarkReporter::Run;

Row RunOf(const std::string& name, const std::string& counter) {
  Row run;
  run.run_name.function_name = name;
  run.counters[counter] = 7;
  return run;
}

std::string Contents(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// A folder of its own for each test.
class ResultFile : public testing::Test {
 protected:
  ResultFile() : folder_(fs::path(getenv("TEST_TMPDIR")) / "result_file") { fs::create_directories(folder_); }
  ~ResultFile() override { fs::remove_all(folder_); }

  [[nodiscard]] std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

  fs::path folder_;
  const std::vector<std::vector<Row>> reports_ = {{RunOf("first", "p50_ns")}, {RunOf("second", "attached")}};
};

TEST_F(ResultFile, IsWholeJsonAndNothingIsLeftBeside) {
  const fs::path path = folder_ / "run.json";
  std::ofstream(path) << "what was here before";
  ASSERT_TRUE(WriteRows(path, "json", reports_).ok());
  EXPECT_THAT(Names(), ElementsAre("run.json"));
  EXPECT_THAT(Contents(path), AllOf(StartsWith("{"), HasSubstr("\"context\""), HasSubstr("\"name\": \"first\""),
                                    HasSubstr("\"name\": \"second\""), Not(HasSubstr("before"))));
}

TEST_F(ResultFile, IsCsvWithOneHeaderForRowsOfDifferentCounters) {
  const fs::path path = folder_ / "run.csv";
  ASSERT_TRUE(WriteRows(path, "csv", reports_).ok());
  const std::string text = Contents(path);
  EXPECT_THAT(text, StartsWith("name,iterations,real_time,cpu_time,time_unit,"));
  EXPECT_THAT(text, HasSubstr("\"attached\",\"p50_ns\"\n"));
  EXPECT_THAT(text, HasSubstr("\n\"first\","));
  EXPECT_THAT(text, HasSubstr(",,7\n"));
  EXPECT_THAT(text, HasSubstr("\n\"second\","));
  EXPECT_THAT(text, HasSubstr(",7,\n"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);
}

TEST_F(ResultFile, IsWhatPeopleReadOnAConsole) {
  const fs::path path = folder_ / "run.txt";
  ASSERT_TRUE(WriteRows(path, "console", reports_).ok());
  EXPECT_THAT(Contents(path), AllOf(HasSubstr("Benchmark"), HasSubstr("first"), Not(HasSubstr("\033"))));
}

TEST_F(ResultFile, OfARunWithoutRowsIsStillJson) {
  const fs::path path = folder_ / "run.json";
  ASSERT_TRUE(WriteRows(path, "json", {}).ok());
  EXPECT_THAT(Contents(path), HasSubstr("\"benchmarks\": ["));
}

TEST_F(ResultFile, ReplacesTheFileBehindALinkAndNotTheLink) {
  fs::create_directory(folder_ / "store");
  std::ofstream(folder_ / "store" / "run.json") << "old";
  fs::create_symlink("store/run.json", folder_ / "link.json");
  ASSERT_TRUE(CheckWritable(folder_ / "link.json", "--f").ok());
  ASSERT_TRUE(WriteRows(folder_ / "link.json", "json", reports_).ok());
  EXPECT_TRUE(fs::is_symlink(folder_ / "link.json"));
  EXPECT_THAT(Contents(folder_ / "store" / "run.json"), HasSubstr("first"));
}

// A rename would take /dev/null away from the whole machine when root asks for it.
TEST_F(ResultFile, IsWrittenInPlaceWhereItIsNoRegularFile) {
  ASSERT_TRUE(CheckWritable("/dev/null", "--f").ok());
  ASSERT_TRUE(WriteRows("/dev/null", "json", reports_).ok());
  struct stat null = {};
  ASSERT_EQ(stat("/dev/null", &null), 0);
  EXPECT_TRUE(S_ISCHR(null.st_mode));
}

TEST_F(ResultFile, ThatCannotBeWrittenIsASentenceAndLeavesNothing) {
  std::ofstream(folder_ / "file") << "x";
  struct Row {
    fs::path path;
    const char* why;
  };
  for (const Row& row : {Row{folder_ / "missing" / "run.json", "ENOENT"}, Row{folder_ / "file" / "run.json", "ENOTDIR"},
                         Row{folder_, "EISDIR"}, Row{"/proc/run.json", "ENOENT"}}) {
    const absl::Status status = CheckWritable(row.path, "--samples");
    EXPECT_FALSE(status.ok()) << row.path;
    EXPECT_THAT(std::string(status.message()),
                AllOf(StartsWith("open " + row.path.string() + ": " + row.why),
                      HasSubstr("; name a writable file in an existing folder in --samples")));
    EXPECT_FALSE(WriteRows(row.path, "json", reports_).ok()) << row.path;
  }
  EXPECT_THAT(Names(), ElementsAre("file"));
}

TEST_F(ResultFile, ThatDoesNotFitIsNamedAsItWasAskedFor) {
  // As on a full disk, but for this process alone.
  signal(SIGXFSZ, SIG_IGN);
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit tiny = {.rlim_cur = 16, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &tiny), 0);
  const absl::Status status = WriteRows(folder_ / "run.json", "json", reports_);
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_THAT(std::string(status.message()), AllOf(StartsWith("write " + (folder_ / "run.json").string() + ": EFBIG"),
                                                   Not(HasSubstr(".tmp")), HasSubstr("--benchmark_out")));
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(ResultFile, ThatCanBeWrittenIsNotTouchedBySayingSo) {
  std::ofstream(folder_ / "old.json") << "old";
  EXPECT_TRUE(CheckWritable(folder_ / "old.json", "--f").ok());
  EXPECT_TRUE(CheckWritable(folder_ / "new.json", "--f").ok());
  EXPECT_THAT(Names(), ElementsAre("old.json"));
  EXPECT_EQ(Contents(folder_ / "old.json"), "old");
}

TEST_F(ResultFile, IsTheSameAsAnotherByWhateverPath) {
  std::ofstream(folder_ / "run.json") << "old";
  fs::create_symlink("run.json", folder_ / "link");
  fs::create_hard_link(folder_ / "run.json", folder_ / "other name");
  EXPECT_TRUE(AreOneFile(folder_ / "run.json", folder_ / "link"));
  EXPECT_TRUE(AreOneFile(folder_ / "other name", folder_ / "run.json"));
  EXPECT_TRUE(AreOneFile(folder_ / "new", folder_ / "x" / ".." / "new"));
  EXPECT_FALSE(AreOneFile(folder_ / "new", folder_ / "newer"));
  EXPECT_FALSE(AreOneFile("/dev/null", "/dev/null")) << "takes what both have";
}

TEST_F(ResultFile, GoesByDefaultUnderTheWorkspaceNamedByTimeAndSuite) {
  setenv("BUILD_WORKSPACE_DIRECTORY", folder_.c_str(), 1);
  const fs::path path = DefaultOut("smoke");
  unsetenv("BUILD_WORKSPACE_DIRECTORY");
  EXPECT_EQ(path.parent_path(), folder_ / "results" / "runs");
  EXPECT_THAT(path.filename().string(), testing::MatchesRegex("20..-..-..T..-..-..-smoke.json"));
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(ResultFile, IsComparedWithTheNewestOtherRunOfItsSuite) {
  for (const char* name : {"2026-01-01-smoke.json", "2026-01-03-smoke.json", "2026-01-04-smoke.json",
                           "2026-01-05-quick.json", "-smoke.json.1.tmp"}) {
    std::ofstream(folder_ / name) << "{}";
  }
  EXPECT_EQ(PreviousRun(folder_ / "2026-01-04-smoke.json", "smoke"), folder_ / "2026-01-03-smoke.json");
  EXPECT_EQ(PreviousRun(folder_ / "2026-01-05-quick.json", "quick"), folder_ / "2026-01-05-quick.json");
  EXPECT_EQ(PreviousRun(folder_ / "none" / "x.json", "smoke"), folder_ / "none" / "x.json");
}

}  // namespace
}  // namespace ipcmark::bench
