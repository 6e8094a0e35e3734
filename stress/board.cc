#include "stress/board.h"

#include <algorithm>
#include <cstdio>
#include <limits>

#include "ipc/os/futex.h"

namespace ipcmark::stress {
namespace {

constexpr size_t kLogsOffset = 2048;
static_assert(sizeof(Board::Shared) <= kLogsOffset);

uint64_t AllLogs(const TrialPlan& plan) {
  return uint64_t{plan.MaxIndices(Side::kSender)} + plan.MaxIndices(Side::kReceiver);
}

}  // namespace

absl::StatusOr<Board> Board::Create(const TrialPlan& plan) {
  // All that can be sent: the fill (a sender stops two above the limit), the traffic, and some for each replacement.
  // What a broken primitive delivers beyond that is a surprise.
  const uint64_t room = (plan.fill_limit_messages + 2) * plan.geometry.senders + plan.max_messages +
                        256 * uint64_t{plan.MaxIndices(Side::kSender)};
  const size_t bytes =
      kLogsOffset + AllLogs(plan) * sizeof(EndLog) + room * sizeof(Received) * plan.MaxIndices(Side::kReceiver);
  absl::StatusOr<os::Mapping> mapping = os::Mapping::SharedAnonymous(bytes);
  if (!mapping.ok()) return mapping.status();
  return Board(&plan, *std::move(mapping), room);
}

EndLog& Board::log(Side side, uint32_t index) const {
  auto* logs = reinterpret_cast<EndLog*>(static_cast<std::byte*>(mapping_.address()) + kLogsOffset);
  return logs[side == Side::kSender ? index : plan_->MaxIndices(Side::kSender) + index];
}

Received* Board::deliveries(uint32_t receiver) const {
  auto* all = reinterpret_cast<Received*>(static_cast<std::byte*>(mapping_.address()) + kLogsOffset +
                                          AllLogs(*plan_) * sizeof(EndLog));
  return all + receiver * delivery_room_;
}

StreamPosition Board::SentSoFar() const {
  const uint32_t senders = used(Side::kSender);
  if (senders == 0) return {};
  return {.sender = senders - 1, .sequence = log(Side::kSender, senders - 1).begun.load(std::memory_order_acquire)};
}

uint64_t Board::LargestLag(uint32_t sender, uint64_t sent) const {
  uint64_t largest = 0;
  for (uint32_t i = 0; i < used(Side::kReceiver); ++i) {
    const EndLog& receiver = log(Side::kReceiver, i);
    const auto listens = [&] { return receiver.state.load(std::memory_order_seq_cst) == EndState::kOpen; };
    // Not before it has said where it begins.
    if (!listens()) continue;
    const StreamPosition at = UnpackPosition(receiver.position.load(std::memory_order_acquire));
    const uint64_t lag = at.sender > sender ? 0 : sent - std::min(sent, at.sender == sender ? at.sequence : 0);
    if (lag <= largest) continue;
    // Who need not be waited for said so, or was given up, before the sender went on without it.
    if (listens() && receiver.doomed.load(std::memory_order_seq_cst) == 0) largest = lag;
  }
  return largest;
}

bool Board::IsBehind(uint32_t receiver) const {
  const uint32_t senders = used(Side::kSender);
  const EndLog& log = this->log(Side::kReceiver, receiver);
  if (senders == 0 || log.state.load(std::memory_order_acquire) != EndState::kOpen) return false;
  const uint64_t accepted = this->log(Side::kSender, senders - 1).completed.load(std::memory_order_acquire);
  const StreamPosition at = UnpackPosition(log.position.load(std::memory_order_acquire));
  return at.sender < senders - 1 ? accepted > 0 : at.sequence < accepted;
}

uint32_t Board::NewLog(Position position, uint32_t generation, uint64_t quota) {
  std::atomic<uint32_t>& used = shared().used[static_cast<int>(position.side)];
  const uint32_t index = used.load(std::memory_order_relaxed);
  EndLog& log = this->log(position.side, index);
  log.slot = position.slot;
  log.generation = generation;
  log.quota = quota;
  log.alarm_at.store(std::numeric_limits<uint64_t>::max(), std::memory_order_relaxed);
  log.state.store(EndState::kOpening, std::memory_order_relaxed);
  // Release: who counts this log in sees it prepared.
  used.store(index + 1, std::memory_order_release);
  return index;
}

uint64_t Board::Completed(Side side) const {
  uint64_t sum = 0;
  // Acquire: a later reading of another side cannot move before this one (invariants/depth.cc).
  for (uint32_t i = 0; i < used(side); ++i) sum += log(side, i).completed.load(std::memory_order_acquire);
  return sum;
}

void Board::Enter(Phase phase) {
  shared().phase.store(phase, std::memory_order_release);
  Announce(shared().epoch);
}

bool Board::AwaitPhase(Phase phase, absl::FunctionRef<bool()> gives_up) const {
  for (;;) {
    const uint32_t epoch = shared().epoch.load(std::memory_order_acquire);
    if (this->phase() >= phase) return true;
    if (gives_up()) return false;
    os::WaitOnFutex(shared().epoch, epoch, Deadline::Never());
  }
}

void Board::Announce(std::atomic<uint32_t>& word) const {
  // Release: who sees the change sees what it is about.
  word.fetch_add(1, std::memory_order_release);
  os::WakeAllOnFutex(word);
}

void Board::Complete(EndLog& log) const {
  const uint64_t completed = log.completed.load(std::memory_order_relaxed) + 1;
  // Release: the entry that this counts is visible to who acquires the count.
  log.completed.store(completed, std::memory_order_release);
  if (completed >= log.alarm_at.load(std::memory_order_relaxed)) {
    log.alarm_at.store(std::numeric_limits<uint64_t>::max(), std::memory_order_relaxed);
    Report();
  }
}

void Board::Surprise(Side side, uint32_t index, IoResult result) {
  uint32_t nobody = 0;
  if (shared().surprised.compare_exchange_strong(nobody, 1, std::memory_order_relaxed)) {
    snprintf(shared().surprise, sizeof(shared().surprise),
             "%s %u get %s (errno %u, %u bytes) from %s after %llu messages", SideName(side), index,
             OutcomeName(result.outcome), static_cast<unsigned>(result.err), result.bytes,
             side == Side::kSender ? "Send" : "Receive",
             static_cast<unsigned long long>(log(side, index).completed.load(std::memory_order_relaxed)));
    // Release: the text is complete for who sees 2.
    shared().surprised.store(2, std::memory_order_release);
  }
  Report();
}

}  // namespace ipcmark::stress
