#include "bench/program_for_test.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "gtest/gtest.h"

namespace ipcmark::bench {
namespace {

namespace fs = std::filesystem;

std::string TakeText(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

std::string WithoutWarnings(const std::string& text) {
  std::istringstream lines(text);
  std::string left;
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("warning: ", 0) != 0) left += line + "\n";
  }
  return left;
}

std::vector<std::string> Environment(const std::vector<std::string>& on_top) {
  std::vector<std::string> environment = on_top;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (std::string(*variable).rfind("BUILD_", 0) != 0) environment.emplace_back(*variable);
  }
  return environment;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (std::string& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

[[noreturn]] void Execute(const std::string& program, const fs::path& folder, std::vector<std::string> arguments,
                          std::vector<std::string> environment) {
  // A test that is killed takes it along.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (const auto& [name, target] : {std::pair("stdout", STDOUT_FILENO), {"stderr", STDERR_FILENO}}) {
    const int fd = open((folder.string() + "." + name).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || dup2(fd, target) < 0) _exit(126);
  }
  if (chdir(folder.c_str()) != 0) _exit(126);
  arguments.insert(arguments.begin(), program);
  execve(program.c_str(), Pointers(arguments).data(), Pointers(environment).data());
  _exit(127);
}

// Field `number` (from 1, as proc(5) counts) of /proc/PID/stat behind the name, which may have spaces; "" when gone.
std::string StatField(pid_t pid, int number) {
  const std::string stat = TakeText("/proc/" + std::to_string(pid) + "/stat");
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return "";
  std::istringstream fields(stat.substr(name_end + 1));
  std::string field;
  for (int n = 3; n <= number; ++n) fields >> field;
  return field;
}

bool IsRunningChild(pid_t pid, pid_t parent) {
  return StatField(pid, 4) == std::to_string(parent) && StatField(pid, 3) != "Z" && StatField(pid, 3) != "X";
}

std::vector<pid_t> ChildrenOf(pid_t parent) {
  std::vector<pid_t> children;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    const pid_t pid = atoi(entry.path().filename().c_str());
    if (pid > 0 && IsRunningChild(pid, parent)) children.push_back(pid);
  }
  return children;
}

}  // namespace

Program::Program(std::vector<std::string> arguments, const std::vector<std::string>& environment,
                 const std::string& program) {
  // What it leaves behind becomes ours, so that Wait finds it.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  std::string pattern = (fs::temp_directory_path() / "program.XXXXXX").string();
  const char* own = getenv("TEST_TMPDIR");
  if (own != nullptr) pattern = std::string(own) + "/program.XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) abort();
  folder_ = pattern;
  const std::string path = fs::absolute(program);
  std::vector<std::string> whole = Environment(environment);
  pid_ = fork();
  if (pid_ == 0) Execute(path, folder_, std::move(arguments), std::move(whole));
}

Program::~Program() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    Wait();
  }
  std::error_code error;
  fs::remove_all(folder_, error);
  for (const char* name : {".stdout", ".stderr"}) fs::remove(folder_ + name, error);
}

bool Program::Ended() const {
  siginfo_t info = {};
  return waitid(P_PID, pid_, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == pid_;
}

bool Program::AwaitOutput(const std::string& text) {
  // Nothing but its output tells; the look is cheap beside what it does.
  for (;;) {
    const bool ended = Ended();
    if (TakeText(folder_ + ".stdout").find(text) != std::string::npos) return true;
    if (ended) return false;
    sched_yield();
  }
}

bool Program::AwaitChild() {
  while (!Ended()) {
    if (!ChildrenOf(pid_).empty()) return true;
  }
  return false;
}

bool Program::KillAChild() {
  while (!Ended()) {
    for (const pid_t child : ChildrenOf(pid_)) {
      const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, child, 0));
      // Looked at again with the descriptor in hand: the id cannot have become somebody else's.
      const bool killed =
          pidfd >= 0 && IsRunningChild(child, pid_) && syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0) == 0;
      if (pidfd >= 0) close(pidfd);
      if (killed) return true;
    }
  }
  return false;
}

Outcome Program::Wait() {
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  Outcome outcome = {.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
                     .out = TakeText(folder_ + ".stdout"),
                     .err = WithoutWarnings(TakeText(folder_ + ".stderr")),
                     .orphans = {}};
  for (pid_t orphan = 0; (orphan = waitpid(-1, nullptr, 0)) > 0;) outcome.orphans.push_back(orphan);
  return outcome;
}

std::vector<std::string> Program::Files() const {
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
    if (entry.is_regular_file()) files.push_back(fs::relative(entry.path(), folder_));
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string Program::Contents(const std::string& name) const { return TakeText(fs::path(folder_) / name); }

Outcome RunBench(std::vector<std::string> arguments, const std::vector<std::string>& environment) {
  return Program(std::move(arguments), environment).Wait();
}

rapidjson::Document Parse(const std::string& text) {
  rapidjson::Document document;
  document.Parse<rapidjson::kParseNanAndInfFlag>(text.c_str());
  EXPECT_FALSE(document.HasParseError()) << text;
  return document;
}

std::vector<std::string> Names(const rapidjson::Document& document) {
  std::vector<std::string> names;
  for (const auto& row : document["benchmarks"].GetArray()) names.emplace_back(row["name"].GetString());
  return names;
}

}  // namespace ipcmark::bench
