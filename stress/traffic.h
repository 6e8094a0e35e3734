#ifndef IPCMARK_STRESS_TRAFFIC_H_
#define IPCMARK_STRESS_TRAFFIC_H_

// One trial of one primitive, instantiated per primitive: all that stress knows of its type is here. What the processes
// do is in scripts.h, what the parent does in driver.h.

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "ipc/channel.h"
#include "ipc/os/cpu.h"
#include "ipc/os/process_group.h"
#include "stress/audit.h"
#include "stress/census.h"
#include "stress/draw.h"
#include "stress/driver.h"
#include "stress/notice_check.h"
#include "stress/random.h"
#include "stress/scripts.h"
#include "stress/shared_memory.h"
#include "stress/subject.h"

namespace ipcmark::stress {

template <SendEnd E>
IoResult SendOnce(E& end, const SenderScript& script) noexcept {
  const std::span<const std::byte> message = script.message();
  if constexpr (LoaningSendEnd<E>) {
    if (script.in_place()) {
      const LoanResult loan = end.Loan(script.deadline());
      if (!loan.result.ok()) return loan.result;
      if (loan.room.size() < message.size()) return IoResult::Of(Outcome::kError, EMSGSIZE);
      memcpy(loan.room.data(), message.data(), message.size());
      return end.Publish(message.size());
    }
  }
  if constexpr (PrioritySendEnd<E>) {
    return end.Send(message, script.priority(), script.deadline());
  } else {
    return end.Send(message, script.deadline());
  }
}

template <ReceiveEnd E>
IoResult ReceiveOnce(E& end, ReceiverScript& script, uint32_t* priority) noexcept {
  const std::span<std::byte> buffer = script.buffer();
  if constexpr (LoaningReceiveEnd<E>) {
    if (script.in_place()) {
      const ViewResult view = end.View(script.deadline());
      if (!view.result.ok()) return view.result;
      if (view.message.size() > buffer.size()) return IoResult::Of(Outcome::kTooBig, EMSGSIZE, view.message.size());
      memcpy(buffer.data(), view.message.data(), view.message.size());
      end.Release();
      return view.result;
    }
  }
  if constexpr (PriorityReceiveEnd<E>) {
    return end.Receive(buffer, priority, script.deadline());
  } else {
    return end.Receive(buffer, script.deadline());
  }
}

template <Primitive P>
absl::Status RunSender(P& object, Board& board, uint32_t index, os::Gate& gate) {
  SenderScript script(&board, index);
  absl::StatusOr<SenderOf<P>> end = object.OpenSender();
  if (!end.ok()) {
    script.Refused();
    return end.status();
  }
  object.ReleaseEnds();
  script.Opened();
  gate.Arrive();
  while (script.Next()) script.Note(SendOnce(*end, script));
  return absl::OkStatus();
}

template <Primitive P>
absl::Status RunReceiver(P& object, Board& board, uint32_t index, os::Gate& gate) {
  ReceiverScript script(&board, index);
  absl::StatusOr<ReceiverOf<P>> end = object.OpenReceiver();
  if (!end.ok()) {
    script.Refused();
    return end.status();
  }
  object.ReleaseEnds();
  script.Opened();
  gate.Arrive();
  while (script.Next()) {
    uint32_t priority = 0;
    const IoResult result = ReceiveOnce(*end, script, &priority);
    // A length beyond the buffer is a tear that must not become our own overflow.
    const size_t bytes = result.ok() ? std::min<size_t>(result.bytes, script.buffer().size()) : 0;
    script.Note(result, script.buffer().first(bytes), priority);
  }
  return absl::OkStatus();
}

template <Primitive P>
NoticeFinding AuditNotices(P& object, const TrialPlan& plan, SenderOf<P>& sender, ReceiverOf<P>& receiver,
                           absl::FunctionRef<void()> progressed) {
  if constexpr (requires { P::kNoticeSettlingNanos; }) {
    if (plan.Kills()) Hold(P::kNoticeSettlingNanos);
  }
  std::vector<std::byte> buffer(plan.geometry.max_message_bytes);
  const std::span<const std::byte> message = std::span(buffer).first(kSmallestMessageBytes);
  const auto notify = [&](const sigevent* event) { return receiver.Notify(event); };
  const auto send = [&] { return sender.Send(message, Deadline::Immediate()).ok(); };
  const auto receive = [&] { return receiver.Receive(buffer, Deadline::Immediate()).ok(); };
  const auto register_elsewhere = [&] {
    // In a child that ends by a signal: its end is never closed.
    auto* const end = new absl::StatusOr<ReceiverOf<P>>(object.OpenReceiver());
    sigevent event = {};
    event.sigev_notify = SIGEV_NONE;
    return end->ok() && (*end)->Notify(&event).ok();
  };
  const auto receive_waiting = [&] {
    absl::StatusOr<ReceiverOf<P>> end = object.OpenReceiver();
    return end.ok() && end->Receive(buffer, Deadline::Never()).ok();
  };
  const auto send_many = [&](uint64_t messages) {
    absl::StatusOr<SenderOf<P>> end = object.OpenSender();
    bool sent = end.ok();
    Random random(plan.seed);
    for (; sent && messages > 0; --messages) {
      // Often as long as it takes to empty the object and register.
      for (uint64_t pauses = random.Below(400); pauses > 0; --pauses) os::SpinHint();
      sent = end->Send(message, Deadline::Never()).ok();
    }
    return sent;
  };
  return CheckNotices({.notify = notify,
                       .send = send,
                       .receive = receive,
                       .register_elsewhere = register_elsewhere,
                       .receive_waiting = receive_waiting,
                       .send_many = send_many,
                       .progressed = progressed},
                      plan.seed, plan.liveness_nanos / 2);
}

template <Primitive P>
absl::Status AuditObject(P& object, Board& board) {
  absl::StatusOr<SenderOf<P>> sender = object.OpenSender();
  if (!sender.ok()) return sender.status();
  absl::StatusOr<ReceiverOf<P>> receiver = object.OpenReceiver();
  if (!receiver.ok()) return receiver.status();
  const auto send = [&](std::span<const std::byte> message, uint32_t priority) {
    if constexpr (PrioritySendEnd<SenderOf<P>>) {
      return sender->Send(message, priority, Deadline::Immediate());
    } else {
      return sender->Send(message, Deadline::Immediate());
    }
  };
  const auto receive = [&](std::span<std::byte> buffer, uint32_t* priority) {
    if constexpr (PriorityReceiveEnd<ReceiverOf<P>>) {
      return receiver->Receive(buffer, priority, Deadline::Immediate());
    } else {
      return receiver->Receive(buffer, Deadline::Immediate());
    }
  };
  absl::Status audited = RefillAndEmpty(board, send, receive);
  if constexpr (NotifyingReceiveEnd<ReceiverOf<P>>) {
    const auto progressed = [&] { board.shared().audit_steps.fetch_add(1, std::memory_order_relaxed); };
    if (audited.ok()) board.shared().audit.notices = AuditNotices(object, board.plan(), *sender, *receiver, progressed);
  }
  return audited;
}

// What a damaged object answers does not matter, as long as it does.
template <Primitive P>
absl::Status RunAuditor(P& object, Board& board) {
  const absl::Status audited = AuditObject(object, board);
  return board.Damaged() ? absl::OkStatus() : audited;
}

// Runs one trial. Errors: what Create or the first opening of the ends says (kUnimplemented: the primitive cannot carry
// this geometry), kCancelled. A broken primitive is not an error: it is in the record.
template <Primitive P>
absl::StatusOr<Record> RunTrialWithin(const TrialRequest& request) {
  const std::vector<SharedRange> before = SharedRanges(getpid());
  absl::StatusOr<P> object = P::Create(request.geometry);
  if (!object.ok()) return object.status();
  const uint32_t fill_bytes = DrawFillBytes(request);
  const TrialPlan plan =
      MakePlan(request, P::kCapabilities, fill_bytes, object->DepthLimit(fill_bytes),
               object->DepthLimit(kSmallestMessageBytes), NewObjects(before, SharedRanges(getpid())));
  const auto sender = [&](Board& board, uint32_t index, os::Gate& gate) {
    return RunSender(*object, board, index, gate);
  };
  const auto receiver = [&](Board& board, uint32_t index, os::Gate& gate) {
    return RunReceiver(*object, board, index, gate);
  };
  const auto audit = [&](Board& board) { return RunAuditor(*object, board); };
  const auto release = [&] { object->ReleaseEnds(); };
  return Drive(plan, {.sender = sender, .receiver = receiver, .audit = audit, .release = release}, request.cancel);
}

// The same, with a look at what is left when the object is gone.
template <Primitive P>
absl::StatusOr<Record> RunTrial(const TrialRequest& request) {
  const Traces before = TakeTraces();
  absl::StatusOr<Record> record = RunTrialWithin<P>(request);
  if (!record.ok()) return record;
  record->left_behind = FindLeftBehind(before, TakeTraces());
  if (record->segment_misfate.empty()) {
    // Nobody is to have it any more.
    record->segment_misfate = FindMisfate(AllSegments(), SegmentsAmong(record->plan.memory), {});
  }
  return record;
}

// Whether P can carry `geometry`: kUnimplemented says why not.
template <Primitive P>
absl::Status Probe(const Geometry& geometry) {
  return P::Create(geometry).status();
}

// Whether an object of P keeps its state in memory that its processes share.
template <Primitive P>
bool SharesMemory(const Geometry& geometry) {
  const std::vector<SharedRange> before = SharedRanges(getpid());
  const absl::StatusOr<P> object = P::Create(geometry);
  return !NewObjects(before, SharedRanges(getpid())).empty();
}

// A primitive with its type erased: once per trial, never per message.
struct PrimitiveEntry {
  const char* name;
  Capabilities capabilities;
  absl::Status (*probe)(const Geometry& geometry);
  bool (*shares_memory)(const Geometry& geometry);
  absl::StatusOr<Record> (*run)(const TrialRequest& request);
  std::unique_ptr<Subject> (*make_subject)();
};

template <Primitive P>
PrimitiveEntry MakeEntry(const char* name) {
  return {name, P::kCapabilities, &Probe<P>, &SharesMemory<P>, &RunTrial<P>, &MakeSubject<P>};
}

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_TRAFFIC_H_
