#ifndef IPCMARK_IPC_SYSV_SHM_SYSV_SHM_H_
#define IPCMARK_IPC_SYSV_SHM_SYSV_SHM_H_

// A single-producer single-consumer ring over a System V shared-memory segment: lock-free, one copy in and one copy
// out, or none with Loan/Publish and View/Release. It promises:
//   - No system call while the other end keeps up (in the waiting modes: while the other end is awake); messages in
//     order.
//   - A sender that dies at any instruction leaves whole messages or none, and every one that Send or Publish accepted.
//     The receiver gets them all, then kPeerDead (kClosed after an orderly end). A new sender goes on exactly behind
//     the last committed message.
//   - A receiver that dies at any instruction loses nothing: a message that it had not released is the first one of
//     its successor, so one that died between the copy and the release has read it and its successor reads it again.
//     One that it had released is whole in its buffer. The sender goes on while there is room, then gets kPeerDead.
//   - A waiting end learns of the other one's death within kPeerDeathNanos. Either end may be opened anew at any time.
//   - Memory that somebody scribbled in gives kDataLoss at open, or kError with EBADMSG, and no access outside the
//     mapping.
// Broken by: a second process writing where only one may (OpenSender refuses it), and processes that cannot see each
// other's ids (two PID namespaces): their deaths are misjudged.
//
// ring_layout.h draws the memory and has the invariants, ring_sender.h and ring_receiver.h the algorithm, ring_wait.h
// the waiting. All are templates over the atomic; Channel, Sender and Receiver are the real ones.

#include <memory>
#include <new>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"
#include "ipc/channel.h"
#include "ipc/os/peer.h"
#include "ipc/sysv_shm/ring_layout.h"
#include "ipc/sysv_shm/ring_receiver.h"
#include "ipc/sysv_shm/ring_sender.h"
#include "ipc/sysv_shm/ring_view.h"
#include "ipc/sysv_shm/segment.h"

namespace ipcmark::sysv_shm {

// The primitive. Create attaches the segment and marks it for removal at once: Linux keeps it until the last attachment
// goes, so nothing is left behind even when the creator is killed. Forked children inherit the attachment, and all ends
// of a process share it: the segment's attach count is the number of processes.
template <template <typename> class Atomic>
class BasicChannel {
 public:
  static constexpr Capabilities kCapabilities = {
      .max_senders = 1,
      .max_receivers = 1,
      .max_message_bytes = kMaxMessageBytes,
      .keeps_boundaries = true,
      .has_priorities = false,
      .survives_sigkill = true,
      .reports_peer_death = true,
      .waits = {Wait::kSpin, Wait::kSpinThenBlock, Wait::kBlock},
      .withstands_damage = true,
  };

  static absl::StatusOr<BasicChannel> Create(const Geometry& geometry);

  [[nodiscard]] const Geometry& geometry() const { return geometry_; }
  [[nodiscard]] uint64_t DepthLimit(uint32_t) const { return geometry_.depth_messages; }
  // kFailedPrecondition while a living process holds that end, kDataLoss when the segment is damaged.
  absl::StatusOr<BasicSender<Atomic>> OpenSender();
  absl::StatusOr<BasicReceiver<Atomic>> OpenReceiver();
  void ReleaseEnds() noexcept { attachment_.reset(); }
  // The kernel's object, for tests and for those who count attachments.
  [[nodiscard]] const Segment& segment() const { return segment_; }

 private:
  BasicChannel(Geometry geometry, Segment segment, Attachment attachment)
      : geometry_(geometry),
        segment_(std::move(segment)),
        attachment_(std::make_shared<const Attachment>(std::move(attachment))) {}
  absl::StatusOr<RingView<Atomic>> Open();
  // Makes `peer` this process's.
  static absl::Status Claim(os::PeerWord& peer, const char* side);

  Geometry geometry_;
  Segment segment_;
  std::shared_ptr<const Attachment> attachment_;  // until ReleaseEnds
};

using Channel = BasicChannel<std::atomic>;
using Sender = BasicSender<std::atomic>;
using Receiver = BasicReceiver<std::atomic>;

template <template <typename> class Atomic>
absl::StatusOr<BasicChannel<Atomic>> BasicChannel<Atomic>::Create(const Geometry& geometry) {
  static_assert(HasTheLayout<Atomic>());
  absl::Status fits = CheckGeometry("sysv_shm", kCapabilities, geometry);
  if (!fits.ok()) return fits;
  const RingConstants constants =
      RingConstantsOf(geometry.depth_messages, geometry.max_message_bytes, FencesFor(geometry.wait));
  absl::StatusOr<Segment> segment = Segment::Create(constants.total_bytes);
  if (!segment.ok()) return segment.status();
  absl::StatusOr<Attachment> attachment = segment->Attach();
  absl::Status removed = segment->Remove();
  if (!attachment.ok()) return attachment.status();
  if (!removed.ok()) return removed;
  auto* header = new (attachment->address()) RingHeader<Atomic>{};
  header->constants = constants;
  return BasicChannel(geometry, *std::move(segment), *std::move(attachment));
}

template <template <typename> class Atomic>
absl::StatusOr<RingView<Atomic>> BasicChannel<Atomic>::Open() {
  if (attachment_ == nullptr) return absl::FailedPreconditionError("sysv_shm: open ends before ReleaseEnds");
  const std::optional<RingConstants> constants = ReadConstants(attachment_->address(), attachment_->bytes());
  if (!constants.has_value()) {
    return absl::DataLossError(absl::StrFormat(
        "shm segment %d holds no valid ring (magic, version or sizes are off); create a new one", segment_.id()));
  }
  absl::Status registered = RegisterForFences(static_cast<Fences>(constants->fences));
  if (!registered.ok()) return registered;
  return RingView<Atomic>(attachment_, *constants, geometry_.wait);
}

template <template <typename> class Atomic>
absl::Status BasicChannel<Atomic>::Claim(os::PeerWord& peer, const char* side) {
  pid_t holder = 0;
  if (os::ClaimPeer(peer, &holder)) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrFormat("sysv_shm: process %d is this ring's %s; a second one needs a ring of its own", holder, side));
}

template <template <typename> class Atomic>
absl::StatusOr<BasicSender<Atomic>> BasicChannel<Atomic>::OpenSender() {
  absl::StatusOr<RingView<Atomic>> view = Open();
  if (!view.ok()) return view.status();
  absl::Status claimed = Claim(view->header().sender.peer, "sender");
  if (!claimed.ok()) return claimed;
  return BasicSender<Atomic>(*std::move(view));
}

template <template <typename> class Atomic>
absl::StatusOr<BasicReceiver<Atomic>> BasicChannel<Atomic>::OpenReceiver() {
  absl::StatusOr<RingView<Atomic>> view = Open();
  if (!view.ok()) return view.status();
  absl::Status claimed = Claim(view->header().receiver.peer, "receiver");
  if (!claimed.ok()) return claimed;
  return BasicReceiver<Atomic>(*std::move(view));
}

// The real ones are compiled once, in ring.cc; what is small is inlined all the same.
extern template class BasicSender<std::atomic>;
extern template class BasicReceiver<std::atomic>;
extern template class BasicChannel<std::atomic>;

static_assert(Primitive<Channel> && LoaningSendEnd<Sender> && LoaningReceiveEnd<Receiver>);

}  // namespace ipcmark::sysv_shm

#endif  // IPCMARK_IPC_SYSV_SHM_SYSV_SHM_H_
