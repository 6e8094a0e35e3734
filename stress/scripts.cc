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

constexpr int64_t kNanosPerMilli = 1'000'000;
// A replacement announces itself; this only bounds what a missed announcement costs.
constexpr int64_t kReplacementLookNanos = 5 * kNanosPerMilli;
// What an operation on an object that may be damaged is given.
constexpr int64_t kDamagedNanos = 3 * kNanosPerMilli;

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
  if (side_ == Side::kReceiver && board_.plan().capabilities.broadcasts) {
    log_.due = board_.SentSoFar();
    log_.position.store(PackPosition(log_.due), std::memory_order_release);
  }
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

}  // namespace ipcmark::stress
