#ifndef IPCMARK_IPC_KERNEL_MQ_KERNEL_MQ_H_
#define IPCMARK_IPC_KERNEL_MQ_KERNEL_MQ_H_

// A baseline: the kernel's POSIX message queue (mq_open, mq_timedsend, mq_timedreceive), one system call a message. The
// queue has no name once Create returns; forked processes inherit its descriptor, and it goes with the last of them.
//
// The kernel keeps its queues shallow: 10 messages of 8 KiB unless /proc/sys/fs/mqueue says otherwise, and 800 KB for
// all queues of a user (RLIMIT_MSGQUEUE). How Create gets around the first two limits, and what it says about the
// third, is in limits.h.
//
// What differs from ipc/channel.h's letter: a receive buffer must have room for the largest message of the geometry,
// not just for the next one (kTooBig otherwise, as mq_receive's EMSGSIZE); a deadline is the kernel's CLOCK_REALTIME
// underneath, so that setting that clock shifts it for who waits already.
// Source: mq_overview(7), mq_send(3), mq_receive(3); Linux ipc/mqueue.c.

#include <memory>

#include "absl/status/statusor.h"
#include "ipc/channel.h"
#include "ipc/os/fd.h"

namespace ipcmark::kernel_mq {

// What both ends are: a share in this process's descriptor.
class End {
 public:
  End(std::shared_ptr<const os::Fd> queue, uint32_t max_message_bytes)
      : queue_(std::move(queue)), max_message_bytes_(max_message_bytes) {}

 protected:
  std::shared_ptr<const os::Fd> queue_;
  uint32_t max_message_bytes_;
};

class Sender : public End {
 public:
  using End::End;
  IoResult Send(std::span<const std::byte> message, Deadline deadline) noexcept { return Send(message, 0, deadline); }
  // kError with EINVAL for a priority of 32,768 or more.
  IoResult Send(std::span<const std::byte> message, uint32_t priority, Deadline deadline) noexcept;
};

class Receiver : public End {
 public:
  using End::End;
  IoResult Receive(std::span<std::byte> buffer, Deadline deadline) noexcept {
    return Receive(buffer, nullptr, deadline);
  }
  // `priority` may be null.
  IoResult Receive(std::span<std::byte> buffer, uint32_t* priority, Deadline deadline) noexcept;
  IoResult Notify(const sigevent* event) noexcept;
};

class Channel {
 public:
  static constexpr Capabilities kCapabilities = {
      .max_senders = kUnlimited,
      .max_receivers = kUnlimited,
      .max_message_bytes = uint64_t{16} << 20,  // HARD_MSGSIZEMAX
      .keeps_boundaries = true,
      .has_priorities = true,
      .survives_sigkill = true,
      .reports_peer_death = false,  // a queue has no peers
      .waits = {Wait::kBlock},
  };

  // kUnimplemented, naming the limit and the remedy, for a geometry beyond what this process may ask the kernel for.
  static absl::StatusOr<Channel> Create(const Geometry& geometry);

  [[nodiscard]] const Geometry& geometry() const { return geometry_; }
  [[nodiscard]] uint64_t DepthLimit(uint32_t) const { return geometry_.depth_messages; }
  absl::StatusOr<Sender> OpenSender();
  absl::StatusOr<Receiver> OpenReceiver();
  void ReleaseEnds() noexcept { queue_.reset(); }

 private:
  Channel(Geometry geometry, os::Fd queue)
      : geometry_(geometry), queue_(std::make_shared<const os::Fd>(std::move(queue))) {}

  Geometry geometry_;
  std::shared_ptr<const os::Fd> queue_;  // until ReleaseEnds
};

static_assert(Primitive<Channel> && PrioritySendEnd<Sender> && PriorityReceiveEnd<Receiver> &&
              NotifyingReceiveEnd<Receiver>);

}  // namespace ipcmark::kernel_mq

#endif  // IPCMARK_IPC_KERNEL_MQ_KERNEL_MQ_H_
