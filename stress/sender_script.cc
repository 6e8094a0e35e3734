#include <sched.h>

#include <algorithm>
#include <iterator>

#include "ipc/os/clock.h"
#include "ipc/os/futex.h"
#include "stress/scripts.h"

namespace ipcmark::stress {
namespace {

// Priorities that meet the edges of a priority queue's tables, and each other often.
constexpr uint32_t kPriorities[] = {0, 1, 63, 64, 4095, 4096, 32767};

// How long a sender that need not wait for anybody does so at most: for a receiver that has no CPU, or is stopped.
constexpr int64_t kCatchUpNanos = 1'000'000;

}  // namespace

SenderScript::SenderScript(Board* board, uint32_t index)
    : Script(board, Side::kSender, index),
      stage_(log_.generation == 0 ? Stage::kFill : Stage::kTraffic),
      buffer_(board->plan().geometry.max_message_bytes) {}

void SenderScript::Prepare(Kind kind, uint32_t bytes) {
  const TrialPlan& plan = board_.plan();
  const uint64_t sequence = log_.completed.load(std::memory_order_relaxed);
  // Stop messages come last: sent after all others, and not above any of them.
  const bool ranked = plan.capabilities.has_priorities && kind == Kind::kData;
  priority_ = ranked ? kPriorities[random_.Below(std::size(kPriorities))] : 0;
  message_bytes_ = bytes;
  WriteMessage(
      {.checksum = 0, .sequence = sequence, .sender = index_, .bytes = bytes, .priority = priority_, .kind = kind},
      plan.seed, buffer_);
  // Release, and before the call: who gets the message finds it attempted.
  if (kind == Kind::kData) log_.begun.store(sequence + 1, std::memory_order_release);
  pending_ = true;
}

void SenderScript::EndFill() {
  Board::Shared& shared = board_.shared();
  // An attempt that did not go through is not pending any more: its number goes to the next message.
  pending_ = false;
  if (log_.slot == 0 && !topping_up_) {
    const uint32_t others = board_.plan().geometry.senders - 1;
    for (uint32_t seen = shared.filled.load(std::memory_order_acquire); seen != others;
         seen = shared.filled.load(std::memory_order_acquire)) {
      os::WaitOnFutex(shared.filled, seen, Deadline::Never());
    }
    topping_up_ = true;
    return;
  }
  stage_ = Stage::kTraffic;
  log_.filled = log_.completed.load(std::memory_order_relaxed);
  if (log_.slot == 0) {
    shared.fill_accepted.store(board_.Completed(Side::kSender), std::memory_order_relaxed);
    shared.fill_complete.store(1, std::memory_order_release);
    board_.Report();
  } else {
    board_.Announce(shared.filled);
  }
}

void SenderScript::LetReceiversCatchUp() {
  const uint64_t depth = board_.plan().geometry.depth_messages;
  if (!random_.OneIn(depth)) return;
  const uint64_t allowed = random_.Below(2 * depth + 1);
  const uint64_t sent = log_.completed.load(std::memory_order_relaxed);
  const Deadline end = os::After(kCatchUpNanos);
  while (board_.LargestLag(index_, sent) > allowed && !os::HasPassed(end)) sched_yield();
}

void SenderScript::AwaitClosing() {
  log_.state.store(EndState::kDone, std::memory_order_release);
  board_.Report();
  if (!board_.AwaitPhase(Phase::kClosing, [&] { return AcceptsOrder(); })) {
    stage_ = Stage::kLeft;
    return;
  }
  // Receivers that notice the end of all senders need no word of farewell.
  const bool closer = board_.shared().closer.load(std::memory_order_relaxed) == index_;
  const bool stops = board_.plan().audited || !board_.plan().capabilities.reports_peer_death;
  // One that all of them get, or one for each.
  const uint32_t stops_needed = board_.plan().capabilities.broadcasts ? 1 : board_.plan().geometry.receivers;
  stops_left_ = closer && stops ? stops_needed : 0;
  stage_ = Stage::kStops;
}

bool SenderScript::Next() {
  const TrialPlan& plan = board_.plan();
  if (stage_ == Stage::kTraffic && AcceptsOrder()) {
    // What it has not got rid of was never accepted.
    pending_ = false;
    stage_ = Stage::kLeft;
  }
  while (!pending_) {
    switch (stage_) {
      case Stage::kFill:
        board_.AwaitPhase(Phase::kFill);
        if (log_.completed.load(std::memory_order_relaxed) >= plan.fill_limit_messages + 2) {
          EndFill();
          // The limit is exceeded already: there is nothing left to fill up to.
          if (topping_up_ && stage_ == Stage::kFill) EndFill();
          break;
        }
        Prepare(Kind::kData, plan.fill_bytes);
        deadline_ = Deadline::Immediate();
        break;
      case Stage::kTraffic: {
        board_.AwaitPhase(Phase::kTraffic);
        if (board_.phase() >= Phase::kDrain || log_.completed.load(std::memory_order_relaxed) >= log_.quota) {
          AwaitClosing();
          break;
        }
        if (plan.Overwrites()) LetReceiversCatchUp();
        const uint32_t spare_bytes = plan.geometry.max_message_bytes - kSmallestMessageBytes;
        DrawManner();
        Prepare(Kind::kData, kSmallestMessageBytes + static_cast<uint32_t>(random_.Below(uint64_t{spare_bytes} + 1)));
        BeginWait();
        break;
      }
      case Stage::kStops:
        if (stops_left_ == 0) {
          stage_ = Stage::kLeft;
          break;
        }
        deadline_ = Patience();
        in_place_ = false;
        Prepare(Kind::kStop, kSmallestMessageBytes);
        break;
      case Stage::kLeft:
        Leave();
        return false;
    }
  }
  BeginCall();
  return true;
}

void SenderScript::Note(IoResult result) {
  EndCall();
  if (result.ok()) {
    pending_ = false;
    if (stage_ == Stage::kStops) {
      --stops_left_;
      return;
    }
    if (stage_ == Stage::kTraffic) EndWait();
    board_.Complete(log_);
    if (board_.plan().capabilities.broadcasts) {
      if (board_.plan().Overwrites()) return;
      const uint64_t accepted = log_.completed.load(std::memory_order_relaxed);
      log_.most_in_flight = std::max(log_.most_in_flight, board_.LargestLag(index_, accepted));
      return;
    }
    // Accepted first, delivered second: invariants/depth.cc says why.
    const uint64_t accepted = board_.Completed(Side::kSender);
    const uint64_t delivered = board_.Completed(Side::kReceiver);
    // A torn log of the other side could only make it negative.
    if (accepted > delivered) log_.most_in_flight = std::max(log_.most_in_flight, accepted - delivered);
  } else if (stage_ == Stage::kFill && result.outcome == Outcome::kWouldBlock) {
    EndFill();
  } else if (!MayGoOn(result)) {
    pending_ = false;
    stage_ = Stage::kLeft;
  }
}

}  // namespace ipcmark::stress
