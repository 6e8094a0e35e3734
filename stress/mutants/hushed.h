#ifndef IPCMARK_STRESS_MUTANTS_HUSHED_H_
#define IPCMARK_STRESS_MUTANTS_HUSHED_H_

// mmap_queue's queues with the wake-ups left out: a sender never sees that somebody sleeps, so a receiver that sleeps
// finds its message when it looks up by itself (the net under lost wake-ups), and nobody hangs. Only for stress' tests.

#include <unistd.h>

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "ipc/channel.h"
#include "ipc/mmap_queue/queue_layout.h"
#include "stress/shared_memory.h"

namespace ipcmark::stress {

template <Primitive P>
class Hushed {
 public:
  using Receiver = ReceiverOf<P>;
  class Sender {
   public:
    Sender(SenderOf<P> end, mmap_queue::QueueHeader* header) : end_(std::move(end)), header_(header) {}
    IoResult Send(std::span<const std::byte> message, Deadline deadline) noexcept { return Send(message, 0, deadline); }
    IoResult Send(std::span<const std::byte> message, uint32_t priority, Deadline deadline) noexcept {
      header_->not_empty.awaited.store(0);
      return end_.Send(message, priority, deadline);
    }

   private:
    SenderOf<P> end_;
    mmap_queue::QueueHeader* header_;
  };

  static constexpr Capabilities kCapabilities = P::kCapabilities;

  static absl::StatusOr<Hushed> Create(const Geometry& geometry) {
    const std::vector<SharedRange> before = SharedRanges(getpid());
    absl::StatusOr<P> object = P::Create(geometry);
    if (!object.ok()) return object.status();
    const std::vector<SharedRange> its = RangesOf(getpid(), NewObjects(before, SharedRanges(getpid())));
    if (its.empty()) return absl::InternalError("a queue without memory");
    // NOLINTNEXTLINE(performance-no-int-to-ptr): /proc knows addresses as numbers.
    return Hushed(*std::move(object), reinterpret_cast<mmap_queue::QueueHeader*>(its[0].address));
  }
  [[nodiscard]] const Geometry& geometry() const { return object_.geometry(); }
  [[nodiscard]] uint64_t DepthLimit(uint32_t message_bytes) const { return object_.DepthLimit(message_bytes); }
  absl::StatusOr<Sender> OpenSender() {
    absl::StatusOr<SenderOf<P>> end = object_.OpenSender();
    if (!end.ok()) return end.status();
    return Sender(*std::move(end), header_);
  }
  absl::StatusOr<Receiver> OpenReceiver() { return object_.OpenReceiver(); }
  void ReleaseEnds() noexcept { object_.ReleaseEnds(); }

 private:
  Hushed(P object, mmap_queue::QueueHeader* header) : object_(std::move(object)), header_(header) {}

  P object_;
  mmap_queue::QueueHeader* header_;
};

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_MUTANTS_HUSHED_H_
