// SIGKILL to a random end while traffic flows: several times, each time with a replacement, where the primitive
// promises to survive it; otherwise once, and then the rest must come to its end by itself.

#include <utility>

#include "stress/faults/fault.h"

namespace ipcmark::stress {
namespace {

constexpr uint64_t kMostStrikes = 6;
// Enough to reach every state of the object, few enough for the slowest one (50 us a message) to see several kills.
constexpr uint64_t kMostOperationsBetween = 150;
// About 50 us: some thousand instructions of the victim.
constexpr uint64_t kMostPauses = 2000;

Position RandomEnd(const TrialPlan& plan, Random& random) {
  const Side side = random.OneIn(2) ? Side::kSender : Side::kReceiver;
  return {side, static_cast<uint32_t>(random.Below(plan.Ends(side)))};
}

void AddSide(const TrialPlan& plan, Side side, std::vector<Position>* victims) {
  for (uint32_t slot = 0; slot < plan.Ends(side); ++slot) victims->push_back({side, slot});
}

std::vector<Position> RandomVictims(const TrialPlan& plan, Random& random) {
  const Position one = RandomEnd(plan, random);
  const uint64_t drawn = plan.capabilities.survives_sigkill ? random.Below(8) : 0;
  if (drawn < 4) return {one};
  // Receivers first, mostly: the object is then full of what the senders leave behind.
  std::vector<Position> victims;
  const Side first = drawn == 4 ? Side::kSender : Side::kReceiver;
  AddSide(plan, first, &victims);
  if (drawn == 7) {
    AddSide(plan, Other(first), &victims);
  } else {
    victims.push_back({Other(first), static_cast<uint32_t>(random.Below(plan.Ends(Other(first))))});
  }
  return victims;
}

std::vector<Strike> Kills(const TrialPlan& plan, Random random) {
  const uint64_t count = plan.capabilities.survives_sigkill ? 2 + random.Below(kMostStrikes - 1) : 1;
  std::vector<Strike> strikes;
  for (uint64_t i = 0; i < count; ++i) {
    const Position watched = RandomEnd(plan, random);
    const uint64_t operations = 1 + random.Below(kMostOperationsBetween);
    std::vector<Position> victims = RandomVictims(plan, random);
    strikes.push_back({watched, operations, std::move(victims), static_cast<uint32_t>(random.Below(kMostPauses))});
  }
  return strikes;
}

}  // namespace

extern const Fault kSigkill = {"sigkill", Kills};

}  // namespace ipcmark::stress
