#ifndef IPCMARK_IPC_SHM_BROADCAST_RING_VIEW_H_
#define IPCMARK_IPC_SHM_BROADCAST_RING_VIEW_H_

// What one end knows of the ring: the constants, copied out of the shared header once and checked, and addresses made
// from nothing else. And the copies into and out of a slot that may be overwritten meanwhile.

#include <cstring>
#include <memory>
#include <span>
#include <utility>

#include "ipc/channel.h"
#include "ipc/shm_broadcast/ring_layout.h"
#include "ipc/sysv_shm/segment.h"

namespace ipcmark::shm_broadcast {

template <template <typename> class Atomic>
class RingView {
 public:
  // `constants`: for which IsValidRing(constants, attachment->bytes()) is true.
  RingView(std::shared_ptr<const sysv_shm::Attachment> attachment, const Constants& constants, Wait wait)
      : attachment_(std::move(attachment)), constants_(constants), wait_(wait) {}

  [[nodiscard]] bool attached() const { return attachment_ != nullptr; }
  [[nodiscard]] Header<Atomic>& header() const { return *At<Header<Atomic>>(0); }
  // `index` below receivers(), `slot` below depth().
  [[nodiscard]] ReceiverEntry<Atomic>& EntryOf(uint32_t index) const {
    return *At<ReceiverEntry<Atomic>>(kReceiversOffset + index * sizeof(ReceiverEntry<Atomic>));
  }
  [[nodiscard]] SlotHeader<Atomic>& SlotOf(uint64_t slot) const { return *At<SlotHeader<Atomic>>(OffsetOf(slot)); }
  [[nodiscard]] std::byte* PayloadOf(uint64_t slot) const {
    return At<std::byte>(OffsetOf(slot) + constants_.payload_offset);
  }
  [[nodiscard]] Atomic<uint64_t>* WordsOf(uint64_t slot) const {
    return At<Atomic<uint64_t>>(OffsetOf(slot) + constants_.payload_offset);
  }

  [[nodiscard]] uint32_t depth() const { return constants_.depth_messages; }
  [[nodiscard]] uint32_t max_message_bytes() const { return constants_.max_message_bytes; }
  [[nodiscard]] uint32_t receivers() const { return constants_.receivers; }
  [[nodiscard]] bool overwrites() const {
    return constants_.slow_receiver == static_cast<uint32_t>(SlowReceiver::kMissesMessages);
  }
  [[nodiscard]] Wait wait() const { return wait_; }

 private:
  template <typename T>
  [[nodiscard]] T* At(uint64_t offset) const {
    return reinterpret_cast<T*>(static_cast<std::byte*>(attachment_->address()) + offset);
  }
  [[nodiscard]] uint64_t OffsetOf(uint64_t slot) const {
    return constants_.slots_offset + slot * constants_.slot_bytes;
  }

  std::shared_ptr<const sysv_shm::Attachment> attachment_;
  Constants constants_;
  Wait wait_;
};

// A sequence lock whose data may be read while it is written. The usual one needs fences around relaxed copies, and
// ThreadSanitizer knows no fences; a copy of releases and acquires needs none, and on x86 it is the same plain moves.
//
// Release, each word: whoever reads it sees the Writing mark before it, so that a look at the sequence word after the
// copy tells that the copy is mixed. A relaxed store could become visible before the mark.
template <template <typename> class Atomic>
void CopyIntoWords(Atomic<uint64_t>* words, std::span<const std::byte> from) noexcept {
  const std::byte* at = from.data();
  uint64_t word = 0;
  for (size_t left = from.size(); left != 0;) {
    const size_t bytes = left < sizeof(word) ? left : sizeof(word);
    if (bytes < sizeof(word)) word = 0;
    memcpy(&word, at, bytes);
    (words++)->store(word, std::memory_order_release);
    at += bytes;
    left -= bytes;
  }
}

// Acquire, each word: pairs with the release above, and keeps the look at the sequence word behind the copy. A relaxed
// load could be done after that look.
template <template <typename> class Atomic>
void CopyOutOfWords(const Atomic<uint64_t>* words, std::span<std::byte> to) noexcept {
  std::byte* at = to.data();
  for (size_t left = to.size(); left != 0;) {
    const uint64_t word = (words++)->load(std::memory_order_acquire);
    const size_t bytes = left < sizeof(word) ? left : sizeof(word);
    memcpy(at, &word, bytes);
    at += bytes;
    left -= bytes;
  }
}

}  // namespace ipcmark::shm_broadcast

#endif  // IPCMARK_IPC_SHM_BROADCAST_RING_VIEW_H_
