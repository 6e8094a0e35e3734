#include "stress/memory_watch.h"

#include <cstddef>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ipcmark::stress {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20U;

MemoryWatch Settled(uint64_t bytes) {
  MemoryWatch watch;
  for (uint64_t i = 0; i < kSettlingTrials; ++i) watch.Note(bytes);
  return watch;
}

TEST(MemoryWatch, GrowthWhileItSettlesIsNone) {
  MemoryWatch watch;
  for (uint64_t i = 0; i < kSettlingTrials; ++i) watch.Note((1 + i) * kMiB);
  EXPECT_EQ(watch.growth_bytes(), 0U);
  EXPECT_EQ(watch.FindBreach(), "");
}

TEST(MemoryWatch, ALeakIsABreachOnceItIsLargerThanTheBound) {
  MemoryWatch watch = Settled(16 * kMiB);
  uint64_t resident_bytes = 16 * kMiB;
  while (resident_bytes < 16 * kMiB + kMostGrowthBytes) watch.Note(resident_bytes += 4096);
  EXPECT_EQ(watch.FindBreach(), "");
  watch.Note(resident_bytes + 4096);
  EXPECT_THAT(watch.FindBreach(), testing::HasSubstr("beyond the 16384 KiB of its first 200 trials, seen 32772 KiB"));
}

TEST(MemoryWatch, APeakCountsAlsoWhenItIsOver) {
  MemoryWatch watch = Settled(16 * kMiB);
  watch.Note(100 * kMiB);
  watch.Note(10 * kMiB);
  EXPECT_EQ(watch.growth_bytes(), 84 * kMiB);
}

TEST(MemoryWatch, SeesMemoryOfThisProcessThatIsTouched) {
  const uint64_t before = ResidentBytes();
  ASSERT_GT(before, 0U);
  const std::vector<std::byte> touched(64 * kMiB, std::byte{1});
  EXPECT_GT(ResidentBytes(), before + 48 * kMiB);
  EXPECT_EQ(touched.back(), std::byte{1});
}

}  // namespace
}  // namespace ipcmark::stress
