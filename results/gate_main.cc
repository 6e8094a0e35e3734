// bazel run //results:gate: what it answers is in gate.h, its flags in gate_options.h.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "results/child.h"
#include "results/gate_options.h"
#include "results/gate_report.h"
#include "results/gate_session.h"
#include "results/revisions.h"
#include "results/text.h"

namespace ipcmark::results {
namespace {

constexpr int kExitInterrupted = 130;

using Clock = std::chrono::steady_clock;

int Fail(const absl::Status& status) {
  if (absl::IsCancelled(status)) {
    std::fprintf(stderr, "gate: interrupted\n");
    return kExitInterrupted;
  }
  std::fprintf(stderr, "gate: %s\n", PrintableUtf8(std::string(status.message())).c_str());
  return kExitBadInput;
}

struct Sides {
  Built base;
  Built head;
};

absl::StatusOr<Sides> FindSides(const GateOptions& options, const Janitor& janitor) {
  if (options.base.empty()) {
    // Absolute: a bare name would be looked for in PATH.
    const auto named = [](const std::string& path) { return Built{std::filesystem::absolute(path), path}; };
    return Sides{named(options.base_binary), named(options.head_binary)};
  }
  const absl::StatusOr<std::string> checkout = FindCheckout(janitor);
  if (!checkout.ok()) return checkout.status();
  absl::StatusOr<Built> base = BuildRevision(*checkout, options.base, options.target, kBaseTree, janitor);
  if (!base.ok()) return base.status();
  absl::StatusOr<Built> head = BuildRevision(*checkout, options.head, options.target, kHeadTree, janitor);
  if (!head.ok()) return head.status();
  return Sides{*std::move(base), *std::move(head)};
}

absl::Status WriteFiles(const GateOptions& options, const GateReport& report) {
  if (!options.json.empty()) {
    if (absl::Status status = WriteFile(options.json, GateJson(report)); !status.ok()) return status;
  }
  if (!options.markdown.empty()) {
    if (absl::Status status = WriteFile(options.markdown, GateMarkdown(report)); !status.ok()) return status;
  }
  if (!options.junit.empty()) return WriteFile(options.junit, GateJunit(report));
  return absl::OkStatus();
}

void ShowProgress(Clock::time_point start, double budget, size_t pairs, size_t undecided) {
  if (isatty(STDERR_FILENO) != 1) return;
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  std::fprintf(stderr, "\r\033[K%.0f of %.0f s, %zu pairs, %zu benchmarks undecided%s", seconds, budget, pairs,
               undecided, undecided == 0 ? "\n" : "");
}

absl::StatusOr<GateReport> RunSides(const GateOptions& options, const Janitor& janitor) {
  if (options.cpu != kAnyCpu && !IsAllowedCpu(options.cpu)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--cpu=", options.cpu, ": this process may not run there; see taskset -p $$"));
  }
  const absl::StatusOr<Sides> sides = FindSides(options, janitor);
  if (!sides.ok()) return sides.status();
  const uint64_t seed = options.seed.value_or(std::random_device()());
  std::fprintf(stderr, "gate: seed %llu\n", static_cast<unsigned long long>(seed));
  SliceOptions slice;
  slice.seconds = options.slice_seconds;
  if (options.pin) slice.cpu = options.cpu == kAnyCpu ? LastAllowedCpu() : options.cpu;
  const Clock::time_point start = Clock::now();
  const auto elapsed = [start] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  absl::StatusOr<Session> session = Prepare({sides->base.path, options.arguments},
                                            {sides->head.path, options.arguments}, options.filter, slice, janitor);
  if (!session.ok()) return session.status();
  GateRun run;
  run.seed = seed;
  run.rules.benchmarks = session->report.rows.size();
  run.rules.looks = LooksUpTo(options.max_pairs);
  run.rules.dead_band = options.dead_band;
  run.rules.slowdown = options.slowdown;
  run.measure = [&](Side side, size_t row) { return Measure(*session, side, row, janitor); };
  run.time_is_up = [&] { return elapsed() >= options.budget_seconds; };
  run.progress = [&](size_t pairs, size_t undecided) { ShowProgress(start, options.budget_seconds, pairs, undecided); };
  GateReport report = session->report;
  RunGate(run, report);
  report.base = sides->base.name;
  report.head = sides->head.name;
  report.seconds = elapsed();
  return report;
}

int Main(const std::vector<std::string>& arguments) {
  // bazel run starts us elsewhere; paths on the command line are the caller's.
  const char* caller = std::getenv("BUILD_WORKING_DIRECTORY");
  if (caller != nullptr && chdir(caller) != 0) {
    return Fail(absl::UnavailableError(absl::StrCat("chdir ", caller, ": ", std::strerror(errno))));
  }
  absl::StatusOr<GateOptions> options = ParseGateOptions(arguments);
  if (!options.ok()) return Fail(options.status());
  if (options->help) {
    std::fputs(kGateUsage, stdout);
    return std::fflush(stdout) == 0 ? kExitFine : kExitBadInput;
  }
  // Bazel's test protocol; see perf_gate.bzl.
  const char* xml = std::getenv("XML_OUTPUT_FILE");
  if (options->junit.empty() && xml != nullptr) options->junit = xml;
  for (const std::string& path : {options->json, options->markdown, options->junit}) {
    if (path.empty()) continue;
    if (absl::Status status = CheckWritable(path); !status.ok()) return Fail(status);
  }
  CatchInterrupts();
  const absl::StatusOr<std::unique_ptr<Janitor>> janitor = Janitor::Start();
  if (!janitor.ok()) return Fail(janitor.status());
  const absl::StatusOr<GateReport> report = RunSides(*options, **janitor);
  if (!report.ok()) return Fail(report.status());
  // A report that did not arrive is no pass.
  const bool printed = std::fputs(GateText(*report).c_str(), stdout) >= 0 && std::fflush(stdout) == 0;
  if (absl::Status status = WriteFiles(*options, *report); !status.ok()) return Fail(status);
  if (!printed) return Fail(absl::UnavailableError("standard output cannot be written; send it elsewhere"));
  return report->interrupted ? kExitInterrupted : GateExitCode(*report, options->strict);
}

}  // namespace
}  // namespace ipcmark::results

int main(int argc, char** argv) { return ipcmark::results::Main(std::vector<std::string>(argv + 1, argv + argc)); }
