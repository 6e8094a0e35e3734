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

template <template <typename> class Atomic>
class RingView {
 public:
  RingView() = default;
  // `constants`: what ReadConstants returned for this attachment.
  RingView(std::shared_ptr<const Attachment> attachment, const RingConstants& constants, Wait wait)
      : attachment_(std::move(attachment)),
        slots_(static_cast<std::byte*>(attachment_->address()) + kSlotsOffset),
        slot_bytes_(constants.slot_bytes),
        payloads_(static_cast<std::byte*>(attachment_->address()) + constants.payloads_offset),
        payload_bytes_(constants.payload_bytes),
        depth_(constants.depth_messages),
        max_message_bytes_(constants.max_message_bytes),
        packed_(IsPacked(constants.max_message_bytes)),
        wait_(wait),
        fences_(static_cast<Fences>(constants.fences)) {}

  [[nodiscard]] RingHeader<Atomic>& header() const { return *static_cast<RingHeader<Atomic>*>(attachment_->address()); }
  // `slot` below depth().
  [[nodiscard]] Atomic<uint64_t>& CommitOf(uint64_t slot) const {
    return *reinterpret_cast<Atomic<uint64_t>*>(slots_ + slot * slot_bytes_);
  }
  [[nodiscard]] std::byte* PayloadOf(uint64_t slot) const { return payloads_ + slot * payload_bytes_; }
  [[nodiscard]] bool packed() const { return packed_; }
  [[nodiscard]] bool attached() const { return attachment_ != nullptr; }
  [[nodiscard]] uint32_t depth() const { return depth_; }
  [[nodiscard]] uint32_t max_message_bytes() const { return max_message_bytes_; }
  [[nodiscard]] Wait wait() const { return wait_; }
  [[nodiscard]] Fences fences() const { return fences_; }
  // True where what ends a wait is made visible by a release store: nobody sleeps, or sleepers pay for the fence.
  [[nodiscard]] bool light() const { return wait_ == Wait::kSpin || fences_ == Fences::kAsymmetric; }

 private:
  std::shared_ptr<const Attachment> attachment_;
  std::byte* slots_ = nullptr;
  uint64_t slot_bytes_ = 0;
  std::byte* payloads_ = nullptr;
  uint64_t payload_bytes_ = 0;
  uint32_t depth_ = 0;
  uint32_t max_message_bytes_ = 0;
  bool packed_ = true;
  Wait wait_ = Wait::kBlock;
  Fences fences_ = Fences::kSymmetric;
};

}  // namespace ipcmark::sysv_shm

#endif  // IPCMARK_IPC_SYSV_SHM_RING_VIEW_H_
