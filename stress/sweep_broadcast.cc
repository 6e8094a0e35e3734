// Calls on one end of a broadcast, of which every receiver gets every message. A witness has been there all along: what
// was accepted reaches it once, whole and in order, or is counted as missed where a slow receiver misses; a dead
// receiver holds nobody back for longer than kPeerDeathNanos; new ends open and go on behind the last message.

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ipc/os/clock.h"
#include "ipc/os/futex.h"
#include "ipc/os/process_state.h"
#include "stress/message.h"
#include "stress/sweep_calls.h"
#include "stress/sweep_subject.h"

namespace ipcmark::stress {
namespace {

enum class Action : uint8_t { kOpen, kClose, kTransfer };
// What the witness does while the victim is killed.
enum class Witness : uint8_t {
  kWaits,          // has read nothing yet
  kSleeps,         // in Receive, on an empty ring
  kSleepsSending,  // in Send, since the victim has read nothing yet
};

constexpr uint64_t kSome = 2;  // messages
constexpr uint64_t kDepth = kSweptGeometry.depth_messages;
// The survivor goes round the ring twice.
constexpr uint64_t kFinal = 2 * kDepth + 1;

struct Broadcast {
  const char* name;
  Side side;
  Action action;
  uint32_t prepared;  // messages sent before; to a receiver that is the victim, after it had opened
  bool timed = false;
  Witness witness = Witness::kWaits;
  SlowReceiver slow = SlowReceiver::kBlocksSender;
};

constexpr Broadcast kBroadcasts[] = {
    {"send", Side::kSender, Action::kTransfer, kSome},
    {"send_to_sleeper", Side::kSender, Action::kTransfer, 0, false, Witness::kSleeps},
    {"timed_send", Side::kSender, Action::kTransfer, kDepth, true},
    {"send_over", Side::kSender, Action::kTransfer, kDepth, false, Witness::kWaits, SlowReceiver::kMissesMessages},
    {"open_sender", Side::kSender, Action::kOpen, kSome},
    {"close_sender", Side::kSender, Action::kClose, kSome},
    {"receive", Side::kReceiver, Action::kTransfer, kSome},
    {"receive_missed", Side::kReceiver, Action::kTransfer, kDepth + 3, false, Witness::kWaits,
     SlowReceiver::kMissesMessages},
    {"receive_for_sleeper", Side::kReceiver, Action::kTransfer, kDepth, false, Witness::kSleepsSending},
    {"timed_receive", Side::kReceiver, Action::kTransfer, 0, true},
    {"open_receiver", Side::kReceiver, Action::kOpen, kSome},
    {"close_receiver", Side::kReceiver, Action::kClose, kSome},
};

class BroadcastCase : public SubjectCase {
 public:
  BroadcastCase(Notes* notes, uint64_t seed, Subject* subject, const Broadcast& call)
      : SubjectCase(notes, seed, subject), call_(call) {}

  absl::Status Prepare() override {
    Geometry geometry = kSweptGeometry;
    geometry.receivers = 3;  // the witness, the victim and a survivor
    geometry.slow_receiver = call_.slow;
    return subject_.Create(geometry);
  }

  [[nodiscard]] bool has_bystander() const override { return true; }
  [[nodiscard]] bool bystander_sleeps() const override { return call_.witness == Witness::kSleeps; }

  absl::Status Bystand() override {
    if (call_.witness == Witness::kSleepsSending) return SendToVictim();
    absl::Status status = subject_.Open(Side::kReceiver);
    if (status.ok() && !victim_prepares()) status = SendPrepared();
    if (!status.ok()) return status;
    notes_.bystander_ready = 1;
    while (call_.witness == Witness::kWaits && notes_.killed == 0) {
      os::WaitOnFutex(notes_.killed, 0, Deadline::Never());
    }
    return ReadEverything();
  }

  void BeforeCall() override {
    if (call_.action != Action::kOpen && !subject_.Open(call_.side).ok()) _exit(1);
    if (victim_prepares() && !SendPrepared().ok()) _exit(1);
    if (call_.witness != Witness::kSleepsSending) return;
    notes_.victim_open = 1;
    const Deadline end = os::After(kHangNanos);
    while ((notes_.bystander_ready != 2 || !os::IsAsleep(static_cast<pid_t>(notes_.bystander_pid))) &&
           !os::HasPassed(end)) {
      sched_yield();
    }
  }

