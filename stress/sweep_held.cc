// Calls that are held at a point, as if their process had lost its CPU there, while another one does what it can. What
// is right however two calls interleave passes at every point; what is wrong only within two instructions of each other
// is found at one of them, which traffic at random finds once in millions of messages. Every message that was accepted
// reaches its receivers once, whole and in its sender's order, the object has the room that it had, and who waits goes
// on when it can: one that is on its way to sleep while the other side acts, or that goes to sleep while the other side
// is held.

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ipc/mmap_queue/queue_layout.h"
#include "ipc/os/clock.h"
#include "ipc/os/futex.h"
#include "ipc/os/mapping.h"
#include "stress/message.h"
#include "stress/patience.h"
#include "stress/sweep_calls.h"
#include "stress/sweep_subject.h"

namespace ipcmark::stress {
namespace {

// As many messages as can be between the two sides of mmap_queue, and a depth beyond that.
constexpr uint32_t kHalfDeep = mmap_queue::kInboxCells;
constexpr uint32_t kDeepMessages = 2 * kHalfDeep;
constexpr uint32_t kLargeBytes = 4096;
constexpr uint32_t kDepth = kSweptGeometry.depth_messages;
constexpr uint32_t kSome = 2;
constexpr uint32_t kFull = UINT32_MAX;
constexpr uint32_t kMostNumbered = 2 * kDeepMessages + 8;

// Who could go on has slept on for longer than this: it was not woken. What heals that, a look every now and then (40
// ms here), comes later.
constexpr int64_t kLateNanos = 20'000'000;

// What the other process does meanwhile.
enum class Rival : uint8_t {
  kOtherSide,  // calls of the other side, as often as they go
  kBothSides,  // one of the victim's own side before
  kOnce,       // one call of the other side, for which the victim waits
  kWaits,      // one call of the other side, which waits for the victim
};

constexpr SlowReceiver kBlocks = SlowReceiver::kBlocksSender;
constexpr SlowReceiver kMisses = SlowReceiver::kMissesMessages;

struct Held {
  const char* name;
  Side side;
  Rival rival;
  SlowReceiver slow;  // of a broadcast
  bool raises;        // each message has a higher priority than the one before it
  uint32_t prepared;  // messages that lie there, or kFull
  uint32_t bytes = kSweptBytes;
  uint32_t depth = kDepth;
};

constexpr Held kHelds[] = {
    {"held_send", Side::kSender, Rival::kOtherSide, kBlocks, false, kSome},
    {"held_send_empty", Side::kSender, Rival::kOtherSide, kBlocks, false, 0},
    {"held_send_full", Side::kSender, Rival::kOtherSide, kBlocks, false, kFull},
    {"held_send_large", Side::kSender, Rival::kOtherSide, kBlocks, false, kSome, kLargeBytes},
    {"held_receive", Side::kReceiver, Rival::kOtherSide, kBlocks, false, kSome},
    {"held_receive_empty", Side::kReceiver, Rival::kOtherSide, kBlocks, false, 0},
    {"held_receive_full", Side::kReceiver, Rival::kOtherSide, kBlocks, false, kFull},
    {"held_receive_large", Side::kReceiver, Rival::kOtherSide, kBlocks, false, kSome, kLargeBytes},
    {"held_receive_deep", Side::kReceiver, Rival::kOtherSide, kBlocks, false, kHalfDeep, kSweptBytes, kDeepMessages},
    {"held_timed_send", Side::kSender, Rival::kOnce, kBlocks, false, kFull},
    {"held_timed_receive", Side::kReceiver, Rival::kOnce, kBlocks, false, 0},
    {"held_send_to_waiter", Side::kSender, Rival::kWaits, kBlocks, false, 0},
    {"held_receive_for_waiter", Side::kReceiver, Rival::kWaits, kBlocks, false, kFull},
};
constexpr Held kHeldsAmongMany[] = {
    {"held_send_among", Side::kSender, Rival::kBothSides, kBlocks, false, 1},
    {"held_receive_among", Side::kReceiver, Rival::kBothSides, kBlocks, false, kDepth - 1},
};
constexpr Held kHeldsWithPriorities[] = {
    {"held_send_higher", Side::kSender, Rival::kOtherSide, kBlocks, true, kSome},
    {"held_send_higher_among", Side::kSender, Rival::kBothSides, kBlocks, true, 1},
    {"held_receive_of_higher", Side::kReceiver, Rival::kOtherSide, kBlocks, true, kSome},
    {"held_receive_of_higher_among", Side::kReceiver, Rival::kBothSides, kBlocks, true, kSome},
};
constexpr Held kHeldBroadcasts[] = {
    {"held_send", Side::kSender, Rival::kOtherSide, kBlocks, false, kSome},
    {"held_send_full", Side::kSender, Rival::kOtherSide, kBlocks, false, kDepth},
    {"held_send_large", Side::kSender, Rival::kOtherSide, kBlocks, false, kSome, kLargeBytes},
    {"held_send_over", Side::kSender, Rival::kOtherSide, kMisses, false, kDepth},
    {"held_receive", Side::kReceiver, Rival::kOtherSide, kBlocks, false, kSome},
    {"held_receive_empty", Side::kReceiver, Rival::kOtherSide, kBlocks, false, 0},
    {"held_receive_full", Side::kReceiver, Rival::kOtherSide, kBlocks, false, kDepth},
    {"held_receive_over", Side::kReceiver, Rival::kOtherSide, kMisses, false, kDepth + 3},
    {"held_timed_send", Side::kSender, Rival::kOnce, kBlocks, false, kDepth},
    {"held_timed_receive", Side::kReceiver, Rival::kOnce, kBlocks, false, 0},
    {"held_send_to_waiter", Side::kSender, Rival::kWaits, kBlocks, false, 0},
    {"held_receive_for_waiter", Side::kReceiver, Rival::kWaits, kBlocks, false, kDepth},
};

// What became of every message, by sender and number.
struct Ledger {
  std::atomic<uint32_t> accepted[3];
  std::atomic<uint32_t> missed;  // of a broadcast
  std::atomic<uint8_t> received[3][kMostNumbered];
};

class HeldCase : public SweptCase {
 public:
  HeldCase(Notes* notes, uint64_t seed, Subject* subject, const Held& held, bool broadcasts)
      : SweptCase(notes), seed_(seed), subject_(*subject), held_(held), broadcasts_(broadcasts), buffer_(held.bytes) {}

