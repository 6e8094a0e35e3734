#ifndef IPCMARK_IPC_MMAP_QUEUE_STAGE_H_
#define IPCMARK_IPC_MMAP_QUEUE_STAGE_H_

// One thread's hold of a stage (queue_layout.h), where it copies a large message without the queue's lock. Nobody waits
// for a stage, and nobody may wait while it holds one: it is taken before the queue's locks and given back after them.

#include <cstdint>

#include "ipc/mmap_queue/core.h"
#include "ipc/mmap_queue/lock.h"

namespace ipcmark::mmap_queue {

class StageHold {
 public:
  explicit StageHold(const Core& core) : core_(core) {}
  StageHold(const StageHold&) = delete;
  StageHold& operator=(const StageHold&) = delete;
  ~StageHold() {
    if (held()) [[unlikely]]
      GiveBack();
  }

  // Whether somebody copies right now. A hint.
  static bool IsAnyHeld(const Core& core) noexcept;

  // Takes a stage of this side's, if one is free.
  void TryTake(Side side) noexcept;
  // Called by who holds a stage, as soon as it has its side's lock. If the last holder of the stage died, in the
  // middle of a swap perhaps, the queue has been repaired by now.
  void Settle() noexcept {
    if (is_inherited_) [[unlikely]]
      SettleInherited();
  }

  [[nodiscard]] bool held() const { return stage_ != kNone; }
  [[nodiscard]] uint32_t stage() const { return stage_; }
  // The slot to copy into or to give in exchange; kNoSlot when there is none, or none yet (Settle).
  [[nodiscard]] uint32_t slot() const { return slot_; }

 private:
  void GiveBack() noexcept;
  void SettleInherited() noexcept;

  static constexpr uint32_t kNone = UINT32_MAX;

  const Core& core_;
  Hold hold_;
  uint32_t stage_ = kNone;
  uint32_t slot_ = kNoSlot;
  bool is_inherited_ = false;  // from a dead one, and not settled yet
};

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_STAGE_H_
