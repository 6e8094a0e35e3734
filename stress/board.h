#ifndef IPCMARK_STRESS_BOARD_H_
#define IPCMARK_STRESS_BOARD_H_

// The memory that the processes of one trial share beside the object under test: who is at what, and what each has
// done. It stays readable when its writers are killed, because every word has one writer and a log entry counts only
// once the counter behind it has moved.

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "ipc/channel.h"
#include "ipc/os/cpu.h"
#include "ipc/os/mapping.h"
#include "stress/plan.h"
#include "stress/record.h"

namespace ipcmark::stress {

// A trial's phases, in order. The parent moves on; everybody else waits for it.
enum class Phase : uint32_t {
  kSetup,    // ends are being opened
  kFill,     // senders fill the object, receivers wait
  kTraffic,  // everybody works, faults strike
  kDrain,    // senders finish the message in hand
  kClosing,  // senders leave, and receivers once they have everything
};

enum class EndState : uint32_t {
  kUnused,
  kOpening,  // about to be forked
  kOpen,
  kDone,   // a sender that has nothing more to send, but is still there
  kEnded,  // has left, for a reason that the contract allows
  kKilled,
};

// To close in order before the next operation.
enum class Order : uint32_t { kNone, kLeave, kAccepted };

// What one Receive came to.
struct Received {
  Delivery message;
  uint64_t missed;  // not 0: no message, but the number of those that were overwritten
};

// What one process at one end has done. Written by that process, except `slot`, `alarm_at` and what the parent writes
// once it has killed it.
struct alignas(os::kCacheLineBytes) EndLog {
  // Senders: sequence numbers tried. Receivers: Receive calls begun.
  std::atomic<uint64_t> begun;
  // Senders: sequence numbers accepted. Receivers: entries in their delivery log.
  std::atomic<uint64_t> completed;
  // The parent wants to be woken when `completed` reaches this.
  std::atomic<uint64_t> alarm_at;
  std::atomic<EndState> state;
  std::atomic<uint32_t> calling;  // 1 inside an operation of the primitive
  std::atomic<Order> order;       // the parent asks, the end accepts, the parent may withdraw what is not accepted
  uint64_t quota;                 // how many messages a sender has to send
  uint64_t filled;                // what a sender had accepted when the fill was over
  int64_t most_early_nanos;       // see invariants/deadlines.cc
  int64_t worst_lateness_nanos;   // likewise
  uint64_t most_in_flight;        // see invariants/depth.cc
  uint64_t most_overtaken;        // see invariants/fairness.cc
  // Of a receiver of a broadcast, which is to get everything from `due` on. `position`: what it has taken
  // (PackPosition).
  StreamPosition due;
  std::atomic<uint64_t> position;
  std::atomic<uint32_t> doomed;  // 1: the parent is about to kill it, from where on nobody has to wait for it
  uint32_t slot;
  uint32_t generation;  // 0: opened before the trial began
};

// A position in one word, to be written and read at once.
constexpr unsigned kSequenceBits = 40;
constexpr uint64_t PackPosition(StreamPosition position) {
  return uint64_t{position.sender} << kSequenceBits | position.sequence;
}
constexpr StreamPosition UnpackPosition(uint64_t packed) {
  return {.sender = static_cast<uint32_t>(packed >> kSequenceBits),
          .sequence = packed & ((uint64_t{1} << kSequenceBits) - 1)};
}

class Board {
 public:
  struct Shared {
    std::atomic<Phase> phase;
    std::atomic<uint32_t> event;   // changes when the parent should look
    std::atomic<uint32_t> epoch;   // changes when an end has opened, and with the phase
    std::atomic<uint32_t> filled;  // senders that have done their part of the fill
    std::atomic<uint32_t> fill_complete;
    std::atomic<uint32_t> closer;  // the sender that sends the stop messages
    // How often a kill has left a side without any living end.
    std::atomic<uint32_t> extinctions[2];
    std::atomic<uint32_t> used[2];  // logs in use
    std::atomic<uint64_t> fill_accepted;
    std::atomic<uint32_t> refused;    // 1: an end could not be opened
    std::atomic<uint32_t> damaged;    // 1: the object's memory may be damaged (TrialPlan::damages)
    std::atomic<uint32_t> surprised;  // 0; 1: somebody is writing `surprise`; 2: it is there
    char surprise[200];
    std::atomic<uint64_t> audit_steps;  // of the auditor, so that the parent sees it get on
    Audit audit;                        // written by its process; read once that has ended
  };

  static absl::StatusOr<Board> Create(const TrialPlan& plan);

  [[nodiscard]] const TrialPlan& plan() const { return *plan_; }
  [[nodiscard]] Shared& shared() const { return *static_cast<Shared*>(mapping_.address()); }
  [[nodiscard]] EndLog& log(Side side, uint32_t index) const;
  [[nodiscard]] uint32_t used(Side side) const {
    return shared().used[static_cast<int>(side)].load(std::memory_order_acquire);
  }
  // What a receiver got: room for delivery_room() entries.
  [[nodiscard]] Received* deliveries(uint32_t receiver) const;
  // What is sent from now on begins here, or later (broadcasts, which have one sender at a time).
  [[nodiscard]] StreamPosition SentSoFar() const;
  // By how many of the messages 0..`sent`-1 of `sender` the receiver of a broadcast that is furthest behind is behind,
  // at least. Receivers that nobody has to wait for do not count.
  [[nodiscard]] uint64_t LargestLag(uint32_t sender, uint64_t sent) const;
  // Whether there is a message for the receiver of a broadcast, which is open.
  [[nodiscard]] bool IsBehind(uint32_t receiver) const;
  [[nodiscard]] uint64_t delivery_room() const { return delivery_room_; }

  // Takes the next log of `side` for a process in `slot`. Parent only.
  uint32_t NewLog(Position position, uint32_t generation, uint64_t quota);

  // The sum of `completed` over a side: what is accepted, or delivered.
  [[nodiscard]] uint64_t Completed(Side side) const;

  [[nodiscard]] Phase phase() const { return shared().phase.load(std::memory_order_acquire); }
  void Enter(Phase phase);
  // Sleeps until `phase` or a later one: true. False once `gives_up`, asked again whenever a signal was handled.
  bool AwaitPhase(
      Phase phase, absl::FunctionRef<bool()> gives_up = [] { return false; }) const;
  void Announce(std::atomic<uint32_t>& word) const;
  // Wakes the parent.
  void Report() const { Announce(shared().event); }
  // Counts one more completed operation of `log`, and wakes the parent when it waits for this one.
  void Complete(EndLog& log) const;
  // Whether ends have to expect anything.
  [[nodiscard]] bool Damaged() const { return shared().damaged.load(std::memory_order_seq_cst) != 0; }
  // Notes the first outcome that should not have been, and wakes the parent.
  void Surprise(Side side, uint32_t index, IoResult result);

 private:
  Board(const TrialPlan* plan, os::Mapping mapping, uint64_t delivery_room)
      : plan_(plan), mapping_(std::move(mapping)), delivery_room_(delivery_room) {}

  const TrialPlan* plan_;
  os::Mapping mapping_;
  uint64_t delivery_room_;
};

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_BOARD_H_
