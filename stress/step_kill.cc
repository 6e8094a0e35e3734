#include "stress/step_kill.h"

#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ipc/channel.h"
#include "ipc/os/clock.h"
#include "ipc/os/futex.h"
#include "ipc/os/mapping.h"
#include "ipc/os/process_group.h"
#include "ipc/os/process_state.h"
#include "stress/census.h"
#include "stress/janitor.h"
#include "stress/patience.h"
#include "stress/random.h"
#include "stress/stepper.h"

namespace ipcmark::stress {
namespace {

// A recorded call crawls (kRecordedTimeoutNanos). The others are over in microseconds.
constexpr int64_t kTimeoutNanos = 2'000'000;
// A system call that took so long has slept.
constexpr int64_t kSleptNanos = 10'000'000;
// Between two looks at a survivor that has not ended.
constexpr int64_t kLookNanos = 5'000'000;

double Millis(int64_t nanos) { return static_cast<double>(nanos) / 1e6; }

// For how long this process has been ready to run and had no CPU; 0 where the kernel does not say.
int64_t StarvedNanos() { return OwnCpuTimes().waited_nanos; }

class Sweeper {
 public:
  Sweeper(const SweepRequest& request, os::Mapping notes) : request_(request), notes_(std::move(notes)) {}

  absl::StatusOr<Sweep> Run() {
    // Unharmed first: it also says how many instructions there are.
    absl::Status status = Try(0);
    if (!status.ok()) return status;
    for (const SystemCall& call : record_.system_calls) {
      sweep_.system_calls.push_back({call.step, SystemCallName(call.number)});
    }
    sweep_.end = Instructions() + (holds_ ? 0 : record_.system_calls.size());
    if (holds_until_sleep_) {
      const auto sleep =
          std::ranges::find_if(record_.system_calls, [](auto& call) { return call.nanos > kSleptNanos; });
      if (sleep != record_.system_calls.end()) sweep_.end = sleep->step + 1;
    }
    const std::vector<uint64_t> all = AllPoints();
    sweep_.points = all.size();
    if (!sweep_.broken.empty()) return sweep_;
    std::vector<uint64_t> points;
    std::ranges::copy_if(all, std::back_inserter(points), [&](uint64_t n) { return IsAskedFor(n); });
    const uint64_t width = points.size();
    const uint64_t count = request_.samples == 0 ? width : std::min(request_.samples, width);
    const bool drawn = count < width;
    Random random(request_.seed);
    sweep_.next = drawn || points.empty() ? 0 : points.front();
    for (uint64_t i = 0; i < count && sweep_.broken.size() < request_.enough_broken && !MustStop(); ++i) {
      // One in each of `count` equal parts.
      const uint64_t first = i * width / count;
      const uint64_t at = first + random.Below((i + 1) * width / count - first);
      status = Try(points[at]);
      if (!status.ok()) return status;
      if (!drawn) sweep_.next = at + 1 < width ? points[at + 1] : std::min(request_.to, sweep_.end);
    }
    return sweep_;
  }

 private:
  Notes* notes() { return static_cast<Notes*>(notes_.address()); }
  [[nodiscard]] uint64_t Instructions() const { return record_.addresses.size(); }
  [[nodiscard]] bool Cancelled() const {
    return request_.cancel != nullptr && request_.cancel->load(std::memory_order_relaxed);
  }
  [[nodiscard]] bool MustStop() const { return os::MonotonicNanos() >= request_.end_nanos || Cancelled(); }

  [[nodiscard]] const SystemCall* CallAt(uint64_t step) const {
    const auto at = std::ranges::find(record_.system_calls, step, &SystemCall::step);
    return at == record_.system_calls.end() ? nullptr : &*at;
  }

  [[nodiscard]] std::vector<uint64_t> AllPoints() const {
    std::vector<uint64_t> points;
    std::unordered_map<uint64_t, uint32_t> passes;
    for (uint64_t n = 0; n < sweep_.end; ++n) {
      const uint32_t most = holds_ ? kMostHeldPasses : kMostPasses;
      if (n >= Instructions() || ++passes[record_.addresses[n]] <= most) points.push_back(n);
    }
    return points;
  }

  [[nodiscard]] bool IsAskedFor(uint64_t n) const {
    const bool boundary = n >= Instructions() || CallAt(n) != nullptr || (n > 0 && CallAt(n - 1) != nullptr);
    return n >= request_.from && n < request_.to && (boundary || !request_.only_system_calls);
  }

