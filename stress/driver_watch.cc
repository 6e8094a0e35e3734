// What the parent sees of its ends while they work: who gets nothing, and who sleeps although it could go on.

#include <algorithm>
#include <string>
#include <vector>

#include "stress/driver_class.h"

namespace ipcmark::stress {

void Driver::NoteStarvation() {
  if (!plan_.LooksForStarvation()) return;
  const bool traffic = board_.phase() == Phase::kTraffic;
  for (const Side side : {Side::kSender, Side::kReceiver}) {
    if (plan_.Ends(side) == 1) continue;
    std::vector<Starvation>& ends = starvation_[static_cast<int>(side)];
    while (ends.size() < children(side).size()) ends.emplace_back();
    const uint64_t all = board_.Completed(side);
    for (uint32_t i = 0; i < ends.size(); ++i) {
      const EndLog& log = board_.log(side, i);
      const bool works = traffic && log.state.load(std::memory_order_relaxed) == EndState::kOpen;
      const uint64_t completed = log.completed.load(std::memory_order_relaxed);
      ends[i].Note({.process = group_.pid(children(side)[i]),
                    .works = works,
                    .completed = completed,
                    .others = all - std::min(all, completed)});
    }
  }
}

int64_t Driver::WorstOverslept() const {
  int64_t worst_nanos = oversleep_.worst_nanos();
  for (const Oversleep& receiver : oversleep_of_receivers_) worst_nanos = std::max(worst_nanos, receiver.worst_nanos());
  return worst_nanos;
}

void Driver::NoteOversleep(uint64_t progress) {
  if (!plan_.LooksForOversleep()) return;
  // While somebody is sent away and replaced the others may have nobody to wait for.
  const bool works = board_.phase() == Phase::kTraffic && !striking_ && !SendersDone();
  oversleep_.Note(works, progress, [&] { return Processes(); });
  if (plan_.capabilities.broadcasts) {
    // Each of them by itself: the sender may not wait for anybody.
    while (oversleep_of_receivers_.size() < children(Side::kReceiver).size()) oversleep_of_receivers_.emplace_back();
    for (uint32_t i = 0; i < oversleep_of_receivers_.size(); ++i) {
      const bool has_something = works && board_.IsBehind(i);
      oversleep_of_receivers_[i].Note(has_something, board_.log(Side::kReceiver, i).completed.load(),
                                      [&] { return std::vector<pid_t>{group_.pid(children(Side::kReceiver)[i])}; });
    }
  }
  if (overslept_.empty() && WorstOverslept() > 0) overslept_ = WhoWaits();
}

bool Driver::SomebodyIsOvertaken() const {
  return std::ranges::any_of(starvation_, [&](const std::vector<Starvation>& ends) {
    return std::ranges::any_of(ends, [&](const Starvation& end) {
      return end.overtaken() >= kStarvedOperations && end.worst_nanos() < MostStarvedNanos(plan_);
    });
  });
}

}  // namespace ipcmark::stress