  void Call(int64_t timeout_nanos) override {
    const Deadline deadline = call_.timed ? os::After(timeout_nanos) : Deadline::Never();
    if (call_.action == Action::kOpen) {
      subject_.Open(call_.side).IgnoreError();
    } else if (call_.action == Action::kClose) {
      subject_.Close(call_.side);
    } else if (call_.side == Side::kSender) {
      SendOne(kVictim, call_.prepared, deadline);
    } else {
      std::byte buffer[kSweptBytes];
      uint32_t priority = 0;
      subject_.Receive(buffer, &priority, deadline);
    }
  }

  absl::Status Check(bool finished) override {
    const Deadline promised = {notes_.killed_nanos + kPeerDeathNanos};
    while (patient_ && notes_.bystander_nanos == 0 && !os::HasPassed(promised)) sched_yield();
    notes_.survivor_nanos = os::MonotonicNanos();
    absl::Status status = subject_.Open(Side::kReceiver);
    if (!status.ok() || call_.witness == Witness::kSleepsSending) return status;
    status = subject_.Open(Side::kSender);
    if (!status.ok()) return status;
    for (uint64_t n = 0; n < kFinal; ++n) {
      const int64_t begin_nanos = os::MonotonicNanos();
      const IoResult sent = SendOne(kSurvivor, n, os::After(kHangNanos));
      if (!sent.ok()) return Wrong(absl::StrCat("a survivor's Send says ", OutcomeName(sent.outcome)));
      notes_.Recover();
      // The one that meets the dead receiver's place waits for it.
      notes_.slowest_nanos = std::max(notes_.slowest_nanos.load(), os::MonotonicNanos() - begin_nanos);
      MessageHeader header;
      IoResult received;
      bool intact = ReceiveHeader(Deadline::Immediate(), &header, &received);
      // What the victim had committed without returning may count as sent before or after we opened.
      if (intact && header.sender == kVictim && !finished) {
        intact = ReceiveHeader(Deadline::Immediate(), &header, &received);
      }
      if (!intact || header.sender != kSurvivor || header.sequence != n) {
        return Wrong(absl::StrFormat("a new receiver not getting message %d of the new sender, but %s", n,
                                     received.ok() ? "another one" : OutcomeName(received.outcome)));
      }
    }
    return status;
  }

  absl::Status CheckAll(bool finished) override {
    const bool sends = call_.side == Side::kSender && call_.action == Action::kTransfer && !call_.timed;
    if (call_.witness == Witness::kSleepsSending) return absl::OkStatus();
    const uint32_t own = notes_.seen[kVictim];
    const bool may_miss = call_.slow == SlowReceiver::kMissesMessages;
    if (own > (sends ? 1 : 0) || (sends && finished && own != 1 && !may_miss)) {
      return Wrong(absl::StrFormat("%d messages of the victim, which had%s returned from its Send", own,
                                   finished ? "" : " not"));
    }
    if (call_.witness != Witness::kSleeps || own == 0 || notes_.bystander_nanos < notes_.survivor_nanos) {
      return absl::OkStatus();
    }
    return absl::DeadlineExceededError(
        absl::StrFormat("the receiver that slept could go on and did not within %d ms", kPeerDeathNanos / 1'000'000));
  }

 private:
  [[nodiscard]] bool victim_prepares() const {
    return call_.side == Side::kReceiver && call_.action != Action::kOpen && call_.witness != Witness::kSleepsSending;
  }

  absl::Status SendPrepared() {
    // A sender that came and went would be reported to a receiver that is to sleep.
    if (call_.prepared == 0) return absl::OkStatus();
    absl::Status status = subject_.Open(Side::kSender);
    if (!status.ok()) return status;
    for (uint64_t n = 0; n < call_.prepared; ++n) {
      const IoResult sent = SendOne(kPrepared, n, Deadline::Immediate());
      if (!sent.ok()) return Wrong(absl::StrCat("a Send with nobody killed says ", OutcomeName(sent.outcome)));
    }
    subject_.Close(Side::kSender);
    return status;
  }

