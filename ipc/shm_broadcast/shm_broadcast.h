#ifndef IPCMARK_IPC_SHM_BROADCAST_SHM_BROADCAST_H_
#define IPCMARK_IPC_SHM_BROADCAST_SHM_BROADCAST_H_

// A broadcast ring over a System V shared-memory segment: one sender, up to Geometry::receivers receivers at a time,
// each of which gets every message that is sent after its OpenReceiver has returned, in order. Lock-free, no system
// call while nobody sleeps. About a receiver that is a whole depth behind, Geometry::slow_receiver decides:
//
//   kBlocksSender     Send waits for it while its process lives. One copy in and one out, or none with Loan/Publish and
//                     View/Release.
//   kMissesMessages   Send never waits for anybody. The receiver gets kMissed with the number of messages that it will
//                     never see, then goes on with the oldest that is still there: received + missed == sent, always.
//                     (More than 2^32 - 1 come in several kMissed.) Loan and View work on private copies.
//
// Promises:
//   - A receiver that dies at any instruction stops holding the sender back within kPeerDeathNanos; its place in the
//     table can be taken at once. The sender is told nothing: a broadcast does not depend on who listens. For the same
//     reason Send succeeds where nobody listens, and the message is then for nobody; DepthLimit counts what one open
//     receiver may leave untaken.
//   - A sender that dies at any instruction leaves whole messages or none. Receivers get them all, then kPeerDead
//     (kClosed after an orderly end). A new sender goes on exactly behind the last committed message, and so do they.
//   - Memory that somebody scribbled in gives kDataLoss at open, or kError with EBADMSG, and no access outside the
//     mapping; no loop depends on it.
// Broken by: a second process that sends where only one may (OpenSender refuses it), ends used by a process that did
// not open them, and processes that cannot see each other's ids (two PID namespaces): their deaths are misjudged.
//
// In this folder: ring_layout.h draws the memory and has the invariants, sender.h and receiver.h the algorithm. The
// waiting is ipc/sysv_shm/ring_wait.h's. All are templates over the atomic; Channel, Sender and Receiver are the real
// ones.

#include <optional>

#include "absl/strings/str_format.h"
#include "ipc/channel.h"
#include "ipc/os/mapping.h"
#include "ipc/shm_broadcast/receiver.h"
#include "ipc/shm_broadcast/ring_layout.h"
#include "ipc/shm_broadcast/sender.h"
#include "ipc/sysv_shm/segment.h"

namespace ipcmark::shm_broadcast {

// The primitive. Create attaches the segment and marks it for removal at once: Linux keeps it until the last attachment
// goes, so nothing is left behind even when the creator is killed. Forked children inherit the attachment, and all ends
// of a process share it: the segment's attach count is the number of processes.
template <template <typename> class Atomic>
class BasicChannel {
 public:
  static constexpr Capabilities kCapabilities = {
      .max_senders = 1,
      .max_receivers = kMaxReceivers,
      .max_message_bytes = uint64_t{1} << 30,
      .keeps_boundaries = true,
      .has_priorities = false,
      .survives_sigkill = true,
      .reports_peer_death = true,
      .waits = {Wait::kSpin, Wait::kSpinThenBlock, Wait::kBlock},
      .broadcasts = true,
      .withstands_damage = true,
  };

  static absl::StatusOr<BasicChannel> Create(const Geometry& geometry);

  [[nodiscard]] const Geometry& geometry() const { return geometry_; }
  // With kMissesMessages: how many a receiver that takes none can still get.
  [[nodiscard]] uint64_t DepthLimit(uint32_t) const { return geometry_.depth_messages; }
  // kFailedPrecondition while a living process is the sender, kDataLoss when the segment is damaged.
  absl::StatusOr<BasicSender<Atomic>> OpenSender();
  // kResourceExhausted while living processes hold all Geometry::receivers places, kDataLoss as above.
  absl::StatusOr<BasicReceiver<Atomic>> OpenReceiver();
  void ReleaseEnds() noexcept { attachment_.reset(); }
  // The kernel's object, for tests and for those who count attachments.
  [[nodiscard]] const sysv_shm::Segment& segment() const { return segment_; }

 private:
  BasicChannel(Geometry geometry, sysv_shm::Segment segment, sysv_shm::Attachment attachment)
      : geometry_(geometry),
        segment_(std::move(segment)),
        attachment_(std::make_shared<const sysv_shm::Attachment>(std::move(attachment))) {}
  absl::StatusOr<RingView<Atomic>> Open();
  // An entry that now belongs to this process.
  static std::optional<uint32_t> ClaimEntry(const RingView<Atomic>& view);

