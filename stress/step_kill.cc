#include "stress/step_kill.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ipc/os/clock.h"
#include "ipc/os/fd.h"
#include "ipc/os/futex.h"
#include "ipc/os/mapping.h"
#include "ipc/os/process_group.h"
#include "stress/message.h"
#include "stress/random.h"
#include "stress/stepper.h"

namespace ipcmark::stress {
namespace {

using Action = SweptCall::Action;
using Content = SweptCall::Content;

constexpr uint32_t kBytes = 64;
constexpr Geometry kGeometry = {.depth_messages = 4, .max_message_bytes = kBytes, .wait = Wait::kBlock};
constexpr uint64_t kSome = 2;  // messages
// Who sent a message.
constexpr uint32_t kPrepared = 0;
constexpr uint32_t kVictim = 1;
constexpr uint32_t kSurvivor = 2;
// A recorded call crawls: it must get to sleep before its deadline. The others are over in microseconds.
constexpr int64_t kRecordedTimeoutNanos = 45'000'000;
constexpr int64_t kTimeoutNanos = 2'000'000;
// Who has not done a call that need not wait after so long never will.
constexpr int64_t kHangNanos = 3'000'000'000;

constexpr SweptCall kCalls[] = {
    {"send", Side::kSender, Action::kTransfer, Content::kSome},
    {"send_to_sleeper", Side::kSender, Action::kTransfer, Content::kEmpty, false, true},
    {"timed_send", Side::kSender, Action::kTransfer, Content::kFull, true},
    {"open_sender", Side::kSender, Action::kOpen, Content::kSome},
    {"close_sender", Side::kSender, Action::kClose, Content::kSome},
    {"receive", Side::kReceiver, Action::kTransfer, Content::kSome},
    {"timed_receive", Side::kReceiver, Action::kTransfer, Content::kEmpty, true},
    {"open_receiver", Side::kReceiver, Action::kOpen, Content::kSome},
    {"close_receiver", Side::kReceiver, Action::kClose, Content::kSome},
};

// What survivors have seen.
struct Notes {
  std::atomic<uint32_t> recovered;       // the first operation is done
  std::atomic<int64_t> recovered_nanos;  // when
  std::atomic<uint32_t> peer_opened;
  std::atomic<uint32_t> seen[3];  // messages by sender
  void Recover() {
    if (recovered.exchange(1) == 0) recovered_nanos = os::MonotonicNanos();
  }
};

bool IsAsleep(pid_t pid) {
  char text[256] = "";
  const os::Fd fd(open(absl::StrFormat("/proc/%d/stat", pid).c_str(), O_RDONLY | O_CLOEXEC));
  const ssize_t bytes = read(fd.get(), text, sizeof(text) - 1);
  const char* state = bytes > 0 ? strrchr(text, ')') : nullptr;
  return state != nullptr && state[2] == 'S';
}

absl::Status Wrong(const std::string& what) { return absl::AbortedError(what); }

class Point {
 public:
  Point(const SweepRequest& request, Subject* subject, Notes* notes, uint64_t room)
      : call_(*request.call), seed_(request.seed), subject_(*subject), notes_(*new (notes) Notes{}), room_(room) {}

  // Puts into a new object what lies there before the call; the room that was found, for Content::kFull.
  absl::StatusOr<uint64_t> Prepare() {
    absl::Status status = subject_.Create(kGeometry);
    if (!status.ok()) return status;
    const uint64_t wanted = call_.content == Content::kFull ? UINT32_MAX : call_.content == Content::kSome ? kSome : 0;
    if (wanted == 0) return prepared_;
    status = subject_.Open(Side::kSender);
    if (!status.ok()) return status;
    while (prepared_ < wanted && SendOne(kPrepared, prepared_, Deadline::Immediate()).ok()) ++prepared_;
    subject_.Close(Side::kSender);
    return prepared_;
  }

