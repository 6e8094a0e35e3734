// What a fault does to a trial: when, to whom, and how the trial goes on without its victims.

#include <signal.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "ipc/os/cpu.h"
#include "stress/driver_class.h"
#include "stress/shifted_clock.h"

namespace ipcmark::stress {
namespace {

// What a replacement sends at least; Board::Create leaves room for it.
constexpr uint64_t kLeastQuota = 16;

// Whether SIGUSR1 ends every call that waits.
bool CanInterrupt(const TrialPlan& plan) {
  return plan.capabilities.shows_signals && plan.geometry.wait != Wait::kSpin;
}

}  // namespace

bool Driver::AwaitMoment(const struct Strike& strike, bool must_happen) {
  EndLog& log = board_.log(strike.watched.side, current(strike.watched.side)[strike.watched.slot]);
  const uint64_t moment = log.completed.load(std::memory_order_relaxed) + strike.operations;
  log.alarm_at.store(moment, std::memory_order_relaxed);
  bool in_time = true;
  const bool healthy = Await([&] {
    if (log.completed.load(std::memory_order_relaxed) >= moment) return true;
    in_time = !TrafficTimeIsOver() && !SendersDone();
    return !in_time;
  });
  return healthy && (in_time || must_happen);
}

void Driver::Expect(Position departure) {
  const int side = static_cast<int>(departure.side);
  // Before it leaves: who sees its consequence sees that it was to be expected.
  if (alive_[side] == 1) board_.shared().extinctions[side].fetch_add(1, std::memory_order_release);
}

bool Driver::Kill(Position victim, const struct Strike& strike) {
  const int side = static_cast<int>(victim.side);
  const uint32_t index = current(victim.side)[victim.slot];
  const int child = children(victim.side)[index];
  for (uint32_t i = 0; i < strike.pauses; ++i) os::SpinHint();
  const bool last = alive_[side] == 1;
  Expect(victim);
  board_.log(victim.side, index).doomed.store(1, std::memory_order_seq_cst);
  if (strike.departure == Departure::kExits) {
    group_.Signal(child, SIGUSR2);
  } else {
    group_.KillAndReap(child);
  }
  // False, too, when it had died already, of something else.
  if (!AwaitEnd("told to exit, ", child)) return false;
  board_.log(victim.side, index).state.store(EndState::kKilled, std::memory_order_relaxed);
  --alive_[side];
  ++kills_[side];
  // Where nothing is promised about the others (a lock may have died with the victim), it is the end for all of them.
  const bool others_go_on = plan_.capabilities.survives_sigkill || (!last && plan_.capabilities.reports_peer_death);
  side_extinct_ = !others_go_on;
  return true;
}

bool Driver::SendAway(Position victim, bool* gone) {
  const uint32_t index = current(victim.side)[victim.slot];
  const int child = children(victim.side)[index];
  EndLog& log = board_.log(victim.side, index);
  Expect(victim);
  log.order.store(Order::kLeave, std::memory_order_relaxed);
  *gone = false;
  const bool healthy = Await([&] {
    const EndState state = log.state.load(std::memory_order_acquire);
    *gone = state == EndState::kEnded;
    if (*gone) return true;
    // Who sleeps looks up, as often as it takes.
    group_.Signal(child, SIGUSR1);
    if (CanInterrupt(plan_) || HasPartners(victim.side)) return false;
    // It may be in a call that nothing would end.
    Order asked = Order::kLeave;
    return log.order.compare_exchange_strong(asked, Order::kNone, std::memory_order_relaxed);
  });
  if (!healthy || !*gone) return healthy;
  if (!AwaitEnd("while closing: ", child)) return false;
  --alive_[static_cast<int>(victim.side)];
  return true;
}

bool Driver::Replace(Position victim, const struct Strike& strike) {
  const EndLog& log = board_.log(victim.side, current(victim.side)[victim.slot]);
  const uint64_t sent = log.completed.load(std::memory_order_relaxed);
  const uint64_t quota = log.quota > sent + kLeastQuota ? log.quota - sent : kLeastQuota;
  std::optional<ShiftedClock> shifted;
  if (strike.clock_shift_nanos != 0) {
    shifted.emplace(strike.clock_shift_nanos);
    if (!shifted->works()) {
      unexpected_ = absl::StrCat("no time namespace that is ", strike.clock_shift_nanos, " ns ahead");
      return false;
    }
  }
  if (!Spawn(victim, log.generation + 1, quota)) return false;
  shifted.reset();
  const EndLog& replacement = board_.log(victim.side, current(victim.side)[victim.slot]);
  return Await([&] { return replacement.state.load(std::memory_order_acquire) != EndState::kOpening; });
}

bool Driver::Strike(const struct Strike& strike) {
  std::vector<Position> gone;
  if (strike.departure == Departure::kNone) {
    std::vector<pid_t> victims;
    for (const Position& victim : strike.victims) {
      const int child = children(victim.side)[current(victim.side)[victim.slot]];
      if (group_.running(child)) victims.push_back(group_.pid(child));
    }
    // Before the first byte is damaged: who meets it finds that it may.
    if (plan_.damages) board_.shared().damaged.store(1, std::memory_order_seq_cst);
    unexpected_ = strike.disturb(plan_, victims, strike.seed);
    if (!unexpected_.empty()) return false;
  }
  for (const Position& victim : strike.victims) {
    bool left = strike.departure != Departure::kNone;
    if (strike.departure == Departure::kCloses) {
      if (!SendAway(victim, &left)) return false;
    } else if (left && !Kill(victim, strike)) {
      return false;
    }
    if (left) gone.push_back(victim);
  }
  if (strike.departure == Departure::kNone || !gone.empty()) ++strikes_;
  strike_nanos_ = os::MonotonicNanos();
  completed_at_strike_ = Completed();
  if (!plan_.capabilities.survives_sigkill) return true;
  return std::all_of(gone.rbegin(), gone.rend(), [&](Position victim) { return Replace(victim, strike); });
}

}  // namespace ipcmark::stress
