#include "bench/sleeper.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "ipc/os/error.h"
#include "ipc/os/process_state.h"

namespace ipcmark::bench {

absl::StatusOr<Sleeper> Sleeper::Watch(pid_t pid) {
  const std::string path = absl::StrCat("/proc/", pid, "/stat");
  os::Fd stat(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (stat.get() < 0) return os::SyscallError(absl::StrCat("open ", path), errno);
  return Sleeper(std::move(stat));
}

char Sleeper::State() const noexcept { return os::ProcessStateIn(stat_.get()); }

}  // namespace ipcmark::bench