  [[nodiscard]] std::string Where(uint64_t n) const {
    if (n >= Instructions()) {
      const SystemCall& call = record_.system_calls[n - Instructions()];
      return absl::StrFormat("inside %s (instruction %d)", SystemCallName(call.number), call.step);
    }
    if (n + 1 == Instructions()) return "after its return";
    if (const SystemCall* call = CallAt(n); call != nullptr) {
      return absl::StrFormat("on entry to %s (instruction %d)", SystemCallName(call->number), n);
    }
    if (const SystemCall* call = n > 0 ? CallAt(n - 1) : nullptr; call != nullptr) {
      return absl::StrFormat("on return from %s (instruction %d)", SystemCallName(call->number), n);
    }
    return absl::StrFormat("before instruction %d", n);
  }

  // Kills at point n, again when something came too late, and notes what is broken; records when there is no record
  // yet. Not ok: what the system refused.
  absl::Status Try(uint64_t n) {
    const bool records = record_.addresses.empty();
    absl::Status seen = TryOnce(n, /*patient=*/false);
    if (absl::IsDeadlineExceeded(seen)) ++sweep_.repeated;
    for (int repeat = 0; repeat < kMostRepeats && absl::IsDeadlineExceeded(seen); ++repeat) {
      seen = TryOnce(n, /*patient=*/true);
    }
    // What survivors saw when a signal for the whole run reached them, too, counts for nothing.
    if (absl::IsCancelled(seen) || Cancelled()) return absl::OkStatus();
    // No words of a survivor: the parent could not do its part.
    if (!prepared_) return seen;
    sweep_.trials += records ? 0 : 1;
    sweep_.held += !records && holds_ ? 1 : 0;
    sweep_.reached += !records && reached_ ? 1 : 0;
    if (!seen.ok()) {
      sweep_.broken.push_back({n, records ? "with nobody killed" : Where(n), std::string(seen.message())});
      return absl::OkStatus();
    }
    if (recovery_nanos_ > sweep_.worst_recovery_nanos) {
      sweep_.worst_recovery_nanos = recovery_nanos_;
      sweep_.worst_recovery_point = n;
    }
    return absl::OkStatus();
  }

  absl::Status TryOnce(uint64_t n, bool patient) {
    prepared_ = false;
    new (notes()) Notes{};
    absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(2, request_.cancel);
    if (!group.ok()) return group.status();
    absl::StatusOr<std::unique_ptr<SweptCase>> swept = request_.make_case(notes());
    if (!swept.ok()) return swept.status();
    if (patient) (*swept)->BePatient();
    holds_ = (*swept)->holds();
    holds_until_sleep_ = (*swept)->holds_until_sleep();
    absl::Status status = (*swept)->Prepare();
    if (!status.ok()) return status;
    int bystander = -1;
    if ((*swept)->has_bystander()) {
      const absl::StatusOr<int> spawned = StartBystander(**swept, *group);
      if (!spawned.ok()) return spawned.status();
      bystander = *spawned;
    }
    const absl::StatusOr<bool> finished = RunVictim(n, **swept, bystander < 0 ? -1 : group->pid(bystander));
    const int64_t starved_before_nanos = StarvedNanos();
    if (!finished.ok()) {
      prepared_ = absl::IsAborted(finished.status()) || absl::IsDeadlineExceeded(finished.status());
      return finished.status();
    }
    const absl::StatusOr<int> survivor = group->Spawn(
        "a survivor", os::kAnyCpu, [&](os::Gate&) { return Live([&] { return (*swept)->Check(*finished); }); });
    if (!survivor.ok()) return survivor.status();
    EntrustToJanitor(group->pid(*survivor));
    prepared_ = true;
    status = Outcome(*group, *survivor);
    if (status.ok() && bystander >= 0) status = Outcome(*group, bystander);
    if (status.ok() || absl::IsDeadlineExceeded(status)) status.Update((*swept)->CheckAll(*finished));
    sweep_.remains += RemoveObjectsOf(victim_pid_);
    // It ends without a destructor.
    RemoveObjectsOf(group->pid(*survivor));
    sweep_.survivors += bystander >= 0 ? 2 : 1;
    recovery_nanos_ = notes()->recovered == 0 ? 0 : notes()->recovered_nanos - notes()->killed_nanos;
    const int64_t starved_nanos = notes()->starved_nanos + StarvedNanos() - starved_before_nanos;
    recovery_nanos_ = std::max(recovery_nanos_, notes()->slowest_nanos.load());
    recovery_nanos_ = std::max<int64_t>(0, recovery_nanos_ - starved_nanos);
    if (status.ok() && recovery_nanos_ > kPeerDeathNanos) {
      status = absl::DeadlineExceededError(
          absl::StrFormat("a survivor that took %.0f ms to go on", Millis(recovery_nanos_)));
    }
    return status;
  }

  // A survivor's life.
  template <typename Body>
  absl::Status Live(const Body& body) {
    absl::Status status = body();
    notes()->starved_nanos += StarvedNanos();
    return status;
  }