  // The victim's two parts.
  void BeforeCall() {
    if (call_.action != Action::kOpen && !subject_.Open(call_.side).ok()) _exit(1);
  }
  void Call(int64_t timeout_nanos) {
    const Deadline deadline = call_.timed ? os::After(timeout_nanos) : Deadline::Never();
    if (call_.action == Action::kOpen) {
      subject_.Open(call_.side).IgnoreError();
    } else if (call_.action == Action::kClose) {
      subject_.Close(call_.side);
    } else if (call_.side == Side::kSender) {
      SendOne(kVictim, 0, deadline);
    } else {
      std::byte buffer[kBytes];
      uint32_t priority = 0;
      subject_.Receive(buffer, &priority, deadline);
    }
  }

  // The receiver that sleeps when the victim begins, until it has the survivor's message.
  absl::Status Sleep() {
    absl::Status status = subject_.Open(Side::kReceiver);
    if (!status.ok()) return status;
    notes_.peer_opened = 1;
    while (notes_.seen[kSurvivor] == 0) {
      status = ReceiveOne(Deadline::Never());
      // Between the victim's death and the survivor's coming nobody is there, and it may say so.
      if (absl::IsUnavailable(status)) {
        sched_yield();
      } else if (!status.ok()) {
        return status;
      }
    }
    return status;
  }

  // The survivor's look at what a killed victim has left.
  absl::Status Check(bool finished) {
    absl::Status status = subject_.Open(Side::kSender);
    if (!status.ok()) return status;
    if (call_.peer_waits) {
      const IoResult sent = SendOne(kSurvivor, 0, os::After(kHangNanos));
      return sent.ok() ? status : Wrong(absl::StrCat("a survivor's Send says ", OutcomeName(sent.outcome)));
    }
    status = subject_.Open(Side::kReceiver);
    if (!status.ok()) return status;
    // Bounded: a broken object may give for ever.
    while (status.ok() && Seen() <= room_ + 1) status = ReceiveOne(Deadline::Immediate());
    if (!absl::IsUnavailable(status)) return status.ok() ? Wrong("more messages than there can be") : status;
    status = CheckContent(finished);
    return status.ok() ? Refill() : status;
  }

  absl::Status CheckContent(bool finished) const {
    const uint32_t own = notes_.seen[kVictim];
    const bool transfers = call_.action == Action::kTransfer && !call_.timed;
    const bool sends = transfers && call_.side == Side::kSender;
    const bool receives = transfers && call_.side == Side::kReceiver;
    if (own > (sends ? 1 : 0) || (sends && finished && own != 1)) {
      return Wrong(absl::StrFormat("%d messages of the victim, which had%s returned from its Send", own,
                                   finished ? "" : " not"));
    }
    const uint64_t missing = prepared_ - notes_.seen[kPrepared];
    if (missing > (receives ? 1 : 0) || (receives && finished && missing != 1)) {
      return Wrong(absl::StrFormat("%d of %d messages missing", missing, prepared_));
    }
    return absl::OkStatus();
  }

 private:
  [[nodiscard]] uint64_t Seen() const {
    return uint64_t{notes_.seen[kPrepared]} + notes_.seen[kVictim] + notes_.seen[kSurvivor];
  }

  IoResult SendOne(uint32_t sender, uint64_t sequence, Deadline deadline) {
    std::byte buffer[kBytes];
    WriteMessage(
        {.checksum = 0, .sequence = sequence, .sender = sender, .bytes = kBytes, .priority = 0, .kind = Kind::kData},
        seed_, buffer);
    return subject_.Send(buffer, 0, deadline);
  }

