#ifndef IPCMARK_STRESS_DRIVER_CLASS_H_
#define IPCMARK_STRESS_DRIVER_CLASS_H_

// What driver.cc (the stages of a trial), driver_strikes.cc (what faults do to it) and driver_watch.cc (what is seen of
// it) share. For nobody else.

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "ipc/os/clock.h"
#include "ipc/os/futex.h"
#include "ipc/os/process_group.h"
#include "stress/driver.h"
#include "stress/oversleep.h"
#include "stress/patience.h"
#include "stress/starvation.h"

namespace ipcmark::stress {

// Between two looks at what gives no event: dead children, standstill, the end of the traffic time.
inline constexpr int64_t kLookNanos = 2'000'000;

class Driver {
 public:
  Driver(const TrialPlan& plan, const Ends& ends, Board board, os::ProcessGroup group, const std::atomic<bool>* cancel)
      : plan_(plan),
        ends_(ends),
        board_(std::move(board)),
        group_(std::move(group)),
        cancel_(cancel),
        patience_(plan.liveness_nanos) {}

  absl::StatusOr<Record> Run();

 private:
  // Each stage: false when the trial is over before its time; why is in stuck_, unexpected_ or error_.
  bool Begin();
  bool Fill();
  bool Traffic();
  bool Close();
  bool RunAudit();
  // To be called when nobody opens or leaves.
  void NoteAttachCounts();
  bool Strike(const struct Strike& strike);
  // The three ways to leave: two without a word, and one in order (`gone`: false when it had no occasion to).
  bool Kill(Position victim, const struct Strike& strike);
  bool SendAway(Position victim, bool* gone);
  void Expect(Position departure);
  bool Replace(Position victim, const struct Strike& strike);
  bool AwaitMoment(const struct Strike& strike, bool must_happen);

  bool Spawn(Position position, uint32_t generation, uint64_t quota);
  // Waits until `condition`, for as long as something happens.
  template <typename Condition>
  bool Await(const Condition& condition);
  // Waits until `child` has come to its end, likewise. False: it has not (`where` goes before what is said of it), or
  // not in order.
  bool AwaitEnd(const char* where, int child);
  bool Healthy();
  // Both say so in error_. MustGiveUp: while ends are being opened, which of thousands takes its time.
  bool Cancelled();
  bool MustGiveUp();
  [[nodiscard]] std::vector<pid_t> Processes() const;
  [[nodiscard]] uint64_t Progress() const;
  // Looks who is overtaken, while there is traffic that nothing strikes.
  void NoteStarvation();
  // Looks who sleeps although it could go on, while there is traffic.
  void NoteOversleep(uint64_t progress);
  [[nodiscard]] int64_t WorstOverslept() const;
  // Somebody is, by so many that it would be a breach if it went on.
  [[nodiscard]] bool SomebodyIsOvertaken() const;
  [[nodiscard]] uint64_t Completed() const {
    return board_.Completed(Side::kSender) + board_.Completed(Side::kReceiver);
  }
  // Every end is at `state` or beyond it.
  [[nodiscard]] bool AllReached(EndState state) const;
  [[nodiscard]] bool SendersDone() const;
  // Whether the other side has ends that still send or receive.
  [[nodiscard]] bool HasPartners(Side side) const {
    return alive_[static_cast<int>(Other(side))] != 0 && (side == Side::kSender || !SendersDone());
  }
  [[nodiscard]] bool TrafficTimeIsOver() const { return os::MonotonicNanos() >= traffic_end_nanos_; }
  [[nodiscard]] std::string WhoWaits() const;
  void Release() {
    if (!released_) ends_.release();
    released_ = true;
  }
  std::vector<uint32_t>& current(Side side) { return current_[static_cast<int>(side)]; }
  [[nodiscard]] const std::vector<int>& children(Side side) const { return children_[static_cast<int>(side)]; }

  const TrialPlan& plan_;
  const Ends& ends_;
  Board board_;
  os::ProcessGroup group_;
  const std::atomic<bool>* cancel_;

  std::vector<uint32_t> current_[2];  // by slot: the index of the end that lives there
  std::vector<int> children_[2];      // by index: the child of group_
  uint32_t alive_[2] = {0, 0};
  uint64_t kills_[2] = {0, 0};
  bool released_ = false;
  bool side_extinct_ = false;
  bool complete_ = false;
  int64_t traffic_end_nanos_ = 0;
  Patience patience_;
  std::vector<Starvation> starvation_[2];  // by index
  Oversleep oversleep_;
  std::vector<Oversleep> oversleep_of_receivers_;  // by index; of a broadcast
  bool striking_ = false;
  std::string overslept_;
  uint64_t last_progress_ = 0;
  int64_t last_progress_nanos_ = 0;
  bool ending_ = false;
  int64_t worst_wait_nanos_ = 0;
  int64_t worst_end_wait_nanos_ = 0;
  uint64_t strikes_ = 0;
  int64_t strike_nanos_ = 0;  // when the last strike was over, while nothing has completed since; else 0
  uint64_t completed_at_strike_ = 0;
  int64_t worst_recovery_nanos_ = 0;
  std::string attach_miscount_;
  std::string segment_misfate_;
  std::string stuck_;
  std::string unexpected_;
  absl::Status error_;
};

template <typename Condition>
bool Driver::Await(const Condition& condition) {
  std::atomic<uint32_t>& event = board_.shared().event;
  for (;;) {
    // Before the look, so that what happens after it changes the word that we sleep on.
    const uint32_t seen = event.load(std::memory_order_acquire);
    if (!Healthy()) return false;
    if (condition()) return true;
    os::WaitOnFutex(event, seen, os::After(kLookNanos));
  }
}

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_DRIVER_CLASS_H_
