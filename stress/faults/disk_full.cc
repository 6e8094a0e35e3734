// The file system of the objects' files is full for some milliseconds: what is open has its room already, and must need
// no more of it (an end that touches a page which nobody reserved dies of SIGBUS). That Create says so in a sentence is
// tested in stress/private_namespace_test.cc.

#include "stress/draw.h"
#include "stress/faults/fault.h"
#include "stress/full_disk.h"

namespace ipcmark::stress {
namespace {

constexpr uint64_t kMostHoldNanos = 4'000'000;

std::string Fill(const TrialPlan& /*plan*/, std::span<const pid_t> /*victims*/, uint64_t seed) {
  const FullDisk disk("/dev/shm");
  if (!disk.IsFull()) return "room in /dev/shm, whose size had been lowered to what lies in it";
  Hold(static_cast<int64_t>(Random(seed).Below(kMostHoldNanos)));
  return "";
}

std::vector<Strike> Exhaustions(const TrialPlan& plan, Random random) { return DrawDisturbances(plan, random, Fill); }

const char* WhyUnfit(const Capabilities& /*capabilities*/) {
  return g_has_own_dev_shm ? nullptr : "the run has no /dev/shm of its own that it may fill";
}

}  // namespace

extern const Fault kDiskFull = {"disk_full", Exhaustions, WhyUnfit};

}  // namespace ipcmark::stress
