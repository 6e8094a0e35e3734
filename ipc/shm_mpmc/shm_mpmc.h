#ifndef IPCMARK_IPC_SHM_MPMC_SHM_MPMC_H_
#define IPCMARK_IPC_SHM_MPMC_SHM_MPMC_H_

// A many-sender many-receiver ring over a System V shared-memory segment: each message goes to one receiver, in the
// order in which senders claimed their positions (Send or Loan), so that one receiver sees every sender's messages in
// order. One copy in and one out, or none with Loan/Publish and View/Release. It promises: no system call while the
// other side keeps up (in the waiting modes: while it is awake), and recovery from the death of any end at any
// instruction, without a lock: no accepted message is lost but the one in a killed receiver's hands, none comes twice,
// and the others go on within 100 ms.
//
// It is held up, not broken, by an end that lives but stops with a slot in its hands (SIGSTOP inside a copy, a Loan
// that is not published, a View that is not released): receivers wait for a claimed message, and senders for a taken
// one as soon as the ring has come round to it. It is broken by a process that scribbles in the segment (others then
// get kError with EBADMSG, never read or write outside the mapping and never loop for ever), and by ends in different
// PID namespaces, which cannot tell whether the other lives.
//
// ring_layout.h draws the memory; ring_end.h mends, waits and wakes; ring_sender.h and ring_receiver.h have the hot
// paths.

#include <atomic>
#include <memory>

#include "ipc/channel.h"
#include "ipc/shm_mpmc/ring_receiver.h"
#include "ipc/shm_mpmc/ring_sender.h"
#include "ipc/sysv_shm/segment.h"

namespace ipcmark::shm_mpmc {

using Sender = BasicSender<std::atomic>;
using Receiver = BasicReceiver<std::atomic>;
extern template class BasicEnd<std::atomic>;
extern template class BasicSender<std::atomic>;
extern template class BasicReceiver<std::atomic>;

// The primitive. Create attaches the segment and marks it for removal at once: Linux keeps it until the last attachment
// goes, so nothing is left behind even when the creator is killed. Forked children inherit the attachment, and all ends
// of a process share it: the segment's attach count is the number of processes.
class Channel {
 public:
  static constexpr Capabilities kCapabilities = {
      .max_senders = kMaxEnds,
      .max_receivers = kMaxEnds,
      .max_message_bytes = kMaxMessageBytes,
      .keeps_boundaries = true,
      .has_priorities = false,
      .survives_sigkill = true,
      .reports_peer_death = true,
      .waits = {Wait::kSpin, Wait::kSpinThenBlock, Wait::kBlock},
      .withstands_damage = true,
  };

  // kUnimplemented beyond kMaxDepthMessages too. Errors: what shmget(2) and shmat(2) say.
  static absl::StatusOr<Channel> Create(const Geometry& geometry);

  [[nodiscard]] const Geometry& geometry() const { return geometry_; }
  // A slot that a dead or closing sender gave up counts until a receiver or sender has come past it.
  [[nodiscard]] uint64_t DepthLimit(uint32_t) const { return geometry_.depth_messages; }
  // kDataLoss when the segment holds no valid ring, kResourceExhausted when kMaxEnds living ends are open.
  absl::StatusOr<Sender> OpenSender();
  absl::StatusOr<Receiver> OpenReceiver();
  void ReleaseEnds() noexcept { attachment_.reset(); }
  // The kernel's object, for tests and for those who count attachments.
  [[nodiscard]] const sysv_shm::Segment& segment() const { return segment_; }

 private:
  Channel(Geometry geometry, sysv_shm::Segment segment, sysv_shm::Attachment attachment)
      : geometry_(geometry),
        segment_(std::move(segment)),
        attachment_(std::make_shared<const sysv_shm::Attachment>(std::move(attachment))) {}
  // The ring's memory, after a look at its header.
  struct Ring {
    std::shared_ptr<void> memory;
    RingConstants constants;
  };
  [[nodiscard]] absl::StatusOr<Ring> Open() const;

  Geometry geometry_;
  sysv_shm::Segment segment_;
  std::shared_ptr<const sysv_shm::Attachment> attachment_;  // until ReleaseEnds
};

static_assert(Primitive<Channel> && LoaningSendEnd<Sender> && LoaningReceiveEnd<Receiver>);

}  // namespace ipcmark::shm_mpmc

#endif  // IPCMARK_IPC_SHM_MPMC_SHM_MPMC_H_