  [[nodiscard]] bool holds() const override { return true; }
  [[nodiscard]] bool holds_until_sleep() const override { return held_.rival == Rival::kOnce; }
  [[nodiscard]] bool has_bystander() const override { return true; }

  absl::Status Prepare() override {
    absl::StatusOr<os::Mapping> mapping = os::Mapping::SharedAnonymous(sizeof(Ledger));
    if (!mapping.ok()) return mapping.status();
    ledger_ = *std::move(mapping);
    new (ledger_.address()) Ledger{};
    Geometry geometry = {.depth_messages = held_.depth,
                         .max_message_bytes = held_.bytes,
                         .wait = Wait::kBlock,
                         .slow_receiver = held_.slow};
    // The rival has an end of each side.
    if (held_.rival == Rival::kBothSides) geometry.senders = geometry.receivers = 2;
    if (broadcasts_) geometry.receivers = 2;
    absl::Status status = subject_.Create(geometry);
    return status.ok() && !broadcasts_ ? SendPrepared() : status;
  }

  // The rival.
  absl::Status Bystand() override {
    const Side side = Other(held_.side);
    // A broadcast's only sender is another one before.
    const bool opens_late = broadcasts_ && side == Side::kSender;
    absl::Status status = opens_late ? absl::OkStatus() : subject_.Open(side);
    if (status.ok() && held_.rival == Rival::kBothSides) status = subject_.Open(held_.side);
    // A broadcast's receiver gets what is sent from now on.
    if (status.ok() && broadcasts_ && side == Side::kReceiver) status = SendPrepared();
    if (!status.ok()) return status;
    starved_before_nanos_ = OwnCpuTimes().waited_nanos;
    notes_.bystander_ready = 1;
    while (notes_.held == 0) os::WaitOnFutex(notes_.held, 0, Deadline::Never());
    notes_.rival = RivalState::kActs;
    if (opens_late) status = subject_.Open(side);
    if (status.ok()) status = Act();
    const int64_t acted_nanos = os::MonotonicNanos();
    notes_.rival = RivalState::kHasActed;
    while (notes_.killed == 0) os::WaitOnFutex(notes_.killed, 0, Deadline::Never());
    if (status.ok() && side == Side::kReceiver) status = ReceiveRest();
    if (status.ok() && held_.rival == Rival::kWaits) status = JudgeWait(acted_nanos);
    subject_.Close(Side::kSender);
    subject_.Close(Side::kReceiver);
    notes_.rival = RivalState::kHasLeft;
    return status;
  }

