// The program itself, on small programs: outcomes, files, revisions, and what is left when it is ended by a signal.
// Nothing here depends on how fast the machine is: the slowdowns are large, the slices short, and what nothing changed
// in is allowed to be inconclusive.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "results/subprocess_for_test.h"

namespace ipcmark::results {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

namespace fs = std::filesystem;

class GateCli : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
    for (char& c : name) c = c == '/' ? '_' : c;
    folder_ = fs::path(testing::TempDir()) / name;
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "tmp");
    environment_ = {"TMPDIR=" + (folder_ / "tmp").string(), "HOME=" + folder_.string(),
                    "PATH=" + folder_.string() + ":/usr/local/bin:/usr/bin:/bin", "GIT_CONFIG_GLOBAL=/dev/null"};
  }
  void TearDown() override { EXPECT_THAT(Left(), IsEmpty()); }

  std::vector<std::string> Left() const {
    std::vector<std::string> left;
    for (const auto& entry : fs::directory_iterator(folder_ / "tmp")) left.push_back(entry.path());
    return left;
  }

  std::string Script(const std::string& name, const std::string& text) const {
    const fs::path path = folder_ / name;
    std::ofstream(path) << "#!/bin/sh\n" << text;
    fs::permissions(path, fs::perms::owner_all);
    return path;
  }

  // The synthetic program with flags of its own.
  std::string Program(const std::string& name, const std::string& flags) const {
    return Script(name, "exec " + Synthetic() + " " + flags + " \"$@\"\n");
  }

  static std::string Synthetic() { return fs::absolute("results/synthetic_benchmark"); }

  Outcome Gate(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), fs::absolute("results/gate"));
    return RunProgram(arguments, environment_);
  }

  std::vector<std::string> Short(const std::string& base, const std::string& head) const {
    return {"--base_binary=" + base, "--head_binary=" + head, "--dead_band=50%", "--slowdown=200%",
            "--slice=10ms",          "--max_pairs=20",        "--budget=10m",    "--seed=1"};
  }

  fs::path folder_;
  std::vector<std::string> environment_;
};

std::vector<std::string> operator+(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST_F(GateCli, ALargeSlowdownFailsAndIsInEveryFile) {
  const std::string base = Program("base", "");
  const std::string head = Program("head", "--slowdown=400 --only=Chain/1000");
  const Outcome outcome = Gate(Short(base, head) + std::vector<std::string>{"--json=" + (folder_ / "o.json").string(),
                                                                            "--markdown=" + (folder_ / "o.md").string(),
                                                                            "--junit=" + (folder_ / "o.xml").string()});
  EXPECT_EQ(outcome.exit_code, 1) << outcome.output << outcome.error;
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("Chain/1000"), HasSubstr("FAIL"), HasSubstr("4 benchmarks")));
  for (const char* file : {"o.json", "o.md", "o.xml"}) {
    std::ostringstream text;
    text << std::ifstream(folder_ / file).rdbuf();
    EXPECT_THAT(text.str(), HasSubstr("FAIL")) << file;
  }
}

TEST_F(GateCli, TheSameProgramDoesNotFail) {
  const Outcome outcome = Gate(Short(Synthetic(), Synthetic()));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output << outcome.error;
  EXPECT_THAT(outcome.error, HasSubstr("seed 1"));
  EXPECT_THAT(outcome.output, Not(HasSubstr("0 pairs")));
}

// A slice is one row, also of a program that measures limits along unless it is told not to.
TEST_F(GateCli, HasNothingRunAlongWhereTheProgramUnderstandsThat) {
  const std::string log = (folder_ / "log").string();
  const std::string logs = "set -f; echo \"$0 $*\" >>" + log + "\n";
  const std::string knows =
      Script("knows", logs + "set -- $(echo \"$*\" | sed 's/--noroofline//')\nexec " + Synthetic() + " \"$@\"\n");
  const std::string refuses = Script("refuses", logs + "exec " + Synthetic() + " \"$@\"\n");
  const Outcome outcome = Gate(Short(knows, refuses) + std::vector<std::string>{"--filter=Chain/400"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output << outcome.error;
  std::ifstream lines(log);
  int slices = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.find("--benchmark_filter=") == std::string::npos) continue;
    ++slices;
    EXPECT_EQ(line.find("--noroofline") != std::string::npos, line.rfind(knows + " ", 0) == 0) << line;
  }
  EXPECT_GT(slices, 4);
}

