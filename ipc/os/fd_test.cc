#include "ipc/os/fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace ipcmark::os {
namespace {

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }
int OpenNull() { return open("/dev/null", O_RDONLY | O_CLOEXEC); }

TEST(Fd, ClosesItsDescriptorOnceThoughTheNumberIsReused) {
  Fd first(OpenNull());
  const int number = first.get();
  first.Reset();
  EXPECT_FALSE(IsOpen(number));
  const Fd reuse(OpenNull());
  ASSERT_EQ(reuse.get(), number) << "the kernel hands out the lowest free number";
  first.Reset();
  EXPECT_TRUE(IsOpen(number));
}

TEST(Fd, MovesItsDescriptorAndClosesTheOneItHad) {
  const int number = OpenNull();
  const int other = OpenNull();
  {
    Fd from(number);
    Fd to(other);
    to = std::move(from);
    EXPECT_FALSE(from.valid());  // NOLINT(bugprone-use-after-move,clang-analyzer-cplusplus.Move)
    EXPECT_EQ(to.get(), number);
    EXPECT_FALSE(IsOpen(other));
    Fd& same = to;
    to = std::move(same);
    EXPECT_TRUE(IsOpen(number)) << "moved to itself";
  }
  EXPECT_FALSE(IsOpen(number));
}

TEST(Fd, OwnsNothingWhenItsSystemCallFailed) {
  const Fd failed(open("/nonexistent/file", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(failed.valid());
}

}  // namespace
}  // namespace ipcmark::os
