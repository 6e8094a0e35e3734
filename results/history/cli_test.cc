// The program itself: its words and exit codes, many at once, killed at any system call, on a full disk.
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "results/history/for_test.h"
#include "results/history/store.h"
#include "results/subprocess_for_test.h"

namespace ipcmark::results {
namespace {

using testing::HasSubstr;

namespace fs = std::filesystem;

class HistoryCli : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    db_ = folder_ / "h.db";
    program_ = fs::absolute("results/history/history");
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string File(const std::string& name, const FakeRun& fake) const {
    const fs::path path = folder_ / name;
    std::ofstream(path) << Json(fake);
    return path;
  }

  Outcome History(std::vector<std::string> arguments, const std::vector<std::string>& environment = {}) const {
    arguments.insert(arguments.begin(), program_);
    return RunProgram(arguments, environment);
  }

  // In a child, which never returns.
  void Become(const std::vector<std::string>& arguments) const {
    std::vector<char*> argv = {const_cast<char*>(program_.c_str())};
    for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(null, STDOUT_FILENO);
    // The leak check of a sanitized build refuses to work under ptrace.
    setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
    execv(argv[0], argv.data());
    _exit(99);
  }

  size_t WholeRuns() const {
    const absl::StatusOr<Store> store = Store::Open(db_, Store::Mode::kRead);
    EXPECT_TRUE(store.ok()) << store.status();
    const absl::Status check = store->Check();
    EXPECT_TRUE(check.ok()) << check;
    return store->Runs()->size();
  }

  fs::path folder_;
  std::string db_;
  std::string program_;
};

struct CliCase {
  std::vector<std::string> arguments;
  std::string words;
};

TEST_F(HistoryCli, BadUsageIsOneSentenceAndExitCodeTwo) {
  const std::string db = "--db=" + db_;
  const std::string bad = folder_ / "bad.json";
  std::ofstream(bad) << R"({"benchmarks": [)";
  for (const CliCase& c :
       std::vector<CliCase>{{{}, "what is to be done? give one of add, list"},
                            {{"remove", "x"}, "remove: there is no such command"},
                            {{"add"}, "add takes a file or more, but 0 are given"},
                            {{"trend", "a", "b"}, "trend takes one regular expression"},
                            {{"list", "x"}, "list takes no argument, but 1 is given"},
                            {{"merge"}, "merge takes a history or more"},
                            {{"list", "--fast"}, "--fast: there is no such flag"},
                            {{"list", "--db="}, "--db=: it needs a value"},
                            {{"list", "--db"}, "--db: it needs a value"},
                            {{"list", "--format=json"}, "list takes no --format"},
                            {{"list", "--strict"}, "list takes no flags of trend"},
                            {{"trend", ".", "--strict=1"}, "--strict takes no value"},
                            {{"trend", ".", "--alpha=5"}, "--alpha=5: give a share"},
                            {{"trend", ".", "--alpha=nan"}, "--alpha=nan: give a share"},
                            {{"trend", ".", "--alpha=0.0001"}, "too few to ever reach"},
                            {{"trend", ".", "--min_segment=1"}, "give a number from 2"},
                            {{"trend", ".", "--last=-1"}, "--last=-1: give a number"},
                            {{"export", "--format=xml"}, "--format=xml: choose one of json, csv"},
                            {{db, "list"}, db_ + ": there is no history"},
                            {{db, "merge", db_ + "2"}, db_ + "2: there is no history"},
                            {{db, "add", "/nonexistent.json"}, "open(/nonexistent.json): No such file"},
                            {{db, "add", bad}, bad + ": the JSON breaks off"}}) {
    const Outcome outcome = History(c.arguments);
    EXPECT_EQ(outcome.exit_code, 2) << testing::PrintToString(c.arguments);
    EXPECT_THAT(outcome.error, testing::AllOf(testing::StartsWith("history: "), HasSubstr(c.words)));
    EXPECT_EQ(std::count(outcome.error.begin(), outcome.error.end(), '\n'), 1);
  }
  EXPECT_THAT(History({"--help"}).output, testing::AllOf(HasSubstr("exit codes"), HasSubstr("bazel run")));
  EXPECT_EQ(History({"trend", "-h"}).exit_code, 0);
  EXPECT_EQ(RunProgram({program_, "--help"}, {}, "/dev/full").exit_code, 2) << "what did not arrive is no answer";
}

TEST_F(HistoryCli, EveryCommandWorksOnTheDefaultStoreOfTheWorkspace) {
  fs::create_directories(folder_ / "results");
  const std::vector<std::string> environment = {"BUILD_WORKSPACE_DIRECTORY=" + folder_.string(),
                                                "BUILD_WORKING_DIRECTORY=" + folder_.string()};
  std::vector<std::string> add = {"add"};
  for (int i = 0; i < 20; ++i) {
    const std::string name = std::to_string(i) + ".json";
    File(name, {i, (i < 10 ? 100 : 150) + 0.1 * (i % 3)});
    add.push_back(name);
  }
  EXPECT_EQ(History(add, environment).exit_code, 0);
  EXPECT_TRUE(fs::exists(folder_ / "results/history.db"));
  EXPECT_THAT(History(add, environment).output, HasSubstr("19.json (it was there already)"));
  const Outcome list = History({"list"}, environment);
  EXPECT_THAT(list.output, HasSubstr("20 runs"));
  const std::string id = list.output.substr(list.output.find('\n') + 1, 8);
  EXPECT_THAT(History({"show", id}, environment).output, HasSubstr("Zilog Z80"));
  EXPECT_EQ(History({"show", id, "--format=json"}, environment).output, Json({0, 100}));
  EXPECT_THAT(History({"trend", "A"}, environment).output, HasSubstr("change: 100 ns -> 150 ns"));
  EXPECT_EQ(History({"trend", "A"}, environment).exit_code, 0);
  EXPECT_EQ(History({"trend", "A", "--strict"}, environment).exit_code, 1);
  EXPECT_EQ(History({"trend", "A", "--strict", "--last=9"}, environment).exit_code, 0);
  EXPECT_THAT(History({"export"}, environment).output, HasSubstr("\"A/0\":{"));
  const std::string csv = History({"export", "--format=csv"}, environment).output;
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 1 + 20 * 4);
  EXPECT_THAT(History({"--db=all.db", "merge", "results/history.db"}, environment).output, HasSubstr("20 of 20"));
  EXPECT_THAT(History({"--db=all.db", "check"}, environment).output, HasSubstr("every run is as it was added"));
}

