#include "stress/driver.h"

#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "ipc/os/clock.h"
#include "ipc/os/cpu.h"
#include "ipc/os/futex.h"
#include "stress/census.h"
#include "stress/driver_class.h"
#include "stress/history.h"
#include "stress/message.h"
#include "stress/shared_memory.h"

namespace ipcmark::stress {
namespace {

// Parts of a trial's seed (SubSeed) that do not collide with the scripts', which count from 0.
constexpr uint64_t kFillPart = uint64_t{1} << 32;
constexpr uint64_t kFaultPart = kFillPart + 1;
constexpr uint64_t kAuditPart = kFillPart + 2;
constexpr uint64_t kApartPart = kFillPart + 3;
// The longest that an exiting process may take to let go of its mappings.
constexpr int64_t kExitNanos = os::kNanosPerSecond;

}  // namespace

bool Driver::Spawn(Position position, uint32_t generation, uint64_t quota) {
  const uint32_t index = board_.NewLog(position, generation, quota);
  const auto body = [&](os::Gate& gate) {
    return position.side == Side::kSender ? ends_.sender(board_, index, gate) : ends_.receiver(board_, index, gate);
  };
  const int cpu = plan_.sides_apart ? os::AllowedCpus()[static_cast<size_t>(position.side)] : os::kAnyCpu;
  absl::StatusOr<int> child = group_.Spawn(absl::StrCat(SideName(position.side), " ", index), cpu, body);
  if (!child.ok()) {
    error_ = child.status();
    return false;
  }
  const int side = static_cast<int>(position.side);
  children_[side].push_back(*child);
  current_[side].resize(std::max<size_t>(current_[side].size(), position.slot + 1));
  current_[side][position.slot] = index;
  ++alive_[side];
  return true;
}

uint64_t Driver::Progress() const {
  uint64_t sum = static_cast<uint64_t>(board_.phase()) + board_.shared().audit_steps.load(std::memory_order_relaxed);
  for (int child = 0; child < group_.size(); ++child) sum += group_.running(child) ? 0 : 1;
  for (const Side side : {Side::kSender, Side::kReceiver}) {
    sum += board_.Completed(side) + board_.used(side);
    for (uint32_t i = 0; i < board_.used(side); ++i) {
      // States only grow.
      sum += static_cast<uint64_t>(board_.log(side, i).state.load(std::memory_order_relaxed));
    }
  }
  return sum;
}

std::string Driver::WhoWaits() const {
  std::vector<std::string> waiting;
  for (const Side side : {Side::kSender, Side::kReceiver}) {
    for (uint32_t i = 0; i < board_.used(side); ++i) {
      const EndLog& log = board_.log(side, i);
      const EndState state = log.state.load(std::memory_order_acquire);
      const char* call = side == Side::kSender ? "Send" : "Receive";
      if (state == EndState::kOpening) {
        waiting.push_back(absl::StrFormat("%s %d is opening its end", SideName(side), i));
      } else if (state <= EndState::kDone && log.calling.load(std::memory_order_relaxed) != 0) {
        waiting.push_back(absl::StrFormat("%s %d is inside %s (after %d messages)", SideName(side), i, call,
                                          log.completed.load(std::memory_order_relaxed)));
      }
    }
  }
  if (waiting.empty()) waiting.emplace_back("nobody is inside an operation");
  return absl::StrFormat("%s; %d messages accepted, %d delivered, %d sender(s) and %d receiver(s) killed",
                         absl::StrJoin(waiting, ", "), board_.Completed(Side::kSender),
                         board_.Completed(Side::kReceiver), kills_[0], kills_[1]);
}

bool Driver::Cancelled() {
  const bool cancelled = cancel_ != nullptr && cancel_->load(std::memory_order_relaxed);
  if (cancelled) error_ = absl::CancelledError("interrupted");
  return cancelled;
}

bool Driver::MustGiveUp() {
  if (Cancelled()) return true;
  const bool late = os::MonotonicNanos() >= plan_.end_nanos;
  if (late) error_ = absl::CancelledError("the time was up before its ends were open");
  return late;
}

bool Driver::Healthy() {
  if (Cancelled()) return false;
  // Acquire: the text is complete.
  if (board_.shared().surprised.load(std::memory_order_acquire) == 2) {
    unexpected_ = board_.shared().surprise;
    return false;
  }
  for (int child = 0; child < group_.size(); ++child) {
    if (!group_.running(child)) continue;
    const absl::Status outcome = group_.JoinOne(child, Deadline::Immediate());
    if (!outcome.ok() && !group_.running(child)) {
      unexpected_ = std::string(outcome.message());
      return false;
    }
  }
  const int64_t now = os::MonotonicNanos();
  const uint64_t progress = Progress();
  const int64_t waited_nanos = now - last_progress_nanos_;
  int64_t& worst_nanos = ending_ ? worst_end_wait_nanos_ : worst_wait_nanos_;
  worst_nanos = std::max(worst_nanos, waited_nanos);
  if (strike_nanos_ != 0 && Completed() != completed_at_strike_) {
    worst_recovery_nanos_ = std::max(worst_recovery_nanos_, now - strike_nanos_);
    strike_nanos_ = 0;
  }
  NoteStarvation();
  NoteOversleep(progress);
  if (progress != last_progress_) {
    last_progress_ = progress;
    last_progress_nanos_ = now;
    patience_.Renew();
  } else if (patience_.IsOver([&] { return Processes(); })) {
    stuck_ = WhoWaits();
    return false;
  }
  return true;
}

std::vector<pid_t> Driver::Processes() const {
  std::vector<pid_t> processes;
  for (int child = 0; child < group_.size(); ++child) {
    if (group_.running(child)) processes.push_back(group_.pid(child));
  }
  return processes;
}

bool Driver::AwaitEnd(const char* where, int child) {
  absl::Status outcome = group_.JoinOne(child, Deadline::Immediate());
  while (group_.running(child)) {
    if (!Healthy()) {
      if (!stuck_.empty()) stuck_ = absl::StrCat(where, outcome.message(), "; ", stuck_);
      return false;
    }
    outcome = group_.JoinOne(child, os::After(kLookNanos));
  }
  // It may have been Healthy that saw its end.
  outcome = group_.JoinOne(child, Deadline::Immediate());
  if (!outcome.ok()) unexpected_ = std::string(outcome.message());
  return outcome.ok();
}

bool Driver::AllReached(EndState state) const {
  for (const Side side : {Side::kSender, Side::kReceiver}) {
    for (uint32_t i = 0; i < board_.used(side); ++i) {
      if (board_.log(side, i).state.load(std::memory_order_acquire) < state) return false;
    }
  }
  return true;
}

bool Driver::SendersDone() const {
  for (uint32_t i = 0; i < board_.used(Side::kSender); ++i) {
    if (board_.log(Side::kSender, i).state.load(std::memory_order_acquire) < EndState::kDone) return false;
  }
  return true;
}

bool Driver::Begin() {
  last_progress_nanos_ = os::MonotonicNanos();
  const uint64_t quota = plan_.fill_limit_messages + plan_.max_messages / plan_.geometry.senders;
  for (const Side side : {Side::kSender, Side::kReceiver}) {
    for (uint32_t slot = 0; slot < plan_.Ends(side); ++slot) {
      if (MustGiveUp() || !Spawn({side, slot}, 0, quota)) return false;
    }
  }
  const bool opened = Await([&] { return AllReached(EndState::kOpen) || MustGiveUp(); });
  if (board_.shared().refused.load(std::memory_order_relaxed) != 0) {
    if (error_.ok()) error_ = absl::AbortedError(std::exchange(unexpected_, ""));
    return false;
  }
  if (!opened || !error_.ok()) return false;
  // All that is left to do is to say so.
  const absl::Status started = group_.Start(os::After(Patience::kMostBounds * plan_.liveness_nanos));
  if (absl::IsDeadlineExceeded(started)) {
    stuck_ = std::string(started.message());
  } else if (absl::IsCancelled(started)) {
    error_ = started;
  } else if (!started.ok()) {
    unexpected_ = std::string(started.message());
  }
  // A copy that stays open would keep the survivors from noticing that a side is gone.
  if (!plan_.capabilities.survives_sigkill) Release();
  return started.ok();
}

bool Driver::Fill() {
  NoteAttachCounts();
  last_progress_nanos_ = os::MonotonicNanos();
  worst_wait_nanos_ = 0;
  board_.Enter(Phase::kFill);
  return Await([&] { return board_.shared().fill_complete.load(std::memory_order_acquire) != 0; });
}

bool Driver::Traffic() {
  traffic_end_nanos_ = os::MonotonicNanos() + plan_.traffic_nanos;
  board_.Enter(Phase::kTraffic);
  for (size_t i = 0; i < plan_.strikes.size() && !side_extinct_; ++i) {
    // The first one happens in every trial, however slow; the others as time allows.
    if (!AwaitMoment(plan_.strikes[i], /*must_happen=*/i == 0)) break;
    striking_ = true;
    if (!Strike(plan_.strikes[i])) return false;
    striking_ = false;
  }
  return Await([&] {
    const bool enough = TrafficTimeIsOver() || board_.Completed(Side::kReceiver) >= plan_.target_messages;
    return side_extinct_ || SendersDone() || (enough && !SomebodyIsOvertaken());
  });
}

bool Driver::Close() {
  ending_ = true;
  if (!side_extinct_) {
    board_.Enter(Phase::kDrain);
    if (!Await([&] { return SendersDone(); })) return false;
    if (!plan_.audited) Release();
    // An end of a damaged object leaves when it likes.
    if (!plan_.damages) NoteAttachCounts();
    board_.shared().closer.store(current(Side::kSender)[0], std::memory_order_relaxed);
    for (const uint32_t index : current(Side::kSender)) {
      const EndState state = board_.log(Side::kSender, index).state.load(std::memory_order_relaxed);
      if (state == EndState::kDone) board_.shared().closer.store(index, std::memory_order_relaxed);
    }
    board_.Enter(Phase::kClosing);
  } else if (!plan_.capabilities.reports_peer_death) {
    // Nobody promised that the survivors would notice.
    return true;
  }
  if (!Await([&] { return AllReached(EndState::kEnded); })) return false;
  // Leaving includes closing the end.
  complete_ = true;
  for (int child = 0; child < group_.size() && complete_; ++child) complete_ = AwaitEnd("while closing: ", child);
  return complete_ && RunAudit();
}

bool Driver::RunAudit() {
  if (!plan_.audited) return true;
  const absl::StatusOr<int> child =
      group_.Spawn("auditor", os::kAnyCpu, [&](os::Gate&) { return ends_.audit(board_); });
  if (!child.ok()) {
    error_ = child.status();
    return false;
  }
  return AwaitEnd("alone with the object after traffic, ", *child);
}

void Driver::NoteAttachCounts() {
  std::vector<pid_t> processes = Processes();
  processes.push_back(getpid());
  // What an end has forked in the middle of a call may outlive it for a moment, and a process that exits shows no
  // mappings some time before its segments are told so. What is really wrong stays so.
  std::string miscount;
  std::string misfate;
  Patience patience(kExitNanos);
  do {
    miscount = FindAttachMiscount(processes);
    const std::vector<int64_t> mapped = MappedSegments(processes, plan_.memory);
    misfate = FindMisfate(AllSegments(), mapped, mapped);
  } while ((!miscount.empty() || !misfate.empty()) && !patience.IsOver([&] { return processes; }) &&
           sched_yield() == 0);
  if (attach_miscount_.empty()) attach_miscount_ = miscount;
  if (segment_misfate_.empty()) segment_misfate_ = misfate;
}

absl::StatusOr<Record> Driver::Run() {
  if (Begin() && Fill() && Traffic() && Close()) Healthy();
  group_.KillAndReapAll();
  if (!error_.ok()) return error_;
  NoteAttachCounts();
  Record record = ReadHistory(board_);
  record.complete = complete_ && unexpected_.empty();
  record.side_extinct = side_extinct_;
  record.stuck = stuck_;
  record.unexpected = unexpected_;
  record.attach_miscount = attach_miscount_;
  record.segment_misfate = segment_misfate_;
  for (const std::vector<Starvation>& ends : starvation_) {
    for (const Starvation& end : ends) {
      record.worst_starved_nanos = std::max(record.worst_starved_nanos, end.worst_nanos());
    }
  }
  record.worst_overslept_nanos = WorstOverslept();
  record.overslept = overslept_;
  record.strikes = strikes_;
  record.excused_nanos = patience_.excused_nanos();
  record.worst_recovery_nanos = worst_recovery_nanos_;
  record.sender_kills = kills_[static_cast<int>(Side::kSender)];
  record.receiver_kills = kills_[static_cast<int>(Side::kReceiver)];
  record.worst_wait_nanos = worst_wait_nanos_;
  record.worst_end_wait_nanos = worst_end_wait_nanos_;
  return record;
}

uint32_t DrawFillBytes(const TrialRequest& request) {
  return Random(SubSeed(request.seed, kFillPart)).OneIn(3) ? kSmallestMessageBytes : request.geometry.max_message_bytes;
}

TrialPlan MakePlan(const TrialRequest& request, const Capabilities& capabilities, uint32_t fill_bytes,
                   uint64_t fill_limit_messages, uint64_t depth_limit_messages, std::vector<std::string> memory) {
  const bool large = request.geometry.max_message_bytes > 4096;
  size_t drawn = 0;
  TrialPlan plan = {
      .seed = request.seed,
      .geometry = request.geometry,
      .capabilities = capabilities,
      .fill_bytes = fill_bytes,
      .fill_limit_messages = fill_limit_messages,
      .depth_limit_messages = depth_limit_messages,
      .strikes = {},
      .memory = std::move(memory),
      .damages = request.fault->damages,
      .audited = capabilities.survives_sigkill && (!capabilities.reports_peer_death || request.fault->damages ||
                                                   Random(SubSeed(request.seed, kAuditPart)).OneIn(2)),
      .target_messages = uint64_t{large ? 600U : 3'000U},
      .max_messages = uint64_t{large ? 6'000U : 40'000U},
      .traffic_nanos = request.traffic_nanos,
      .liveness_nanos = request.liveness_nanos,
      .end_nanos = request.end_nanos};
  if (request.smaller.messages != Smaller::kAll) {
    plan.max_messages = std::min(plan.max_messages, request.smaller.messages);
    // So few are to be sent whatever else the machine does.
    plan.traffic_nanos = std::max(plan.traffic_nanos, kCountedTrafficNanos);
  }
  plan.target_messages = std::min(plan.target_messages, plan.max_messages);
  // All are drawn, so that those that stay are what they were.
  for (Strike& strike : request.fault->strikes(plan, Random(SubSeed(request.seed, kFaultPart)))) {
    if (request.smaller.HasStrike(drawn++)) plan.strikes.push_back(std::move(strike));
  }
  const bool spins = plan.geometry.wait == Wait::kSpin;
  plan.sides_apart = plan.strikes.empty() && spins && os::AllowedCpus().size() > 1 &&
                     Random(SubSeed(request.seed, kApartPart)).OneIn(2);
  // More, so that who is overtaken can be told from who is late (starvation.h); target_messages still end the traffic.
  if (plan.LooksForStarvation() && request.smaller.messages == Smaller::kAll && !large) {
    plan.max_messages = spins ? 1'000'000 : 300'000;
    // Those that share a CPU have turns of milliseconds; each is to have some.
    if (spins) plan.target_messages = plan.max_messages;
  }
  return plan;
}

absl::StatusOr<Record> Drive(const TrialPlan& plan, const Ends& ends, const std::atomic<bool>* cancel) {
  absl::StatusOr<Board> board = Board::Create(plan);
  if (!board.ok()) return board.status();
  const int children =
      static_cast<int>(plan.MaxIndices(Side::kSender) + plan.MaxIndices(Side::kReceiver) + 1);  // 1: the auditor
  absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(children, cancel);
  if (!group.ok()) return group.status();
  return Driver(plan, ends, *std::move(board), *std::move(group), cancel).Run();
}

}  // namespace ipcmark::stress
