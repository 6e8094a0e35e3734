#include "stress/audit.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "absl/strings/str_format.h"
#include "stress/message.h"

namespace ipcmark::stress {
namespace {

// Not a sender of the trial: what a trial's sender left would be told from the refill.
constexpr uint32_t kAuditor = std::numeric_limits<uint32_t>::max();

absl::Status Expect(const char* call, IoResult result) {
  if (result.outcome == Outcome::kWouldBlock) return absl::OkStatus();
  return absl::AbortedError(absl::StrFormat("%s by the auditor: %s (errno %d)", call, OutcomeName(result.outcome),
                                            static_cast<int>(result.err)));
}

}  // namespace

absl::Status RefillAndEmpty(Board& board, AuditSend send, AuditReceive receive) {
  const TrialPlan& plan = board.plan();
  Audit& audit = board.shared().audit;
  audit = {};
  std::vector<std::byte> buffer(plan.geometry.max_message_bytes);
  uint32_t priority = 0;
  const auto get_on = [&] { board.shared().audit_steps.fetch_add(1, std::memory_order_relaxed); };
  // Bounded: a broken object may give and take for ever.
  const uint64_t most = plan.depth_limit_messages + 2;
  IoResult result = receive(buffer, &priority);
  for (; result.ok() && audit.found < most; result = receive(buffer, &priority)) {
    ++audit.found;
    get_on();
  }
  absl::Status status = result.ok() ? absl::OkStatus() : Expect("Receive", result);

  const auto message_of = [&](uint64_t sequence) {
    // Rising and falling, so that neither first-in-first-out nor its opposite would pass for priority order.
    const auto rank = static_cast<uint32_t>(sequence * 7 % 5);
    return MessageHeader{.checksum = 0,
                         .sequence = sequence,
                         .sender = kAuditor,
                         .bytes = plan.fill_bytes,
                         .priority = plan.capabilities.has_priorities ? rank : 0,
                         .kind = Kind::kData};
  };
  while (status.ok() && audit.accepted < most) {
    const MessageHeader header = message_of(audit.accepted);
    WriteMessage(header, plan.seed, buffer);
    result = send(std::span<const std::byte>(buffer).first(header.bytes), header.priority);
    if (!result.ok()) {
      status = Expect("Send", result);
      break;
    }
    ++audit.accepted;
    get_on();
  }

  MessageHeader last = {};
  while (status.ok() && audit.returned < most) {
    result = receive(buffer, &priority);
    if (result.outcome == Outcome::kMissed && plan.Overwrites() && audit.missed < most) {
      audit.missed += result.bytes;
      continue;
    }
    if (!result.ok()) {
      status = Expect("Receive", result);
      break;
    }
    MessageHeader header;
    const size_t bytes = std::min<size_t>(result.bytes, buffer.size());
    const bool intact = ReadMessage(std::span<const std::byte>(buffer).first(bytes), plan.seed, &header) &&
                        header.sender == kAuditor && (!plan.capabilities.has_priorities || header.priority == priority);
    audit.torn += intact ? 0 : 1;
    const bool early =
        header.priority > last.priority || (header.priority == last.priority && header.sequence < last.sequence);
    if (intact && audit.returned > 0 && early) ++audit.misordered;
    if (intact) last = header;
    ++audit.returned;
    get_on();
  }
  audit.done = status.ok();
  return status;
}

}  // namespace ipcmark::stress
