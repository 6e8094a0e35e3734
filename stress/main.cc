// Stress: runs scenarios against every primitive it was built with. See --help, and options.h for the command line.

#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "stress/invariants/invariant.h"
#include "stress/isolation.h"
#include "stress/options.h"
#include "stress/report.h"
#include "stress/runner.h"
#include "stress/sweep_command.h"
#include "stress/table.h"

namespace ipcmark::stress {
namespace {

enum ExitCode : int { kExitFine = 0, kExitBroken = 1, kExitUsage = 2 };

std::atomic<bool> g_cancel = false;
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler stores it");

void HandleSignals() {
  struct sigaction action = {};
  action.sa_handler = [](int) { g_cancel.store(true, std::memory_order_relaxed); };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

int Fail(absl::string_view sentence) {
  absl::FPrintF(stderr, "stress: %s\n", sentence);
  return kExitUsage;
}

// What was found outweighs what the system refused afterwards; both are said.
int Conclude(const absl::Status& status, bool broken) {
  const int refused = status.ok() ? kExitFine : Fail(status.message());
  return broken ? kExitBroken : refused;
}

template <typename Values>
std::string Names(const Values& values) {
  return absl::StrJoin(values, ", ", [](std::string* text, const auto* value) { text->append(value->name); });
}

int NothingChosen(const Options& options, const Catalogue& catalogue) {
  std::string sentence = "no scenario fits";
  for (const auto& [flag, value] :
       {std::pair("--scenario", options.scenario_text), std::pair("--primitive", options.primitive.text()),
        std::pair("--fault", options.fault.text())}) {
    if (!value.empty()) absl::StrAppend(&sentence, " ", flag, "=", value);
  }
  absl::StrAppend(&sentence, "; --list prints them");
  if (!catalogue.skipped.empty()) {
    absl::StrAppendFormat(&sentence, " (%s is skipped: %s)", catalogue.skipped[0].name, catalogue.skipped[0].reason);
  }
  return Fail(sentence);
}

void PrintList(const Catalogue& catalogue) {
  for (const Scenario& scenario : catalogue.scenarios) absl::PrintF("%s\n", scenario.name);
  for (const Skipped& skipped : catalogue.skipped) absl::PrintF("# skipped %s: %s\n", skipped.name, skipped.reason);
  absl::PrintF("# faults: %s\n", Names(AllFaults()));
  absl::PrintF("# invariants: %s\n", Names(AllInvariants()));
}

template <typename Values>
absl::Status CheckList(const char* flag, const NameList& list, const Values& values) {
  for (const std::string& name : list.names()) {
    if (std::ranges::any_of(values, [&](const auto* value) { return value->name == name; })) continue;
    return absl::InvalidArgumentError(
        absl::StrFormat("%s=%s: '%s' is none of %s; see --help", flag, list.text(), name, Names(values)));
  }
  return absl::OkStatus();
}

absl::Status CheckNames(const Options& options) {
  std::vector<const PrimitiveEntry*> primitives;
  for (const PrimitiveEntry& entry : PrimitiveTable()) primitives.push_back(&entry);
  absl::Status status = CheckList("--primitive", options.primitive, primitives);
  status.Update(CheckList("--fault", options.fault, AllFaults()));
  status.Update(CheckList("--invariant", options.invariant, AllInvariants()));
  for (const absl::string_view how : {"namespaces", "janitor", "none"}) {
    if (options.isolation == how) return status;
  }
  status.Update(absl::InvalidArgumentError(
      absl::StrCat("--isolation=", options.isolation, " is none of namespaces, janitor, none; see --help")));
  return status;
}

// Queues anywhere else would outlive a run that is killed.
void KeepQueuesInDevShm() {
  const char* named = getenv("IPCMARK_QUEUE_DIR");
  if (named != nullptr) {
    absl::FPrintF(stderr, "stress: IPCMARK_QUEUE_DIR=%s is left aside: the queues of a run lie in /dev/shm\n", named);
  }
  unsetenv("IPCMARK_QUEUE_DIR");
}

int Main(std::span<const char* const> arguments) {
  const absl::StatusOr<Options> options = ParseOptions(arguments);
  if (!options.ok()) return Fail(options.status().message());
  if (options->help) {
    absl::PrintF("%s", HelpText(TargetLabel()));
    return kExitFine;
  }
  const absl::Status known = CheckNames(*options);
  if (!known.ok()) return Fail(known.message());
  if (options->sweep && options->list) {
    ListSweeps(*options, PrimitiveTable());
    return kExitFine;
  }
  const absl::StatusOr<ResultFile> json = ResultFile::Open(options->list ? "" : options->json);
  if (!json.ok()) return Fail(json.status().message());
  // Early: on a busy machine a Ctrl-C may come before the first trial.
  HandleSignals();
  const absl::Status isolated = Isolate(options->isolation);
  if (!isolated.ok()) return Fail(isolated.message());
  KeepQueuesInDevShm();
  if (options->sweep) {
    bool broken = false;
    const absl::Status swept = RunSweeps(*options, TargetLabel(), PrimitiveTable(), &g_cancel, *json, &broken);
    return Conclude(swept, broken);
  }
  const Catalogue catalogue =
      MakeCatalogue(PrimitiveTable(), {.primitive = options->primitive,
                                       .fault = options->fault,
                                       .name = [&](const std::string& name) { return options->scenario.Fits(name); }});
  if (catalogue.scenarios.empty()) return NothingChosen(*options, catalogue);
  if (options->list) {
    PrintList(catalogue);
    return kExitFine;
  }
  absl::PrintF("seed %d\n", options->seed);
  fflush(stdout);
  Runner runner(*options, TargetLabel(), catalogue, &g_cancel);
  absl::Status status = runner.Run();
  if (!status.ok() && !runner.broken()) return Fail(status.message());
  PrintSummary(runner.results());
  status.Update(json->Write(ToJson(runner.results())));
  return Conclude(status, runner.broken());
}

}  // namespace
}  // namespace ipcmark::stress

int main(int argc, char** argv) { return ipcmark::stress::Main({argv + 1, argv + argc}); }
