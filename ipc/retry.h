#ifndef IPCMARK_IPC_RETRY_H_
#define IPCMARK_IPC_RETRY_H_

// For callers that do not want to see signals: the contract shows EINTR, this hides it again.

#include "ipc/channel.h"

namespace ipcmark {

constexpr Outcome OutcomeOf(const IoResult& result) { return result.outcome; }
constexpr Outcome OutcomeOf(const LoanResult& loan) { return loan.result.outcome; }
constexpr Outcome OutcomeOf(const ViewResult& view) { return view.result.outcome; }

// Calls `operation` (returning IoResult, LoanResult or ViewResult) until its outcome is not kInterrupted. With an
// absolute deadline inside, a storm of signals cannot make it wait longer.
template <typename Operation>
auto RetryInterrupted(const Operation& operation) noexcept {
  for (;;) {
    const auto result = operation();
    if (OutcomeOf(result) != Outcome::kInterrupted) [[likely]] {
      return result;
    }
  }
}

}  // namespace ipcmark

#endif  // IPCMARK_IPC_RETRY_H_
