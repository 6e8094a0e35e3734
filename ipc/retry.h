#ifndef IPCMARK_IPC_RETRY_H_
#define IPCMARK_IPC_RETRY_H_

// For callers that do not want to see signals: the contract shows EINTR, this hides it again.

#include "ipc/channel.h"

namespace ipcmark {

// Calls `operation` (returning IoResult) until its outcome is not kInterrupted. With an absolute deadline inside, a
// storm of signals cannot make it wait longer.
template <typename Operation>
IoResult RetryInterrupted(const Operation& operation) noexcept {
  for (;;) {
    const IoResult result = operation();
    if (result.outcome != Outcome::kInterrupted) [[likely]] {
      return result;
    }
  }
}

}  // namespace ipcmark

#endif  // IPCMARK_IPC_RETRY_H_