TEST_F(HistoryCli, ManyProcessesAddAtOnceAndNothingIsLost) {
  constexpr int processes = 8;
  constexpr int files = 6;
  const std::string common = File("common.json", {0, 99});
  std::vector<pid_t> children;
  for (int process = 0; process < processes; ++process) {
    std::vector<std::string> arguments = {"add", "--db=" + db_, common};
    for (int i = 0; i < files; ++i) {
      const int number = process * files + i;
      arguments.push_back(File(std::to_string(number), {number, 100, FakeRun().context, 50}));
    }
    const pid_t pid = fork();
    if (pid == 0) Become(arguments);
    children.push_back(pid);
  }
  for (const pid_t pid : children) {
    int status = 0;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(WholeRuns(), size_t{processes * files + 1});
}

// Runs `add` up to its system call number `stop` (entries and returns count) and kills it there. How many there were
// when it ended by itself; 0 when it was killed.
int AddUpTo(int stop, const std::function<void()>& become) {
  const pid_t pid = fork();
  if (pid == 0) {
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    become();
  }
  int status = 0;
  waitpid(pid, &status, 0);  // at execve
  int calls = 0;
  while (WIFSTOPPED(status)) {
    if (calls == stop) {
      kill(pid, SIGKILL);
      waitpid(pid, &status, 0);
      EXPECT_TRUE(WIFSIGNALED(status));
      return 0;
    }
    ptrace(PTRACE_SYSCALL, pid, nullptr, nullptr);
    waitpid(pid, &status, 0);
    ++calls;
  }
  EXPECT_EQ(status, 0);
  return calls;
}

TEST_F(HistoryCli, AKillAnywhereLeavesARunWholeOrAbsent) {
  const char* given = std::getenv("IPCMARK_SEED");
  const uint64_t seed = given == nullptr ? std::random_device()() : std::strtoull(given, nullptr, 10);
  std::mt19937_64 random(seed);
  constexpr size_t benchmarks = 300;
  const auto adds = [&](int number) {
    const std::string file = File("r.json", {number, 100, FakeRun().context, benchmarks});
    return [=, this] { Become({"add", "--db=" + db_, file}); };
  };
  AddUpTo(-1, adds(0));
  const std::string one_run = folder_ / "one_run.db";
  fs::copy_file(db_, one_run);
  const std::function<void()> second = adds(1);
  const int calls = AddUpTo(-1, second);
  std::cout << "seed " << seed << ", " << calls << " stops; replay with --test_env=IPCMARK_SEED=" << seed << std::endl;
  ASSERT_GT(calls, 100);
  constexpr int trials = 150;
  int interrupted = 0;
  int whole = 0;
  for (int trial = 0; trial < trials; ++trial) {
    fs::remove(db_ + "-journal");
    fs::copy_file(one_run, db_, fs::copy_options::overwrite_existing);
    // Where it opens and writes the store, not where the loader works; every other kill around the commit, which is
    // near the end.
    const int window = trial % 2 == 0 ? calls / 2 : 60;
    const int stop = calls - 1 - static_cast<int>(random() % static_cast<uint64_t>(window));
    AddUpTo(stop, second);
    const bool in_transaction = fs::exists(db_ + "-journal");
    const size_t runs = WholeRuns();
    ASSERT_GE(runs, 1U) << "killed at stop " << stop << ", the older run is lost";
    ASSERT_LE(runs, 2U);
    interrupted += in_transaction ? 1 : 0;
    whole += runs == 2 ? 1 : 0;
    if (trial % 10 == 0) {
      EXPECT_GT(AddUpTo(-1, second), 0) << "what the dead left stops nobody";
      EXPECT_EQ(WholeRuns(), 2U);
    }
  }
  std::cout << interrupted << " of " << trials << " kills were inside the transaction, " << whole << " after it\n";
  EXPECT_GT(interrupted, 5) << "the kills miss what they are for";
  EXPECT_GT(whole, 0) << "no kill came after the commit: the other half of the promise was not tested";
}

// On a file system of 256 KiB, or, where mounting is refused, under a limit on the size of files.
TEST_F(HistoryCli, AFullDiskIsOneSentenceAndKeepsWhatWasThere) {
  const std::string small = File("small.json", {1});
  const std::string large = File("large.json", {2, 100, FakeRun().context, 2000});
  const fs::path disk = folder_ / "disk";
  fs::create_directories(disk);
  const std::string add = program_ + " --db=" + (disk / "h.db").string() + " add ";
  const std::string mounted = "mount -t tmpfs -o size=256k none " + disk.string() + " || exit 77; " + add + small +
                              " || exit 90; " + add + large + "; [ $? -eq 2 ] || exit 91; " + program_ +
                              " --db=" + (disk / "h.db").string() + " check && " + program_ +
                              " --db=" + (disk / "h.db").string() + " list";
  const std::vector<std::string> environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
  const Outcome outcome = RunProgram({"/usr/bin/unshare", "-rm", "/bin/sh", "-c", mounted}, environment);
  if (outcome.exit_code == 77 || outcome.exit_code == 1) {
    std::cout << "no mount here: " << outcome.error << "\n";
  } else {
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output << outcome.error;
    EXPECT_THAT(outcome.error, HasSubstr("the disk is full, and nothing was added; make room"));
    EXPECT_THAT(outcome.output, testing::AllOf(HasSubstr("every run is as it was added"), HasSubstr("\n1 run\n")));
  }
  const std::string limited = add + small + " || exit 90; trap '' XFSZ; ulimit -f 400; " + add + large;
  const Outcome under_limit = RunProgram({"/bin/sh", "-c", limited}, environment);
  EXPECT_EQ(under_limit.exit_code, 2) << under_limit.error;
  EXPECT_THAT(under_limit.error, HasSubstr("nothing was added"));
  db_ = disk / "h.db";
  EXPECT_EQ(WholeRuns(), 1U);
}

TEST_F(HistoryCli, AStoreOnAReadOnlyMediumIsReadAndNotWritten) {
  const std::string file = File("one.json", {1});
  const fs::path disk = folder_ / "disk";
  fs::create_directories(disk);
  const std::string history = program_ + " --db=" + (disk / "h.db").string();
  const std::string script = "mount -t tmpfs none " + disk.string() + " || exit 77; " + history + " add " + file +
                             " || exit 90; mount -o remount,ro " + disk.string() + " || exit 77; " + history +
                             " list || exit 91; " + history + " add " + file;
  const Outcome outcome =
      RunProgram({"/usr/bin/unshare", "-rm", "/bin/sh", "-c", script}, {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"});
  if (outcome.exit_code == 77 || outcome.exit_code == 1) GTEST_SKIP() << "no mount here: " << outcome.error;
  EXPECT_EQ(outcome.exit_code, 2) << outcome.output << outcome.error;
  EXPECT_THAT(outcome.output, HasSubstr("1 run\n"));
  EXPECT_THAT(outcome.error, HasSubstr("the history cannot be written; make it writable"));
}

}  // namespace
}  // namespace ipcmark::results
