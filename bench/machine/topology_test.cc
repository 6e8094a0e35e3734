#include "bench/machine/topology.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "bench/placed_cases.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ipcmark::bench {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// A machine made of files.
class Topology : public testing::Test {
 protected:
  Topology() : root_(fs::path(getenv("TEST_TMPDIR")) / "topology") {}
  ~Topology() override { fs::remove_all(root_); }

  void Put(const std::string& path, const std::string& content) {
    const fs::path file = root_ / "sys/devices/system" / path;
    fs::create_directories(file.parent_path());
    std::ofstream(file) << content << "\n";
  }
  // A CPU by the lists that it is in.
  void PutCpu(int cpu, const std::string& threads, const std::string& package, const std::string& cache) {
    const std::string folder = absl::StrCat("cpu/cpu", cpu, "/");
    Put(folder + "topology/thread_siblings_list", threads);
    Put(folder + "topology/core_siblings_list", package);
    Put(folder + "cache/index0/level", "1");
    Put(folder + "cache/index0/shared_cpu_list", threads);
    Put(folder + "cache/index3/level", "3");
    Put(folder + "cache/index3/shared_cpu_list", cache);
  }
  // Two nodes of two caches of two cores of two threads; the second threads are 8 to 15.
  void PutLargeMachine() {
    for (int core = 0; core < 8; ++core) {
      const int first = core / 2 * 2;
      for (int cpu : {core, core + 8}) {
        PutCpu(cpu, absl::StrCat(core, ",", core + 8), core < 4 ? "0-3,8-11" : "4-7,12-15",
               absl::StrCat(first, "-", first + 1, ",", first + 8, "-", first + 9));
      }
    }
    Put("node/node0/cpulist", "0-3,8-11");
    Put("node/node1/cpulist", "4-7,12-15");
  }
  [[nodiscard]] std::vector<CpuPlace> Read(const std::vector<int>& cpus) const { return ReadTopology(cpus, root_); }

  fs::path root_;
};

std::pair<int, int> Pair(Placement placement, const std::vector<CpuPlace>& topology) {
  return CpusFor(placement, topology).value_or(std::pair(-7, -7));
}

TEST_F(Topology, OfALargeMachineHasEveryPlacement) {
  PutLargeMachine();
  const std::vector<CpuPlace> all = Read({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15});
  EXPECT_EQ(Pair(Placement::kSameCpu, all), std::pair(0, 0));
  EXPECT_EQ(Pair(Placement::kSmt, all), std::pair(0, 8));
  EXPECT_EQ(Pair(Placement::kSameCache, all), std::pair(0, 1));
  EXPECT_EQ(Pair(Placement::kOtherCache, all), std::pair(0, 2));
  EXPECT_EQ(Pair(Placement::kOtherNode, all), std::pair(0, 4));
  EXPECT_EQ(Pair(Placement::kUnpinned, all), std::pair(-1, -1));
}

TEST_F(Topology, KnowsOnlyTheCpusThatAreAllowed) {
  PutLargeMachine();
  const std::vector<CpuPlace> some = Read({1, 9, 10});
  EXPECT_EQ(Pair(Placement::kSmt, some), std::pair(1, 9));
  EXPECT_EQ(Pair(Placement::kOtherCache, some), std::pair(1, 10));
  const absl::Status none = CpusFor(Placement::kOtherNode, some).status();
  EXPECT_EQ(none.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(none.message()), HasSubstr("one NUMA node"));
  EXPECT_FALSE(CpusFor(Placement::kSameCache, some).ok());
}

TEST_F(Topology, ThatTheKernelDoesNotDrawIsOneNodeAndCacheOfSingleCores) {
  const std::vector<CpuPlace> blank = Read({0, 1});
  EXPECT_EQ(Pair(Placement::kSameCache, blank), std::pair(0, 1));
  EXPECT_FALSE(CpusFor(Placement::kSmt, blank).ok());
  Put("cpu/cpu0/topology/thread_siblings_list", "nonsense");
  EXPECT_FALSE(CpusFor(Placement::kSmt, Read({0, 1})).ok());
}

