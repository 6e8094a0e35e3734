#include <sched.h>

#include <cerrno>
#include <new>

#include "absl/strings/str_format.h"
#include "ipc/os/clock.h"
#include "ipc/os/error.h"
#include "ipc/os/futex.h"
#include "ipc/sysv_shm/sysv_shm.h"

namespace ipcmark::sysv_shm {
namespace {

// Rounds of polling before spin-then-block sleeps. A round is a load and a PAUSE, about 25 ns: 2,000 rounds are about
// the cost of the sleep and wake-up that they may save (40-60 us on a halted virtual CPU).
constexpr int kSpinRounds = 2000;
// Rounds between two looks at the clock while spinning.
constexpr int kRoundsPerLook = 1024;
// The longest sleep without looking up: bounds what a wake-up lost to a killed peer can cost, and notices its death.
constexpr int64_t kLookNanos = 40'000'000;
static_assert(kLookNanos * 2 < kPeerDeathNanos);

// Polls until ready, for `rounds` rounds.
template <typename Ready>
bool Poll(int rounds, const Ready& ready) noexcept {
  for (int round = 0; round < rounds; ++round) {
    if (ready()) return true;
    os::SpinHint();
  }
  return ready();
}

// ok, or why the other end will not make `ready` true any more.
template <typename Ready>
IoResult LookAtPeer(const os::PeerWord& peer, os::PeerWatch& watch, const Ready& ready) noexcept {
  const os::PeerState state = watch.Look(peer);
  if (state != os::PeerState::kClosed && state != os::PeerState::kDead) return IoResult::Ok(0);
  // What it did before it went counts: Look acquired its last word.
  if (ready()) return IoResult::Ok(0);
  return state == os::PeerState::kClosed ? IoResult::Of(Outcome::kClosed, EPIPE)
                                         : IoResult::Of(Outcome::kPeerDead, EPIPE);
}

template <typename Ready>
IoResult AwaitSpinning(const RingEnd& other, os::PeerWatch& watch, Deadline deadline, const Ready& ready) noexcept {
  int64_t next_look = os::MonotonicNanos();
  while (!Poll(kRoundsPerLook, ready)) {
    const int64_t now = os::MonotonicNanos();
    if (now >= next_look) {
      const IoResult peer = LookAtPeer(other.peer, watch, ready);
      if (!peer.ok() || ready()) return peer;
      next_look = now + kLookNanos;
    }
    if (now >= deadline.monotonic_nanos) return IoResult::Of(Outcome::kDeadline);
    // Thousands of empty rounds: the other end is not running. Where both share a CPU it cannot, unless we let it.
    sched_yield();
  }
  return IoResult::Ok(0);
}

template <typename Ready>
IoResult AwaitSleeping(RingEnd& self, const RingEnd& other, os::PeerWatch& watch, Deadline deadline,
                       const Ready& ready) noexcept {
  for (;;) {
    // Sequentially consistent, then look once more: the handshake with Publish and Release.
    self.asleep.store(1, std::memory_order_seq_cst);
    if (ready()) break;
    const os::FutexWait woken = os::WaitOnFutex(self.asleep, 1, os::Slice(deadline, kLookNanos));
    if (ready()) break;
    IoResult result = IoResult::Ok(0);
    if (woken == os::FutexWait::kInterrupted) result = IoResult::Of(Outcome::kInterrupted, EINTR);
    if (woken == os::FutexWait::kError) result = IoResult::Of(Outcome::kError, errno);
    if (woken == os::FutexWait::kDeadline) {
      result = LookAtPeer(other.peer, watch, ready);
      if (result.ok() && !ready() && os::HasPassed(deadline)) result = IoResult::Of(Outcome::kDeadline);
    }
    if (!result.ok()) {
      self.asleep.store(0, std::memory_order_relaxed);
      return result;
    }
  }
  self.asleep.store(0, std::memory_order_relaxed);
  return IoResult::Ok(0);
}

// Waits in the ring's own way until ready() or it cannot become so. `self` and `other` are the two ends' lines.
template <typename Ready>
IoResult Await(Wait wait, RingEnd& self, const RingEnd& other, os::PeerWatch& watch, Deadline deadline,
               const Ready& ready) noexcept {
  if (ready()) return IoResult::Ok(0);
  if (deadline.immediate()) {
    // One look, so that a poll in a loop ends too when nobody is left.
    const IoResult peer = LookAtPeer(other.peer, watch, ready);
    return !peer.ok() || ready() ? peer : IoResult::Of(Outcome::kWouldBlock, EAGAIN);
  }
  if (wait == Wait::kSpin) return AwaitSpinning(other, watch, deadline, ready);
  if (wait == Wait::kSpinThenBlock && Poll(kSpinRounds, ready)) return IoResult::Ok(0);
  // A peer that went before we came never wakes us: look before the first sleep, not only after it.
  const IoResult peer = LookAtPeer(other.peer, watch, ready);
  if (!peer.ok() || ready()) return peer;
  return AwaitSleeping(self, other, watch, deadline, ready);
}

void WakeEnd(RingEnd& end) noexcept {
  // Taking the flag makes the wake-up ours alone; an end that is about to sleep finds its word changed and does not.
  if (end.asleep.exchange(0, std::memory_order_seq_cst) != 0) os::WakeFutex(end.asleep, 1);
}

}  // namespace

bool IsValidRing(const RingHeader& header, uint64_t mapped_bytes) {
  return mapped_bytes >= sizeof(RingHeader) && header.magic == kRingMagic && header.version == kRingVersion &&
         header.depth_messages > 0 && header.payload_offset == PayloadOffset(header.max_message_bytes) &&
         header.slot_bytes == SlotBytes(header.max_message_bytes) &&
         header.total_bytes == RingBytes(header.depth_messages, header.max_message_bytes) &&
         header.total_bytes <= mapped_bytes;
}

RingView::RingView(std::shared_ptr<const Attachment> attachment, Wait wait)
    : attachment_(std::move(attachment)), wait_(wait) {
  const RingHeader& shared = header();
  slots_ = static_cast<std::byte*>(attachment_->address()) + kSlotsOffset;
  slot_bytes_ = shared.slot_bytes;
  payload_offset_ = shared.payload_offset;
  depth_ = shared.depth_messages;
  max_message_bytes_ = shared.max_message_bytes;
}

Sender::Sender(RingView view) : view_(std::move(view)) {
  // Where the last sender stopped: behind the last committed message. Acquire: the slots before head are free for us.
  cached_head_ = view_.header().head.load(std::memory_order_acquire);
  next_ = cached_head_;
  while (next_ - cached_head_ < view_.depth() &&
         IsCommitted(view_.CommitOf(next_ % view_.depth()).load(std::memory_order_acquire), next_)) {
    ++next_;
  }
  slot_ = next_ % view_.depth();
}

Sender::~Sender() {
  if (!view_.attached()) return;
  os::ReleasePeer(view_.header().sender.peer);
  WakeReceiver();  // so that it learns at once, not at its next look
}

IoResult Sender::AwaitRoom(Deadline deadline) noexcept {
  RingHeader& header = view_.header();
  // Sequentially consistent for the handshake with Release; it also acquires, so the slot's last reader is done with
  // it.
  const auto ready = [&]() noexcept {
    cached_head_ = header.head.load(std::memory_order_seq_cst);
    return next_ - cached_head_ < view_.depth();
  };
  const IoResult result = Await(view_.wait(), header.sender, header.receiver, receiver_watch_, deadline, ready);
  // A head beyond what was sent is damage: the subtraction is then huge, and it looks like a full ring.
  if (!result.ok() && cached_head_ > next_) return IoResult::Of(Outcome::kError, EBADMSG);
  return result;
}

void Sender::WakeReceiver() noexcept { WakeEnd(view_.header().receiver); }

Receiver::Receiver(RingView view) : view_(std::move(view)) {
  next_ = view_.header().head.load(std::memory_order_acquire);
  slot_ = next_ % view_.depth();
}

Receiver::~Receiver() {
  if (!view_.attached()) return;
  os::ReleasePeer(view_.header().receiver.peer);
  WakeSender();
}

IoResult Receiver::AwaitMessage(Deadline deadline, uint64_t* commit) noexcept {
  RingHeader& header = view_.header();
  const std::atomic<uint64_t>& due = view_.CommitOf(slot_);
  const auto ready = [&]() noexcept {
    *commit = due.load(std::memory_order_seq_cst);
    return IsCommitted(*commit, next_);
  };
  return Await(view_.wait(), header.receiver, header.sender, sender_watch_, deadline, ready);
}

void Receiver::WakeSender() noexcept { WakeEnd(view_.header().sender); }

absl::StatusOr<Channel> Channel::Create(const Geometry& geometry) {
  absl::Status fits = CheckGeometry("sysv_shm", kCapabilities, geometry);
  if (!fits.ok()) return fits;
  const uint64_t bytes = RingBytes(geometry.depth_messages, geometry.max_message_bytes);
  absl::StatusOr<Segment> segment = Segment::Create(bytes);
  if (!segment.ok()) return segment.status();
  absl::StatusOr<Attachment> attachment = segment->Attach();
  absl::Status removed = segment->Remove();
  if (!attachment.ok()) return attachment.status();
  if (!removed.ok()) return removed;
  auto* header = new (attachment->address()) RingHeader{};
  header->magic = kRingMagic;
  header->version = kRingVersion;
  header->depth_messages = geometry.depth_messages;
  header->max_message_bytes = geometry.max_message_bytes;
  header->payload_offset = PayloadOffset(geometry.max_message_bytes);
  header->slot_bytes = SlotBytes(geometry.max_message_bytes);
  header->total_bytes = bytes;
  return Channel(geometry, *std::move(segment), *std::move(attachment));
}

absl::StatusOr<RingView> Channel::Open() {
  if (attachment_ == nullptr) return absl::FailedPreconditionError("sysv_shm: open ends before ReleaseEnds");
  if (!IsValidRing(*static_cast<const RingHeader*>(attachment_->address()), attachment_->bytes())) {
    return absl::DataLossError(absl::StrFormat(
        "shm segment %d holds no valid ring (magic, version or sizes are off); create a new one", segment_.id()));
  }
  return RingView(attachment_, geometry_.wait);
}

absl::StatusOr<Sender> Channel::OpenSender() {
  absl::StatusOr<RingView> view = Open();
  if (!view.ok()) return view.status();
  pid_t holder = 0;
  if (!os::ClaimPeer(view->header().sender.peer, &holder)) {
    return absl::FailedPreconditionError(
        absl::StrFormat("sysv_shm: process %d is this ring's sender; a second one needs a ring of its own", holder));
  }
  return Sender(*std::move(view));
}

absl::StatusOr<Receiver> Channel::OpenReceiver() {
  absl::StatusOr<RingView> view = Open();
  if (!view.ok()) return view.status();
  pid_t holder = 0;
  if (!os::ClaimPeer(view->header().receiver.peer, &holder)) {
    return absl::FailedPreconditionError(
        absl::StrFormat("sysv_shm: process %d is this ring's receiver; a second one needs a ring of its own", holder));
  }
  return Receiver(*std::move(view));
}

}  // namespace ipcmark::sysv_shm