  void BeforeCall() override {
    starved_before_nanos_ = OwnCpuTimes().waited_nanos;
    if (!subject_.Open(held_.side).ok()) _exit(1);
    if (broadcasts_ && held_.side == Side::kReceiver && !SendPrepared().ok()) _exit(1);
    if (held_.side == Side::kSender) Write(kVictim, 0);
  }

  void Call(int64_t timeout_nanos) override {
    may_time_out_ = timeout_nanos <= kRecordedTimeoutNanos;
    const Deadline deadline = held_.rival == Rival::kOnce ? os::After(timeout_nanos) : Deadline::Immediate();
    if (held_.side == Side::kSender) {
      result_ = subject_.Send(buffer_, PriorityOf(kVictim, 0), deadline);
    } else {
      uint32_t priority = 0;
      result_ = subject_.Receive(buffer_, &priority, deadline);
    }
  }

  absl::Status AfterCall() override {
    absl::Status in_time;
    if (held_.rival == Rival::kOnce && !may_time_out_) in_time = JudgeWait(os::MonotonicNanos());
    if (held_.rival == Rival::kWaits) notes_.starved_nanos += StarvedNanos();
    absl::Status status = held_.side == Side::kSender ? NoteSent(kVictim, result_) : NoteReceived(result_);
    if (absl::IsUnavailable(status)) status = absl::OkStatus();
    if (status.ok() && held_.side == Side::kReceiver) status = ReceiveRest();
    subject_.Close(held_.side);
    status.Update(in_time);
    return status;
  }

  absl::Status Check(bool /*finished*/) override {
    const Deadline end = os::After(kHangNanos);
    while (notes_.rival != RivalState::kHasLeft && !os::HasPassed(end)) sched_yield();
    if (notes_.rival != RivalState::kHasLeft) return Wrong("a rival that does not come back");
    if (broadcasts_) return absl::OkStatus();
    absl::Status status = subject_.Open(Side::kSender);
    if (status.ok()) status = subject_.Open(Side::kReceiver);
    if (status.ok()) status = ReceiveRest();
    if (!status.ok()) return status;
    // As it was at first, the object holds its depth at least.
    uint32_t room = 0;
    while (room < kMostNumbered && SendOne(kPrepared, room).ok()) ++room;
    if (room < held_.depth) return Wrong(absl::StrFormat("room for %d messages instead of %d", room, held_.depth));
    for (uint32_t n = 0; n < room; ++n) {
      uint32_t priority = 0;
      if (!subject_.Receive(buffer_, &priority, Deadline::Immediate()).ok())
        return Wrong("a refill that does not come back");
    }
    return absl::OkStatus();
  }

  absl::Status CheckAll(bool /*finished*/) override {
    uint32_t missing = 0;
    for (uint32_t sender = 0; sender <= kSurvivor; ++sender) {
      for (uint32_t n = 0; n < kMostNumbered; ++n) {
        const uint32_t times = ledger().received[sender][n];
        if (times > 1) return Wrong(absl::StrFormat("message %d of sender %d twice", n, sender));
        if (times == 1 && n >= ledger().accepted[sender]) return Wrong("a message that was not accepted");
        if (times == 0 && n < ledger().accepted[sender]) ++missing;
      }
    }
    if (missing != ledger().missed) {
      return Wrong(absl::StrFormat("%d messages lost of %d, and %d told of", missing,
                                   ledger().accepted[0] + ledger().accepted[1] + ledger().accepted[2],
                                   ledger().missed.load()));
    }
    return absl::OkStatus();
  }

