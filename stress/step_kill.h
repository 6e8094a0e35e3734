#ifndef IPCMARK_STRESS_STEP_KILL_H_
#define IPCMARK_STRESS_STEP_KILL_H_

// SIGKILL at every instruction of every call: a victim is killed before its n-th instruction, for each n, and then
// survivors check what a primitive promises that survives SIGKILL. No accepted message is lost but the one that a
// killed receiver had in its hands, none is there twice, torn or out of order; a receiver that slept in its call has
// what comes next; new ends open, and the object has the room that it had. Each point has an object and processes of
// its own.

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "stress/subject.h"

namespace ipcmark::stress {

// What the victim does, and what lies in the object before.
struct SweptCall {
  const char* name;
  Side side;
  enum class Action : uint8_t { kOpen, kClose, kTransfer } action;
  enum class Content : uint8_t { kEmpty, kSome, kFull } content;
  bool timed = false;       // with a deadline, which passes
  bool peer_waits = false;  // a receiver sleeps in Receive when the victim begins
};

std::span<const SweptCall> SweptCalls();

struct SweepRequest {
  std::unique_ptr<Subject> (*make_subject)();
  const SweptCall* call;
  uint64_t seed;
  uint64_t from = 0;  // the points: from <= n < to
  uint64_t to = UINT64_MAX;
  uint64_t samples = 0;                       // that many of them, drawn by the seed; 0: all
  int64_t end_nanos = INT64_MAX;              // CLOCK_MONOTONIC; stops there
  const std::atomic<bool>* cancel = nullptr;  // likewise; may be null
};

struct Sweep {
  uint64_t points = 0;               // of the whole call
  uint64_t next = 0;                 // the point to resume from, == points when all were tried
  uint64_t trials = 0;               // points tried
  uint64_t reached = 0;              // of them: the victim stood where the first run had stood
  uint64_t survivors = 0;            // processes that checked and came to their end
  int64_t worst_recovery_nanos = 0;  // from the kill until a survivor had done its first operation
  // "" or the first point that broke something, and what.
  std::string broken;
  uint64_t broken_point = 0;
};

// An error: what the system refused (kUnavailable: no ptrace here).
absl::StatusOr<Sweep> SweepCall(const SweepRequest& request);

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_STEP_KILL_H_
