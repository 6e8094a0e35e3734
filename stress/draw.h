#ifndef IPCMARK_STRESS_DRAW_H_
#define IPCMARK_STRESS_DRAW_H_

// What faults draw from a trial's seed: victims, moments, and how long something lasts.

#include <time.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "stress/plan.h"
#include "stress/random.h"

namespace ipcmark::stress {

// Enough to reach every state of the object, few enough for the slowest one (50 us a message) to see several strikes.
inline constexpr uint64_t kMostOperationsBetween = 150;

inline Position DrawEnd(const TrialPlan& plan, Random& random) {
  const Side side = random.OneIn(2) ? Side::kSender : Side::kReceiver;
  return {side, static_cast<uint32_t>(random.Below(plan.Ends(side)))};
}

inline void AddSide(const TrialPlan& plan, Side side, std::vector<Position>* victims) {
  for (uint32_t slot = 0; slot < plan.Ends(side); ++slot) victims->push_back({side, slot});
}

// One end half of the time, else a whole side and one or all of the other.
inline std::vector<Position> DrawVictims(const TrialPlan& plan, Random& random) {
  const Position one = DrawEnd(plan, random);
  const uint64_t drawn = random.Below(8);
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

// `count` strikes at random moments; `complete` gives each its victims and what is done to them.
template <typename Complete>
std::vector<Strike> DrawStrikes(const TrialPlan& plan, Random random, uint64_t count, const Complete& complete) {
  std::vector<Strike> strikes;
  for (uint64_t i = 0; i < count; ++i) {
    Strike strike = {.watched = DrawEnd(plan, random),
                     .operations = 1 + random.Below(kMostOperationsBetween),
                     .victims = {},
                     .seed = random.Next()};
    complete(strike, random);
    strikes.push_back(std::move(strike));
  }
  return strikes;
}

// The ends that leave are replaced where the primitive promises to survive it; else one leaves, once, and the rest must
// come to its end by itself.
inline std::vector<Strike> DrawDepartures(const TrialPlan& plan, Random random, Departure departure) {
  constexpr uint64_t kMostStrikes = 6;
  // About 50 us: some thousand instructions of the victim.
  constexpr uint64_t kMostPauses = 2000;
  const bool survives = plan.capabilities.survives_sigkill;
  const uint64_t count = survives ? 2 + random.Below(kMostStrikes - 1) : 1;
  return DrawStrikes(plan, random, count, [&](Strike& strike, Random& draws) {
    strike.departure = departure;
    strike.pauses = static_cast<uint32_t>(draws.Below(kMostPauses));
    strike.victims = survives ? DrawVictims(plan, draws) : std::vector<Position>{DrawEnd(plan, draws)};
  });
}

// Between 2 and 8 times `disturb`, to one end or many.
inline std::vector<Strike> DrawDisturbances(const TrialPlan& plan, Random random, Disturbance disturb) {
  return DrawStrikes(plan, random, 2 + random.Below(7), [&](Strike& strike, Random& draws) {
    strike.departure = Departure::kNone;
    strike.disturb = disturb;
    strike.victims = DrawVictims(plan, draws);
  });
}

// How long a disturbance lasts: the length is the fault, nobody waits for anything here.
inline void Hold(int64_t nanos) {
  timespec left = {.tv_sec = nanos / 1'000'000'000, .tv_nsec = nanos % 1'000'000'000};
  while (nanosleep(&left, &left) != 0) {
  }
}

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_DRAW_H_
