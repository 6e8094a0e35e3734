// Calls on one end of a primitive whose messages go to one receiver each. No accepted message is lost but the one that
// a killed receiver had in its hands, none is there twice, torn or out of order; who slept in a call goes on within
// kPeerDeathNanos when it can; new ends open, and the object has the room that it had.

#include <sched.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ipc/os/clock.h"
#include "stress/sweep_calls.h"
#include "stress/sweep_subject.h"

namespace ipcmark::stress {
namespace {

enum class Action : uint8_t { kOpen, kClose, kTransfer };
enum class Content : uint8_t { kEmpty, kSome, kFull };

constexpr uint64_t kSome = 2;  // messages

// What the victim does, and what lies in the object before.
struct Transfer {
  const char* name;
  Side side;
  Action action;
  Content content;
  bool timed = false;    // with a deadline, which passes
  bool sleeper = false;  // an end of the other side sleeps in its call when the victim begins
};

constexpr Transfer kTransfers[] = {
    {"send", Side::kSender, Action::kTransfer, Content::kSome},
    {"send_to_sleeper", Side::kSender, Action::kTransfer, Content::kEmpty, false, true},
    {"timed_send", Side::kSender, Action::kTransfer, Content::kFull, true},
    {"open_sender", Side::kSender, Action::kOpen, Content::kSome},
    {"close_sender", Side::kSender, Action::kClose, Content::kSome},
    {"receive", Side::kReceiver, Action::kTransfer, Content::kSome},
    {"receive_for_sleeper", Side::kReceiver, Action::kTransfer, Content::kFull, false, true},
    {"timed_receive", Side::kReceiver, Action::kTransfer, Content::kEmpty, true},
    {"open_receiver", Side::kReceiver, Action::kOpen, Content::kSome},
    {"close_receiver", Side::kReceiver, Action::kClose, Content::kSome},
};

// One subject for all points of a call: each has an object of its own in it.
struct Shared {
  std::unique_ptr<Subject> subject;
  uint64_t room = 0;  // how many messages an object takes; 0: not yet known
};

class TransferCase : public SubjectCase {
 public:
  TransferCase(Notes* notes, uint64_t seed, Shared* shared, const Transfer& transfer)
      : SubjectCase(notes, seed, shared->subject.get()), shared_(*shared), transfer_(transfer) {}

  absl::Status Prepare() override {
    if (shared_.room == 0) {
      const absl::StatusOr<uint64_t> room = Fill(UINT32_MAX);
      if (!room.ok()) return room.status();
      shared_.room = *room;
    }
    const uint64_t wanted = transfer_.content == Content::kFull   ? shared_.room
                            : transfer_.content == Content::kSome ? kSome
                                                                  : 0;
    const absl::StatusOr<uint64_t> prepared = Fill(wanted);
    if (prepared.ok()) prepared_ = *prepared;
    return prepared.status();
  }

  [[nodiscard]] bool has_bystander() const override { return transfer_.sleeper; }
  [[nodiscard]] bool bystander_sleeps() const override { return true; }

  absl::Status Bystand() override {
    absl::Status status = subject_.Open(Other(transfer_.side));
    if (!status.ok()) return status;
    notes_.bystander_ready = 1;
    // Between the victim's death and the survivor's coming nobody is on the other side, and it may say so.
    if (transfer_.side == Side::kReceiver) {
      IoResult sent;
      do {
        sent = SendOne(kSurvivor, 0, Deadline::Never());
        if (!sent.ok()) sched_yield();
      } while (sent.outcome == Outcome::kPeerDead || sent.outcome == Outcome::kClosed);
      if (!sent.ok()) return Wrong(absl::StrCat("its Send says ", OutcomeName(sent.outcome)));
      NoteResumed();
      return status;
    }
    while (notes_.seen[kSurvivor] == 0) {
      status = ReceiveOne(Deadline::Never());
      if (absl::IsUnavailable(status)) {
        sched_yield();
      } else if (!status.ok()) {
        return status;
      } else {
        NoteResumed();
      }
    }
    return status;
  }

  void BeforeCall() override {
    if (transfer_.action != Action::kOpen && !subject_.Open(transfer_.side).ok()) _exit(1);
  }

  void Call(int64_t timeout_nanos) override {
    const Deadline deadline = transfer_.timed ? os::After(timeout_nanos) : Deadline::Never();
    if (transfer_.action == Action::kOpen) {
      subject_.Open(transfer_.side).IgnoreError();
    } else if (transfer_.action == Action::kClose) {
      subject_.Close(transfer_.side);
    } else if (transfer_.side == Side::kSender) {
      SendOne(kVictim, 0, deadline);
    } else {
      std::byte buffer[kSweptBytes];
      uint32_t priority = 0;
      subject_.Receive(buffer, &priority, deadline);
    }
  }

  absl::Status Check(bool finished) override {
    if (transfer_.sleeper) return CheckBesideSleeper();
    absl::Status status = subject_.Open(Side::kSender);
    if (!status.ok()) return status;
    status = subject_.Open(Side::kReceiver);
    if (!status.ok()) return status;
    status = ReceiveAll(shared_.room + 1);
    if (status.ok()) status = CheckContent(finished);
    return status.ok() ? Refill(shared_.room) : status;
  }