  absl::StatusOr<int> StartBystander(SweptCase& swept, os::ProcessGroup& group) {
    absl::StatusOr<int> spawned =
        group.Spawn("a bystander", os::kAnyCpu, [&](os::Gate&) { return Live([&] { return swept.Bystand(); }); });
    if (!spawned.ok()) return spawned;
    const Deadline end = os::After(kHangNanos);
    const pid_t pid = group.pid(*spawned);
    while (!os::HasPassed(end) && (notes()->bystander_ready == 0 || (swept.bystander_sleeps() && !os::IsAsleep(pid)))) {
      sched_yield();
    }
    return spawned;
  }

  // Whether it had returned from its call. kAborted, kDeadlineExceeded: what was seen of a victim that was held.
  absl::StatusOr<bool> RunVictim(uint64_t n, SweptCase& swept, pid_t bystander) {
    const bool records = record_.addresses.empty();
    const int64_t timeout_nanos = records ? kRecordedTimeoutNanos : holds_ ? kHeldTimeoutNanos : kTimeoutNanos;
    Victim victim([&] { swept.BeforeCall(); }, [&] { swept.Call(timeout_nanos); },
                  swept.kills_in_its_thread() ? Victim::Led::kItsThread : Victim::Led::kCaller,
                  [&] { NoteAfterCall(swept.AfterCall()); });
    if (!victim.ready()) return absl::UnavailableError("the victim could not be traced");
    victim_pid_ = victim.pid();
    EntrustToJanitor(victim_pid_);
    if (records) {
      record_ = victim.Record();
    } else if (n < Instructions()) {
      // It may poll for less long than it was seen to.
      if (holds_until_sleep_) victim.StopAsleep();
      reached_ = victim.RunTo(record_, n);
    } else {
      reached_ = victim.RunInto(record_, record_.system_calls[n - Instructions()]);
    }
    absl::Status let_go;
    if (holds_) let_go = HoldAndLetGo(victim, bystander);
    const bool finished = victim.finished();
    victim.Kill();
    notes()->killed_nanos = os::MonotonicNanos();
    notes()->killed = 1;
    os::WakeAllOnFutex(notes()->killed);
    if (!let_go.ok()) return let_go;
    return finished;
  }

  void NoteAfterCall(const absl::Status& status) {
    notes()->code_after_call = status.code();
    snprintf(notes()->words_after_call, sizeof(notes()->words_after_call), "%s", std::string(status.message()).c_str());
  }

  absl::Status HoldAndLetGo(Victim& victim, pid_t rival) {
    notes()->held = 1;
    os::WakeAllOnFutex(notes()->held);
    Patience with_rival(kHangNanos);
    const auto is_acting = [&] {
      const RivalState state = notes()->rival;
      return state == RivalState::kWaits || (state == RivalState::kActs && !os::IsAsleep(rival));
    };
    while (is_acting() && !with_rival.IsOver([&] { return std::vector<pid_t>{rival}; })) sched_yield();
    const pid_t pid = victim.pid();
    notes()->let_go_nanos = os::MonotonicNanos();
    Patience with_victim(kHangNanos);
    if (!victim.LetGo([&] { return with_victim.IsOver([&] { return std::vector<pid_t>{pid}; }); })) {
      return absl::AbortedError("the one that was held does not come to its end");
    }
    return {notes()->code_after_call, notes()->words_after_call};
  }

  static absl::Status Outcome(os::ProcessGroup& group, int child) {
    Patience patience(kHangNanos);
    for (;;) {
      absl::Status status = group.JoinOne(child, os::After(kLookNanos));
      if (!group.running(child) || !absl::IsDeadlineExceeded(status)) return status;
      if (patience.IsOver([&] { return std::vector<pid_t>{group.pid(child)}; })) {
        return absl::AbortedError(status.message());
      }
    }
  }

  const SweepRequest& request_;
  os::Mapping notes_;
  Steps record_;
  Sweep sweep_;
  // Of the last try.
  bool prepared_ = false;
  bool reached_ = false;
  bool holds_ = false;
  bool holds_until_sleep_ = false;
  pid_t victim_pid_ = -1;
  int64_t recovery_nanos_ = 0;
};

}  // namespace

void Notes::Recover() {
  if (recovered.exchange(1) == 0) recovered_nanos = os::MonotonicNanos();
}

absl::StatusOr<Sweep> SweepCall(const SweepRequest& request) {
  absl::Status may = MayStep();
  if (!may.ok()) return may;
  absl::StatusOr<os::Mapping> notes = os::Mapping::SharedAnonymous(sizeof(Notes));
  if (!notes.ok()) return notes.status();
  return Sweeper(request, *std::move(notes)).Run();
}

}  // namespace ipcmark::stress
