#include "ipc/os/error.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace ipcmark::os {
namespace {

TEST(SyscallError, NamesTheCallTheErrnoAndTheRemedy) {
  EXPECT_EQ(SyscallError("shmget(key=0x51, 4096 bytes)", ENOSPC, "raise kernel.shmmni"),
            absl::ResourceExhaustedError(
                "shmget(key=0x51, 4096 bytes): ENOSPC (No space left on device); raise kernel.shmmni"));
}

TEST(SyscallError, LeavesOutARemedyThatThereIsNot) {
  EXPECT_EQ(SyscallError("open(/none)", ENOENT),
            absl::NotFoundError("open(/none): ENOENT (No such file or directory)"));
}

TEST(SyscallError, CarriesAnErrnoWithoutAName) {
  EXPECT_EQ(SyscallError("ioctl", 999).message(), "ioctl: errno 999");
  EXPECT_FALSE(SyscallError("ioctl", 999).ok());
}

TEST(SyscallError, IsAnErrorAlsoWhenTheErrnoWasLost) {
  EXPECT_FALSE(SyscallError("close", 0).ok()) << "a failure must not turn into success";
}

}  // namespace
}  // namespace ipcmark::os
