#include "ipc/mmap_queue/view.h"

#include "ipc/lead.h"
#include "ipc/mmap_queue/notice.h"
#include "ipc/mmap_queue/stage.h"
#include "ipc/os/cpu.h"

namespace ipcmark::mmap_queue {
namespace {

// In pauses of 25 ns: until a process that sleeps runs, on a CPU that sleeps too; and until one that runs does its next
// call.
constexpr int kComingPauses = 1600;
constexpr int kStreamingPauses = 32;
static_assert(kComingPauses + kStreamingPauses <= kMostPauses);
static_assert(kComingPauses % kPausesPerLook == 0 && kStreamingPauses % kPausesPerLook == 0);
constexpr int kNothingCame = -1;  // of PollFor

}  // namespace

uint32_t WakeWaiters(Condition& condition, Policy policy, uint32_t awaited) noexcept {
  condition.sequence.fetch_add(1, std::memory_order_relaxed);
  uint32_t woken = awaited;
  if (policy == Policy::kRobust) {
    woken = static_cast<uint32_t>(os::WakeAllOnFutex(condition.sequence));
  } else {
    pthread_cond_broadcast(&condition.literal);
  }
  // Last: dying before this line costs the next sender a needless wake-up, dying after an early clear would cost a
  // waiter its wake-up.
  condition.awaited.store(0, std::memory_order_relaxed);
  return woken;
}

bool View::IsTruncated() const noexcept {
  const int err = fd_ < 0 ? EBADF : CheckQueueFile(fd_, id_);
  // The number may stand for something else by now.
  if (err != EBADF) return err == EBADMSG;
  return !IsThere(reinterpret_cast<const std::byte*>(&header()) + (id_.bytes - 1));
}

int View::Repair(bool sender_died, bool receiver_died, Locks& locks) noexcept {
  core_.Rebuild();
  ++header().recoveries;
  const SignalsBlocked until_unlocked(header().notice.announcing != 0);
  FinishAnnouncement(*this);
  int err = 0;
  if (sender_died) err = Hold::MadeConsistent(&header().send.lock);
  if (receiver_died && err == 0) err = Hold::MadeConsistent(&header().receive.lock);
  if (err != 0 || until_unlocked.blocked()) {
    Unlock(locks);
    if (err == 0) err = EAGAIN;
  }
  return err;
}

void View::FinishAnnounced(uint32_t slot, Locks& locks) noexcept {
  // The signal may be for this very process: its handler must find the locks free.
  const SignalsBlocked until_unlocked(true);
  const bool used_up = BeginAnnouncement(*this);
  core_.Commit(slot);
  EndAnnouncement(*this, used_up);
  Unlock(locks);
}

void View::AnnounceOverdue(Locks& locks) noexcept {
  const SignalsBlocked until_unlocked(true);
  EndAnnouncement(*this, BeginAnnouncement(*this));
  Unlock(locks);
}

void View::LetReceiversGetAhead(int most_pauses) noexcept {
  AwaitMoreRoom(
      core_.depth(), [&]() noexcept { return core_.count(); }, most_pauses);
}

bool View::ComesAhead(uint64_t ahead, int rounds) const noexcept {
  bool has_come = core_.HasComeAhead(ahead);
  for (; rounds > 0 && !has_come; rounds -= kPausesPerLook) {
    Pause(kPausesPerLook);
    has_come = core_.HasComeAhead(ahead);
  }
  return has_come;
}

void View::LetSendersGetAhead() noexcept {
  PaceOf(Side::kReceive).lead.BeforeWait(core_.depth(), [this](uint64_t ahead, int rounds) noexcept {
    return ComesAhead(ahead, rounds);
  });
}

void View::KeepDistance() noexcept {
  if (!core_.HasComeAhead(0)) return;
  PaceOf(Side::kReceive).distance.BeforeMore(core_.depth(), [this](uint64_t ahead, int rounds) noexcept {
    return ComesAhead(ahead, rounds);
  });
}

int View::PollFor(Side side, int pauses) noexcept {
  for (;; pauses -= kPausesPerLook) {
    if (side == Side::kSend ? core_.MayHaveRoom() : core_.MayHoldMessages()) return pauses;
    if (pauses <= 0) return kNothingCame;
    Pause(kPausesPerLook);
  }
}

void View::PollForOtherSide(Side side) noexcept {
  Pace& pace = PaceOf(side);
  const std::atomic_ref has_woken(pace.has_woken);
  int pauses = kMostPauses;
  if (has_woken.load(std::memory_order_relaxed) != 0) {
    has_woken.store(0, std::memory_order_relaxed);
    if (pace.coming.IsDue()) {
      const int left = PollFor(side, kComingPauses);
      pace.coming.Ended(left != kNothingCame);
      if (left == kNothingCame) return;
      pauses -= kComingPauses - left;
    }
  }
  if (side == Side::kSend) {
    LetReceiversGetAhead(pauses);
  } else if (pace.streaming.IsDue()) {
    const bool is_streaming = PollFor(side, kStreamingPauses) != kNothingCame;
    pace.streaming.Ended(is_streaming);
    if (is_streaming) LetSendersGetAhead();
  }
}

void View::Spin(Side side, bool anyway) noexcept {
  for (int round = 0; round < kMostPauses; ++round) {
    // The lock too: who finds it taken pauses for longer than it will be held.
    const bool is_due = side == Side::kSend ? core_.MayHaveRoom() : core_.MayHoldMessages();
    if (is_due && !Hold::IsTaken(&LockOf(side, header()))) {
      if (side == Side::kReceive) {
        if (anyway) LetSendersGetAhead();
        core_.PrefetchReceive();
      } else if (anyway) {
        LetReceiversGetAhead(kMostPauses - round);
      }
      return;
    }
    if (!anyway && !StageHold::IsAnyHeld(core_)) return;
    os::SpinHint();
  }
}

}  // namespace ipcmark::mmap_queue
