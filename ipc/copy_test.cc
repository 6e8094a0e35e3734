#include "ipc/copy.h"

#include <vector>

#include "gtest/gtest.h"

namespace ipcmark {
namespace {

TEST(CopyFresh, CopiesEveryByteAndNoOther) {
  for (size_t bytes = 0; bytes <= 2 * kFreshBytes; ++bytes) {
    for (const size_t at : {0U, 1U, 7U}) {
      std::vector<std::byte> from(bytes + 16);
      for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::byte>(i * 31 + 7);
      std::vector<std::byte> to(bytes + 16);
      CopyFresh(to.data() + at, from.data() + 3, bytes);
      for (size_t i = 0; i < to.size(); ++i) {
        const bool copied = i >= at && i < at + bytes;
        ASSERT_EQ(to[i], copied ? from[i - at + 3] : std::byte{0}) << bytes << " bytes, byte " << i;
      }
    }
  }
}

}  // namespace
}  // namespace ipcmark
