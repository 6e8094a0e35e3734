#include "results/child.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <ctime>
#include <fstream>
#include <sstream>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace ipcmark::results {
namespace {

constexpr int kCannotExec = 127;

void OnInterrupt(int /*signal*/) { interrupted = true; }

double Seconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

std::string TakeFile(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  unlink(path.c_str());
  return text.str();
}

// Only async-signal-safe calls: we are a copy of a process.
[[noreturn]] void Become(const Command& command, char* const* argv, pid_t parent, int out, int err) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(kCannotExec);
  for (const int restored : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) signal(restored, SIG_DFL);
  const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  dup2(null, STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  if (command.cpu != kAnyCpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(command.cpu, &set);
    sched_setaffinity(0, sizeof set, &set);
  }
  if (!command.folder.empty() && chdir(command.folder.c_str()) != 0) _exit(kCannotExec);
  execvp(argv[0], argv);
  _exit(kCannotExec);
}

// False when it is still there after the limit (0: none), or when `heeds_interrupts` and we are interrupted.
bool AwaitEnd(pid_t pid, double limit_seconds, bool heeds_interrupts) {
  const double end = Seconds() + limit_seconds;
  const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  bool ended = false;
  while (!(heeds_interrupts && interrupted) && (limit_seconds <= 0 || Seconds() < end)) {
    constexpr int step_millis = 100;
    pollfd event = {fd, POLLIN, 0};
    // Without pidfds (before Linux 5.3) poll only sleeps, and waitid below does the work.
    const int ready = poll(&event, fd < 0 ? 0 : 1, fd < 0 ? 1 : step_millis);
    siginfo_t info{};
    ended = (ready > 0 || fd < 0) && waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            info.si_pid == pid;
    if (ended) break;
  }
  if (fd >= 0) close(fd);
  return ended;
}

}  // namespace

std::atomic<bool> interrupted = false;
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler writes it");

void CatchInterrupts() {
  struct sigaction action = {};
  action.sa_handler = OnInterrupt;
  for (const int caught : {SIGINT, SIGTERM, SIGHUP}) sigaction(caught, &action, nullptr);
}

absl::StatusOr<ChildEnd> RunChild(const Command& command, const Janitor& janitor) {
  const std::string name = command.arguments[0];
  if (interrupted) return absl::CancelledError("interrupted");
  const std::string out_path = janitor.folder() + "/out";
  const std::string err_path = janitor.folder() + "/err";
  constexpr int create = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
  constexpr mode_t mode = 0600;
  const int out = open(out_path.c_str(), create, mode);
  const int err = open(err_path.c_str(), create, mode);
  std::vector<std::string> arguments = command.arguments;
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) Become(command, argv.data(), parent, out, err);
  const int error = errno;
  close(out);
  close(err);
  if (pid < 0) return absl::UnavailableError(absl::StrCat("fork: ", std::strerror(error), "; end some processes"));
  setpgid(pid, pid);  // also here: whoever comes first
  janitor.Watch(pid);
  const bool ended = AwaitEnd(pid, command.limit_seconds, true);
  if (!ended) {
    // First politely: //bench then removes its kernel objects, which outlive their processes.
    kill(-pid, SIGTERM);
    AwaitEnd(pid, kGraceSeconds, false);
  }
  kill(-pid, SIGKILL);  // what it left running, or all of it; the zombie still holds the group's number
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  janitor.Forget();
  ChildEnd end;
  end.output = TakeFile(out_path);
  end.error = TakeFile(err_path);
  if (!ended && interrupted) return absl::CancelledError("interrupted");
  if (!ended) {
    return absl::DeadlineExceededError(
        absl::StrCat(name, ": killed, it did not end within ", command.limit_seconds, " s; does it hang?"));
  }
  end.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (end.exit_code == kCannotExec && end.output.empty() && end.error.empty()) {
    return absl::UnavailableError(absl::StrCat(name, ": cannot be started; is it an executable file?"));
  }
  return end;
}

std::string LastLine(const std::string& text) {
  absl::string_view rest = absl::StripTrailingAsciiWhitespace(text);
  const size_t start = rest.rfind('\n');
  return std::string(start == absl::string_view::npos ? rest : rest.substr(start + 1));
}

}  // namespace ipcmark::results
