#include "ipc/copy.h"

#include <vector>

#include "gtest/gtest.h"

namespace ipcmark {
namespace {

// From 3 bytes behind an alignment to `at` bytes behind one.
template <typename Copy>
void ExpectCopies(Copy copy, size_t bytes, size_t at) {
  std::vector<std::byte> from(bytes + 16);
  for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::byte>(i * 31 + 7);
  std::vector<std::byte> to(bytes + 80);
  copy(to.data() + at, from.data() + 3, bytes);
  for (size_t i = 0; i < to.size(); ++i) {
    const bool copied = i >= at && i < at + bytes;
    ASSERT_EQ(to[i], copied ? from[i - at + 3] : std::byte{0}) << bytes << " bytes, byte " << i;
  }
}

TEST(CopyFresh, CopiesEveryByteAndNoOther) {
  for (size_t bytes = 0; bytes <= 2 * kFreshBytes; ++bytes) {
    for (const size_t at : {0U, 1U, 7U}) ASSERT_NO_FATAL_FAILURE(ExpectCopies(CopyFresh, bytes, at));
  }
}

TEST(CopyOut, CopiesEveryByteAndNoOther) {
  for (size_t bytes = 0; bytes <= 2 * kFreshBytes; ++bytes) {
    for (const size_t at : {0U, 1U, 7U}) ASSERT_NO_FATAL_FAILURE(ExpectCopies(CopyOut, bytes, at));
  }
}

void CopyToHandBack(std::byte* to, const std::byte* from, size_t bytes) { CopyAcross(to, from, bytes); }
void CopyToShare(std::byte* to, const std::byte* from, size_t bytes) {
  CopyAcross(to, from, bytes, kSharedAcrossBytes);
}

TEST(CopyAcross, CopiesEveryByteAndNoOther) {
  for (size_t at = 0; at <= 64; ++at) {
    for (const size_t bytes : {size_t{0}, size_t{1}, size_t{100}, kSharedAcrossBytes - 1}) {
      ASSERT_NO_FATAL_FAILURE(ExpectCopies(CopyToHandBack, bytes, at));
      ASSERT_NO_FATAL_FAILURE(ExpectCopies(CopyToShare, bytes, at));
    }
    for (size_t more = 0; more <= 130; ++more) {
      ASSERT_NO_FATAL_FAILURE(ExpectCopies(CopyToShare, kSharedAcrossBytes + more, at));
    }
    for (const size_t more : {0, 1, 130}) {
      ASSERT_NO_FATAL_FAILURE(ExpectCopies(CopyToHandBack, kAcrossBytes + more, at));
    }
  }
}

TEST(HandBack, LeavesEveryByte) {
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{64}, size_t{1000}, kAcrossBytes - 1, kAcrossBytes}) {
    std::vector<std::byte> message(bytes);
    for (size_t i = 0; i < bytes; ++i) message[i] = static_cast<std::byte>(i * 31 + 7);
    const std::vector<std::byte> before = message;
    HandBack(message.data(), bytes);
    EXPECT_EQ(message, before) << bytes << " bytes";
  }
}

}  // namespace
}  // namespace ipcmark