  // kUnavailable: there is none, or nobody who sends.
  absl::Status ReceiveOne(Deadline deadline) {
    std::byte buffer[kBytes];
    uint32_t priority = 0;
    const IoResult result = subject_.Receive(buffer, &priority, deadline);
    const bool nothing = result.outcome == Outcome::kWouldBlock || result.outcome == Outcome::kPeerDead ||
                         result.outcome == Outcome::kClosed;
    if (nothing) return absl::UnavailableError(OutcomeName(result.outcome));
    if (!result.ok()) {
      return Wrong(absl::StrFormat("a survivor's Receive says %s (errno %d)", OutcomeName(result.outcome),
                                   static_cast<int>(result.err)));
    }
    notes_.Recover();
    MessageHeader header;
    const size_t bytes = std::min<size_t>(result.bytes, kBytes);
    if (!ReadMessage(std::span<const std::byte>(buffer).first(bytes), seed_, &header) || header.sender > kSurvivor) {
      return Wrong("a torn message");
    }
    // The first one may be in the hands of a killed receiver.
    const bool in_order = header.sender != kPrepared || header.sequence >= next_prepared_;
    if (!in_order) return Wrong("a message twice or out of order");
    if (header.sender == kPrepared) {
      if (header.sequence != next_prepared_ && !(next_prepared_ == 0 && header.sequence == 1)) {
        return Wrong(absl::StrFormat("message %d where %d was due", header.sequence, next_prepared_));
      }
      next_prepared_ = header.sequence + 1;
    }
    notes_.seen[header.sender] += 1;
    return absl::OkStatus();
  }

  absl::Status Refill() {
    uint64_t accepted = 0;
    while (accepted <= room_ && SendOne(kSurvivor, accepted, Deadline::Immediate()).ok()) {
      notes_.Recover();
      ++accepted;
    }
    if (accepted != room_) return Wrong(absl::StrFormat("room for %d messages instead of %d", accepted, room_));
    const uint32_t before = notes_.seen[kSurvivor];
    absl::Status status;
    while (status.ok()) status = ReceiveOne(Deadline::Immediate());
    if (!absl::IsUnavailable(status)) return status;
    const uint64_t returned = notes_.seen[kSurvivor] - before;
    return returned == room_ ? absl::OkStatus()
                             : Wrong(absl::StrFormat("%d messages of a refill of %d", returned, room_));
  }

  const SweptCall& call_;
  const uint64_t seed_;
  Subject& subject_;
  Notes& notes_;
  const uint64_t room_;
  uint64_t prepared_ = 0;
  uint64_t next_prepared_ = 0;
};

class Sweeper {
 public:
  Sweeper(const SweepRequest& request, os::Mapping notes)
      : request_(request), subject_(request.make_subject()), notes_(std::move(notes)) {}

  absl::StatusOr<Sweep> Run() {
    absl::Status status = FindRoom();
    if (!status.ok()) return status;
    // Unharmed first: it also says how many instructions there are.
    status = Try(0);
    if (!status.ok() || !sweep_.broken.empty()) return Result(status);
    sweep_.points = record_.size();
    const uint64_t to = std::min<uint64_t>(request_.to, sweep_.points);
    const uint64_t width = to - std::min(request_.from, to);
    const uint64_t count = request_.samples == 0 ? width : std::min(request_.samples, width);
    Random random(request_.seed);
    sweep_.next = request_.from;
    for (uint64_t i = 0; i < count && sweep_.broken.empty() && !MustStop(); ++i) {
      // One in each of `count` equal parts.
      const uint64_t first = request_.from + i * width / count;
      const uint64_t n = first + random.Below(request_.from + (i + 1) * width / count - first);
      status = Try(n);
      if (!status.ok()) return status;
      sweep_.next = count == width ? n + 1 : 0;
    }
    return sweep_;
  }

 private:
  absl::StatusOr<Sweep> Result(const absl::Status& status) const {
    if (!status.ok()) return status;
    return sweep_;
  }
  Notes* notes() { return static_cast<Notes*>(notes_.address()); }
  [[nodiscard]] bool MustStop() const {
    return os::MonotonicNanos() >= request_.end_nanos ||
           (request_.cancel != nullptr && request_.cancel->load(std::memory_order_relaxed));
  }