TEST_F(Topology, OfPackagesWithoutCachesTakesThePackageForTheCache) {
  for (int cpu : {0, 1, 2, 3}) {
    Put(absl::StrCat("cpu/cpu", cpu, "/topology/core_siblings_list"), cpu < 2 ? "0-1" : "2-3");
  }
  EXPECT_EQ(Pair(Placement::kSameCache, Read({0, 1, 2, 3})), std::pair(0, 1));
  EXPECT_EQ(Pair(Placement::kOtherCache, Read({0, 1, 2, 3})), std::pair(0, 2));
}

TEST_F(Topology, WithoutACpuHasNoPairAtAll) {
  for (Placement placement : kAllPlacements) {
    EXPECT_EQ(CpusFor(placement, {}).ok(), placement == Placement::kUnpinned) << PlacementName(placement);
  }
}

Options Smoke() {
  Options options;
  options.suite = "smoke";
  options.message_bytes = {64};
  return options;
}

TEST_F(Topology, MakesEachPlacementARowOfItsOwnOnItsCpus) {
  PutLargeMachine();
  const std::vector<CpuPlace> topology = Read({0, 1, 8});
  const absl::StatusOr<CaseList> list = BuildPlacedCases(
      Smoke(), {Placement::kSmt, Placement::kOtherNode, Placement::kSameCache, Placement::kUnpinned}, topology);
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_THAT(list->cases, Contains(AllOf(Field(&Case::name, "RoundTrip/sysv_shm/spin/64/placement:smt"),
                                          Field(&Case::placement, "smt"), Field(&Case::sender_cpu, 0),
                                          Field(&Case::receiver_cpu, 8))));
  EXPECT_THAT(list->cases, Contains(AllOf(Field(&Case::name, "Throughput/sysv_shm/block/64/placement:unpinned"),
                                          Field(&Case::sender_cpu, -1), Field(&Case::receiver_cpu, -1))));
  // What one process measures is where the sender would be.
  EXPECT_THAT(list->cases, Contains(AllOf(Field(&Case::name, "Roofline/empty_loop/64/placement:smt"),
                                          Field(&Case::sender_cpu, 0), Field(&Case::receivers, 0U))));
  EXPECT_THAT(list->cases, Each(Field(&Case::name, AllOf(HasSubstr("/placement:"), Not(HasSubstr("Depth"))))));
  EXPECT_THAT(list->cases, Each(Field(&Case::name, AllOf(HasSubstr("/placement:"), Not(HasSubstr("FanIn")),
                                                         Not(HasSubstr("Attach")), Not(HasSubstr("other_node"))))));
  EXPECT_THAT(list->skipped, Contains(AllOf(Field(&SkippedCase::name, "placement:other_node"),
                                            Field(&SkippedCase::reason, HasSubstr("one NUMA node")))));
}

TEST_F(Topology, WithoutPlacementsOrWithoutAnyThatItHasIsAsBeforeOrRefused) {
  PutLargeMachine();
  const std::vector<CpuPlace> topology = Read({0, 1});
  const absl::StatusOr<CaseList> plain = BuildPlacedCases(Smoke(), {}, topology);
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_THAT(plain->cases, Each(Field(&Case::placement, IsEmpty())));
  EXPECT_EQ(plain->cases.size(), BuildCases(Smoke())->cases.size());
  const absl::Status refused = BuildPlacedCases(Smoke(), {Placement::kSmt}, topology).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("two threads"));
}

TEST_F(Topology, NamesWhereTheTwoSidesAre) {
  PutLargeMachine();
  const std::vector<CpuPlace> topology = Read({0, 4, 8});
  Options options;
  EXPECT_EQ(PlacementOf(options, topology), "unpinned");
  options.sender_cpu = 0;
  options.receiver_cpu = 8;
  EXPECT_EQ(PlacementOf(options, topology), "smt");
  options.receiver_cpu = 4;
  EXPECT_EQ(PlacementOf(options, topology), "other_node");
}

}  // namespace
}  // namespace ipcmark::bench
