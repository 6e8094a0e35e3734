// Somebody scribbles in the object's memory while messages flow: single bits, bytes and whole words, half of them among
// the first bytes, where a primitive keeps what it goes by. They stay damaged. No end may crash, outlive its deadlines
// or loop for ever; what messages are worth then is not judged (invariants: outlives_damage).

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "ipc/os/fd.h"
#include "stress/draw.h"
#include "stress/faults/fault.h"
#include "stress/shared_memory.h"

namespace ipcmark::stress {
namespace {

constexpr uint64_t kMostDamages = 6;
constexpr uint64_t kHeaderBytes = 512;
constexpr uint64_t kNeighbourhoodBytes = 8192;

struct Damage {
  uint64_t offset;
  size_t bytes;
  uint64_t drawn;
};

Damage DrawDamage(uint64_t object_bytes, Random& random) {
  const uint64_t where = random.Below(4);
  const uint64_t within = where < 2 ? kHeaderBytes : where == 2 ? kNeighbourhoodBytes : object_bytes;
  const size_t bytes = random.OneIn(2) ? 1 : sizeof(uint64_t);
  const uint64_t at = random.Below(std::min(within, object_bytes));
  // Words where words lie.
  return {.offset = at / bytes * bytes, .bytes = bytes, .drawn = random.Next()};
}

uint64_t Damaged(uint64_t value, const Damage& damage) {
  switch (damage.drawn % 5) {
    case 0:
      return 0;
    case 1:
      return ~uint64_t{0};
    case 2:
      return Scramble(damage.drawn);
    default:
      return value ^ (uint64_t{1} << (damage.drawn / 8 % (8 * damage.bytes)));
  }
}

std::string Scribble(const TrialPlan& plan, std::span<const pid_t> victims, uint64_t seed) {
  Random random(seed);
  // Through the memory of whoever lives: an end may have left because of earlier damage, and so may this process.
  std::vector<pid_t> processes(victims.begin(), victims.end());
  processes.push_back(getpid());
  for (const pid_t process : processes) {
    const std::vector<SharedRange> ranges = RangesOf(process, plan.memory);
    const os::Fd memory(open(("/proc/" + std::to_string(process) + "/mem").c_str(), O_RDWR | O_CLOEXEC));
    if (ranges.empty() || !memory.valid()) continue;
    for (uint64_t left = 1 + random.Below(kMostDamages); left > 0; --left) {
      const SharedRange& range = ranges[random.Below(ranges.size())];
      const Damage damage = DrawDamage(range.bytes, random);
      const auto at = static_cast<off_t>(range.address + damage.offset);
      uint64_t value = 0;
      if (pread(memory.get(), &value, damage.bytes, at) != static_cast<ssize_t>(damage.bytes)) continue;
      value = Damaged(value, damage);
      (void)!pwrite(memory.get(), &value, damage.bytes, at);
    }
    return "";
  }
  return "no process with the object's memory, to damage it";
}

std::vector<Strike> Damages(const TrialPlan& plan, Random random) { return DrawDisturbances(plan, random, Scribble); }

const char* WhyUnfit(const Capabilities& capabilities) {
  return capabilities.withstands_damage ? nullptr : "it promises nothing about memory that somebody damages";
}

}  // namespace

extern const Fault kCorruptedBytes = {"corrupted_bytes", Damages, WhyUnfit, /*needs_memory=*/true, /*damages=*/true};

}  // namespace ipcmark::stress
