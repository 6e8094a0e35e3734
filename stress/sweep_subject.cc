#include "stress/sweep_subject.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_format.h"
#include "stress/message.h"

namespace ipcmark::stress {

uint64_t SubjectCase::Seen() const {
  return uint64_t{notes_.seen[kPrepared]} + notes_.seen[kVictim] + notes_.seen[kSurvivor];
}

IoResult SubjectCase::SendOne(uint32_t sender, uint64_t sequence, Deadline deadline) {
  std::byte buffer[kSweptBytes];
  WriteMessage(
      {.checksum = 0, .sequence = sequence, .sender = sender, .bytes = kSweptBytes, .priority = 0, .kind = Kind::kData},
      seed_, buffer);
  return subject_.Send(buffer, 0, deadline);
}

absl::Status SubjectCase::ReceiveOne(Deadline deadline) {
  std::byte buffer[kSweptBytes];
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
  const size_t bytes = std::min<size_t>(result.bytes, kSweptBytes);
  if (!ReadMessage(std::span<const std::byte>(buffer).first(bytes), seed_, &header) || header.sender > kSurvivor) {
    return Wrong("a torn message");
  }
  if (header.sender == kPrepared) {
    if (header.sequence < next_prepared_) return Wrong("a message twice or out of order");
    // The first one may be in the hands of a killed receiver.
    if (header.sequence != next_prepared_ && !(next_prepared_ == 0 && header.sequence == 1)) {
      return Wrong(absl::StrFormat("message %d where %d was due", header.sequence, next_prepared_));
    }
    next_prepared_ = header.sequence + 1;
  }
  notes_.seen[header.sender] += 1;
  return absl::OkStatus();
}

absl::Status SubjectCase::ReceiveAll(uint64_t most) {
  const uint64_t end = Seen() + most;
  absl::Status status;
  while (status.ok() && Seen() <= end) status = ReceiveOne(Deadline::Immediate());
  if (absl::IsUnavailable(status)) return absl::OkStatus();
  return status.ok() ? Wrong("more messages than there can be") : status;
}

absl::Status SubjectCase::Refill(uint64_t room) {
  uint64_t accepted = 0;
  while (accepted <= room && SendOne(kSurvivor, accepted, Deadline::Immediate()).ok()) {
    notes_.Recover();
    ++accepted;
  }
  if (accepted != room) return Wrong(absl::StrFormat("room for %d messages instead of %d", accepted, room));
  const uint32_t before = notes_.seen[kSurvivor];
  absl::Status status = ReceiveAll(room);
  if (!status.ok()) return status;
  const uint64_t returned = notes_.seen[kSurvivor] - before;
  return returned == room ? absl::OkStatus() : Wrong(absl::StrFormat("%d messages of a refill of %d", returned, room));
}

}  // namespace ipcmark::stress