 private:
  [[nodiscard]] Ledger& ledger() const { return *static_cast<Ledger*>(ledger_.address()); }

  [[nodiscard]] uint32_t PriorityOf(uint32_t sender, uint64_t sequence) const {
    constexpr uint32_t kFirst[] = {0, 2 * kDepth, kDepth};  // the prepared ones, the victim's, the rival's
    return held_.raises ? kFirst[sender] + static_cast<uint32_t>(sequence) : 0;
  }
  void Write(uint32_t sender, uint64_t sequence) {
    const MessageHeader header = {0, sequence, sender, held_.bytes, PriorityOf(sender, sequence), Kind::kData};
    WriteMessage(header, seed_, buffer_);
  }
  IoResult SendOne(uint32_t sender, uint64_t sequence, Deadline deadline = Deadline::Immediate()) {
    Write(sender, sequence);
    return subject_.Send(buffer_, PriorityOf(sender, sequence), deadline);
  }

  // For so long it was ready to run since it began, and had no CPU.
  [[nodiscard]] int64_t StarvedNanos() const { return OwnCpuTimes().waited_nanos - starved_before_nanos_; }

  // Of who has waited until then.
  [[nodiscard]] absl::Status JudgeWait(int64_t end_nanos) const {
    // Neither it nor the one that was to wake it is late for want of a CPU.
    const int64_t late_nanos = end_nanos - notes_.let_go_nanos - StarvedNanos() - notes_.starved_nanos;
    if (late_nanos <= kLateNanos) return absl::OkStatus();
    return absl::DeadlineExceededError(
        absl::StrFormat("one who waited and could go on did not for %d ms: nobody woke it", late_nanos / 1'000'000));
  }

  // ok, kUnavailable: it did not go, and need not; or what is wrong.
  absl::Status NoteSent(uint32_t sender, const IoResult& result) {
    if (result.ok()) {
      ++ledger().accepted[sender];
      return absl::OkStatus();
    }
    if (result.outcome == Outcome::kWouldBlock || (result.outcome == Outcome::kDeadline && may_time_out_)) {
      return absl::UnavailableError("it is full");
    }
    return Wrong(absl::StrFormat("a Send that says %s (errno %d)", OutcomeName(result.outcome), result.err));
  }

  absl::Status NoteReceived(const IoResult& result) {
    if (result.outcome == Outcome::kMissed) {
      ledger().missed += static_cast<uint32_t>(result.bytes);
      return absl::OkStatus();
    }
    const bool may_be_alone = notes_.killed != 0;
    const bool nobody = may_be_alone && (result.outcome == Outcome::kPeerDead || result.outcome == Outcome::kClosed);
    const bool in_time = result.outcome == Outcome::kDeadline && may_time_out_;
    if (result.outcome == Outcome::kWouldBlock || in_time || nobody) return absl::UnavailableError("it is empty");
    if (!result.ok()) {
      return Wrong(absl::StrFormat("a Receive that says %s (errno %d)", OutcomeName(result.outcome), result.err));
    }
    MessageHeader header;
    if (result.bytes != held_.bytes || !ReadMessage(buffer_, seed_, &header) || header.sender > kSurvivor ||
        header.sequence >= kMostNumbered) {
      return Wrong("a torn message");
    }
    if (held_.raises ? header.priority > highest_due_ : header.sequence < due_[header.sender]) {
      return Wrong("a message twice or out of order");
    }
    if (all_are_sent_) highest_due_ = header.priority;
    due_[header.sender] = header.sequence + 1;
    ++ledger().received[header.sender][header.sequence];
    return absl::OkStatus();
  }

  absl::Status ReceiveOne(Deadline deadline = Deadline::Immediate()) {
    uint32_t priority = 0;
    return NoteReceived(subject_.Receive(buffer_, &priority, deadline));
  }

