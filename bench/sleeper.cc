#include "bench/sleeper.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"
#include "ipc/os/error.h"

namespace ipcmark::bench {

absl::StatusOr<Sleeper> Sleeper::Watch(pid_t pid) {
  const std::string path = absl::StrCat("/proc/", pid, "/stat");
  os::Fd stat(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (stat.get() < 0) return os::SyscallError(absl::StrCat("open ", path), errno);
  return Sleeper(std::move(stat));
}

char Sleeper::State() const noexcept {
  // "PID (name) S ...", and a name may hold anything but is short.
  char line[128];
  const ssize_t length = pread(stat_.get(), line, sizeof(line), 0);
  if (length <= 0) return '?';
  const auto* const end = static_cast<const char*>(memrchr(line, ')', static_cast<size_t>(length)));
  return end != nullptr && end + 2 < line + length ? end[2] : '?';
}

}  // namespace ipcmark::bench
