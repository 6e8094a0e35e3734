#include "stress/sweep_command.h"

#include <algorithm>
#include <cstdio>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "ipc/os/clock.h"
#include "stress/step_kill.h"
#include "stress/stepper.h"
#include "stress/sweep_calls.h"

namespace ipcmark::stress {
namespace {

// A broken call may hang its survivors, seconds each time: so many say enough.
constexpr uint64_t kEnoughBroken = 5;

double Millis(int64_t nanos) { return static_cast<double>(nanos) / 1e6; }

// The primitives and calls that `options` choose: on_call(primitive, call), on_skipped(skipped); stops at an error.
template <typename OnCall, typename OnSkipped>
absl::Status ForEachCall(const Options& options, std::span<const PrimitiveEntry> primitives, const OnCall& on_call,
                         const OnSkipped& on_skipped) {
  for (const PrimitiveEntry& primitive : primitives) {
    if (!options.primitive.Has(primitive.name)) continue;
    if (const char* why = WhyNotSwept(primitive.capabilities); why != nullptr) on_skipped(Skipped{primitive.name, why});
    for (const SweptCall& call : SweptCallsOf(primitive.name, primitive.capabilities, primitive.make_subject)) {
      if (!options.scenario.Fits(absl::StrCat(primitive.name, "/", call.name))) continue;
      absl::Status status = on_call(primitive.name, call);
      if (!status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

// " (NAME: why)" of a primitive that `options` chooses, by a name that its calls would have, and that is skipped; or
// "".
std::string WhyNoneFits(const Options& options, std::span<const PrimitiveEntry> primitives) {
  std::set<std::string> calls;
  for (const PrimitiveEntry& primitive : primitives) {
    for (const SweptCall& call : SweptCallsOf(primitive.name, primitive.capabilities, primitive.make_subject)) {
      calls.insert(call.name);
    }
  }
  for (const PrimitiveEntry& primitive : primitives) {
    if (!options.primitive.Has(primitive.name)) continue;
    const char* const why = WhyNotSwept(primitive.capabilities);
    const auto fits = [&](const std::string& call) {
      return options.scenario.Fits(absl::StrCat(primitive.name, "/", call));
    };
    if (why != nullptr && std::ranges::any_of(calls, fits)) return absl::StrCat(" (", primitive.name, ": ", why, ")");
  }
  return "";
}

struct Row {
  std::string primitive;
  std::string call;
  Sweep sweep;
  int64_t nanos;  // that it took
  [[nodiscard]] std::string name() const { return absl::StrCat(primitive, "/", call); }
};

class Command {
 public:
  Command(const Options& options, const std::string& target, const std::atomic<bool>* cancel)
      : options_(options),
        target_(target),
        cancel_(cancel),
        begin_nanos_(os::MonotonicNanos()),
        end_nanos_(begin_nanos_ + static_cast<int64_t>(options.seconds) * os::kNanosPerSecond) {
    absl::PrintF("seed %d\n%-32s %7s %7s %7s %9s %12s %7s  %s\n", options.seed, "call", "points", "trials", "reached",
                 "survivors", "recovery/ms", "s", "result");
  }

  void Skip(const Skipped& skipped) {
    absl::PrintF("skipped %s: %s\n", skipped.name, skipped.reason);
    skipped_.push_back(skipped);
  }

  [[nodiscard]] bool broken() const {
    return std::ranges::any_of(rows_, [](const Row& row) { return !row.sweep.broken.empty(); });
  }

  // A sweep that has killed nobody, and not because it was stopped, has shown nothing.
  [[nodiscard]] absl::Status FindVacuity() const {
    const bool stopped = cancel_->load(std::memory_order_relaxed) || os::MonotonicNanos() >= end_nanos_;
    const auto killed = [](const Row& row) { return row.sweep.trials > 0 || !row.sweep.broken.empty(); };
    if (stopped || rows_.empty() || std::ranges::any_of(rows_, killed)) return absl::OkStatus();
    const auto points = [](const Row& row) { return row.sweep.end; };
    const Row& longest = *std::ranges::max_element(rows_, {}, points);
    return absl::InvalidArgumentError(
        absl::StrFormat("no call has such a point (--points=): the longest, %s, has 0:%d; leave it out for all of them",
                        longest.name(), longest.sweep.end));
  }

  void PrintSummary() const {
    Sweep all;
    uint64_t broken = 0;
    const Row* worst = nullptr;
    for (const Row& row : rows_) {
      all.points += row.sweep.points;
      all.trials += row.sweep.trials;
      all.held += row.sweep.held;
      all.survivors += row.sweep.survivors;
      all.repeated += row.sweep.repeated;
      broken += row.sweep.broken.size();
      if (worst == nullptr || row.sweep.worst_recovery_nanos > worst->sweep.worst_recovery_nanos) worst = &row;
    }
    absl::PrintF("%d calls, %d points, %d kills, %d held, %d survivors, %d points broken, %.0f s\n", rows_.size(),
                 all.points, all.trials - all.held, all.held, all.survivors, broken,
                 Millis(os::MonotonicNanos() - begin_nanos_) / 1e3);
    if (worst != nullptr) {
      absl::PrintF(
          "the longest recovery: %.3f ms, at point %d of %s; %d points took more than one attempt, with patience\n",
          Millis(worst->sweep.worst_recovery_nanos), worst->sweep.worst_recovery_point, worst->name(), all.repeated);
    }
    if (not_reached_ != 0) absl::PrintF("%d calls not reached: %s\n", not_reached_, reason_to_stop_);
    absl::PrintF("seed %d\n", options_.seed);
    fflush(stdout);
  }

  [[nodiscard]] std::string ToJson() const {
    const auto row_json = [&](std::string* text, const Row& row) { text->append(RowJson(row)); };
    const auto skipped_json = [](std::string* text, const Skipped& skipped) {
      absl::StrAppendFormat(text, R"({"name": %s, "reason": %s})", Quoted(skipped.name), Quoted(skipped.reason));
    };
    return absl::StrFormat("{\"seed\": %d,\n\"calls_not_reached\": %d,\n\"sweep\": [\n%s],\n\"skipped\": [\n%s]}\n",
                           options_.seed, not_reached_, absl::StrJoin(rows_, ",\n", row_json),
                           absl::StrJoin(skipped_, ",\n", skipped_json));
  }

  absl::Status RunCall(const std::string& primitive, const SweptCall& call) {
    const int64_t call_nanos = os::MonotonicNanos();
    const bool cancelled = cancel_->load(std::memory_order_relaxed);
    if (cancelled || call_nanos >= end_nanos_) {
      reason_to_stop_ = cancelled ? "interrupted" : "the time was up";
      ++not_reached_;
      return absl::OkStatus();
    }
    const uint64_t seed = options_.seed;
    absl::StatusOr<Sweep> sweep = SweepCall({.make_case = [&](Notes* notes) { return call.make_case(notes, seed); },
                                             .seed = seed,
                                             .from = options_.first_point,
                                             .to = options_.last_point,
                                             .only_system_calls = options_.only_system_calls,
                                             .samples = options_.trials == kNoLimit ? 0 : options_.trials,
                                             .enough_broken = kEnoughBroken,
                                             .end_nanos = end_nanos_,
                                             .cancel = cancel_});
    if (!sweep.ok()) {
      return {sweep.status().code(), absl::StrCat(primitive, "/", call.name, ": ", sweep.status().message())};
    }
    rows_.push_back({primitive, call.name, *std::move(sweep), os::MonotonicNanos() - call_nanos});
    Print(rows_.back());
    return absl::OkStatus();
  }

 private:
  [[nodiscard]] std::string CommandFor(const Row& row, uint64_t from, uint64_t to) const {
    return absl::StrFormat("./bazelw run %s -- --sweep --seed=%d --scenario='^%s$' --points=%d:%d", target_,
                           options_.seed, row.name(), from, to);
  }
  // "" when nothing is left to resume.
  [[nodiscard]] std::string Resume(const Row& row) const {
    const uint64_t to = std::min(row.sweep.end, options_.last_point);
    const bool left = row.sweep.next > options_.first_point && row.sweep.next < to && !options_.only_system_calls;
    return left ? CommandFor(row, row.sweep.next, to) : "";
  }

  void Print(const Row& row) const {
    const Sweep& sweep = row.sweep;
    std::string result = sweep.trials == sweep.points ? "ok, every point" : "ok";
    if (sweep.trials == 0) result = "nothing tried";
    if (!sweep.broken.empty()) result = "BROKEN";
    if (sweep.remains != 0) absl::StrAppend(&result, "; ", sweep.remains, " objects left by the dead, removed");
    absl::PrintF("%-32s %7d %7d %7d %9d %12.3f %7.1f  %s\n", row.name(), sweep.points, sweep.trials, sweep.reached,
                 sweep.survivors, Millis(sweep.worst_recovery_nanos), Millis(row.nanos) / 1e3, result);
    for (const BrokenPoint& broken : sweep.broken) {
      absl::PrintF("BROKEN %s: %s %s, point %d of 0:%d: expected its promises to hold, seen %s\n", row.name(),
                   sweep.held != 0 ? "held" : "killed", broken.where, broken.point, sweep.end, broken.seen);
      absl::PrintF("  replay: %s\n", CommandFor(row, broken.point, broken.point + 1));
    }
    if (const std::string resume = Resume(row); !resume.empty()) absl::PrintF("  resume: %s\n", resume);
    fflush(stdout);
  }

  [[nodiscard]] std::string RowJson(const Row& row) const {
    const Sweep& sweep = row.sweep;
    std::vector<std::string> calls;
    for (const Sweep::NamedCall& call : sweep.system_calls) {
      calls.push_back(absl::StrFormat(R"({"name": %s, "instruction": %d})", Quoted(call.name), call.step));
    }
    std::vector<std::string> broken;
    for (const BrokenPoint& one : sweep.broken) {
      broken.push_back(absl::StrFormat(
          R"({"point": %d, "where": %s, "expected": "its promises to hold", "seen": %s, "replay": %s})", one.point,
          Quoted(one.where), Quoted(one.seen), Quoted(CommandFor(row, one.point, one.point + 1))));
    }
    return absl::StrFormat(
        R"({"primitive": %s, "call": %s, "seed": %d, "points": %d, "end_point": %d, "trials": %d, "held": %d, "reached": %d, )"
        R"("survivors": %d, )"
        R"("broken_points": %d, "worst_recovery_nanos": %d, "worst_recovery_point": %d, "repeated_points": %d, )"
        R"("objects_left": %d, "next_point": %d, "resume": %s, "nanos": %d, "system_calls": [%s], "broken": [%s]})",
        Quoted(row.primitive), Quoted(row.call), options_.seed, sweep.points, sweep.end, sweep.trials, sweep.held,
        sweep.reached, sweep.survivors, sweep.broken.size(), sweep.worst_recovery_nanos, sweep.worst_recovery_point,
        sweep.repeated, sweep.remains, sweep.next, Quoted(Resume(row)), row.nanos, absl::StrJoin(calls, ", "),
        absl::StrJoin(broken, ", "));
  }

  const Options& options_;
  const std::string& target_;
  const std::atomic<bool>* cancel_;
  const int64_t begin_nanos_;
  const int64_t end_nanos_;
  const char* reason_to_stop_ = "";
  uint64_t not_reached_ = 0;  // calls
  std::vector<Row> rows_;
  std::vector<Skipped> skipped_;
};

}  // namespace

absl::Status RunSweeps(const Options& options, const std::string& target, std::span<const PrimitiveEntry> primitives,
                       const std::atomic<bool>* cancel, const ResultFile& json, bool* broken) {
  absl::Status may = MayStep();
  if (!may.ok()) return may;
  bool fits = false;
  const auto note = [&](const std::string&, const SweptCall&) {
    fits = true;
    return absl::OkStatus();
  };
  ForEachCall(options, primitives, note, [](const Skipped&) {}).IgnoreError();
  if (!fits) {
    return absl::InvalidArgumentError(
        absl::StrCat("no call fits; --sweep --list prints those that there are", WhyNoneFits(options, primitives)));
  }
  Command command(options, target, cancel);
  absl::Status status = ForEachCall(
      options, primitives,
      [&](const std::string& primitive, const SweptCall& call) { return command.RunCall(primitive, call); },
      [&](const Skipped& one) { command.Skip(one); });
  *broken = command.broken();
  if (!status.ok() && !*broken) return status;
  command.PrintSummary();
  if (status.ok()) status = command.FindVacuity();
  status.Update(json.Write(command.ToJson()));
  return status;
}

void ListSweeps(const Options& options, std::span<const PrimitiveEntry> primitives) {
  const auto print = [](const std::string& primitive, const SweptCall& call) {
    absl::PrintF("%s/%s\n", primitive, call.name);
    return absl::OkStatus();
  };
  const auto print_skipped = [](const Skipped& one) { absl::PrintF("# skipped %s: %s\n", one.name, one.reason); };
  ForEachCall(options, primitives, print, print_skipped).IgnoreError();
}

}  // namespace ipcmark::stress
