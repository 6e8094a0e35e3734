#ifndef IPCMARK_IPC_SYSV_SHM_SHM_OPTIONS_H_
#define IPCMARK_IPC_SYSV_SHM_SHM_OPTIONS_H_

// The command line of //ipc/sysv_shm:shm. Parsed by hand: abseil's flags end a program with status 1 on a mistake, and
// 1 means a failed system call here.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ipc/sysv_shm/segment.h"

namespace ipcmark::sysv_shm {

enum class Command : uint8_t { kCreate, kList, kStat, kSet, kWrite, kRead, kLock, kUnlock, kRemove, kLimits, kHelp };

struct ShmOptions {
  Command command = Command::kHelp;
  bool help = false;
  bool json = false;
  // Which segment: at most one of the three, exactly one where the command needs one (create: none is IPC_PRIVATE).
  std::optional<int> id;
  std::optional<key_t> key;
  std::string ftok_path;  // absolute, or relative to the caller's directory
  int ftok_id = 0;        // 0: no --ftok

  std::optional<uint64_t> bytes;
  uint64_t offset_bytes = 0;
  std::optional<uint32_t> mode;
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  std::optional<std::string> text;
  HugePages huge_pages = HugePages::kNone;
  bool no_reserve = false;
  bool reuse = false;
  bool hex = false;
  bool readable = false;
  bool no_proof = false;
};

// "create", "list", ...
const char* CommandName(Command command);

// `arguments`: without the program's name; `working_directory`: where relative paths start, null for the process's own.
// kInvalidArgument: one sentence that names the argument and says what to write instead.
absl::StatusOr<ShmOptions> ParseShmOptions(const std::vector<std::string>& arguments, const char* working_directory);

// "4096", "4KiB", "1MiB", up to EiB. kInvalidArgument for anything else, also what exceeds 64 bits.
absl::StatusOr<uint64_t> ParseBytes(const std::string& text);

}  // namespace ipcmark::sysv_shm

#endif  // IPCMARK_IPC_SYSV_SHM_SHM_OPTIONS_H_
