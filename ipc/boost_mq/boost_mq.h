#ifndef IPCMARK_IPC_BOOST_MQ_BOOST_MQ_H_
#define IPCMARK_IPC_BOOST_MQ_BOOST_MQ_H_

// A baseline: Boost.Interprocess message_queue, version 1.74 (Debian's libboost-dev), unchanged. On Linux it is the
// textbook: a process-shared pthread mutex, not robust, and two process-shared pthread condition variables in shared
// memory, one signal for each message while somebody is blocked. It does not spin. Messages are copied in once and out
// once; the index of messages is sorted by priority, so a send moves up to a half of it.
//
// It promises what the library does and nothing more: a user that is killed inside a call may leave the mutex locked
// for ever; pthread_cond_wait hides EINTR; a receive buffer must have room for the largest message of the geometry.
//
// The library knows named shared memory only, so Create makes a name in /dev/shm and removes it at once: one that is
// killed between the two leaves a file. The ends of forked processes share the mapping.
// Source: boost/interprocess/ipc/message_queue.hpp, sync/posix/condition.hpp.

#include <memory>

#include "absl/status/statusor.h"
#include "ipc/channel.h"

namespace ipcmark::boost_mq {

// boost::interprocess::message_queue, behind a wall: its headers take seconds to compile.
class Queue;

class Sender {
 public:
  explicit Sender(std::shared_ptr<Queue> queue) : queue_(std::move(queue)) {}
  IoResult Send(std::span<const std::byte> message, Deadline deadline) noexcept { return Send(message, 0, deadline); }
  IoResult Send(std::span<const std::byte> message, uint32_t priority, Deadline deadline) noexcept;

 private:
  std::shared_ptr<Queue> queue_;
};

class Receiver {
 public:
  explicit Receiver(std::shared_ptr<Queue> queue) : queue_(std::move(queue)) {}
  IoResult Receive(std::span<std::byte> buffer, Deadline deadline) noexcept {
    return Receive(buffer, nullptr, deadline);
  }
  // `priority` may be null.
  IoResult Receive(std::span<std::byte> buffer, uint32_t* priority, Deadline deadline) noexcept;

 private:
  std::shared_ptr<Queue> queue_;
};

class Channel {
 public:
  static constexpr Capabilities kCapabilities = {
      .max_senders = kUnlimited,
      .max_receivers = kUnlimited,
      .max_message_bytes = uint64_t{1} << 30,
      .keeps_boundaries = true,
      .has_priorities = true,
      .survives_sigkill = false,
      .reports_peer_death = false,
      .waits = {Wait::kBlock},
      .shows_signals = false,
      .locks = true,
  };

  static absl::StatusOr<Channel> Create(const Geometry& geometry);

  [[nodiscard]] const Geometry& geometry() const { return geometry_; }
  [[nodiscard]] uint64_t DepthLimit(uint32_t) const { return geometry_.depth_messages; }
  absl::StatusOr<Sender> OpenSender();
  absl::StatusOr<Receiver> OpenReceiver();
  void ReleaseEnds() noexcept { queue_.reset(); }

 private:
  Channel(Geometry geometry, std::shared_ptr<Queue> queue) : geometry_(geometry), queue_(std::move(queue)) {}

  Geometry geometry_;
  std::shared_ptr<Queue> queue_;  // until ReleaseEnds
};

static_assert(Primitive<Channel> && PrioritySendEnd<Sender> && PriorityReceiveEnd<Receiver>);

}  // namespace ipcmark::boost_mq

#endif  // IPCMARK_IPC_BOOST_MQ_BOOST_MQ_H_
