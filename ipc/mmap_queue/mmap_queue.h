#ifndef IPCMARK_IPC_MMAP_QUEUE_MMAP_QUEUE_H_
#define IPCMARK_IPC_MMAP_QUEUE_MMAP_QUEUE_H_

// A message queue with the semantics of POSIX mq_send and mq_receive in a memory-mapped file: bounded depth,
// priorities, many senders and receivers. It promises: an accepted message is delivered exactly once, highest priority
// first and oldest first within it; no user breaks it by dying at any instruction; no system call while nobody waits.
// It is broken by a process that scribbles in the file (operations then return kError with EBADMSG) or truncates it
// (SIGBUS), or that stops (SIGSTOP) while it holds a lock, for as long as it is stopped.
//
// This is the primitive, a queue without a name for forked processes; queue.h is the named queue and mqueue.cc the C
// interface of <mqueue.h>. Beneath all of them: queue_layout.h draws the memory, core.h has the data structure under
// the locks, lock.h one lock and locks.h both (literal.h that of the policy `posix`), view.h and transfer.h sending,
// receiving and waiting, notice.h mq_notify, queue_file.h the file. Source: mq_overview(7),
// pthread_mutexattr_setrobust(3), futex(2).

#include <memory>

#include "absl/status/statusor.h"
#include "ipc/channel.h"
#include "ipc/mmap_queue/transfer.h"
#include "ipc/os/mapping.h"

namespace ipcmark::mmap_queue {

// One end in one process: what Sender and Receiver share.
class End {
 public:
  End(std::shared_ptr<const os::Mapping> mapping, Wait wait)
      : mapping_(std::move(mapping)), view_(Core(mapping_->address())), wait_(wait) {}

 protected:
  std::shared_ptr<const os::Mapping> mapping_;
  View view_;
  Wait wait_;
};

class Sender : public End {
 public:
  using End::End;
  IoResult Send(std::span<const std::byte> message, Deadline deadline) noexcept { return Send(message, 0, deadline); }
  // kError with EINVAL for a priority of kPriorityLevels or more.
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
};

// The primitive. The file has no name (O_TMPFILE) and goes with its last mapping, which forked children inherit and all
// ends of a process share. It lies in the directory that the environment variable IPCMARK_QUEUE_DIR names, else in
// /dev/shm.
class Channel {
 public:
  static constexpr Capabilities kCapabilities = {
      .max_senders = kUnlimited,
      .max_receivers = kUnlimited,
      .max_message_bytes = kMaxMessageBytes,
      .keeps_boundaries = true,
      .has_priorities = true,
      .survives_sigkill = true,
      .reports_peer_death = false,  // a queue has no peers: it waits for whoever comes next
      .waits = {Wait::kSpinThenBlock, Wait::kBlock},
      .locks = true,
      .withstands_damage = true,
  };

  // Reserves the file's space, so that a full disk shows here (ENOSPC) and not as SIGBUS later. Errors: EACCES, ENOENT
  // (the directory), EMFILE, ENOSPC, ENOMEM. With Policy::kPosix it does not keep two of its promises: it does not
  // survive SIGKILL and hides signals.
  static absl::StatusOr<Channel> Create(const Geometry& geometry, Policy policy = Policy::kRobust);

  [[nodiscard]] const Geometry& geometry() const { return geometry_; }
  [[nodiscard]] uint64_t DepthLimit(uint32_t) const { return geometry_.depth_messages; }
  absl::StatusOr<Sender> OpenSender();
  absl::StatusOr<Receiver> OpenReceiver();
  void ReleaseEnds() noexcept { mapping_.reset(); }

 private:
  Channel(Geometry geometry, os::Mapping mapping)
      : geometry_(geometry), mapping_(std::make_shared<const os::Mapping>(std::move(mapping))) {}
  // What every end of this process works on, after a look at its header.
  [[nodiscard]] absl::StatusOr<std::shared_ptr<const os::Mapping>> Shared() const;

  Geometry geometry_;
  std::shared_ptr<const os::Mapping> mapping_;  // until ReleaseEnds
};

static_assert(Primitive<Channel> && PrioritySendEnd<Sender> && PriorityReceiveEnd<Receiver>);

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_MMAP_QUEUE_H_
