#include "ipc/os/cpu.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <climits>
#include <thread>

namespace ipcmark::os {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(Cpu, PinsTheCallingThreadAndNoOther) {
  const std::vector<int> before = AllowedCpus();
  ASSERT_FALSE(before.empty());
  EXPECT_TRUE(std::is_sorted(before.begin(), before.end()));
  std::vector<int> pinned;
  std::thread([&] {
    ASSERT_EQ(PinToCpu(before.back()), absl::OkStatus());
    pinned = AllowedCpus();
  }).join();
  EXPECT_EQ(pinned, std::vector<int>{before.back()});
  EXPECT_EQ(AllowedCpus(), before);
}

TEST(Cpu, NamesACpuThatIsNotAllowed) {
  for (int cpu : {-1, 70'000, INT_MAX}) {
    const absl::Status pinned = PinToCpu(cpu);
    EXPECT_THAT(pinned.message(),
                AllOf(HasSubstr("sched_setaffinity(CPU " + std::to_string(cpu) + "): EINVAL"), HasSubstr("taskset")));
  }
}

}  // namespace
}  // namespace ipcmark::os
