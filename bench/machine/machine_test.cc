#include "bench/machine/machine.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ipcmark::bench {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A machine made of files.
class MachineTest : public testing::Test {
 protected:
  MachineTest() : root_(fs::path(getenv("TEST_TMPDIR")) / "root") {}
  ~MachineTest() override { fs::remove_all(root_); }

  void Put(const std::string& path, const std::string& content) {
    const fs::path file = root_ / path;
    fs::create_directories(file.parent_path());
    std::ofstream(file) << content << "\n";
  }
  [[nodiscard]] std::map<std::string, std::string> Read() const {
    const auto pairs = Machine(root_.string());
    return {pairs.begin(), pairs.end()};
  }

  fs::path root_;
};

TEST_F(MachineTest, OfWhichNothingIsKnownIsUnknownWithoutAWarning) {
  fs::create_directories(root_);
  for (const auto& [key, value] : Read()) EXPECT_EQ(value, key == "hypervisor" ? "none" : "unknown") << key;
  EXPECT_THAT(MachineWarnings(root_.string()), IsEmpty());
}

TEST_F(MachineTest, IsDescribedByItsFiles) {
  const std::string cpu = "model name\t: Fast CPU\nmicrocode\t: 0x2b\ncpu cores\t: 9\nflags\t\t: tsc hypervisor sse\n";
  std::string cpus;
  for (const char* ids :
       {"processor\t: 0\nphysical id\t: 0\ncore id\t: 0\n", "processor\t: 1\nphysical id\t: 0\ncore id\t: 0\n",
        "processor\t: 2\nphysical id\t: 1\ncore id\t: 0\n"}) {
    cpus += ids + cpu + "\n";
  }
  Put("proc/cpuinfo", cpus);
  Put("sys/class/dmi/id/sys_vendor", "QEMU");
  const std::string cache = "sys/devices/system/cpu/cpu0/cache/index0/";
  Put(cache + "type", "Data");
  Put(cache + "level", "1");
  Put(cache + "size", "48K");
  Put(cache + "shared_cpu_list", "0-1");
  Put("sys/devices/system/cpu/vulnerabilities/meltdown", "Mitigation: PTI");
  Put("sys/devices/system/cpu/vulnerabilities/l1tf", "Not affected");
  Put("sys/devices/system/cpu/vulnerabilities/mds", "Vulnerable");
  Put("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never");
  Put("proc/sys/kernel/shmmni", "4096");
  Put("proc/sys/fs/pipe-max-size", "1048576");
  auto machine = Read();
  EXPECT_EQ(machine["cpu_model"], "Fast CPU");
  EXPECT_EQ(machine["microcode"], "0x2b");
  EXPECT_EQ(machine["cores"], "2 cores, 3 CPUs");
  EXPECT_EQ(machine["cpu_caches"], "L1d 48K (CPUs 0-1)");
  EXPECT_EQ(machine["mitigations"], "mds: Vulnerable | meltdown: Mitigation: PTI");
  EXPECT_EQ(machine["hypervisor"], "QEMU");
  EXPECT_EQ(machine["transparent_hugepages"], "madvise");
  EXPECT_EQ(machine["ipc_limits"], "kernel/shmmni=4096 fs/pipe-max-size=1048576");
}

TEST_F(MachineTest, WarnsOfAGovernorAndAClocksourceThatSpoilNumbersAndSaysHowToMendThem) {
  Put("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave");
  Put("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet");
  EXPECT_THAT(MachineWarnings(root_.string()),
              ElementsAre(AllOf(HasSubstr("governor is powersave"), HasSubstr("cpupower")),
                          AllOf(HasSubstr("clocksource is hpet"), HasSubstr("echo tsc >"))));
  Put("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance");
  Put("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc");
  EXPECT_THAT(MachineWarnings(root_.string()), IsEmpty());
}

TEST(ThisMachine, HasAModelAndCores) {
  const auto pairs = Machine();
  EXPECT_THAT(pairs, Contains(testing::Pair("cores", HasSubstr("CPUs"))));
}

}  // namespace
}  // namespace ipcmark::bench
