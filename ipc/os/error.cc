#include "ipc/os/error.h"

#include <cstring>

#include "absl/strings/str_cat.h"

namespace ipcmark::os {

std::string ErrnoName(int err) {
  const char* name = strerrorname_np(err);
  return name != nullptr ? name : absl::StrCat("errno ", err);
}

absl::Status SyscallError(absl::string_view call, int err, absl::string_view remedy) {
  absl::Status status = absl::ErrnoToStatus(err, "");
  std::string message = absl::StrCat(call, ": ", ErrnoName(err), " (", strerrordesc_np(err), ")");
  if (!remedy.empty()) absl::StrAppend(&message, "; ", remedy);
  return absl::Status(status.code(), message);
}

}  // namespace ipcmark::os
