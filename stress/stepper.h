#ifndef IPCMARK_STRESS_STEPPER_H_
#define IPCMARK_STRESS_STEPPER_H_

// A process that is led through one call, instruction by instruction (ptrace(2), x86-64), or run to the n-th one at
// once: a first run notes where every instruction lies; from then on a breakpoint at the n-th one, passed as often as
// that address had come before, costs a few stops instead of n. N points so cost about N times a fork instead of N^2/2
// steps of 40 us. A victim that takes another way than the first run did is killed all the same, elsewhere. Only the
// thread that calls is led: others stand still for as long, those that it makes from their first instruction on, so
// that none of them runs into a breakpoint that is not meant for it.

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace ipcmark::stress {

// Whether this process may trace here; one sentence why not.
absl::Status MayStep();

struct SystemCall {
  uint64_t step;   // of the instruction that enters the kernel; the next one is where it comes back
  int64_t number;  // syscall(2)
  int64_t nanos;   // that it took
};
// "futex", or "system call 999" for what this library does not use.
std::string SystemCallName(int64_t number);

// A call from its first instruction to the one beyond its return.
struct Steps {
  std::vector<uint64_t> addresses;
  std::vector<SystemCall> system_calls;
};

class Victim {
 public:
  // Which of the process's threads is led: the one that calls, or the one that `prepare` has made, when the call is
  // over, from where it sleeps to where it calls EndOfThread.
  enum class Led : uint8_t { kCaller, kItsThread };

  // Forks a process that prepares itself and stands before `call` (or behind it, see above) when this returns. `after`
  // is for a victim that is let go.
  Victim(
      absl::FunctionRef<void()> prepare, absl::FunctionRef<void()> call, Led led = Led::kCaller,
      absl::FunctionRef<void()> after = [] {});
  Victim(const Victim&) = delete;
  Victim& operator=(const Victim&) = delete;
  ~Victim() { Kill(); }

  // It stands before its call. When false: it died while preparing.
  [[nodiscard]] bool ready() const { return stopped_; }
  // It has returned from its call, or its thread is at its end.
  [[nodiscard]] bool finished() const { return finished_; }

  [[nodiscard]] pid_t pid() const { return pid_; }

  // From now on it is stopped where it falls asleep, too: there a run to somewhere else ends.
  void StopAsleep() { stops_asleep_ = true; }
  // Leads it through its whole call.
  Steps Record();
  // Runs it to before instruction `n` of such a record. False when it took another way.
  bool RunTo(const Steps& record, uint64_t n);
  // Runs it into a system call of such a record: it is asleep there, or has come back from it already. False as above.
  bool RunInto(const Steps& record, const SystemCall& call);
  // Lets it finish its call and what comes after, and waits for its end, until `is_over`. False when it has not ended
  // by then, or not in peace.
  bool LetGo(absl::FunctionRef<bool()> is_over);
  // SIGKILL, and waits for its end.
  void Kill();

  // For the thread that is led, and nobody else: its call is over.
  static void EndOfThread();

 private:
  // The numbers of its threads but the one that calls.
  [[nodiscard]] std::vector<pid_t> OtherThreads() const;
  void StopOtherThreads();
  // Lets the call happen, and goes over to the thread.
  void LeadItsThread();
  bool Resume(int request);
  // Until it stops.
  bool AwaitStop(int* status) const;
  [[nodiscard]] uint64_t Address() const;
  // Until it is about to execute the instruction at `address` the next time.
  bool RunToAddress(uint64_t address);

  pid_t pid_;
  pid_t led_;  // the thread
  bool stopped_ = false;
  bool finished_ = false;
  bool stops_asleep_ = false;
};

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_STEPPER_H_