  // The witness as a sender that the victim holds back.
  absl::Status SendToVictim() {
    absl::Status status = subject_.Open(Side::kSender);
    if (!status.ok()) return status;
    notes_.bystander_pid = getpid();
    notes_.bystander_ready = 1;
    // Not asleep: the victim takes its sleep for that in Send.
    while (notes_.victim_open == 0) sched_yield();
    for (uint64_t n = 0; n < kDepth; ++n) SendOne(kPrepared, n, Deadline::Immediate());
    notes_.bystander_ready = 2;
    const IoResult sent = SendOne(kSurvivor, 0, Deadline::Never());
    if (!sent.ok()) return Wrong(absl::StrCat("its Send says ", OutcomeName(sent.outcome)));
    // By itself, or because the victim had read a message: either way not before it was let.
    if (notes_.killed != 0) notes_.Recover();
    return status;
  }

  // False: `result` says why there is none, or it is torn (and ok).
  bool ReceiveHeader(Deadline deadline, MessageHeader* header, IoResult* result) {
    std::byte buffer[kSweptBytes];
    uint32_t priority = 0;
    *result = subject_.Receive(buffer, &priority, deadline);
    if (!result->ok()) return false;
    const size_t bytes = std::min<size_t>(result->bytes, kSweptBytes);
    return ReadMessage(std::span<const std::byte>(buffer).first(bytes), seed_, header) && header->sender <= kSurvivor;
  }

  // The witness, until it has the survivor's last message: prepared ones in order, the victim's or not, the survivor's.
  absl::Status ReadEverything() {
    uint64_t missed = 0;
    uint64_t next[3] = {0, call_.prepared, 0};
    const Deadline end = os::After(2 * kHangNanos);
    while (next[kSurvivor] != kFinal) {
      MessageHeader header;
      IoResult result;
      const bool intact = ReceiveHeader(end, &header, &result);
      if (result.outcome == Outcome::kMissed) {
        missed += result.bytes;
        continue;
      }
      if (result.outcome == Outcome::kPeerDead || result.outcome == Outcome::kClosed) {
        sched_yield();  // the survivor is about to come
        continue;
      }
      if (!result.ok()) return Wrong(absl::StrCat("its Receive says ", OutcomeName(result.outcome)));
      if (!intact) return Wrong("a torn message");
      if (notes_.bystander_nanos == 0) notes_.bystander_nanos = os::MonotonicNanos();
      if (notes_.killed != 0 || call_.witness == Witness::kSleeps) notes_.Recover();
      uint64_t& due = next[header.sender];
      const bool may_skip = call_.slow == SlowReceiver::kMissesMessages && missed != 0;
      if (header.sequence != due && !(may_skip && header.sequence > due)) {
        return Wrong(absl::StrFormat("message %d of sender %d where %d was due", header.sequence, header.sender, due));
      }
      due = header.sequence + 1;
      notes_.seen[header.sender] += 1;
    }
    const uint64_t received = uint64_t{notes_.seen[kPrepared]} + notes_.seen[kVictim] + notes_.seen[kSurvivor];
    const uint64_t sent = call_.prepared + kFinal;
    // Whether the victim's message counts is known only when it was not among the missed.
    const uint64_t most = sent + (missed == 0 ? notes_.seen[kVictim].load() : 1);
    if (received + missed < sent || received + missed > most) {
      return Wrong(absl::StrFormat("%d messages and %d missed of %d to %d", received, missed, sent, most));
    }
    return absl::OkStatus();
  }

  const Broadcast& call_;
};

}  // namespace

std::vector<SweptCall> BroadcastCalls(MakeSubjectFunction make_subject) {
  std::vector<SweptCall> calls;
  for (const Broadcast& call : kBroadcasts) {
    const std::shared_ptr<Subject> subject = make_subject();
    calls.push_back({call.name, [subject, &call](Notes* notes, uint64_t seed) {
                       return std::make_unique<BroadcastCase>(notes, seed, subject.get(), call);
                     }});
  }
  return calls;
}

}  // namespace ipcmark::stress