  // Until nothing is there when nobody is about to send any more.
  absl::Status ReceiveRest() {
    const Deadline end = os::After(kHangNanos);
    for (;;) {
      const bool is_last_look = held_.side == Side::kSender || notes_.rival != RivalState::kActs || os::HasPassed(end);
      all_are_sent_ = is_last_look;
      absl::Status status;
      for (uint32_t n = 0; status.ok() && n <= 3 * kMostNumbered; ++n) status = ReceiveOne();
      if (status.ok()) return Wrong("more messages than there can be");
      if (!absl::IsUnavailable(status)) return status;
      if (is_last_look) return absl::OkStatus();
    }
  }

  // By an end that goes again.
  absl::Status SendPrepared() {
    // One that came and went would be reported to a receiver that is to wait.
    if (held_.prepared == 0) return absl::OkStatus();
    absl::Status status = subject_.Open(Side::kSender);
    for (uint32_t n = 0; status.ok() && n < std::min(held_.prepared, kMostNumbered); ++n) {
      status = NoteSent(kPrepared, SendOne(kPrepared, n));
    }
    subject_.Close(Side::kSender);
    return held_.prepared == kFull && absl::IsUnavailable(status) ? absl::OkStatus() : status;
  }

  absl::Status Act() {
    if (held_.rival == Rival::kOnce || held_.rival == Rival::kWaits) {
      const Deadline deadline = held_.rival == Rival::kOnce ? Deadline::Immediate() : os::After(kHeldTimeoutNanos);
      return held_.side == Side::kSender ? ReceiveOne(deadline) : NoteSent(kSurvivor, SendOne(kSurvivor, 0, deadline));
    }
    absl::Status status;
    if (held_.rival == Rival::kBothSides) {
      status = held_.side == Side::kSender ? NoteSent(kSurvivor, SendOne(kSurvivor, 0)) : ReceiveOne();
      if (!status.ok() && !absl::IsUnavailable(status)) return status;
    }
    status = absl::OkStatus();
    const uint32_t first = ledger().accepted[kSurvivor];
    for (uint32_t n = 0; status.ok() && n < held_.depth + 2; ++n) {
      status = held_.side == Side::kSender ? ReceiveOne() : NoteSent(kSurvivor, SendOne(kSurvivor, first + n));
    }
    return absl::IsUnavailable(status) ? absl::OkStatus() : status;
  }

  const uint64_t seed_;
  Subject& subject_;
  const Held& held_;
  const bool broadcasts_;
  os::Mapping ledger_;
  std::vector<std::byte> buffer_;
  IoResult result_;
  int64_t starved_before_nanos_ = 0;
  bool may_time_out_ = false;
  uint64_t due_[3] = {};
  bool all_are_sent_ = false;
  uint32_t highest_due_ = UINT32_MAX;  // from then on priorities fall
};

template <size_t kCount>
void AddCalls(const Held (&helds)[kCount], const std::shared_ptr<Subject>& subject, bool broadcasts,
              std::vector<SweptCall>* calls) {
  for (const Held& held : helds) {
    calls->push_back({held.name, [subject, &held, broadcasts](Notes* notes, uint64_t seed) {
                        return std::make_unique<HeldCase>(notes, seed, subject.get(), held, broadcasts);
                      }});
  }
}

}  // namespace

std::vector<SweptCall> HeldCalls(const Capabilities& capabilities, MakeSubjectFunction make_subject) {
  const std::shared_ptr<Subject> subject = make_subject();
  std::vector<SweptCall> calls;
  if (capabilities.broadcasts) {
    AddCalls(kHeldBroadcasts, subject, true, &calls);
    return calls;
  }
  AddCalls(kHelds, subject, false, &calls);
  if (capabilities.max_senders > 1 && capabilities.max_receivers > 1) {
    AddCalls(kHeldsAmongMany, subject, false, &calls);
  }
  if (capabilities.has_priorities) AddCalls(kHeldsWithPriorities, subject, false, &calls);
  return calls;
}

}  // namespace ipcmark::stress
