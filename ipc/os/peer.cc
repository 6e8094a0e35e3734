#include "ipc/os/peer.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace ipcmark::os {
namespace {

enum Stage : uint64_t { kStageNever = 0, kStageOpen = 1, kStageClosed = 2 };

constexpr uint64_t kPidBits = 22;
constexpr uint64_t kTicksShift = 24;
constexpr uint64_t kTicksMask = (uint64_t{1} << (64 - kTicksShift)) - 1;

constexpr uint64_t Owner(pid_t pid, Stage stage, uint64_t start_ticks) {
  return static_cast<uint32_t>(pid) | (stage << kPidBits) | (start_ticks & kTicksMask) << kTicksShift;
}
constexpr pid_t PidOf(uint64_t owner) { return static_cast<pid_t>(owner & ((1U << kPidBits) - 1)); }
constexpr uint64_t StageOf(uint64_t owner) { return owner >> kPidBits & 3; }
constexpr uint64_t TicksOf(uint64_t owner) { return owner >> kTicksShift; }

// How far this process' CLOCK_BOOTTIME is ahead of the machine's (time_namespaces(7)): /proc shows start times by the
// clock of who asks, and peers in two time namespaces are to agree on them. Whole seconds; 0 without such namespaces.
int64_t BoottimeOffsetSeconds() noexcept {
  const Fd fd(open("/proc/self/timens_offsets", O_RDONLY | O_CLOEXEC));
  char text[256];
  const ssize_t bytes = fd.valid() ? read(fd.get(), text, sizeof(text) - 1) : 0;
  if (bytes <= 0) return 0;
  text[bytes] = '\0';
  const char* const at = strstr(text, "boottime");
  return at == nullptr ? 0 : strtoll(at + strlen("boottime"), nullptr, 10);
}

}  // namespace

uint64_t ProcessStartTicks(pid_t pid) noexcept {
  char path[32];
  snprintf(path, sizeof(path), "/proc/%d/stat", pid);
  const Fd fd(open(path, O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return 0;
  char text[1024];
  const ssize_t bytes = read(fd.get(), text, sizeof(text) - 1);
  if (bytes <= 0) return 0;
  text[bytes] = '\0';
  // Field 2 is the command in parentheses and may hold spaces and parentheses itself: count from the last ')'.
  const char* at = strrchr(text, ')');
  if (at == nullptr) return 0;
  for (int field = 2; field < 22; ++field) {
    at = strchr(at + 1, ' ');
    if (at == nullptr) return 0;
  }
  const int64_t ticks = strtoll(at + 1, nullptr, 10) - BoottimeOffsetSeconds() * sysconf(_SC_CLK_TCK);
  return ticks > 0 ? static_cast<uint64_t>(ticks) : 0;
}

bool ClaimPeer(PeerWord& word, pid_t* holder) noexcept {
  const uint64_t mine = Owner(getpid(), kStageOpen, ProcessStartTicks(getpid()));
  PeerWatch watch;
  // Acquire: what the last owner did to the end's state before closing or dying is visible to the new one.
  uint64_t seen = word.owner.load(std::memory_order_acquire);
  for (;;) {
    // Judges what was seen and not the word anew: what is exchanged below is then exactly what was found dead or free,
    // though its owner may have closed and reopened in between.
    if (watch.LookAt(seen) == PeerState::kOpen) {
      if (holder != nullptr) *holder = PidOf(seen);
      return false;
    }
    if (word.owner.compare_exchange_strong(seen, mine, std::memory_order_acq_rel, std::memory_order_acquire)) {
      return true;
    }
  }
}

void ReleasePeer(PeerWord& word) noexcept {
  uint64_t seen = word.owner.load(std::memory_order_relaxed);
  if (StageOf(seen) != kStageOpen || PidOf(seen) != getpid()) return;
  // Release: what this end did is visible to who sees it closed. A failure means that somebody else holds it already.
  word.owner.compare_exchange_strong(seen, Owner(getpid(), kStageClosed, TicksOf(seen)), std::memory_order_release,
                                     std::memory_order_relaxed);
}

PeerState PeerWatch::Look(const PeerWord& word) noexcept {
  // Acquire: what the owner did before it closed is visible to us.
  return LookAt(word.owner.load(std::memory_order_acquire));
}

PeerState PeerWatch::LookAt(uint64_t owner) noexcept {
  if (StageOf(owner) == kStageNever) return PeerState::kNever;
  if (StageOf(owner) != kStageOpen) return PeerState::kClosed;
  if (owner != owner_) {
    owner_ = owner;
    dead_ = false;
    // This process needs no descriptor to know that it lives, only to know that it is not a dead owner's successor.
    const bool self = PidOf(owner) == getpid();
    pidfd_ = Fd(self ? -1 : static_cast<int>(syscall(SYS_pidfd_open, PidOf(owner), 0)));
    if (!self && !pidfd_.valid()) {
      // ESRCH: gone and reaped. Anything else (no descriptor left, an old kernel): assume that it lives, and ask again.
      dead_ = errno == ESRCH;
      if (!dead_) owner_ = 0;
    } else {
      // The id may have been given to another process since. An unknown start time on either side proves nothing.
      const uint64_t actual = ProcessStartTicks(PidOf(owner)) & kTicksMask;
      dead_ = TicksOf(owner) != 0 && actual != 0 && TicksOf(owner) != actual;
    }
  }
  if (!dead_ && pidfd_.valid()) {
    // A pidfd becomes readable when its process ends, also while that is still an unreaped zombie.
    pollfd poller = {.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
    dead_ = poll(&poller, 1, 0) == 1;
  }
  return dead_ ? PeerState::kDead : PeerState::kOpen;
}

}  // namespace ipcmark::os
