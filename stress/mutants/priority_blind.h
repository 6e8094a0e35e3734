#ifndef IPCMARK_STRESS_MUTANTS_PRIORITY_BLIND_H_
#define IPCMARK_STRESS_MUTANTS_PRIORITY_BLIND_H_

// A priority queue that is none: first in, first out, though every message arrives with the priority that it was sent
// with. Only for stress' tests.

#include <span>
#include <utility>

#include "ipc/channel.h"
#include "stress/message.h"

namespace ipcmark::stress {

template <Primitive P>
class PriorityBlind {
 public:
  class Sender {
   public:
    explicit Sender(SenderOf<P> end) : end_(std::move(end)) {}
    IoResult Send(std::span<const std::byte> message, Deadline deadline) noexcept {
      return end_.Send(message, 0, deadline);
    }
    IoResult Send(std::span<const std::byte> message, uint32_t, Deadline deadline) noexcept {
      return end_.Send(message, 0, deadline);
    }

   private:
    SenderOf<P> end_;
  };
  class Receiver {
   public:
    explicit Receiver(ReceiverOf<P> end) : end_(std::move(end)) {}
    IoResult Receive(std::span<std::byte> buffer, Deadline deadline) noexcept { return end_.Receive(buffer, deadline); }
    IoResult Receive(std::span<std::byte> buffer, uint32_t* priority, Deadline deadline) noexcept {
      const IoResult result = end_.Receive(buffer, deadline);
      MessageHeader header;
      if (result.ok()) ReadMessage(buffer.first(result.bytes), 0, &header);
      *priority = result.ok() ? header.priority : 0;
      return result;
    }

   private:
    ReceiverOf<P> end_;
  };

  static constexpr Capabilities kCapabilities = P::kCapabilities;
  static absl::StatusOr<PriorityBlind> Create(const Geometry& geometry) {
    absl::StatusOr<P> object = P::Create(geometry);
    if (!object.ok()) return object.status();
    return PriorityBlind(*std::move(object));
  }
  [[nodiscard]] const Geometry& geometry() const { return object_.geometry(); }
  [[nodiscard]] uint64_t DepthLimit(uint32_t bytes) const { return object_.DepthLimit(bytes); }
  absl::StatusOr<Sender> OpenSender() {
    absl::StatusOr<SenderOf<P>> end = object_.OpenSender();
    if (!end.ok()) return end.status();
    return Sender(*std::move(end));
  }
  absl::StatusOr<Receiver> OpenReceiver() {
    absl::StatusOr<ReceiverOf<P>> end = object_.OpenReceiver();
    if (!end.ok()) return end.status();
    return Receiver(*std::move(end));
  }
  void ReleaseEnds() noexcept { object_.ReleaseEnds(); }

 private:
  explicit PriorityBlind(P object) : object_(std::move(object)) {}
  P object_;
};

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_MUTANTS_PRIORITY_BLIND_H_