// A row that //bench has called something else is one benchmark, not one that is missing on either side.
TEST_F(GateCli, TakesARenamedRowForOne) {
  const auto calls_it = [&](const std::string& program, const std::string& name) {
    const std::string back = "sed 's#Chain/400\\b#" + name + "#'";
    return Script(program,
                  "set -f\nfor word; do case $word in --benchmark_out=*) out=${word#*=} ;; esac; done\n" +
                      ("text=$(" + Synthetic() + " $(echo \"$*\" | sed 's#" + name + "#Chain/400#')) || exit\n") +
                      "echo \"$text\" | " + back + "\n[ -z \"$out\" ] || " + back + " -i \"$out\"\n");
  };
  const Outcome outcome =
      Gate(Short(calls_it("before", "Recovery/queue/64/holder"), calls_it("now", "Recovery/queue/1024/holder")) +
           std::vector<std::string>{"--filter=^Recovery/"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output << outcome.error;
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("Recovery/queue/1024/holder"), Not(HasSubstr("missing there"))));
}

TEST_F(GateCli, WhatIsMissingOrFailsIsNeverAPass) {
  const std::string good = Synthetic();
  const std::string filter = "--filter=Chain/(200|400)$";
  Outcome outcome =
      Gate(Short(good, Program("hides", "--benchmark_filter=-Chain/400")) + std::vector<std::string>{filter});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("ERROR in head: missing there"));
  outcome = Gate(Short(good, Program("fails", "--fail=Chain/400")) + std::vector<std::string>{filter});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.output, HasSubstr("ERROR in head: Chain/400: told to fail"));
  outcome = Gate(Short(folder_ / "fails", good) + std::vector<std::string>{filter, "--strict"});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.output, HasSubstr("ERROR in base: Chain/400: told to fail"));
  outcome = Gate(Short(folder_ / "fails", folder_ / "fails") + std::vector<std::string>{filter});
  EXPECT_EQ(outcome.exit_code, 1) << "what head lost must not hide behind base";
}

TEST_F(GateCli, BadInputIsOneSentenceAndExitCodeTwo) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {},
           {"--base=x", "--bad"},
           Short("/nonexistent", Synthetic()),
           Short("/bin/true", Synthetic()) + std::vector<std::string>{"--filter=("},
           Short(Synthetic(), "/bin/false"),
           Short(Synthetic(), Synthetic()) + std::vector<std::string>{"--filter=nothing"},
           Short(Synthetic(), Synthetic()) + std::vector<std::string>{"--cpu=1000"}}) {
    const Outcome outcome = Gate(arguments);
    EXPECT_EQ(outcome.exit_code, 2) << testing::PrintToString(arguments) << outcome.output;
    EXPECT_THAT(outcome.error, HasSubstr("gate: "));
  }
  EXPECT_THAT(Gate({"--help"}).output, HasSubstr("exit codes"));
}

TEST_F(GateCli, AFileThatCannotBeWrittenIsRefusedBeforeAnythingIsMeasured) {
  for (const std::string flag : {"--json=", "--markdown=", "--junit="}) {
    for (const std::string path : {folder_ / "nosuch" / "file", folder_ / "tmp"}) {
      const Outcome outcome = Gate(Short(Synthetic(), Synthetic()) + std::vector<std::string>{flag + path});
      EXPECT_EQ(outcome.exit_code, 2) << flag << path << outcome.output;
      EXPECT_EQ(outcome.error.rfind("gate: " + path + ": it cannot be written; ", 0), 0U) << outcome.error;
      EXPECT_THAT(outcome.error, Not(HasSubstr("seed")));
    }
  }
}

TEST_F(GateCli, CalibratePrintsSharesWithBounds) {
  const std::string calibrate = fs::absolute("results/calibrate");
  Outcome outcome = RunProgram({calibrate, "--binary=" + Synthetic(), "--budget=3s", "--suites=10"}, environment_);
  EXPECT_EQ(outcome.exit_code, 0) << outcome.error;
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("seed "), HasSubstr("alarms"), HasSubstr(" of 10; ")));
  EXPECT_THAT(RunProgram({calibrate, "--help"}, environment_).output, HasSubstr("exit codes"));
  outcome = RunProgram({calibrate, "--suites=0"}, environment_);
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.error, HasSubstr("--suites=0: no such flag, or its value"));
}