  Geometry geometry_;
  sysv_shm::Segment segment_;
  std::shared_ptr<const sysv_shm::Attachment> attachment_;  // until ReleaseEnds
};

using Channel = BasicChannel<std::atomic>;
using Sender = BasicSender<std::atomic>;
using Receiver = BasicReceiver<std::atomic>;

template <template <typename> class Atomic>
absl::StatusOr<BasicChannel<Atomic>> BasicChannel<Atomic>::Create(const Geometry& geometry) {
  static_assert(HasTheLayout<Atomic>());
  absl::Status fits = CheckGeometry("shm_broadcast", kCapabilities, geometry);
  if (!fits.ok()) return fits;
  const Constants constants = ConstantsOf(geometry);
  absl::StatusOr<sysv_shm::Segment> segment = sysv_shm::Segment::Create(constants.total_bytes);
  if (!segment.ok()) return segment.status();
  absl::StatusOr<sysv_shm::Attachment> attachment = segment->Attach();
  absl::Status removed = segment->Remove();
  if (!attachment.ok()) return attachment.status();
  if (!removed.ok()) return removed;
  auto* bytes = static_cast<std::byte*>(attachment->address());
  auto* header = new (bytes) Header<Atomic>{};
  for (uint32_t i = 0; i < geometry.receivers; ++i) {
    new (bytes + kReceiversOffset + i * sizeof(ReceiverEntry<Atomic>)) ReceiverEntry<Atomic>{};
  }
  header->constants = constants;
  return BasicChannel(geometry, *std::move(segment), *std::move(attachment));
}

template <template <typename> class Atomic>
absl::StatusOr<RingView<Atomic>> BasicChannel<Atomic>::Open() {
  if (attachment_ == nullptr) return absl::FailedPreconditionError("shm_broadcast: open ends before ReleaseEnds");
  const auto& header = *static_cast<const Header<Atomic>*>(attachment_->address());
  const auto constants = os::CopyOnce<Constants>(&header.constants);
  // Relaxed: only whether it can be true at all.
  if (!IsValidRing(constants, attachment_->bytes()) ||
      header.count.sent.load(std::memory_order_relaxed) > kMaxMessages) {
    return absl::DataLossError(
        absl::StrFormat("shm_broadcast: segment %d holds no valid broadcast ring (magic, version, sizes or count are "
                        "off); create a new one",
                        segment_.id()));
  }
  return RingView<Atomic>(attachment_, constants, geometry_.wait);
}

template <template <typename> class Atomic>
absl::StatusOr<BasicSender<Atomic>> BasicChannel<Atomic>::OpenSender() {
  absl::StatusOr<RingView<Atomic>> view = Open();
  if (!view.ok()) return view.status();
  pid_t holder = 0;
  if (!os::ClaimPeer(view->header().sender.peer, &holder)) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "shm_broadcast: process %d is this ring's sender; a second one needs a ring of its own", holder));
  }
  return BasicSender<Atomic>(*std::move(view));
}

template <template <typename> class Atomic>
std::optional<uint32_t> BasicChannel<Atomic>::ClaimEntry(const RingView<Atomic>& view) {
  // First those that look free, then those whose owners may have died: to find out costs system calls.
  for (const bool dead_ones : {false, true}) {
    for (uint32_t index = 0; index < view.receivers(); ++index) {
      ReceiverEntry<Atomic>& entry = view.EntryOf(index);
      // Relaxed: a hint; ClaimPeer decides.
      if (!dead_ones && entry.head.load(std::memory_order_relaxed) != kNotReading) continue;
      if (os::ClaimPeer(entry.peer, nullptr)) return index;
    }
  }
  return std::nullopt;
}

template <template <typename> class Atomic>
absl::StatusOr<BasicReceiver<Atomic>> BasicChannel<Atomic>::OpenReceiver() {
  absl::StatusOr<RingView<Atomic>> view = Open();
  if (!view.ok()) return view.status();
  const std::optional<uint32_t> entry = ClaimEntry(*view);
  if (!entry.has_value()) {
    return absl::ResourceExhaustedError(absl::StrFormat(
        "shm_broadcast: living processes hold all %d receivers of this ring; close one, or create the ring with more "
        "(Geometry::receivers)",
        view->receivers()));
  }
  return BasicReceiver<Atomic>(*std::move(view), *entry);
}

// The real ones are compiled once, in shm_broadcast.cc; what is small is inlined all the same.
extern template class BasicSender<std::atomic>;
extern template class BasicReceiver<std::atomic>;
extern template class BasicChannel<std::atomic>;

static_assert(Primitive<Channel> && LoaningSendEnd<Sender> && LoaningReceiveEnd<Receiver>);

}  // namespace ipcmark::shm_broadcast

#endif  // IPCMARK_IPC_SHM_BROADCAST_SHM_BROADCAST_H_