  absl::Status CheckAll(bool finished) override {
    if (!transfer_.sleeper) return absl::OkStatus();
    absl::Status status = CheckContent(finished);
    if (!status.ok()) return status;
    // What the victim did counts, so the sleeper could go on. Did it, before the survivor did anything?
    const bool could = transfer_.side == Side::kSender ? notes_.seen[kVictim] != 0 : Missing() != 0;
    if (!could || notes_.bystander_nanos < notes_.survivor_nanos) return status;
    return absl::DeadlineExceededError(absl::StrFormat("the %s that slept could go on and did not within %d ms",
                                                       SideName(Other(transfer_.side)), kPeerDeathNanos / 1'000'000));
  }

 private:
  // Makes an object with so many messages, or as many as it takes; how many they are.
  absl::StatusOr<uint64_t> Fill(uint64_t wanted) {
    absl::Status status = subject_.Create(kSweptGeometry);
    if (!status.ok()) return status;
    uint64_t accepted = 0;
    if (wanted == 0) return accepted;
    status = subject_.Open(Side::kSender);
    if (!status.ok()) return status;
    while (accepted < wanted && SendOne(kPrepared, accepted, Deadline::Immediate()).ok()) ++accepted;
    subject_.Close(Side::kSender);
    return accepted;
  }

  void NoteResumed() {
    notes_.Recover();
    if (notes_.bystander_nanos == 0) notes_.bystander_nanos = os::MonotonicNanos();
  }

  absl::Status CheckBesideSleeper() {
    const Deadline promised = {notes_.killed_nanos + kPeerDeathNanos};
    while (patient_ && notes_.bystander_nanos == 0 && !os::HasPassed(promised)) sched_yield();
    notes_.survivor_nanos = os::MonotonicNanos();
    absl::Status status = subject_.Open(transfer_.side);
    if (!status.ok()) return status;
    if (transfer_.side == Side::kSender) {
      const IoResult sent = SendOne(kSurvivor, 0, os::After(kHangNanos));
      return sent.ok() ? status : Wrong(absl::StrCat("a survivor's Send says ", OutcomeName(sent.outcome)));
    }
    while (status.ok() && notes_.seen[kSurvivor] == 0 && Seen() <= shared_.room + 1) {
      status = ReceiveOne(os::After(kHangNanos));
    }
    return status;
  }

  [[nodiscard]] uint64_t Missing() const { return prepared_ - notes_.seen[kPrepared]; }

  absl::Status CheckContent(bool finished) const {
    const uint32_t own = notes_.seen[kVictim];
    const bool transfers = transfer_.action == Action::kTransfer && !transfer_.timed;
    const bool sends = transfers && transfer_.side == Side::kSender;
    const bool receives = transfers && transfer_.side == Side::kReceiver;
    if (own > (sends ? 1 : 0) || (sends && finished && own != 1)) {
      return Wrong(absl::StrFormat("%d messages of the victim, which had%s returned from its Send", own,
                                   finished ? "" : " not"));
    }
    if (Missing() > (receives ? 1 : 0) || (receives && finished && Missing() != 1)) {
      return Wrong(absl::StrFormat("%d of %d messages missing", Missing(), prepared_));
    }
    return absl::OkStatus();
  }

  Shared& shared_;
  const Transfer& transfer_;
  uint64_t prepared_ = 0;
};

// An object that is made: nobody sees a half-made one, because it has no name, and the next one can be made at once.
class CreateCase : public SubjectCase {
 public:
  CreateCase(Notes* notes, uint64_t seed, Shared* shared)
      : SubjectCase(notes, seed, shared->subject.get()), capacity_(kSweptGeometry.depth_messages) {}

  absl::Status Prepare() override { return absl::OkStatus(); }
  void Call(int64_t) override { subject_.Create(kSweptGeometry).IgnoreError(); }
  absl::Status Check(bool) override {
    absl::Status status = subject_.Create(kSweptGeometry);
    if (status.ok()) status = subject_.Open(Side::kSender);
    if (status.ok()) status = subject_.Open(Side::kReceiver);
    if (!status.ok()) return status;
    for (uint64_t n = 0; n < capacity_; ++n) {
      const IoResult sent = SendOne(kPrepared, n, os::After(kHangNanos));
      if (!sent.ok()) return Wrong(absl::StrCat("Send on the next object says ", OutcomeName(sent.outcome)));
    }
    status = ReceiveAll(capacity_);
    if (!status.ok()) return status;
    return Seen() == capacity_ ? status
                               : Wrong(absl::StrFormat("%d of %d messages in the next object", Seen(), capacity_));
  }

 private:
  const uint64_t capacity_;
};

}  // namespace

std::vector<SweptCall> TransferCalls(MakeSubjectFunction make_subject) {
  std::vector<SweptCall> calls;
  for (const Transfer& transfer : kTransfers) {
    const auto shared = std::make_shared<Shared>(Shared{make_subject()});
    calls.push_back({transfer.name, [shared, &transfer](Notes* notes, uint64_t seed) {
                       return std::make_unique<TransferCase>(notes, seed, shared.get(), transfer);
                     }});
  }
  return calls;
}

SweptCall CreateCall(MakeSubjectFunction make_subject) {
  const auto shared = std::make_shared<Shared>(Shared{make_subject()});
  return {"create",
          [shared](Notes* notes, uint64_t seed) { return std::make_unique<CreateCase>(notes, seed, shared.get()); }};
}

}  // namespace ipcmark::stress
