#include "ipc/os/namespace_for_test.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "ipc/os/error.h"
#include "ipc/os/fd.h"

namespace ipcmark::os {
namespace {

bool Write(const char* path, absl::string_view text) {
  const Fd fd(open(path, O_WRONLY | O_CLOEXEC));
  return fd.valid() && write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

absl::Status Refused(const char* call, int err) { return absl::UnavailableError(SyscallError(call, err).message()); }

}  // namespace

absl::Status EnterPrivateNamespaces(int flags) {
  if (unshare(flags) != 0) {
    const uid_t uid = geteuid();
    const gid_t gid = getegid();
    if (unshare(CLONE_NEWUSER | flags) != 0) return Refused("unshare(CLONE_NEWUSER)", errno);
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // the change of credentials has cleared what ProcessGroup had set
    Write("/proc/self/setgroups", "deny");
    if (!Write("/proc/self/uid_map", absl::StrFormat("0 %d 1", uid)) ||
        !Write("/proc/self/gid_map", absl::StrFormat("0 %d 1", gid))) {
      return Refused("write(/proc/self/uid_map)", errno);
    }
  }
  // So that mounts stay in here.
  if ((flags & CLONE_NEWNS) != 0 && mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return Refused("mount(/, private)", errno);
  }
  return absl::OkStatus();
}

}  // namespace ipcmark::os
