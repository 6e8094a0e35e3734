#ifndef IPCMARK_IPC_OS_PROCESS_GROUP_H_
#define IPCMARK_IPC_OS_PROCESS_GROUP_H_

// Forked processes that do one job together: pinned, started at one barrier, reaped, and never left hanging. Used by
// bench, stress and the tests. Set-up code: it allocates and logs nothing.

#include <sys/types.h>

#include <atomic>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "ipc/channel.h"
#include "ipc/os/fd.h"
#include "ipc/os/mapping.h"

namespace ipcmark::os {

inline constexpr int kAnyCpu = -1;

// A child's side of the start barrier.
class Gate {
 public:
  // Says that this child is ready and sleeps until the parent has started everybody. Returns at once when it has.
  void Arrive() noexcept;

 private:
  friend class ProcessGroup;
  Gate(std::atomic<uint32_t>* started, int arrivals_fd) : started_(started), arrivals_fd_(arrivals_fd) {}
  std::atomic<uint32_t>* started_;
  int arrivals_fd_;
};

// Owns its children: the destructor kills and reaps what still runs. Children die with the process that forked them
// (PR_SET_PDEATHSIG), so that nothing survives a killed harness. To be used from one thread of a process that has only
// that thread (fork).
class ProcessGroup {
 public:
  // For up to `max_children` over its life. `cancel` may be null; when it becomes true (a signal handler sets it),
  // Start and Join kill everybody and return kCancelled.
  static absl::StatusOr<ProcessGroup> Create(int max_children, const std::atomic<bool>* cancel = nullptr);
  ProcessGroup(ProcessGroup&&) = default;
  ProcessGroup& operator=(ProcessGroup&&) = delete;
  ~ProcessGroup();

  // Forks a child that binds itself to `cpu` (kAnyCpu: does not), runs `body` and exits. What `body` returns, or how
  // the child died instead, is its outcome. Returns the child's index. `role` names it in messages.
  absl::StatusOr<int> Spawn(std::string role, int cpu, absl::FunctionRef<absl::Status(Gate&)> body);

  // Waits until every child has arrived at the gate, then opens it. A child that ends before it arrives, or the
  // deadline, is an error; everybody is killed then.
  absl::Status Start(Deadline deadline);
  // Waits until all children have ended. The first failure, or the deadline, kills everybody and is returned:
  // kAborted for a child that died or failed ("receiver: Receive: peer-dead", "sender was killed by signal 9"),
  // kDeadlineExceeded naming who still ran. A body that returns kUnavailable failed because another one had: that one's
  // failure is waited for, up to a second, and returned instead.
  absl::Status Join(Deadline deadline);
  // Waits until child `index` has ended; its outcome. kDeadlineExceeded when it still runs.
  absl::Status JoinOne(int index, Deadline deadline);

  // Sends a signal to a child that has not been reaped. A child that is sent SIGKILL by this call ends without error.
  void Signal(int index, int signal);
  // SIGKILL and reap.
  void KillAndReap(int index);
  void KillAndReapAll();

  [[nodiscard]] pid_t pid(int index) const { return children_[index].pid; }
  [[nodiscard]] bool running(int index) const { return children_[index].running; }
  [[nodiscard]] int size() const { return static_cast<int>(children_.size()); }

 private:
  struct Shared;
  struct Child {
    pid_t pid;
    Fd pidfd;
    std::string role;
    bool running = true;
    bool kill_expected = false;
    bool failed_by_another = false;  // its body returned kUnavailable
    absl::Status outcome = absl::OkStatus();
  };

  ProcessGroup(Mapping shared, Fd arrivals, int max_children, const std::atomic<bool>* cancel);
  [[nodiscard]] Shared& shared() const { return *static_cast<Shared*>(shared_.address()); }
  [[noreturn]] void RunChild(int index, int cpu, pid_t parent, absl::FunctionRef<absl::Status(Gate&)> body);
  // Reaps child `index` if it has ended and records its outcome.
  void TryReap(int index, bool block);
  // Sleeps until a child ends, one arrives, or 200 ms have passed; not beyond `deadline`.
  void AwaitEvent(Deadline deadline);
  [[nodiscard]] bool Cancelled() const { return cancel_ != nullptr && cancel_->load(std::memory_order_relaxed); }
  // The roles that still run, for messages.
  [[nodiscard]] std::string StillRunning() const;
  absl::Status KillAllAndReturn(absl::Status why);

  Mapping shared_;
  Fd arrivals_;  // eventfd: how many have arrived
  int max_children_;
  const std::atomic<bool>* cancel_;
  int arrived_ = 0;
  std::vector<Child> children_;
};

}  // namespace ipcmark::os

#endif  // IPCMARK_IPC_OS_PROCESS_GROUP_H_
