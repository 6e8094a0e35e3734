#include "stress/isolation.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "ipc/os/error.h"
#include "ipc/os/fd.h"
#include "stress/census.h"
#include "stress/full_disk.h"
#include "stress/janitor.h"
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

// The list of this namespace's queues, for the census; without it that knows fewer of them.
void ListOwnQueues() {
  if (mkdir(kOwnQueueList, 0700) == 0) mount("mqueue", kOwnQueueList, "mqueue", MS_NOSUID | MS_NODEV, nullptr);
}

// Never returns.
[[noreturn]] void RunJanitor(int alive, pid_t runner) {
  // Out of reach of what is meant for the run: Ctrl-C, a closed terminal, kill(2) of its process group.
  setsid();
  for (const int signal_number : {SIGINT, SIGTERM, SIGHUP}) signal(signal_number, SIG_IGN);
  const pid_t self = getpid();
  send(alive, &self, sizeof(self), MSG_NOSIGNAL);
  // The runner and all its children have the other end; it closes with the last of them.
  pid_t entrusted[kEntrusted] = {};
  for (size_t next = 0;;) {
    pid_t process = 0;
    const ssize_t bytes = recv(alive, &process, sizeof(process), 0);
    if (bytes == sizeof(process)) entrusted[next++ % kEntrusted] = process;
    if (bytes == 0 || (bytes < 0 && errno != EINTR)) break;
  }
  RemoveObjectsOf(runner);
  for (const pid_t process : entrusted) {
    if (process != 0) RemoveObjectsOf(process);
  }
  _exit(0);
}

absl::Status StartJanitor() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return os::SyscallError("socketpair(janitor)", errno, "close descriptors");
  }
  os::Fd alive(ends[0]);
  const pid_t runner = getpid();
  const pid_t janitor = fork();
  if (janitor < 0) return os::SyscallError("fork(janitor)", errno, "raise the process limit (ulimit -u)");
  if (janitor == 0) {
    close(ends[1]);
    RunJanitor(alive.get(), runner);
  }
  // It stays open for as long as this process lives.
  g_janitor = ends[1];
  alive.Reset();
  // Not before it is out of reach.
  pid_t ready = 0;
  while (recv(g_janitor, &ready, sizeof(ready), 0) < 0 && errno == EINTR) {
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Isolate(const std::string& how) {
  if (how == "none") return absl::OkStatus();
  const bool entered = how == "namespaces" && EnterNamespaces();
  g_may_lower_shm_limits = entered && LoweredShmLimits::MayLower();
  g_may_shift_clocks = ShiftedClock::WorksHere();
  g_has_own_dev_shm = entered && MountPrivateDevShm();
  if (!g_has_own_dev_shm) return StartJanitor();
  ListOwnQueues();
  g_has_own_objects = true;
  return absl::OkStatus();
}

}  // namespace ipcmark::stress
