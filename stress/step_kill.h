#ifndef IPCMARK_STRESS_STEP_KILL_H_
#define IPCMARK_STRESS_STEP_KILL_H_

// SIGKILL at every instruction of a call and inside each of its system calls: a victim is killed at the n-th point, for
// each n, and then survivors check what was promised. Or it is held there, while a rival acts, and goes on after that.
// Each point has an object and processes of its own. In this file:
//
//   Notes        what the processes of one point tell each other
//   SweptCase    a call and what must hold after its caller was killed: sweep_calls.h has those that there are
//   SweepCall    the kills
//
// The points of a call of I instructions and S system calls, by number:
//   0 .. I-1     before instruction n; the last one is beyond the return, where nothing is left to break
//   I .. I+S-1   inside a system call: asleep there, or on its way back where it does not sleep
// A victim that is held has only the first ones. Of an instruction that is executed again and again, in a loop that
// zeroes a table, the first kMostPasses times count (kMostHeldPasses): what was to be seen there has been seen, and to
// reach its n-th time costs n stops.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace ipcmark::stress {

// Who sent a message.
inline constexpr uint32_t kPrepared = 0;
inline constexpr uint32_t kVictim = 1;
inline constexpr uint32_t kSurvivor = 2;
// The deadline of a call that is stepped through, or that is killed: it must get to sleep before it, and soon be over.
inline constexpr int64_t kRecordedTimeoutNanos = 45'000'000;
// The same of one that is held, and that somebody makes possible meanwhile.
inline constexpr int64_t kHeldTimeoutNanos = 1'000'000'000;
// Who has not done a call that need not wait after so long never will.
inline constexpr int64_t kHangNanos = 3'000'000'000;

// What the one does that acts while the victim is held.
enum class RivalState : uint32_t { kWaits, kActs, kHasActed, kHasLeft };

struct Notes {
  std::atomic<uint32_t> killed;           // the victim is dead: a futex
  std::atomic<int64_t> killed_nanos;      // when
  std::atomic<uint32_t> bystander_ready;  // it has what it needs
  std::atomic<int64_t> bystander_pid;     // where the victim needs to know
  std::atomic<uint32_t> victim_open;      // where the bystander needs to know
  std::atomic<uint32_t> recovered;        // the first operation is done
  std::atomic<int64_t> recovered_nanos;   // when
  std::atomic<int64_t> slowest_nanos;     // an operation of a survivor that need not wait for anybody alive
  std::atomic<int64_t> starved_nanos;     // for so long survivors were ready to run and had no CPU
  std::atomic<int64_t> bystander_nanos;   // when the bystander got what it waited for; 0: not yet
  std::atomic<int64_t> survivor_nanos;    // when the survivor began to act
  std::atomic<uint32_t> seen[3];          // messages by sender
  std::atomic<uint32_t> held;             // the victim stands at its point: a futex
  std::atomic<RivalState> rival;          // the bystander of a victim that is held
  std::atomic<int64_t> let_go_nanos;      // when it was let go
  absl::StatusCode code_after_call;       // what AfterCall has seen
  char words_after_call[160];
  void Recover();
};

// Of one point. Every function but the victim's two returns ok, kDeadlineExceeded for something that came too late, or
// in words what it saw.
class SweptCase {
 public:
  explicit SweptCase(Notes* notes) : notes_(*notes) {}
  SweptCase(const SweptCase&) = delete;
  SweptCase& operator=(const SweptCase&) = delete;
  virtual ~SweptCase() = default;