  // How many messages an object takes.
  absl::Status FindRoom() {
    static constexpr SweptCall kFill = {"fill", Side::kSender, Action::kTransfer, Content::kFull};
    const SweepRequest fill = {.make_subject = request_.make_subject, .call = &kFill, .seed = request_.seed};
    const absl::StatusOr<uint64_t> room = Point(fill, subject_.get(), notes(), 0).Prepare();
    if (room.ok()) room_ = *room;
    return room.status();
  }

  // Kills before instruction n, or records when there is no record yet.
  absl::Status Try(uint64_t n) {
    absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(2, request_.cancel);
    if (!group.ok()) return group.status();
    Point point(request_, subject_.get(), notes(), room_);
    const absl::StatusOr<uint64_t> prepared = point.Prepare();
    if (!prepared.ok()) return prepared.status();
    int peer = -1;
    if (request_.call->peer_waits) {
      const absl::StatusOr<int> spawned =
          group->Spawn("the receiver that slept", os::kAnyCpu, [&](os::Gate&) { return point.Sleep(); });
      if (!spawned.ok()) return spawned.status();
      peer = *spawned;
      const Deadline end = os::After(kHangNanos);
      const pid_t pid = group->pid(peer);
      while ((notes()->peer_opened == 0 || !IsAsleep(pid)) && !os::HasPassed(end)) sched_yield();
    }
    const bool records = record_.empty();
    bool finished = false;
    {
      const int64_t timeout_nanos = records ? kRecordedTimeoutNanos : kTimeoutNanos;
      Victim victim([&] { point.BeforeCall(); }, [&] { point.Call(timeout_nanos); });
      if (!victim.ready()) return absl::UnavailableError("the victim could not be traced");
      if (records) {
        record_ = victim.Record();
      } else {
        sweep_.reached += victim.RunTo(record_, n) ? 1 : 0;
      }
      finished = victim.finished();
      victim.Kill();
    }
    const int64_t killed_nanos = os::MonotonicNanos();
    const absl::StatusOr<int> survivor =
        group->Spawn("a survivor", os::kAnyCpu, [&](os::Gate&) { return point.Check(finished); });
    if (!survivor.ok()) return survivor.status();
    absl::Status checked = group->JoinOne(*survivor, os::After(kHangNanos));
    if (checked.ok() && peer >= 0) checked = group->JoinOne(peer, os::After(kHangNanos));
    if (checked.ok() && peer >= 0) checked = point.CheckContent(finished);
    if (absl::IsCancelled(checked)) return absl::OkStatus();
    if (!checked.ok()) {
      sweep_.broken = std::string(checked.message());
      sweep_.broken_point = n;
    }
    sweep_.trials += records ? 0 : 1;
    sweep_.survivors += peer >= 0 ? 2 : 1;
    if (notes()->recovered != 0) {
      sweep_.worst_recovery_nanos =
          std::max(sweep_.worst_recovery_nanos, notes()->recovered_nanos.load() - killed_nanos);
    }
    return absl::OkStatus();
  }

  const SweepRequest& request_;
  std::unique_ptr<Subject> subject_;
  os::Mapping notes_;
  uint64_t room_ = 0;
  std::vector<uint64_t> record_;  // the addresses of the call's instructions
  Sweep sweep_;
};

}  // namespace

std::span<const SweptCall> SweptCalls() { return kCalls; }

absl::StatusOr<Sweep> SweepCall(const SweepRequest& request) {
  absl::Status may = MayStep();
  if (!may.ok()) return may;
  absl::StatusOr<os::Mapping> notes = os::Mapping::SharedAnonymous(sizeof(Notes));
  if (!notes.ok()) return notes.status();
  return Sweeper(request, *std::move(notes)).Run();
}

}  // namespace ipcmark::stress
