// bazel run //ipc/sysv_shm:shm -- COMMAND. System V shared memory by hand: what ipcmk, ipcs -m, ipcrm and Stevens'
// shmcreate, shmwrite, shmread and shmrmid do, and a proof of the kernel's limits. shm_help.cc describes it.

#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "ipc/sysv_shm/shm_commands.h"
#include "ipc/sysv_shm/shm_help.h"
#include "ipc/sysv_shm/shm_options.h"

namespace ipcmark::sysv_shm {
namespace {

int Fail(const absl::Status& status, int exit_status) {
  const std::string sentence(status.message());
  std::fprintf(stderr, "shm: %s\n", sentence.c_str());
  return exit_status;
}

int Main(const std::vector<std::string>& arguments) {
  // A reader that has gone is an error to report, and a created segment to remove, not the end.
  signal(SIGPIPE, SIG_IGN);
  const absl::StatusOr<ShmOptions> options = ParseShmOptions(arguments, std::getenv("BUILD_WORKING_DIRECTORY"));
  if (!options.ok()) return Fail(options.status(), kExitBadInput);
  if (options->help || options->command == Command::kHelp) {
    const absl::Status printed = Print(HelpText(options->command));
    return printed.ok() ? kExitDone : Fail(printed, kExitRefused);
  }
  const CommandResult result = RunCommand(*options);
  if (!result.status.ok()) return Fail(result.status, result.bad_input ? kExitBadInput : kExitRefused);
  return result.contradicted ? kExitRefused : kExitDone;
}

}  // namespace
}  // namespace ipcmark::sysv_shm

int main(int argc, char** argv) { return ipcmark::sysv_shm::Main(std::vector<std::string>(argv + 1, argv + argc)); }
