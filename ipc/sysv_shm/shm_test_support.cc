#include "ipc/sysv_shm/shm_test_support.h"

#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gtest/gtest.h"
#include "ipc/os/clock.h"
#include "ipc/os/error.h"
#include "ipc/os/process_group.h"
#include "ipc/sysv_shm/segment_limits.h"

namespace ipcmark::sysv_shm {
namespace {

constexpr char kSkip[] = "SKIP ";
constexpr unsigned kNobody = 65534;
// Far beyond what any child here takes, sanitizers and a loaded machine included.
constexpr int64_t kWatchdogNanos = 60 * os::kNanosPerSecond;

absl::Status Isolated(Isolation isolation, pid_t parent, absl::FunctionRef<absl::Status()> body) {
  if (isolation != Isolation::kNone) {
    absl::Status status = EnterPrivateNamespace(parent);
    if (!status.ok() && isolation == Isolation::kRequired) return Skip(status.message());
  }
  return body();
}

absl::Status RunChild(Isolation isolation, absl::FunctionRef<absl::Status()> body) {
  absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(1);
  if (!group.ok()) return group.status();
  const pid_t parent = getpid();
  absl::StatusOr<int> child =
      group->Spawn("child", os::kAnyCpu, [&](os::Gate&) { return Isolated(isolation, parent, body); });
  return child.ok() ? group->JoinOne(*child, os::After(kWatchdogNanos)) : child.status();
}

}  // namespace

absl::Status Skip(absl::string_view reason) { return absl::UnavailableError(absl::StrCat(kSkip, reason)); }

absl::Status Wrong(absl::string_view what) { return absl::InternalError(what); }

void RunInChild(Isolation isolation, absl::FunctionRef<absl::Status()> body) {
  const absl::Status status = RunChild(isolation, body);
  const size_t skip = std::string(status.message()).find(kSkip);
  if (skip != std::string::npos) GTEST_SKIP() << status.message().substr(skip + sizeof(kSkip) - 1);
  EXPECT_TRUE(status.ok()) << status.message();
}

void ExpectDeathBySignal(int signal_number, absl::FunctionRef<absl::Status()> body) {
  const absl::Status status = RunChild(Isolation::kNone, [&] {
    // No core file, and the sanitizers' handlers out of the way.
    const rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    signal(signal_number, SIG_DFL);
    return body();
  });
  EXPECT_TRUE(absl::StrContains(status.message(), absl::StrFormat("was killed by signal %d ", signal_number)))
      << status;
}

absl::Status BecomeNobody() {
  constexpr char kWhy[] = "no second user here (a Bazel sandbox, or not root): ";
  if (setgroups(0, nullptr) != 0) return Skip(absl::StrCat(kWhy, os::SyscallError("setgroups", errno).message()));
  if (setresgid(kNobody, kNobody, kNobody) != 0 || setresuid(kNobody, kNobody, kNobody) != 0) {
    return Skip(absl::StrCat(kWhy, os::SyscallError("setresuid(65534)", errno).message()));
  }
  return absl::OkStatus();
}

absl::Status DropCapabilities() {
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct none[2] = {};
  if (syscall(SYS_capset, &header, none) != 0) return os::SyscallError("capset", errno);
  return absl::OkStatus();
}

absl::Status LimitLockedBytes(uint64_t bytes) {
  rlimit now;
  if (getrlimit(RLIMIT_MEMLOCK, &now) == 0 && now.rlim_max < bytes) return Skip("the hard limit (ulimit -Hl) is lower");
  const rlimit limit = {bytes, bytes};
  if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0) return os::SyscallError("setrlimit(RLIMIT_MEMLOCK)", errno);
  return absl::OkStatus();
}

std::string ErrnoIn(const absl::Status& status) {
  if (status.ok()) return "OK";
  std::string text(status.message());
  const size_t begin = text.find(": E");
  const size_t end = text.find(" (", begin);
  if (begin == std::string::npos || end == std::string::npos) return text;
  return text.substr(begin + 2, end - begin - 2);
}

// NOLINTNEXTLINE(performance-no-int-to-ptr): an address is what is meant
void* AddressOf(uintptr_t number) { return reinterpret_cast<void*>(number); }

int32_t TestKey() { return 0x5e000000 | (getpid() & 0xffffff); }

}  // namespace ipcmark::sysv_shm
