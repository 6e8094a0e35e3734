#include "ipc/os/process_state.h"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <cstring>

#include "ipc/os/fd.h"

namespace ipcmark::os {

char ProcessState(pid_t pid) noexcept {
  // Not printf, which a signal handler may not call.
  constexpr char kFolder[] = "/proc/";
  constexpr char kFile[] = "/stat";
  char path[sizeof(kFolder) + sizeof(kFile) + 16];
  memcpy(path, kFolder, sizeof(kFolder));
  char* const end = std::to_chars(path + sizeof(kFolder) - 1, path + sizeof(path) - sizeof(kFile), pid).ptr;
  memcpy(end, kFile, sizeof(kFile));
  const Fd fd(open(path, O_RDONLY | O_CLOEXEC));
  return fd.valid() ? ProcessStateIn(fd.get()) : '?';
}

char ProcessStateIn(int stat_fd) noexcept {
  // "PID (name) S ...", and a name may hold anything but is short.
  char text[128];
  const ssize_t bytes = pread(stat_fd, text, sizeof(text), 0);
  if (bytes <= 0) return '?';
  const auto* const name_end = static_cast<const char*>(memrchr(text, ')', static_cast<size_t>(bytes)));
  return name_end != nullptr && name_end + 2 < text + bytes ? name_end[2] : '?';
}

}  // namespace ipcmark::os
