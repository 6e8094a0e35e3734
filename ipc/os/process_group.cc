#include "ipc/os/process_group.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "ipc/os/clock.h"
#include "ipc/os/cpu.h"
#include "ipc/os/die_with.h"
#include "ipc/os/error.h"
#include "ipc/os/futex.h"

// Present in a coverage build only: _exit would lose the child's counters.
extern "C" void __gcov_dump(void) __attribute__((weak));

namespace ipcmark::os {
namespace {

constexpr int64_t kCancelLookNanos = 200'000'000;
constexpr size_t kMessageBytes = 240;

enum ExitCode : int { kExitOk = 0, kExitFailed = 1, kExitOrphaned = 2, kExitFailedByAnother = 3 };

// How long Join looks for the cause of a failure that is another child's doing.
constexpr int64_t kCauseNanos = 1'000'000'000;

}  // namespace

struct ProcessGroup::Shared {
  std::atomic<uint32_t> started;
  // What a failed child's body returned, per child.
  struct Message {
    char text[kMessageBytes];
  } messages[];
};

void Gate::Arrive() noexcept {
  const uint64_t one = 1;
  // An eventfd of this kind refuses a write only when its counter would overflow.
  (void)!write(arrivals_fd_, &one, sizeof(one));
  while (started_->load(std::memory_order_acquire) == 0) WaitOnFutex(*started_, 0, Deadline::Never());
}

ProcessGroup::ProcessGroup(Mapping shared, Fd arrivals, int max_children, const std::atomic<bool>* cancel)
    : shared_(std::move(shared)), arrivals_(std::move(arrivals)), max_children_(max_children), cancel_(cancel) {
  children_.reserve(max_children);
}

absl::StatusOr<ProcessGroup> ProcessGroup::Create(int max_children, const std::atomic<bool>* cancel) {
  absl::StatusOr<Mapping> shared =
      Mapping::SharedAnonymous(sizeof(Shared) + static_cast<size_t>(max_children) * sizeof(Shared::Message));
  if (!shared.ok()) return shared.status();
  Fd arrivals(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!arrivals.valid()) return SyscallError("eventfd", errno, "close descriptors or raise the limit (ulimit -n)");
  return ProcessGroup(*std::move(shared), std::move(arrivals), max_children, cancel);
}

ProcessGroup::~ProcessGroup() {
  if (shared_.valid()) KillAndReapAll();
}

void ProcessGroup::RunChild(int index, int cpu, pid_t parent, absl::FunctionRef<absl::Status(Gate&)> body) {
  DieWith(parent, kExitOrphaned);
  // A Ctrl-C at the terminal reaches the whole group; the parent decides what it means.
  signal(SIGINT, SIG_IGN);
  absl::Status status = cpu == kAnyCpu ? absl::OkStatus() : PinToCpu(cpu);
  Gate gate(&shared().started, arrivals_.get());
  if (status.ok()) status = body(gate);
  if (!status.ok()) {
    const absl::string_view text = status.message();
    char* to = shared().messages[index].text;
    memcpy(to, text.data(), std::min(text.size(), kMessageBytes - 1));
  }
  if (__gcov_dump != nullptr) __gcov_dump();
  _exit(status.ok() ? kExitOk : absl::IsUnavailable(status) ? kExitFailedByAnother : kExitFailed);
}

absl::StatusOr<int> ProcessGroup::Spawn(std::string role, int cpu, absl::FunctionRef<absl::Status(Gate&)> body) {
  const int index = size();
  if (index >= max_children_) return absl::ResourceExhaustedError("ProcessGroup: more children than announced");
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) {
    return SyscallError(absl::StrFormat("fork(%s)", role), errno, "raise the process limit (ulimit -u) or free memory");
  }
  if (pid == 0) RunChild(index, cpu, parent, body);
  // The child is ours and not reaped, so its id cannot belong to somebody else.
  Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  const int err = errno;
  const bool watched = pidfd.valid();
  children_.push_back({.pid = pid, .pidfd = std::move(pidfd), .role = std::move(role)});
  if (!watched) {
    KillAndReap(index);
    return SyscallError(absl::StrFormat("pidfd_open(%d)", pid), err, "close descriptors, or use Linux 5.3 or later");
  }
  return index;
}

