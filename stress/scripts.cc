#include "stress/scripts.h"

#include <linux/capability.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "ipc/os/clock.h"
#include "ipc/os/futex.h"
#include "stress/shared_memory.h"

namespace ipcmark::stress {
namespace {

// Priorities that meet the edges of a priority queue's tables, and each other often.
constexpr uint32_t kPriorities[] = {0, 1, 63, 64, 4095, 4096, 32767};
constexpr int64_t kNanosPerMilli = 1'000'000;
// A replacement announces itself; this only bounds what a missed announcement costs.
constexpr int64_t kReplacementLookNanos = 5 * kNanosPerMilli;
// What an operation on an object that may be damaged is given.
constexpr int64_t kDamagedNanos = 3 * kNanosPerMilli;
constexpr std::byte kGuard{0xa5};

// What kUnmapSignal is about, for its handler: set before it is installed.
struct {
  struct {
    void* address;
    size_t bytes;
  } ranges[8];
  size_t count;
} g_memory;

void NoteMemory(const std::vector<std::string>& objects) {
  for (const SharedRange& range : RangesOf(getpid(), objects)) {
    if (g_memory.count == std::size(g_memory.ranges)) break;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): /proc knows addresses as numbers.
    g_memory.ranges[g_memory.count++] = {reinterpret_cast<void*>(range.address), range.bytes};
  }
}

// The handlers keep errno, and call only what is async-signal-safe.
void UnmapMemory(int) {
  const int err = errno;
  for (size_t i = 0; i < g_memory.count; ++i) {
    madvise(g_memory.ranges[i].address, g_memory.ranges[i].bytes, MADV_DONTNEED);
  }
  errno = err;
}

// Not fork(2): its handlers take locks that the interrupted code may hold.
void ForkAndExit(int) {
  const int err = errno;
  if (_Fork() == 0) _exit(0);
  errno = err;
}

// RLIMIT_MEMLOCK means nothing to who has this capability, and ordinary processes have not.
void GiveUpMemoryLocking() {
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
  if (syscall(SYS_capget, &header, data) != 0) return;
  data[0].effective &= ~(1U << CAP_IPC_LOCK);
  syscall(SYS_capset, &header, data);
}

}  // namespace

Script::Script(Board* board, Side side, uint32_t index)
    : board_(*board),
      side_(side),
      index_(index),
      log_(board->log(side, index)),
      random_(SubSeed(board->plan().seed, 2 * uint64_t{index} + static_cast<uint64_t>(side))) {}

void Script::Opened() {
  // Before anybody may strike. Without SA_RESTART: what can be interrupted is.
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  sigaction(SIGUSR1, &action, nullptr);
  action.sa_handler = [](int) { _exit(0); };
  sigaction(SIGUSR2, &action, nullptr);
  NoteMemory(board_.plan().memory);
  action.sa_handler = UnmapMemory;
  sigaction(kUnmapSignal, &action, nullptr);
  action.sa_handler = ForkAndExit;
  sigaction(kForkSignal, &action, nullptr);
  // The children of ForkAndExit are nobody's to reap.
  signal(SIGCHLD, SIG_IGN);
  GiveUpMemoryLocking();
  log_.state.store(EndState::kOpen, std::memory_order_release);
  board_.Announce(board_.shared().epoch);
  board_.Report();
}

void Script::Refused() { board_.shared().refused.store(1, std::memory_order_relaxed); }

Deadline Script::Patience() const { return board_.plan().damages ? os::After(kDamagedNanos) : Deadline::Never(); }

void Script::DrawManner() {
  const uint64_t drawn = random_.Below(16);
  in_place_ = random_.OneIn(4);
  deadline_ = Patience();
  if (drawn < 2) deadline_ = Deadline::Immediate();
  if (drawn == 2) deadline_ = os::After(static_cast<int64_t>(1 + random_.Below(3)) * kNanosPerMilli);
}

void Script::NoteTimeliness(Deadline asked) {
  const int64_t late_nanos = os::MonotonicNanos() - asked.monotonic_nanos;
  log_.most_early_nanos = std::max(log_.most_early_nanos, -late_nanos);
  log_.worst_lateness_nanos = std::max(log_.worst_lateness_nanos, late_nanos);
}

bool Script::MayGoOnInRuins(IoResult result) const {
  switch (result.outcome) {
    case Outcome::kInterrupted:
    case Outcome::kWouldBlock:
    case Outcome::kDeadline:
      // Once traffic is over, what it waits for may never come.
      return phase_before_ < (side_ == Side::kSender ? Phase::kDrain : Phase::kClosing);
    default:
      return false;
  }
}

