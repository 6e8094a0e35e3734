#ifndef IPCMARK_STRESS_NOTICE_CHECK_H_
#define IPCMARK_STRESS_NOTICE_CHECK_H_

// Notifications (ipc/channel.h: NotifyingReceiveEnd) against a model, by a process that has the object for itself:
//
//   - a registration is used up by exactly one message, one that comes to the empty object while no receiver waits;
//   - a second registration is refused as long as one stands, one whose process was killed does not stand;
//   - with a sender that does not stop for it, who registers, empties the object and sleeps misses no message, and gets
//     at most one notification for each registration.

#include <signal.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "absl/functional/function_ref.h"
#include "ipc/channel.h"

namespace ipcmark::stress {

// What the check does with an object. The first three are this process's ends and never wait; the others open an end of
// their own, for a child, and return whether all went well.
struct NoticeOperations {
  absl::FunctionRef<IoResult(const sigevent* event)> notify;  // null: gives it up
  absl::FunctionRef<bool()> send;                             // false: full
  absl::FunctionRef<bool()> receive;                          // false: empty
  absl::FunctionRef<bool()> register_elsewhere;
  absl::FunctionRef<bool()> receive_waiting;
  absl::FunctionRef<bool(uint64_t messages)> send_many;
  absl::FunctionRef<void()> progressed;  // called after each step; how many there are is bounded
};

struct NoticeFinding {
  uint64_t expected;  // notifications that the model asked for, and that came
  char breach[200];   // "" or "expected ..., seen ..."
};

// The object is empty and holds at least one message. Nothing waits longer than `patience_nanos` of time that the
// processes could use (patience.h).
NoticeFinding CheckNotices(const NoticeOperations& operations, uint64_t seed, int64_t patience_nanos);

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_NOTICE_CHECK_H_
