#include "results/gate_session.h"

#include <sched.h>

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace ipcmark::results {
namespace {

std::string Method(const Plan& plan) {
  return absl::StrCat(
      plan.metric, ", ", plan.repetitions, " x ",
      plan.iterations > 0 ? absl::StrCat(plan.iterations, " iterations") : absl::StrCat(plan.seconds, " s"),
      plan.cpu == kAnyCpu ? "" : absl::StrCat(", CPU ", plan.cpu));
}

GateRow ErrorRow(const std::string& name, GateVerdict verdict, const absl::Status& status) {
  GateRow row;
  row.name = name;
  row.verdict = verdict;
  row.detail = std::string(status.message());
  return row;
}

bool Has(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Adds the row and the plan of a benchmark that both sides have. Only Cancelled is an error.
absl::Status PlanRow(const std::string& name, const SliceOptions& options, bool counts, const Janitor& janitor,
                     Session& session) {
  session.plans.emplace_back();
  absl::StatusOr<Planned> planned = PlanSlices(session.base, name, options, counts, janitor);
  if (!planned.ok()) {
    session.report.rows.push_back(ErrorRow(name, GateVerdict::kErrorInBase, planned.status()));
    // Head first: what head lost must not hide behind a base that fails, too.
    const absl::StatusOr<Planned> head = PlanSlices(session.head, name, options, counts, janitor);
    if (!head.ok()) session.report.rows.back() = ErrorRow(name, GateVerdict::kErrorInHead, head.status());
    return absl::IsCancelled(planned.status()) ? planned.status() : absl::OkStatus();
  }
  session.plans.back() = planned->plan;
  const bool first = std::all_of(session.report.rows.begin(), session.report.rows.end(),
                                 [](const GateRow& row) { return row.method.empty(); });
  absl::Status warm = absl::OkStatus();
  if (first) {
    const absl::StatusOr<Planned> head = PlanSlices(session.head, name, options, counts, janitor);
    if (head.ok()) session.report.environment = CompareEnvironments(planned->file, head->file);
    warm = head.status();
  } else {
    warm = RunSlice(session.head, name, planned->plan, janitor).status();
  }
  if (absl::IsCancelled(warm)) return warm;
  if (!warm.ok()) {
    session.report.rows.push_back(ErrorRow(name, GateVerdict::kErrorInHead, warm));
    return absl::OkStatus();
  }
  GateRow row;
  row.name = name;
  row.method = Method(planned->plan);
  session.report.rows.push_back(std::move(row));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Session> Prepare(const Program& base, const Program& head, const std::string& filter,
                                const SliceOptions& options, const Janitor& janitor) {
  Session session;
  session.base = base;
  session.head = head;
  session.report.base = base.path;
  session.report.head = head.path;
  absl::StatusOr<std::vector<std::string>> base_names = ListBenchmarks(janitor, session.base);
  if (!base_names.ok()) return base_names.status();
  absl::StatusOr<std::vector<std::string>> head_names = ListBenchmarks(janitor, session.head);
  if (!head_names.ok()) return head_names.status();
  std::vector<std::string> names = *base_names;
  for (const std::string& name : *head_names) {
    if (!Has(names, name)) names.push_back(name);
  }
  if (names.empty()) return absl::InvalidArgumentError(absl::StrCat(base.path, ": it lists no benchmark"));
  if (absl::Status status = KeepMatching(filter, names); !status.ok()) return status;
  bool counts = true;
  for (const Program* program : {&base, &head}) {
    const absl::StatusOr<bool> can = CountsIterations(*program, janitor);
    if (!can.ok()) return can.status();
    counts = counts && *can;
  }
  if (!counts) {
    session.report.warnings.emplace_back(
        "a program does not know --benchmark_min_time=Nx (Google Benchmark before 1.8), so the two sides choose their "
        "iteration counts themselves, which may bias a ratio by a percent");
  }
  for (Program* program : {&session.base, &session.head}) {
    if (absl::Status status = LeaveOutLimits(janitor, *program); !status.ok()) return status;
  }
  for (const std::string& name : names) {
    const bool in_base = Has(*base_names, name);
    if (in_base && Has(*head_names, name)) {
      if (absl::Status status = PlanRow(name, options, counts, janitor, session); !status.ok()) return status;
      continue;
    }
    session.plans.emplace_back();
    session.report.rows.push_back(ErrorRow(name, in_base ? GateVerdict::kErrorInHead : GateVerdict::kErrorInBase,
                                           absl::NotFoundError("missing there")));
  }
  return session;
}

absl::StatusOr<SliceTimes> Measure(const Session& session, Side side, size_t row, const Janitor& janitor) {
  return RunSlice(side == Side::kBase ? session.base : session.head, session.report.rows[row].name, session.plans[row],
                  janitor);
}

int LastAllowedCpu() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return kAnyCpu;
  int cpu = CPU_SETSIZE - 1;
  while (cpu >= 0 && !CPU_ISSET(cpu, &set)) --cpu;
  return cpu;
}

bool IsAllowedCpu(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  return cpu < CPU_SETSIZE && sched_getaffinity(0, sizeof set, &set) == 0 && CPU_ISSET(cpu, &set);
}

}  // namespace ipcmark::results
