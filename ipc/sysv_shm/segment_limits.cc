#include "ipc/sysv_shm/segment_limits.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ipc/os/error.h"
#include "ipc/os/fd.h"

namespace ipcmark::sysv_shm {
namespace {

absl::Status WriteFile(const std::string& path, const std::string& text, const char* remedy) {
  os::Fd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid()) return os::SyscallError(absl::StrCat("open(", path, ", for writing)"), errno, remedy);
  if (write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size())) return absl::OkStatus();
  return os::SyscallError(absl::StrFormat("write(%s, \"%s\")", path, text), errno, remedy);
}

std::string SysctlPath(const char* name) { return absl::StrCat("/proc/sys/", name); }

}  // namespace

absl::StatusOr<Limits> ReadLimits() {
  // shmctl is declared for shmid_ds only and writes another struct for this command (shmctl(2)).
  shminfo info = {};
  if (shmctl(0, IPC_INFO, reinterpret_cast<shmid_ds*>(&info)) < 0) {
    return os::SyscallError("shmctl(IPC_INFO)", errno, "use a kernel with CONFIG_SYSVIPC");
  }
  return Limits{.max_segment_bytes = info.shmmax,
                .min_segment_bytes = info.shmmin,
                .max_segments = info.shmmni,
                .max_total_pages = info.shmall,
                .reported_attachments = info.shmseg};
}

absl::StatusOr<uint64_t> ReadSysctl(const char* name) {
  const std::string path = SysctlPath(name);
  os::Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return os::SyscallError(absl::StrCat("open(", path, ")"), errno, "mount /proc");
  char text[64];
  const ssize_t bytes = read(fd.get(), text, sizeof(text));
  if (bytes < 0) return os::SyscallError(absl::StrCat("read(", path, ")"), errno);
  uint64_t value = 0;
  if (!absl::SimpleAtoi(absl::string_view(text, bytes), &value)) {
    return absl::InternalError(absl::StrCat(path, " holds no number"));
  }
  return value;
}

absl::Status WriteSysctl(const char* name, uint64_t value) {
  return WriteFile(SysctlPath(name), absl::StrCat(value), "be root of this IPC namespace, with /proc writable");
}

absl::Status EnterPrivateNamespace(pid_t parent) {
  const uid_t uid = geteuid();
  const gid_t gid = getegid();
  if (unshare(CLONE_NEWIPC) != 0) {
    if (errno != EPERM) {
      return os::SyscallError("unshare(CLONE_NEWIPC)", errno, "raise user.max_ipc_namespaces or use CONFIG_IPC_NS");
    }
    if (unshare(CLONE_NEWUSER | CLONE_NEWIPC) != 0) {
      return os::SyscallError("unshare(CLONE_NEWUSER | CLONE_NEWIPC)", errno,
                              "be root, or allow user namespaces (user.max_user_namespaces)");
    }
    // The limits can be written by this namespace's user 0 only. An unprivileged process may map its own ids, the group
    // only once it can no longer call setgroups (user_namespaces(7)).
    constexpr char kRemedy[] = "be root";
    absl::Status status = WriteFile("/proc/self/setgroups", "deny", kRemedy);
    if (status.ok()) status = WriteFile("/proc/self/uid_map", absl::StrCat("0 ", uid, " 1"), kRemedy);
    if (status.ok()) status = WriteFile("/proc/self/gid_map", absl::StrCat("0 ", gid, " 1"), kRemedy);
    if (!status.ok()) return status;
  }
  if (parent == 0) return absl::OkStatus();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // It may have died before prctl.
  if (getppid() != parent) return os::SyscallError("prctl(PR_SET_PDEATHSIG)", ESRCH);
  return absl::OkStatus();
}

}  // namespace ipcmark::sysv_shm