void ProcessGroup::TryReap(int index, bool block) {
  Child& child = children_[index];
  if (!child.running) return;
  int status = 0;
  pid_t reaped = 0;
  do {
    reaped = waitpid(child.pid, &status, block ? 0 : WNOHANG);
  } while (reaped < 0 && errno == EINTR);
  if (reaped == 0) return;
  child.running = false;
  child.pidfd.Reset();
  if (reaped < 0) {
    child.outcome = SyscallError(absl::StrFormat("waitpid(%s)", child.role), errno);
  } else if (WIFSIGNALED(status)) {
    if (WTERMSIG(status) == SIGKILL && child.kill_expected) return;
    child.outcome = absl::AbortedError(absl::StrFormat("%s (process %d) was killed by signal %d (SIG%s)", child.role,
                                                       child.pid, WTERMSIG(status), sigabbrev_np(WTERMSIG(status))));
  } else if (WEXITSTATUS(status) == kExitFailed || WEXITSTATUS(status) == kExitFailedByAnother) {
    child.failed_by_another = WEXITSTATUS(status) == kExitFailedByAnother;
    child.outcome = absl::AbortedError(absl::StrCat(child.role, ": ", shared().messages[index].text));
  } else if (WEXITSTATUS(status) != kExitOk) {
    child.outcome = absl::AbortedError(
        absl::StrFormat("%s (process %d) exited with status %d", child.role, child.pid, WEXITSTATUS(status)));
  }
}

void ProcessGroup::AwaitEvent(Deadline deadline) {
  std::vector<pollfd> polls = {{.fd = arrivals_.get(), .events = POLLIN, .revents = 0}};
  for (const Child& child : children_) {
    if (child.running) polls.push_back({.fd = child.pidfd.get(), .events = POLLIN, .revents = 0});
  }
  const int64_t left = std::clamp<int64_t>(deadline.monotonic_nanos - MonotonicNanos(), 0, kCancelLookNanos);
  const timespec timeout = ToTimespec(left);
  ppoll(polls.data(), polls.size(), &timeout, nullptr);
  uint64_t arrived = 0;
  if (read(arrivals_.get(), &arrived, sizeof(arrived)) == sizeof(arrived)) arrived_ += static_cast<int>(arrived);
  for (int index = 0; index < size(); ++index) TryReap(index, /*block=*/false);
}

std::string ProcessGroup::StillRunning() const {
  std::vector<std::string> roles;
  for (const Child& child : children_) {
    if (child.running) roles.push_back(child.role);
  }
  return absl::StrJoin(roles, ", ");
}

absl::Status ProcessGroup::KillAllAndReturn(absl::Status why) {
  KillAndReapAll();
  return why;
}

absl::Status ProcessGroup::Start(Deadline deadline) {
  while (arrived_ < size()) {
    AwaitEvent(deadline);
    for (const Child& child : children_) {
      if (child.running || arrived_ >= size()) continue;
      return KillAllAndReturn(child.outcome.ok() ? absl::AbortedError(child.role + " ended before the start")
                                                 : child.outcome);
    }
    if (Cancelled()) return KillAllAndReturn(absl::CancelledError("interrupted"));
    if (arrived_ < size() && HasPassed(deadline)) {
      return KillAllAndReturn(
          absl::DeadlineExceededError(absl::StrCat("not ready in time and killed: ", StillRunning())));
    }
  }
  // Release: what the parent prepared is visible to everybody who passes the gate.
  shared().started.store(1, std::memory_order_release);
  WakeAllOnFutex(shared().started);
  return absl::OkStatus();
}

absl::Status ProcessGroup::Join(Deadline deadline) {
  absl::Status consequence;
  for (;;) {
    bool any_running = false;
    for (int index = 0; index < size(); ++index) {
      TryReap(index, /*block=*/false);
      const Child& child = children_[index];
      if (!child.outcome.ok() && !child.failed_by_another) return KillAllAndReturn(child.outcome);
      if (!child.outcome.ok() && consequence.ok()) {
        consequence = child.outcome;
        deadline = Slice(deadline, kCauseNanos);
      }
      any_running |= child.running;
    }
    if (!consequence.ok() && (!any_running || HasPassed(deadline))) return KillAllAndReturn(consequence);
    if (!any_running) return absl::OkStatus();
    if (Cancelled()) return KillAllAndReturn(absl::CancelledError("interrupted"));
    if (HasPassed(deadline)) {
      return KillAllAndReturn(
          absl::DeadlineExceededError(absl::StrCat("no end in time, killed by the watchdog: ", StillRunning())));
    }
    AwaitEvent(deadline);
  }
}

absl::Status ProcessGroup::JoinOne(int index, Deadline deadline) {
  Child& child = children_[index];
  while (child.running) {
    TryReap(index, /*block=*/false);
    if (!child.running) break;
    if (Cancelled()) return absl::CancelledError("interrupted");
    if (HasPassed(deadline)) return absl::DeadlineExceededError(absl::StrCat(child.role, " still runs"));
    AwaitEvent(deadline);
  }
  return child.outcome;
}

void ProcessGroup::Signal(int index, int signal) {
  Child& child = children_[index];
  if (!child.running) return;
  if (signal == SIGKILL) child.kill_expected = true;
  kill(child.pid, signal);
}

void ProcessGroup::KillAndReap(int index) {
  Signal(index, SIGKILL);
  TryReap(index, /*block=*/true);
}

void ProcessGroup::KillAndReapAll() {
  for (int index = 0; index < size(); ++index) Signal(index, SIGKILL);
  for (int index = 0; index < size(); ++index) TryReap(index, /*block=*/true);
}

}  // namespace ipcmark::os