  // The parent, first. An error here is the system's.
  virtual absl::Status Prepare() = 0;
  // A process that is there when the victim begins: it sets bystander_ready.
  [[nodiscard]] virtual bool has_bystander() const { return false; }
  // The victim begins when the bystander sleeps in a call.
  [[nodiscard]] virtual bool bystander_sleeps() const { return false; }
  virtual absl::Status Bystand() { return absl::OkStatus(); }
  // The victim. Where the call has a deadline, it is `timeout_nanos` away; no more than kRecordedTimeoutNanos when the
  // call is to end with it.
  virtual void BeforeCall() {}
  virtual void Call(int64_t timeout_nanos) = 0;
  // Not in the call, but in what a thread that BeforeCall has made does because of it (stepper.h: Victim::Led).
  [[nodiscard]] virtual bool kills_in_its_thread() const { return false; }
  // It is held, not killed, while the bystander acts: from Notes::held until Notes::rival says that it has, or it
  // sleeps. Then the victim goes on to the end of its call, to AfterCall, and is gone (Notes::killed).
  [[nodiscard]] virtual bool holds() const { return false; }
  // Only where it has not slept yet.
  [[nodiscard]] virtual bool holds_until_sleep() const { return false; }
  virtual absl::Status AfterCall() { return absl::OkStatus(); }
  // A process that comes when the victim is dead. `finished`: the victim had returned from its call.
  virtual absl::Status Check(bool finished) = 0;
  // The parent, when all others are gone.
  virtual absl::Status CheckAll(bool /*finished*/) { return absl::OkStatus(); }

  // A second attempt at a point where the first one came too late: a survivor gives a bystander the time that it was
  // promised before it acts itself.
  void BePatient() { patient_ = true; }

 protected:
  // What a check returns that finds a promise broken.
  static absl::Status Wrong(const std::string& what) { return absl::AbortedError(what); }

  Notes& notes_;
  bool patient_ = false;
};

struct SweepRequest {
  std::function<absl::StatusOr<std::unique_ptr<SweptCase>>(Notes*)> make_case;
  uint64_t seed = 0;
  uint64_t from = 0;  // the points: from <= n < to
  uint64_t to = UINT64_MAX;
  bool only_system_calls = false;             // of these: before, inside and behind system calls
  uint64_t samples = 0;                       // that many of them, drawn by the seed; 0: all
  uint64_t enough_broken = 1;                 // stops there
  int64_t end_nanos = INT64_MAX;              // CLOCK_MONOTONIC; stops there
  const std::atomic<bool>* cancel = nullptr;  // likewise; may be null
};

struct BrokenPoint {
  uint64_t point;
  std::string where;  // "before instruction 17", "inside futex (instruction 203)"
  std::string seen;
};

struct Sweep {
  uint64_t points = 0;     // of the whole call
  uint64_t end = 0;        // every point's number is below; there are more numbers than points where there are loops
  uint64_t next = 0;       // the point to resume from, == end when nothing is left; 0 when they were drawn
  uint64_t trials = 0;     // points tried
  uint64_t held = 0;       // of them: the victim was not killed
  uint64_t reached = 0;    // of them: the victim stood where the first run had stood
  uint64_t survivors = 0;  // processes that checked and came to their end
  uint64_t remains = 0;    // kernel objects that killed victims left and the sweep removed
  // From the kill until a survivor had done its first operation, or the slowest operation after it, less the time in
  // which survivors were ready to run and had no CPU: where, at worst. A point where that took longer than
  // kPeerDeathNanos is tried again up to kMostRepeats times, and counts with its best: a defect is late every time, a
  // process whose machine stood still is not.
  int64_t worst_recovery_nanos = 0;
  uint64_t worst_recovery_point = 0;
  // Such points, and those where a survivor acted before it was clear that a sleeper would have gone on by itself.
  uint64_t repeated = 0;
  std::vector<BrokenPoint> broken;
  struct NamedCall {
    uint64_t step;
    std::string name;
  };
  std::vector<NamedCall> system_calls;  // that the call makes
};

inline constexpr int kMostRepeats = 9;
inline constexpr uint32_t kMostPasses = 64;
inline constexpr uint32_t kMostHeldPasses = 16;

// An error: what the system refused (kUnavailable: no ptrace here).
absl::StatusOr<Sweep> SweepCall(const SweepRequest& request);

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_STEP_KILL_H_
