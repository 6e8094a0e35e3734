#include "results/janitor.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace ipcmark::results {
namespace {

constexpr char kWatch = 'w';
constexpr char kForget = 'f';
constexpr char kPrune = 'p';

void Remove(const std::string& folder) {
  // What is being killed may still write.
  constexpr int tries = 100;
  constexpr useconds_t pause_micros = 20000;
  for (int i = 0; i < tries; ++i) {
    std::error_code error;
    std::filesystem::remove_all(folder, error);
    if (!std::filesystem::exists(folder, error)) return;
    usleep(pause_micros);
  }
}

// First politely: //bench then removes its kernel objects, which outlive their processes.
void EndGroup(pid_t leader) {
  constexpr useconds_t pause_micros = 20000;
  constexpr int tries = static_cast<int>(kGraceSeconds * 1e6 / pause_micros);
  for (int i = 0; i < tries && kill(-leader, i == 0 ? SIGTERM : 0) == 0; ++i) usleep(pause_micros);
  kill(-leader, SIGKILL);
}

void Git(const std::string& repository, const char* verb, const std::string& path) {
  const pid_t pid = fork();
  if (pid == 0) {
    execlp("git", "git", "-C", repository.c_str(), "worktree", verb, path.empty() ? nullptr : path.c_str(), nullptr);
    _exit(1);
  }
  while (pid > 0 && waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

// Commands are lines: a letter and an argument.
[[noreturn]] void Serve(int pipe, const std::string& folder) {
  FILE* commands = fdopen(pipe, "r");
  std::array<char, 8192> line{};
  pid_t watched = 0;
  std::string repository;
  while (commands != nullptr && fgets(line.data(), line.size(), commands) != nullptr) {
    line[strcspn(line.data(), "\n")] = '\0';
    const std::string argument = line.data() + 1;
    if (line[0] == kForget) watched = 0;
    if (line[0] == kWatch && !absl::SimpleAtoi(argument, &watched)) watched = 0;
    if (line[0] == kPrune) repository = argument;
  }
  if (watched > 1) EndGroup(watched);
  // A worktree that was being made is locked, and prune would keep it.
  for (const char* tree : {kBaseTree, kHeadTree}) {
    if (!repository.empty()) Git(repository, "unlock", absl::StrCat(folder, "/", tree));
  }
  Remove(folder);
  if (!repository.empty()) Git(repository, "prune", "");
  _exit(0);
}

// Out of reach of the terminal's signals, and no reader of our output waits for it.
void Detach() {
  setsid();
  prctl(PR_SET_NAME, "gate-janitor");
  for (const int ignored : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) signal(ignored, SIG_IGN);
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(null, standard);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Janitor>> Janitor::Start() {
  const char* parent = std::getenv("TMPDIR");
  std::string folder = absl::StrCat(parent == nullptr || *parent == '\0' ? "/tmp" : parent, "/ipcmark-gate-XXXXXX");
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    return absl::UnavailableError(absl::StrCat("pipe2: ", std::strerror(errno), "; close some files"));
  }
  if (mkdtemp(folder.data()) == nullptr) {
    const int error = errno;
    for (const int end : ends) close(end);
    return absl::UnavailableError(
        absl::StrCat("mkdtemp ", folder, ": ", std::strerror(error), "; set TMPDIR to a folder you can write to"));
  }
  const pid_t pid = fork();
  if (pid == 0) {
    close(ends[1]);
    Detach();
    Serve(ends[0], folder);
  }
  close(ends[0]);
  if (pid < 0) {
    const int error = errno;
    close(ends[1]);
    rmdir(folder.c_str());
    return absl::UnavailableError(absl::StrCat("fork: ", std::strerror(error), "; end some processes"));
  }
  return std::unique_ptr<Janitor>(new Janitor(std::move(folder), pid, ends[1]));
}

Janitor::~Janitor() {
  close(pipe_);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void Janitor::Watch(pid_t leader) const { Tell(kWatch, absl::StrCat(leader)); }

void Janitor::Forget() const { Tell(kForget, ""); }

void Janitor::PruneWorktrees(const std::string& repository) const { Tell(kPrune, repository); }

void Janitor::Tell(char command, const std::string& argument) const {
  const std::string line = absl::StrCat(std::string(1, command), argument, "\n");
  // Shorter than PIPE_BUF, so it arrives as a whole; if nobody listens any more there is nothing to be done.
  while (write(pipe_, line.data(), line.size()) < 0 && errno == EINTR) {
  }
}

}  // namespace ipcmark::results
