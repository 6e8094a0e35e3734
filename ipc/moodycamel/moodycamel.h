#ifndef IPCMARK_IPC_MOODYCAMEL_MOODYCAMEL_H_
#define IPCMARK_IPC_MOODYCAMEL_MOODYCAMEL_H_

// A baseline: moodycamel's ReaderWriterQueue (Debian's libreaderwriterqueue-dev) in shared memory, one sender and one
// receiver, spinning. Messages are elements of a fixed size (64, 512 or 8,192 bytes and a length), copied in once and
// out once. It promises what the library does and nothing more: no blocking, no notice of a dead peer.
//
// Source: https://github.com/cameron314/readerwriterqueue, version 1.0.6.

#include <sched.h>

#include <cstring>
#include <memory>

#include "ipc/channel.h"
#include "ipc/copy.h"
#include "ipc/moodycamel/shared_library.h"
#include "ipc/os/clock.h"
#include "ipc/os/cpu.h"
#include "ipc/os/mapping.h"

namespace ipcmark::moodycamel {

template <uint32_t kBytes>
struct Element {
  explicit Element(std::span<const std::byte> message) noexcept : bytes(static_cast<uint32_t>(message.size())) {
    CopyFresh(payload, message.data(), message.size());
  }

  uint32_t bytes;
  std::byte payload[kBytes];
};

// Of one element size.
template <uint32_t kBytes>
using Queue = ::moodycamel::ReaderWriterQueue<Element<kBytes>>;

inline constexpr uint32_t kSmallBytes = 64;
inline constexpr uint32_t kMediumBytes = 512;
inline constexpr uint32_t kLargeBytes = 8192;

// Calls `body` with the queue in `mapping` as the type that carries messages of max_message_bytes.
template <typename Body>
auto WithQueue(void* mapping, uint32_t max_message_bytes, const Body& body) noexcept {
  if (max_message_bytes <= kSmallBytes) return body(*static_cast<Queue<kSmallBytes>*>(mapping));
  if (max_message_bytes <= kMediumBytes) return body(*static_cast<Queue<kMediumBytes>*>(mapping));
  return body(*static_cast<Queue<kLargeBytes>*>(mapping));
}

// Polls `attempt` until it succeeds; looks at the clock, and lets others run, every thousand rounds.
template <typename Attempt>
Outcome SpinUntil(Deadline deadline, const Attempt& attempt) noexcept {
  for (;;) {
    for (int round = 0; round < 1024; ++round) {
      if (attempt()) return Outcome::kOk;
      if (deadline.immediate()) return Outcome::kWouldBlock;
      os::SpinHint();
    }
    if (os::HasPassed(deadline)) return Outcome::kDeadline;
    sched_yield();
  }
}

class Sender {
 public:
  Sender(std::shared_ptr<const os::Mapping> mapping, uint32_t max_message_bytes)
      : mapping_(std::move(mapping)), max_message_bytes_(max_message_bytes) {}

  IoResult Send(std::span<const std::byte> message, Deadline deadline) noexcept {
    if (message.size() > max_message_bytes_) return IoResult::Of(Outcome::kTooBig, EMSGSIZE);
    return WithQueue(mapping_->address(), max_message_bytes_,
                     [&]<uint32_t kBytes>(::moodycamel::ReaderWriterQueue<Element<kBytes>>& queue) {
                       // Made in its place: one copy in, as of the rings that it is compared with.
                       const Outcome outcome = SpinUntil(deadline, [&] { return queue.try_emplace(message); });
                       return outcome == Outcome::kOk ? IoResult::Ok(message.size()) : IoResult::Of(outcome);
                     });
  }

 private:
  std::shared_ptr<const os::Mapping> mapping_;
  uint32_t max_message_bytes_;
};

class Receiver {
 public:
  Receiver(std::shared_ptr<const os::Mapping> mapping, uint32_t max_message_bytes)
      : mapping_(std::move(mapping)), max_message_bytes_(max_message_bytes) {}

  IoResult Receive(std::span<std::byte> buffer, Deadline deadline) noexcept {
    return WithQueue(mapping_->address(), max_message_bytes_,
                     [&]<uint32_t kBytes>(::moodycamel::ReaderWriterQueue<Element<kBytes>>& queue) {
                       const Element<kBytes>* element = nullptr;
                       const Outcome outcome = SpinUntil(deadline, [&] { return (element = queue.peek()) != nullptr; });
                       if (outcome != Outcome::kOk) return IoResult::Of(outcome);
                       const uint32_t bytes = element->bytes;
                       if (bytes > buffer.size()) return IoResult::Of(Outcome::kTooBig, EMSGSIZE, bytes);
                       if (bytes != 0) memcpy(buffer.data(), element->payload, bytes);
                       queue.pop();
                       return IoResult::Ok(bytes);
                     });
  }

 private:
  std::shared_ptr<const os::Mapping> mapping_;
  uint32_t max_message_bytes_;
};

class Channel {
 public:
  static constexpr Capabilities kCapabilities = {
      .max_senders = 1,
      .max_receivers = 1,
      .max_message_bytes = kLargeBytes,
      .keeps_boundaries = true,
      .has_priorities = false,
      .survives_sigkill = false,
      .reports_peer_death = false,
      .waits = {Wait::kSpin},
  };

  static absl::StatusOr<Channel> Create(const Geometry& geometry);

  [[nodiscard]] const Geometry& geometry() const { return geometry_; }
  // The library rounds up: one slot of each block stays empty, and a block's size is a power of two.
  [[nodiscard]] uint64_t DepthLimit(uint32_t) const { return depth_limit_; }
  absl::StatusOr<Sender> OpenSender();
  absl::StatusOr<Receiver> OpenReceiver();
  void ReleaseEnds() noexcept { mapping_.reset(); }

 private:
  Channel(Geometry geometry, std::shared_ptr<const os::Mapping> mapping, uint64_t depth_limit)
      : geometry_(geometry), mapping_(std::move(mapping)), depth_limit_(depth_limit) {}

  Geometry geometry_;
  std::shared_ptr<const os::Mapping> mapping_;  // until ReleaseEnds
  uint64_t depth_limit_;
};

static_assert(Primitive<Channel>);

}  // namespace ipcmark::moodycamel

#endif  // IPCMARK_IPC_MOODYCAMEL_MOODYCAMEL_H_
