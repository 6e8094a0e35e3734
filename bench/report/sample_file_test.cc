#include "bench/report/sample_file.h"

#include <fstream>
#include <sstream>

#include "gtest/gtest.h"

namespace ipcmark::bench {
namespace {

std::string PathOf(const std::string& name) { return testing::TempDir() + name; }

std::string Contents(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

Case CaseOf(const std::string& name) {
  return {.name = name, .scenario = "RoundTrip", .subject = "pipe", .variant = "block", .size = "8 B"};
}

SliceResult ResultOf(uint64_t messages, std::vector<int64_t> in_order) {
  SliceResult result;
  result.messages = messages;
  result.messages_per_sample = 2;
  result.samples_in_order = std::move(in_order);
  return result;
}

TEST(SampleFile, HasABlockForEachRepetitionInTheOrderTaken) {
  const std::string path = PathOf("samples");
  SampleFile file(path);
  file.Keep(CaseOf("a"), 2, ResultOf(2, {9}));  // Google Benchmark looking for the number of messages
  file.Keep(CaseOf("a"), 4, ResultOf(4, {7, 3}));
  file.Keep(CaseOf("a"), 4, ResultOf(4, {5, 6}));
  file.Keep(CaseOf("b"), 4, ResultOf(4, {1, 1}));
  file.Keep(CaseOf("cut off"), 4, ResultOf(4, {8, 8}));
  file.Write("b");
  file.Write("a");
  file.Write("a");
  ASSERT_TRUE(file.Close().ok());
  EXPECT_EQ(Contents(path),
            "# ipcmark samples 1\n"
            "# b repetition=0 messages=4 messages_per_sample=2 samples=2\n1\n1\n\n\n"
            "# a repetition=0 messages=4 messages_per_sample=2 samples=2\n7\n3\n\n\n"
            "# a repetition=1 messages=4 messages_per_sample=2 samples=2\n5\n6\n");
}

// As in Wake, where a message that found nobody asleep does not count.
TEST(SampleFile, KeepsRepetitionsOfWhichFewerCountThanWereAskedFor) {
  const std::string path = PathOf("fewer");
  SampleFile file(path);
  file.Keep(CaseOf("a"), 4, ResultOf(3, {7}));
  file.Keep(CaseOf("a"), 4, ResultOf(2, {5}));
  file.Write("a");
  ASSERT_TRUE(file.Close().ok());
  EXPECT_EQ(Contents(path),
            "# ipcmark samples 1\n"
            "# a repetition=0 messages=3 messages_per_sample=2 samples=1\n7\n\n\n"
            "# a repetition=1 messages=2 messages_per_sample=2 samples=1\n5\n");
}

TEST(SampleFile, WithoutAPathIsNone) {
  SampleFile file("");
  file.Keep(CaseOf("a"), 1, ResultOf(1, {1}));
  file.Write("a");
  EXPECT_TRUE(file.Close().ok());
}

TEST(SampleFile, SaysWhatCouldNotBeWritten) {
  SampleFile file("/dev/full");
  file.Keep(CaseOf("a"), 100'000, ResultOf(100'000, std::vector<int64_t>(100'000, 123)));
  file.Write("a");
  const absl::Status status = file.Close();
  ASSERT_FALSE(status.ok());
  EXPECT_NE(std::string(status.message()).find("/dev/full"), std::string::npos) << status;
}

}  // namespace
}  // namespace ipcmark::bench