// A checkout with two commits, and a bazel that "builds" bench.sh.
TEST_F(GateCli, BuildsTwoRevisionsAndForgetsTheWorktrees) {
  Script("bazel", R"(for a in "$@"; do case $a in --symlink_prefix=*) p=${a#*=} ;; esac; done
[ -e BROKEN ] && { echo "compile error" >&2; exit 1; }
mkdir -p "${p}out/bench" && ln -s "${p}out" "${p}bin" && cp bench.sh "${p}out/bench/bench"
)");
  const std::string run = "exec " + Synthetic();
  const std::string script = Script("make",
                                    "set -e; mkdir repo; cd repo; git init -q .\n"
                                    "git config user.email a@b; git config user.name n\n"
                                    "printf '#!/bin/sh\\n" +
                                        run +
                                        " \"$@\"\\n' > bench.sh; chmod +x bench.sh\n"
                                        "git add .; git commit -qm one; touch BROKEN; git add .; git commit -qm two\n"
                                        "git rm -q BROKEN\n"
                                        "printf '#!/bin/sh\\n" +
                                        run + " --slowdown=400 \"$@\"\\n' > bench.sh\n");
  environment_.push_back("BUILD_WORKING_DIRECTORY=" + folder_.string());
  const Outcome made = RunProgram({"/bin/sh", "-c", "cd " + folder_.string() + " && " + script}, environment_);
  ASSERT_EQ(made.exit_code, 0) << made.error;
  environment_.push_back("BUILD_WORKSPACE_DIRECTORY=" + (folder_ / "repo").string());
  const std::vector<std::string> how = {"--dead_band=50%", "--slowdown=200%",    "--slice=10ms",
                                        "--max_pairs=20",  "--filter=Chain/400", "--budget=10m"};
  Outcome outcome = Gate(std::vector<std::string>{"--base=HEAD~1"} + how);
  EXPECT_EQ(outcome.exit_code, 1) << outcome.output << outcome.error;
  EXPECT_THAT(outcome.output, AllOf(HasSubstr("base: HEAD~1 ("), HasSubstr("head: worktree"), HasSubstr("FAIL")));
  outcome = Gate(std::vector<std::string>{"--base=HEAD~1", "--head=HEAD"} + how);
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.error, AllOf(HasSubstr("compile error"), HasSubstr("bazel build //bench failed")));
  outcome = Gate(std::vector<std::string>{"--base=nosuch"} + how);
  EXPECT_EQ(outcome.exit_code, 2);
  EXPECT_THAT(outcome.error, HasSubstr("nosuch: git knows no such revision"));
  EXPECT_FALSE(fs::exists(folder_ / "repo/.git/worktrees")) << "git has forgotten them";
}

// A signal in the middle of a slice ends every process and removes every file.
class GateSignals : public GateCli, public testing::WithParamInterface<int> {};

TEST_P(GateSignals, LeavesNothingBehind) {
  const fs::path started = folder_ / "started";
  ASSERT_EQ(mkfifo(started.c_str(), 0600), 0);
  const std::string hangs = Script("hangs",
                                   "case $* in *list_tests*) echo Chain/200; exit 0 ;; esac\n"
                                   "sleep 1000 & sleep 1000 & echo yes > " +
                                       started.string() + "; wait\n");
  // Orphans become our children, so that the end of all of them can be waited for.
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  const std::string gate = fs::absolute("results/gate");
  const std::string base = "--base_binary=" + hangs;
  const std::string head = "--head_binary=" + hangs;
  const pid_t pid = fork();
  if (pid == 0) {
    for (std::string& variable : environment_) putenv(variable.data());
    execl(gate.c_str(), "gate", base.c_str(), head.c_str(), nullptr);
    _exit(99);
  }
  std::string word;
  std::ifstream(started) >> word;
  ASSERT_EQ(word, "yes");
  EXPECT_EQ(Left().size(), 1U);
  kill(pid, GetParam());
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  if (GetParam() == SIGKILL) {
    EXPECT_TRUE(WIFSIGNALED(status));
  } else {
    EXPECT_EQ(WEXITSTATUS(status), 130);
  }
  while (waitpid(-1, nullptr, 0) > 0 || errno == EINTR) {
  }
  EXPECT_EQ(errno, ECHILD);
}

INSTANTIATE_TEST_SUITE_P(All, GateSignals, testing::Values(SIGINT, SIGTERM, SIGKILL));

}  // namespace
}  // namespace ipcmark::results
