#ifndef IPCMARK_IPC_SYSV_SHM_SHM_TOOL_FOR_TEST_H_
#define IPCMARK_IPC_SYSV_SHM_SHM_TOOL_FOR_TEST_H_

// Runs //ipc/sysv_shm:shm for its tests, which have it as data.

#include <spawn.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "ipc/sysv_shm/segment.h"

namespace ipcmark::sysv_shm {

struct Outcome {
  int status = -1;  // 128 + the signal for a tool that a signal ended; -1 when it could not be started
  std::string out;
  std::string err;
};

// Starts the tool with these file actions; -1 when it cannot be started.
pid_t SpawnShm(const std::vector<std::string>& arguments, const posix_spawn_file_actions_t& actions);

// Runs the tool to its end with `input` as standard input. Standard output goes to the file `output` where one is
// given, and is not returned then.
Outcome RunShm(const std::vector<std::string>& arguments, const std::string& input = "", const char* output = nullptr);
// The same for a command line of single words.
Outcome RunWords(const std::string& words);

// A path in the test's temporary folder that no other process uses.
std::string Temporary(const char* name);

// All of it runs in an IPC namespace of its own where the machine grants one, so that other programs' segments do not
// come into it. Every test also checks that no segment is left behind.
class ShmTool : public testing::Test {
 protected:
  static void SetUpTestSuite();
  void SetUp() override;
  void TearDown() override;

  // A segment that this test owns, with key 0x51 and `bytes` bytes: "--id=7".
  std::string Make(size_t bytes = 4096);

  Segment made_;

 private:
  std::vector<int> before_;
};

}  // namespace ipcmark::sysv_shm

#endif  // IPCMARK_IPC_SYSV_SHM_SHM_TOOL_FOR_TEST_H_
