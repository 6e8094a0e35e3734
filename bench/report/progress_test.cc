#include "bench/report/progress.h"

#include "bench/report/format.h"
#include "gtest/gtest.h"

namespace ipcmark::bench {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

TEST(Progress, SaysHowMuchIsLeft) {
  EXPECT_EQ(ProgressLine(0, 42, kSecond, "a/b", 80), "[0/42] ? left  a/b");
  EXPECT_EQ(ProgressLine(2, 42, 4 * kSecond, "a/b", 80), "[2/42] 1:20 left  a/b");
  EXPECT_EQ(ProgressLine(42, 42, 4 * kSecond, "a/b", 80), "[42/42] 0:00 left  a/b");
}

TEST(Progress, FitsAnyTerminal) {
  const std::string name = "OpenLoop/mmap_queue/spin_then_block/1048576/load:highest/arrivals:fixed";
  for (const int columns : {1, 10, 39, 79, 80}) {
    EXPECT_EQ(Columns(ProgressLine(7, 42, kSecond, name, columns)), columns);
  }
  EXPECT_EQ(ProgressLine(7, 42, kSecond, name, 200), "[7/42] 0:04 left  " + name) << "no narrower than it has to be";
  EXPECT_EQ(Columns(ProgressLine(7, 42, kSecond, name, 0)), 1) << "what a terminal without a size says";
}

TEST(Progress, CountsRepetitionsInAnyOrder) {
  Progress progress(6);
  for (const int64_t messages : {1, 10, 300}) progress.Begin("a", messages);  // looking for a number
  EXPECT_EQ(progress.done(), 0);
  progress.Begin("a", 300);
  EXPECT_EQ(progress.done(), 1);
  progress.Begin("b", 1);
  progress.Begin("b", 500);
  EXPECT_EQ(progress.done(), 2);
  progress.Begin("a", 300);
  progress.Begin("b", 500);
  EXPECT_EQ(progress.done(), 4);
}

}  // namespace
}  // namespace ipcmark::bench
