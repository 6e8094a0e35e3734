#include "bench/machine/system_calls.h"

#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>

#include "absl/strings/str_cat.h"

namespace ipcmark::bench {
namespace {

bool counts = false;

struct OwnCounter {
  pid_t owner = 0;
  std::optional<SystemCallCounter> counter;
};
OwnCounter own;

}  // namespace

absl::StatusOr<SystemCallCounter> SystemCallCounter::Open(const std::string& tracefs) {
  const std::string path = tracefs + "/events/raw_syscalls/sys_enter/id";
  perf_event_attr attributes = {};
  std::ifstream file(path);
  if (!(file >> attributes.config)) {
    // Whoever may not look into the folder and whoever has no tracefs see the same.
    return absl::UnavailableError(absl::StrCat(path, ": not to be read; as root: mount -t tracefs nodev ", tracefs));
  }
  attributes.type = PERF_TYPE_TRACEPOINT;
  attributes.size = sizeof(attributes);
  os::Fd fd(static_cast<int>(
      syscall(SYS_perf_event_open, &attributes, /*pid=*/0, /*cpu=*/-1, /*group_fd=*/-1, PERF_FLAG_FD_CLOEXEC)));
  if (!fd.valid()) {
    return absl::UnavailableError(absl::StrCat("perf_event_open(raw_syscalls:sys_enter): ", strerrorname_np(errno),
                                               "; run as root, or sysctl kernel.perf_event_paranoid=-1"));
  }
  return SystemCallCounter(std::move(fd));
}

absl::StatusOr<int64_t> SystemCallCounter::Read() const {
  int64_t count = 0;
  if (read(fd_.get(), &count, sizeof(count)) != sizeof(count)) {
    return absl::UnavailableError(absl::StrCat("read(perf event): ", strerrorname_np(errno)));
  }
  return count;
}

void CountSystemCalls(bool on) noexcept { counts = on; }
bool CountsSystemCalls() noexcept { return counts; }

const SystemCallCounter* OwnSystemCallCounter() noexcept {
  if (own.owner != getpid()) {
    own.owner = getpid();
    own.counter.reset();  // the parent's, which counts the parent's
    absl::StatusOr<SystemCallCounter> opened = SystemCallCounter::Open();
    if (opened.ok()) own.counter.emplace(*std::move(opened));
  }
  return own.counter.has_value() ? &*own.counter : nullptr;
}

}  // namespace ipcmark::bench
