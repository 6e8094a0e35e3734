#include "stress/message.h"

#include <vector>

#include "gtest/gtest.h"
#include "stress/random.h"

namespace ipcmark::stress {
namespace {

constexpr uint64_t kSeed = 5;

std::vector<std::byte> Written(uint32_t bytes) {
  std::vector<std::byte> message(bytes);
  WriteMessage({.checksum = 0, .sequence = 7, .sender = 2, .bytes = bytes, .priority = 9, .kind = Kind::kData}, kSeed,
               message);
  return message;
}

TEST(Message, SaysWhoSentIt) {
  for (const uint32_t bytes : {32U, 33U, 40U, 4095U}) {
    MessageHeader header;
    ASSERT_TRUE(ReadMessage(Written(bytes), kSeed, &header)) << bytes;
    EXPECT_EQ(header.sequence, 7);
    EXPECT_EQ(header.sender, 2);
    EXPECT_EQ(header.priority, 9);
  }
}

TEST(Message, EveryFlippedBitShows) {
  std::vector<std::byte> message = Written(77);
  MessageHeader header;
  for (size_t bit = 0; bit < message.size() * 8; ++bit) {
    message[bit / 8] ^= std::byte{1} << (bit % 8);
    EXPECT_FALSE(ReadMessage(message, kSeed, &header)) << bit;
    message[bit / 8] ^= std::byte{1} << (bit % 8);
  }
  EXPECT_TRUE(ReadMessage(message, kSeed, &header));
}

TEST(Message, SwappedWordsShow) {
  std::vector<std::byte> message = Written(64);
  std::swap_ranges(message.begin() + 40, message.begin() + 48, message.begin() + 48);
  MessageHeader header;
  EXPECT_FALSE(ReadMessage(message, kSeed, &header));
}

TEST(Message, EveryOtherLengthShows) {
  std::vector<std::byte> message = Written(64);
  MessageHeader header;
  for (size_t bytes = 0; bytes < message.size(); ++bytes) {
    EXPECT_FALSE(ReadMessage(std::span(message).first(bytes), kSeed, &header)) << bytes;
  }
  message.resize(72);
  EXPECT_FALSE(ReadMessage(message, kSeed, &header));
}

TEST(Message, OneOfAnotherTrialShows) {
  MessageHeader header;
  EXPECT_FALSE(ReadMessage(Written(64), kSeed + 1, &header));
}

}  // namespace
}  // namespace ipcmark::stress
