#include "bench/room.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ipcmark::bench {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr uint64_t kMiB = 1 << 20;

// A root of our own, with what a test writes under proc and sys.
class RoomTest : public testing::Test {
 protected:
  RoomTest() {
    std::string name = testing::TempDir() + "/room.XXXXXX";
    root_ = mkdtemp(name.data());
    Write("proc/self/uid_map", "0 1000 1\n");  // root of a namespace only: limits bind it
  }
  ~RoomTest() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& file, const std::string& text) {
    std::filesystem::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << text;
  }
  [[nodiscard]] std::string MemorySays(uint64_t bytes) const { return Text(RoomForMemory(bytes, root_)); }
  [[nodiscard]] std::string ProcessesSay(int count) const { return Text(RoomForProcesses(count, root_)); }
  [[nodiscard]] std::string HugePagesSay(uint64_t bytes) const {
    return Text(RoomForHugePages(2 * kMiB, bytes, root_));
  }

 private:
  static std::string Text(const absl::Status& status) { return status.ok() ? "ok" : std::string(status.message()); }
  std::filesystem::path root_;
};

TEST_F(RoomTest, MemoryIsHalfOfWhatIsAvailable) {
  Write("proc/meminfo", "MemTotal:  9000000 kB\nMemAvailable:  2048 kB\nBuffers: 1 kB\n");
  EXPECT_EQ(MemorySays(kMiB), "ok");
  EXPECT_EQ(MemorySays(2 * kMiB),
            "touching 2 MiB would take more than half of the 2 MiB that are free (MemAvailable); free memory");
}

TEST_F(RoomTest, MemoryIsHalfOfWhatTheTightestCgroupLeaves) {
  Write("proc/meminfo", "MemAvailable:  9000000 kB\n");
  Write("proc/self/cgroup", "0::/outer/inner\n");
  Write("sys/fs/cgroup/outer/inner/memory.max", "max\n");
  Write("sys/fs/cgroup/outer/memory.max", std::to_string(100 * kMiB));
  Write("sys/fs/cgroup/outer/memory.current", std::to_string(90 * kMiB));
  EXPECT_EQ(MemorySays(5 * kMiB), "ok");
  EXPECT_THAT(MemorySays(6 * kMiB), AllOf(HasSubstr("half of the 10 MiB"), HasSubstr("outer)")));
  Write("sys/fs/cgroup/outer/memory.stat", "anon 1\ninactive_file " + std::to_string(4 * kMiB) + "\n");
  EXPECT_EQ(MemorySays(7 * kMiB), "ok");
}

TEST_F(RoomTest, MemoryOfACgroupOfVersionOneCounts) {
  Write("proc/meminfo", "MemAvailable:  9000000 kB\n");
  // A path of the host, of which a container sees only the end.
  Write("proc/self/cgroup", "4:memory:/docker/0123\n3:cpu:/\n0::/\n");
  Write("sys/fs/cgroup/memory/memory.limit_in_bytes", std::to_string(100 * kMiB));
  Write("sys/fs/cgroup/memory/memory.usage_in_bytes", std::to_string(98 * kMiB));
  EXPECT_EQ(MemorySays(kMiB), "ok");
  EXPECT_THAT(MemorySays(2 * kMiB), HasSubstr("half of the 2 MiB"));
}

TEST_F(RoomTest, WhatCannotBeReadForbidsNothing) {
  EXPECT_EQ(MemorySays(1000 * kMiB), "ok");
  EXPECT_EQ(ProcessesSay(10), "ok");
}

TEST_F(RoomTest, ProcessesAreLimitedByTheCgroup) {
  Write("proc/self/cgroup", "0::/box\n");
  Write("sys/fs/cgroup/box/pids.max", "100\n");
  Write("sys/fs/cgroup/box/pids.current", "40\n");
  EXPECT_EQ(ProcessesSay(60), "ok");
  EXPECT_THAT(ProcessesSay(61), HasSubstr("box/pids.max is 100 and 40 processes run, 61 more do not fit"));
}

TEST_F(RoomTest, ProcessesAreLimitedByTheUsersLimitButNotForTheSystemsRoot) {
  rlimit before = {};
  getrlimit(RLIMIT_NPROC, &before);
  const rlimit low = {.rlim_cur = 2, .rlim_max = before.rlim_max};
  setrlimit(RLIMIT_NPROC, &low);
  Write("proc/" + std::to_string(getpid()) + "/task/1/stat", "");  // a process of ours, with a thread
  EXPECT_EQ(ProcessesSay(1), "ok");
  EXPECT_THAT(ProcessesSay(2), StartsWith("RLIMIT_NPROC is 2 and 1 processes run, 2 more do not fit"));
  Write("proc/self/uid_map", "0 0 4294967295\n");
  EXPECT_EQ(ProcessesSay(2) == "ok", getuid() == 0);
  setrlimit(RLIMIT_NPROC, &before);
}

TEST_F(RoomTest, ProcessesAreLimitedByDescriptors) {
  rlimit before = {};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit low = {.rlim_cur = 300, .rlim_max = before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &low);
  EXPECT_EQ(ProcessesSay(200), "ok");
  EXPECT_THAT(ProcessesSay(300), StartsWith("RLIMIT_NOFILE is 300, and 300 processes need a descriptor each"));
  setrlimit(RLIMIT_NOFILE, &before);
}

TEST_F(RoomTest, HugePagesMustBeThereAndFreeAndNotPromised) {
  EXPECT_EQ(HugePagesSay(4 * kMiB), "this kernel has no huge pages of 2 MiB");
  const std::string folder = "sys/kernel/mm/hugepages/hugepages-2048kB/";
  Write(folder + "nr_hugepages", "0\n");
  Write(folder + "free_hugepages", "0\n");
  EXPECT_EQ(HugePagesSay(4 * kMiB),
            "nr_hugepages is 0 and 0 are free, 2 of 2 MiB are needed; reserve them as root (echo 2 > "
            "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages)");
  Write(folder + "nr_hugepages", "5\n");
  Write(folder + "free_hugepages", "3\n");
  Write(folder + "resv_hugepages", "1\n");
  EXPECT_EQ(HugePagesSay(4 * kMiB), "ok");
  EXPECT_THAT(HugePagesSay(6 * kMiB), HasSubstr("(echo 6 > "));
}

}  // namespace
}  // namespace ipcmark::bench
