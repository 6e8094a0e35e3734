#ifndef IPCMARK_IPC_SYSV_SHM_RING_VIEW_H_
#define IPCMARK_IPC_SYSV_SHM_RING_VIEW_H_

// What one end knows of the ring: the constants, copied out of the shared header once and checked, and addresses made
// from nothing else.

#include <memory>
#include <utility>

#include "ipc/channel.h"
#include "ipc/sysv_shm/ring_layout.h"
#include "ipc/sysv_shm/segment.h"

namespace ipcmark::sysv_shm {

// Where a message lies.
template <template <typename> class Atomic>
struct RingSlot {
  Atomic<uint64_t>* commit = nullptr;
  std::byte* payload = nullptr;
};

template <template <typename> class Atomic>
class RingView {
 public:
  RingView() = default;
  // `constants`: what ReadConstants returned for this attachment.
  RingView(std::shared_ptr<const Attachment> attachment, const RingConstants& constants, Wait wait)
      : attachment_(std::move(attachment)),
        header_(static_cast<RingHeader<Atomic>*>(attachment_->address())),
        slots_(static_cast<std::byte*>(attachment_->address()) + kSlotsOffset),
        slots_end_(slots_ + constants.depth_messages * constants.slot_bytes),
        slot_bytes_(constants.slot_bytes),
        payloads_(static_cast<std::byte*>(attachment_->address()) + constants.payloads_offset),
        payload_bytes_(constants.payload_bytes),
        depth_(constants.depth_messages),
        max_message_bytes_(constants.max_message_bytes),
        packed_(IsPacked(constants.max_message_bytes)),
        wait_(wait),
        fences_(static_cast<Fences>(constants.fences)),
        light_(wait == Wait::kSpin || fences_ == Fences::kAsymmetric) {}

  [[nodiscard]] RingHeader<Atomic>& header() const { return *header_; }
  [[nodiscard]] RingSlot<Atomic> SlotOf(uint64_t message) const {
    const uint64_t slot = message % depth_;
    return {reinterpret_cast<Atomic<uint64_t>*>(slots_ + slot * slot_bytes_), payloads_ + slot * payload_bytes_};
  }
  // That of the next message: without the division and the products.
  void Step(RingSlot<Atomic>& slot) const {
    std::byte* const next = reinterpret_cast<std::byte*>(slot.commit) + slot_bytes_;
    const bool is_first = next == slots_end_;
    slot.commit = reinterpret_cast<Atomic<uint64_t>*>(is_first ? slots_ : next);
    slot.payload = is_first ? payloads_ : slot.payload + payload_bytes_;
  }
  [[nodiscard]] bool packed() const { return packed_; }
  [[nodiscard]] bool attached() const { return attachment_ != nullptr; }
  [[nodiscard]] uint32_t depth() const { return depth_; }
  [[nodiscard]] uint32_t max_message_bytes() const { return max_message_bytes_; }
  [[nodiscard]] Wait wait() const { return wait_; }
  [[nodiscard]] Fences fences() const { return fences_; }
  // True where what ends a wait is made visible by a release store: nobody sleeps, or sleepers pay for the fence.
  [[nodiscard]] bool light() const { return light_; }

 private:
  std::shared_ptr<const Attachment> attachment_;
  RingHeader<Atomic>* header_ = nullptr;
  std::byte* slots_ = nullptr;
  std::byte* slots_end_ = nullptr;
  uint64_t slot_bytes_ = 0;
  std::byte* payloads_ = nullptr;
  uint64_t payload_bytes_ = 0;
  uint32_t depth_ = 0;
  uint32_t max_message_bytes_ = 0;
  bool packed_ = true;
  Wait wait_ = Wait::kBlock;
  Fences fences_ = Fences::kSymmetric;
  bool light_ = false;
};

}  // namespace ipcmark::sysv_shm

#endif  // IPCMARK_IPC_SYSV_SHM_RING_VIEW_H_
