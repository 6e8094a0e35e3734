#include "ipc/os/error.h"

#include <cstring>

#include "absl/strings/str_cat.h"

namespace ipcmark::os {

std::string ErrnoName(int err) {
  const char* name = strerrorname_np(err);
  return name != nullptr ? name : absl::StrCat("errno ", err);
}

absl::Status SyscallError(absl::string_view call, int err, absl::string_view remedy) {
  std::string message = absl::StrCat(call, ": ", ErrnoName(err));
  const char* description = strerrordesc_np(err);
  if (description != nullptr) absl::StrAppend(&message, " (", description, ")");
  if (!remedy.empty()) absl::StrAppend(&message, "; ", remedy);
  // An errno that was lost on the way must not turn the failure into success.
  return absl::Status(err == 0 ? absl::StatusCode::kUnknown : absl::ErrnoToStatusCode(err), message);
}

}  // namespace ipcmark::os
