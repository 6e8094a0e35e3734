#include "ipc/os/mapping.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ipc/os/fd.h"

namespace ipcmark::os {
namespace {

constexpr size_t kBytes = 4096;

bool IsMapped(void* address) { return msync(address, kBytes, MS_ASYNC) == 0; }

TEST(Mapping, IsZeroedAndSharedWithForkedChildren) {
  absl::StatusOr<Mapping> mapping = Mapping::SharedAnonymous(kBytes);
  ASSERT_TRUE(mapping.ok()) << mapping.status();
  auto* bytes = static_cast<volatile char*>(mapping->address());
  for (size_t i = 0; i < kBytes; ++i) ASSERT_EQ(bytes[i], 0) << i;
  const pid_t pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    bytes[kBytes - 1] = 'x';
    mapping->Reset();  // its own copy of the owner
    _exit(0);
  }
  ASSERT_EQ(waitpid(pid, nullptr, 0), pid);
  EXPECT_EQ(bytes[kBytes - 1], 'x');
}

TEST(Mapping, OutlivesTheDescriptorOfItsFile) {
  Fd fd(memfd_create("mapping_test", MFD_CLOEXEC));
  ASSERT_TRUE(fd.valid());
  ASSERT_EQ(pwrite(fd.get(), "hello", 5, 0), 5);
  absl::StatusOr<Mapping> mapping = Mapping::SharedFile(fd.get(), 5);
  ASSERT_TRUE(mapping.ok()) << mapping.status();
  fd.Reset();
  EXPECT_EQ(std::string(static_cast<const char*>(mapping->address()), 5), "hello");
}

TEST(Mapping, SaysWhatTheSystemRefused) {
  EXPECT_THAT(Mapping::SharedAnonymous(0).status().message(), testing::HasSubstr("mmap(0 bytes, shared): EINVAL"));
  EXPECT_THAT(Mapping::SharedFile(-1, 1).status().message(), testing::HasSubstr("mmap(1 bytes, shared): EBADF"));
}

TEST(Mapping, IsUnmappedOnceByItsLastOwner) {
  Mapping first = *Mapping::SharedAnonymous(kBytes);
  void* const address = first.address();
  Mapping second = std::move(first);
  EXPECT_FALSE(first.valid());  // NOLINT(bugprone-use-after-move,clang-analyzer-cplusplus.Move)
  first.Reset();
  EXPECT_TRUE(IsMapped(address));
  Mapping third = *Mapping::SharedAnonymous(kBytes);
  void* const replaced = third.address();
  third = std::move(second);
  EXPECT_FALSE(IsMapped(replaced));
  EXPECT_EQ(third.address(), address);
  EXPECT_EQ(third.bytes(), kBytes);
  third.Reset();
  EXPECT_FALSE(IsMapped(address));
}

}  // namespace
}  // namespace ipcmark::os
