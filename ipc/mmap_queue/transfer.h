#ifndef IPCMARK_IPC_MMAP_QUEUE_TRANSFER_H_
#define IPCMARK_IPC_MMAP_QUEUE_TRANSFER_H_

// The calls of a View, for any Limit: taking the locks, sending, receiving. view.h says what they promise.

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>

#include "ipc/channel.h"
#include "ipc/copy.h"
#include "ipc/mmap_queue/lock.h"
#include "ipc/mmap_queue/locks.h"
#include "ipc/mmap_queue/stage.h"
#include "ipc/mmap_queue/touch.h"
#include "ipc/mmap_queue/view.h"
#include "ipc/os/clock.h"
#include "ipc/os/futex.h"

namespace ipcmark::mmap_queue {

template <typename Limit>
int View::AcquireTaken(Side side, Limit& limit, Locks& locks) {
  const pthread_mutex_t* const lock = &LockOf(side, header());
  const int64_t began = os::MonotonicNanos();
  const int64_t due = limit.Slice(kPatienceNanos).monotonic_nanos;
  const int64_t patient_until = due - began < kNearNanos ? began + kPatienceNanos : due;
  for (StuckLock stuck;;) {
    const int64_t end = std::max(limit.Slice(kLookNanos).monotonic_nanos, patient_until);
    const int err = locks.TryUntil(side, header(), std::min(end, os::MonotonicNanos() + kLookNanos));
    if (err != ETIMEDOUT) return err;
    if (stuck.IsDamaged(lock)) return EBADMSG;
    if (os::MonotonicNanos() < patient_until) continue;
    if (limit.IsNonblocking()) {
      // Whether it is damaged shows soon.
      if (!StuckLock::NamesNobody(lock)) return EBUSY;
    } else if (limit.Passed()) {
      return ETIMEDOUT;
    }
  }
}

template <typename Limit>
IoResult View::Lock(Side side, Limit& limit, Locks& locks) {
  if (core_.policy() == Policy::kPosix) [[unlikely]] {
    const int err = LockLiterally(&header().send.lock);
    locks.GotLiterally(err == 0);
    return OfLock(err);
  }
  int err = 0;
  do {
    err = Acquire(side, limit, locks);
    if (err == EOWNERDEAD) [[unlikely]] {
      err = Recover(side, limit, locks);
    }
  } while (err == EAGAIN);
  return OfLock(err);
}

template <typename Limit>
IoResult View::AlsoLockReceive(Limit& limit, Locks& locks) {
  int err = Acquire(Side::kReceive, limit, locks);
  if (err == EOWNERDEAD) {
    err = Repair(false, true, locks);
    if (err == EAGAIN) return LockBoth(limit, locks);
  } else if (err != 0) {
    Unlock(locks);
  }
  return OfLock(err);
}

template <typename Limit>
int View::Recover(Side side, Limit& limit, Locks& locks) {
  const bool in_order = side == Side::kSend;
  // In the wrong order without waiting.
  const int err = in_order ? Acquire(Side::kReceive, limit, locks) : locks.Try(Side::kSend, header());
  if (err == 0 || err == EOWNERDEAD) {
    const bool both_died = err == EOWNERDEAD;
    const int repaired = Repair(in_order || both_died, !in_order || both_died, locks);
    if (repaired == 0) locks.ReleaseLast(header());
    return repaired;
  }
  locks.ReleaseAsOrphan(side, header());
  if (in_order || err != EBUSY) return err;
  const IoResult both = LockBoth(limit, locks);
  if (!both.ok()) return ErrOf(both);
  Unlock(locks);
  return EAGAIN;
}

inline void View::Finish(uint32_t slot, Locks& locks) noexcept {
  const uint32_t woken = Wake(header().not_empty, core_.policy());
  Notice& notice = header().notice;
  if (woken != 0) [[unlikely]] {
    CountInTransit(notice, woken);
    NoteWoken(Side::kSend);
  }
  // Somebody is registered only when we have both locks.
  if (notice.kind.load(std::memory_order_relaxed) != kNoNotice && fd_ >= 0 && IsToBeAnnounced(core_)) [[unlikely]] {
    FinishAnnounced(slot, locks);
    return;
  }
  core_.Commit(slot);
  if (notice.unannounced != 0 && fd_ >= 0 && IsOverdue(notice)) [[unlikely]] {
    // We were stopped for so long that whom we have woken may have given up.
    AnnounceOverdue(locks);
  } else {
    Unlock(locks);
  }
}

template <typename Limit>
IoResult View::Send(std::span<const std::byte> message, uint32_t priority, Limit& limit) {
  if (message.size() > core_.max_message_bytes()) return IoResult::Of(Outcome::kTooBig, EMSGSIZE);
  if (priority >= kPriorityLevels) return IoResult::Of(Outcome::kError, EINVAL);
  bool may_stage = message.size() >= kStagedBytes;
  for (Waiting waiting;;) {
    StageHold stage(core_);
    // A copy for nothing, when it is full.
    if (may_stage && core_.MayHaveRoom()) stage.TryTake(Side::kSend);
    const uint32_t copied_to = stage.slot();
    if (copied_to != kNoSlot) CopyAcross(core_.SlotMemory(copied_to), message.data(), message.size());
    Locks locks;
    // The lock's line alone takes as long as all of these together.
    core_.PrefetchSend();
    IoResult result = waiting.needs_both ? LockBoth(limit, locks) : Lock(Side::kSend, limit, locks);
    if (result.ok() && !locks.has_receive() && NeedsBoth()) [[unlikely]] {
      result = AlsoLockReceive(limit, locks);
    }
    if (!result.ok()) return result;
    stage.Settle();
    bool damaged = false;
    if (locks.has_receive() && core_.IsInboxFull()) [[unlikely]] {
      core_.Drain(&damaged);
      damaged = damaged || core_.IsInboxFull();
    }
    uint32_t slot = kNoSlot;
    if (!damaged) {
      slot = copied_to == kNoSlot ? core_.Prepare(message, priority, &damaged)
                                  : core_.PrepareStaged(stage.stage(), copied_to, static_cast<uint32_t>(message.size()),
                                                        priority, &damaged);
    }
    if (slot != kNoSlot) {
      Finish(slot, locks);
      return IoResult::Ok(message.size());
    }
    may_stage = !stage.held() && message.size() >= kStagedBytes;
    if (stage.held()) {
      // Nobody waits with a stage in its hands.
      Unlock(locks);
      continue;
    }
    result = Await(Side::kSend, damaged, waiting, limit, locks);
    if (!result.ok()) return result;
  }
}

template <typename Limit>
IoResult View::Receive(std::span<std::byte> buffer, uint32_t* priority, Limit& limit) {
  bool may_stage = true;
  // Of the buffer: how much is known to be there, and how much has to be. Not all of it at once: it may be a thousand
  // times as large as its messages. Whoever finds a larger one gives the lock back first.
  size_t touched = Limit::touches() ? 0 : SIZE_MAX;
  size_t reach = Limit::touches() ? core_.LikelyBytes() : 0;
  for (Waiting waiting;;) {
    if (touched < reach) {
      TouchForWriting(buffer.first(reach).subspan(touched));
      touched = reach;
    }
    if (core_.HasEndedRun() && core_.policy() == Policy::kRobust) [[unlikely]] {
      KeepDistance();
    }
    StageHold stage(core_);
    if (may_stage && core_.IsStaged() && core_.MayHoldMessages()) stage.TryTake(Side::kReceive);
    Locks locks;
    IoResult result = waiting.needs_both ? LockBoth(limit, locks) : Lock(Side::kReceive, limit, locks);
    if (result.outcome == Outcome::kDeadline && waiting.last == os::FutexWait::kWoken) {
      // The message that woke us was announced to nobody, and came in time: it must not be left lying.
      TransitLimit transit;
      result = waiting.needs_both ? LockBoth(transit, locks) : Lock(Side::kReceive, transit, locks);
    }
    if (!result.ok()) return result;
    stage.Settle();
    Notice& notice = header().notice;
    bool damaged = false;
    const uint32_t slot = core_.Highest(&damaged);
    const std::span<const std::byte> payload = slot != kNoSlot ? core_.Payload(slot) : std::span<const std::byte>();
    if (payload.size() > touched && touched < buffer.size()) [[unlikely]] {
      Unlock(locks);
      reach = std::min(payload.size(), buffer.size());
      continue;
    }
    if (waiting.last == os::FutexWait::kWoken && (slot != kNoSlot || locks.has_both())) {
      CountArrived(notice);
      waiting.last = os::FutexWait::kChanged;
    }
    if (slot != kNoSlot) {
      if (payload.size() > buffer.size()) {
        Unlock(locks);
        return IoResult::Of(Outcome::kTooBig, EMSGSIZE, payload.size());
      }
      const bool is_staged = stage.slot() != kNoSlot && payload.size() >= kStagedBytes;
      if (!is_staged && !payload.empty()) memcpy(buffer.data(), payload.data(), payload.size());
      const uint32_t its_priority = core_.SlotAt(slot).priority;
      if (Wake(header().not_full, core_.policy()) != 0) NoteWoken(Side::kReceive);
      if (is_staged) {
        core_.TakeStaged(slot, stage.stage());
      } else {
        core_.Take(slot);
      }
      // Written only where it changes: a line that nobody writes to stays in every user's cache.
      if (notice.unannounced != 0 && core_.count() == 0) notice.unannounced = 0;
      Unlock(locks);
      if (is_staged) {
        memcpy(buffer.data(), payload.data(), payload.size());
        HandBack(core_.SlotMemory(slot), payload.size());
      }
      if (priority != nullptr) *priority = its_priority;
      return IoResult::Ok(payload.size());
    }
    may_stage = !stage.held();
    if (stage.held()) {
      // Nobody waits with a stage in its hands.
      Unlock(locks);
      continue;
    }
    result = Await(Side::kReceive, damaged, waiting, limit, locks);
    if (!result.ok()) return result;
  }
}

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_TRANSFER_H_
