#include "stress/isolation.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "ipc/os/error.h"
#include "ipc/os/fd.h"
#include "stress/census.h"
#include "stress/full_disk.h"
#include "stress/shifted_clock.h"
#include "stress/shm_limits.h"

namespace ipcmark::stress {
namespace {

bool Write(const char* path, absl::string_view text) {
  const os::Fd fd(open(path, O_WRONLY | O_CLOEXEC));
  return fd.valid() && write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

// Who has not the right to IPC and mount namespaces has it as root of a user namespace. The user stays who he is: a
// file that the run writes belongs to him.
bool EnterNamespaces() {
  constexpr int kPrivate = CLONE_NEWIPC | CLONE_NEWNS;
  if (unshare(kPrivate) == 0) return true;
  const uid_t uid = geteuid();
  const gid_t gid = getegid();
  if (unshare(CLONE_NEWUSER | kPrivate) != 0) return false;
  Write("/proc/self/setgroups", "deny");
  return Write("/proc/self/uid_map", absl::StrFormat("%d %d 1", uid, uid)) &&
         Write("/proc/self/gid_map", absl::StrFormat("%d %d 1", gid, gid));
}

bool MountPrivateDevShm() {
  // Private first, so that the mount stays in here.
  return mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") == 0;
}

void RemoveWhatIsLeftOf(pid_t runner) {
  RemoveSegmentsOf(runner);
  std::error_code gone;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm", gone)) {
    if (IsNamedAfter(entry.path().filename().string(), runner)) {
      std::filesystem::remove(entry.path(), gone);
    }
  }
}

// Never returns.
[[noreturn]] void RunJanitor(int alive, pid_t runner) {
  // Out of reach of what is meant for the run: Ctrl-C, a closed terminal, kill(2) of its process group.
  setsid();
  for (const int signal_number : {SIGINT, SIGTERM, SIGHUP}) signal(signal_number, SIG_IGN);
  // The runner and all its children have the other end; it closes with the last of them.
  char byte;
  while (read(alive, &byte, 1) < 0 && errno == EINTR) {
  }
  RemoveWhatIsLeftOf(runner);
  _exit(0);
}

absl::Status StartJanitor() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return os::SyscallError("pipe2(janitor)", errno, "close descriptors");
  os::Fd alive(ends[0]);
  const pid_t runner = getpid();
  const pid_t janitor = fork();
  if (janitor < 0) return os::SyscallError("fork(janitor)", errno, "raise the process limit (ulimit -u)");
  if (janitor == 0) {
    close(ends[1]);
    RunJanitor(alive.get(), runner);
  }
  // ends[1] stays open for as long as this process lives.
  return absl::OkStatus();
}

}  // namespace

absl::Status Isolate(const std::string& how, std::span<const std::string> outside) {
  if (how == "none") return absl::OkStatus();
  const bool shows_dev_shm =
      std::ranges::any_of(outside, [](const std::string& path) { return absl::StartsWith(path, "/dev/shm"); });
  const bool entered = how == "namespaces" && EnterNamespaces();
  g_may_lower_shm_limits = entered && LoweredShmLimits::MayLower();
  g_may_shift_clocks = ShiftedClock::WorksHere();
  g_has_own_dev_shm = entered && !shows_dev_shm && MountPrivateDevShm();
  return g_has_own_dev_shm ? absl::OkStatus() : StartJanitor();
}

}  // namespace ipcmark::stress