bool Script::MayGoOn(IoResult result) {
  const Deadline asked = deadline_;
  deadline_ = Patience();
  if (board_.Damaged()) {
    if (result.outcome == Outcome::kDeadline && !asked.immediate()) NoteTimeliness(asked);
    return MayGoOnInRuins(result);
  }
  switch (result.outcome) {
    case Outcome::kInterrupted:
      return true;
    case Outcome::kWouldBlock:
      if (asked.immediate()) return true;
      break;
    case Outcome::kDeadline:
      if (!asked.immediate() && !asked.never()) {
        NoteTimeliness(asked);
        return true;
      }
      break;
    case Outcome::kPeerDead:
    case Outcome::kClosed: {
      if (side_ == Side::kReceiver) {
        // Only what was called after the last sender had finished proves that nothing is left: during an earlier call a
        // replacement may have come, worked and finished.
        if (phase_before_ >= Phase::kClosing) return false;
        if (board_.phase() >= Phase::kClosing) return true;
      }
      const int other = static_cast<int>(Other(side_));
      // Acquire: pairs with the parent, which counts an extinction before it kills.
      if (board_.shared().extinctions[other].load(std::memory_order_acquire) == 0) break;
      if (!board_.plan().capabilities.survives_sigkill) return false;
      os::WaitOnFutex(board_.shared().epoch, epoch_before_, os::After(kReplacementLookNanos));
      return true;
    }
    default:
      break;
  }
  board_.Surprise(side_, index_, result);
  return false;
}

bool Script::AcceptsOrder() {
  Order asked = Order::kLeave;
  return log_.order.compare_exchange_strong(asked, Order::kAccepted, std::memory_order_relaxed);
}

uint64_t Script::CompletedByOthers() const {
  return board_.Completed(side_) - log_.completed.load(std::memory_order_relaxed);
}

void Script::BeginWait() { others_before_ = CompletedByOthers(); }

void Script::EndWait() {
  const uint64_t overtaken = CompletedByOthers() - others_before_;
  log_.most_overtaken = std::max(log_.most_overtaken, overtaken);
}

void Script::BeginCall() {
  epoch_before_ = board_.shared().epoch.load(std::memory_order_acquire);
  phase_before_ = board_.phase();
  log_.calling.store(1, std::memory_order_relaxed);
}

void Script::EndCall() { log_.calling.store(0, std::memory_order_relaxed); }

void Script::Leave() {
  log_.state.store(EndState::kEnded, std::memory_order_release);
  board_.Report();
}

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
  stops_left_ = closer && stops ? board_.plan().geometry.receivers : 0;
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

ReceiverScript::ReceiverScript(Board* board, uint32_t index)
    : Script(board, Side::kReceiver, index), buffer_(board->plan().geometry.max_message_bytes + kGuardBytes, kGuard) {}

bool ReceiverScript::Fits(IoResult result) const {
  const std::span<const std::byte> guard = std::span(buffer_).last(kGuardBytes);
  // A longer length alone is a torn message, unless nobody looks for those.
  const bool overlong = board_.plan().damages && result.ok() && result.bytes > buffer_.size() - kGuardBytes;
  return !overlong && std::ranges::count(guard, kGuard) == static_cast<ptrdiff_t>(kGuardBytes);
}

bool ReceiverScript::Next() {
  if (left_ || AcceptsOrder()) {
    Leave();
    return false;
  }
  board_.AwaitPhase(Phase::kTraffic);
  if (!retry_) {
    DrawManner();
    BeginWait();
    log_.begun.store(log_.begun.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  BeginCall();
  return true;
}

void ReceiverScript::Note(IoResult result, std::span<const std::byte> message, uint32_t priority) {
  EndCall();
  retry_ = false;
  if (!Fits(result)) {
    board_.Surprise(side_, index_, result);
    left_ = true;
    return;
  }
  if (!result.ok()) {
    retry_ = MayGoOn(result);
    left_ = !retry_;
    return;
  }
  // Also by the stop message, the first that a receiver without any luck gets.
  EndWait();
  MessageHeader header;
  bool intact = ReadMessage(message, board_.plan().seed, &header);
  if (board_.plan().capabilities.has_priorities) intact &= header.priority == priority;
  if (intact && header.kind == Kind::kStop) {
    left_ = true;
    return;
  }
  const uint64_t count = log_.completed.load(std::memory_order_relaxed);
  if (count == board_.delivery_room()) {
    // A damaged object may show the same messages for ever.
    if (!board_.Damaged()) board_.Surprise(side_, index_, IoResult::Of(Outcome::kError, EOVERFLOW));
    left_ = true;
    return;
  }
  // At once: what a receiver has taken and not logged when it is killed is lost to the record (one message each).
  board_.deliveries(index_)[count] = {header.sequence, header.sender, static_cast<uint32_t>(message.size()),
                                      header.priority, intact};
  board_.Complete(log_);
}

}  // namespace ipcmark::stress
