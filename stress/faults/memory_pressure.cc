// The pages of the object's memory are taken from the victims again and again, as reclaim does it, and have to be
// faulted in anew in the middle of any operation; meanwhile a process allocates and touches memory. What reclaim would
// do on top, writing the pages out, needs swap space for memory that has no file, which is the machine's to have; and
// MADV_PAGEOUT from outside passes over pages that more than one process has mapped. So each victim gives up its own
// mapping's pages (MADV_DONTNEED, from a signal's handler), which for shared memory loses nothing.

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "ipc/os/cpu.h"
#include "stress/draw.h"
#include "stress/faults/fault.h"

namespace ipcmark::stress {
namespace {

constexpr uint64_t kMostRounds = 60;
constexpr uint64_t kMostPausesBetween = 2000;  // about 50 us
constexpr size_t kHogBytes = size_t{8} << 20;

// Not exit(3): it has nothing of its own to clean up.
[[noreturn]] void Hog() {
  void* const memory = mmap(nullptr, kHogBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory != MAP_FAILED) memset(memory, 1, kHogBytes);
  _exit(0);
}

std::string Squeeze(const TrialPlan& /*plan*/, std::span<const pid_t> victims, uint64_t seed) {
  Random random(seed);
  const pid_t hog = _Fork();
  if (hog == 0) Hog();
  for (uint64_t left = 1 + random.Below(kMostRounds); left > 0; --left) {
    for (const pid_t victim : victims) kill(victim, kUnmapSignal);
    for (uint64_t pause = random.Below(kMostPausesBetween); pause > 0; --pause) os::SpinHint();
  }
  if (hog > 0) waitpid(hog, nullptr, 0);
  return "";
}

std::vector<Strike> Squeezes(const TrialPlan& plan, Random random) { return DrawDisturbances(plan, random, Squeeze); }

}  // namespace

extern const Fault kMemoryPressure = {"memory_pressure", Squeezes, nullptr, /*needs_memory=*/true};

}  // namespace ipcmark::stress
