#include "ipc/mmap_queue/stage.h"

#include <cerrno>

namespace ipcmark::mmap_queue {

void StageHold::GiveBack() noexcept {
  if (is_inherited_) {
    // The next one must know that it has to be settled yet.
    hold_.ReleaseAsOrphan(core_.StageLock(stage_));
  } else {
    hold_.Release(core_.StageLock(stage_));
  }
}

void StageHold::TryTake(Side side) noexcept {
  const uint32_t half = core_.stage_count() / 2;
  for (uint32_t i = 0; i < half; ++i) {
    const uint32_t stage = side == Side::kSend ? i : half + i;
    pthread_mutex_t* const lock = core_.StageLock(stage);
    // Only a look: a try would take the line away from its holder. A dead holder's does not look free.
    if (Hold::IsHeld(lock)) continue;
    const int err = hold_.Try(lock);
    if (err != 0 && err != EOWNERDEAD) continue;
    stage_ = stage;
    is_inherited_ = err == EOWNERDEAD;
    if (!is_inherited_) slot_ = core_.StageSlot(stage);
    return;
  }
}

bool StageHold::IsAnyHeld(const Core& core) noexcept {
  for (uint32_t stage = 0; stage < core.stage_count(); ++stage) {
    if (Hold::IsHeld(core.StageLock(stage))) return true;
  }
  return false;
}

void StageHold::SettleInherited() noexcept {
  // A damaged one stays an orphan.
  if (Hold::MadeConsistent(core_.StageLock(stage_)) != 0) return;
  is_inherited_ = false;
  slot_ = core_.StageSlot(stage_);
}

}  // namespace ipcmark::mmap_queue
