#ifndef IPCMARK_STRESS_AUDIT_H_
#define IPCMARK_STRESS_AUDIT_H_

// The last look at an object when everybody has left (record.h: Audit).

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "ipc/channel.h"
#include "stress/board.h"

namespace ipcmark::stress {

// Both never wait.
using AuditSend = absl::FunctionRef<IoResult(std::span<const std::byte> message, uint32_t priority)>;
using AuditReceive = absl::FunctionRef<IoResult(std::span<std::byte> buffer, uint32_t* priority)>;

// Empties the object, fills it and empties it again; what it finds goes to the board. An error: an operation that ended
// in another way than ok or would-block.
absl::Status RefillAndEmpty(Board& board, AuditSend send, AuditReceive receive);

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_AUDIT_H_
