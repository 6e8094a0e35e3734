// Stress: runs scenarios against every primitive it was built with. See --help, and options.h for the command line.

#include <signal.h>

#include <cstdio>

#include "absl/strings/str_format.h"
#include "stress/options.h"
#include "stress/runner.h"
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

int NothingChosen(const Options& options, const Catalogue& catalogue) {
  std::string sentence =
      absl::StrFormat("no scenario's name matches --scenario=%s; --list prints them", options.scenario_text);
  if (!catalogue.skipped.empty()) {
    sentence += absl::StrFormat(" (%s is skipped: %s)", catalogue.skipped[0].name, catalogue.skipped[0].reason);
  }
  return Fail(sentence);
}

void PrintList(const Catalogue& catalogue) {
  for (const Scenario& scenario : catalogue.scenarios) absl::PrintF("%s\n", scenario.name);
  for (const Skipped& skipped : catalogue.skipped) absl::PrintF("# skipped %s: %s\n", skipped.name, skipped.reason);
}

int Main(std::span<const char* const> arguments) {
  const absl::StatusOr<Options> options = ParseOptions(arguments);
  if (!options.ok()) return Fail(options.status().message());
  if (options->help) {
    absl::PrintF("%s", HelpText(TargetLabel()));
    return kExitFine;
  }
  const Catalogue catalogue =
      MakeCatalogue(PrimitiveTable(), [&](const std::string& name) { return options->scenario.Fits(name); });
  if (catalogue.scenarios.empty()) return NothingChosen(*options, catalogue);
  if (options->list) {
    PrintList(catalogue);
    return kExitFine;
  }
  absl::PrintF("seed %d\n", options->seed);
  fflush(stdout);
  HandleSignals();
  Runner runner(*options, TargetLabel(), catalogue, &g_cancel);
  const absl::Status status = runner.Run();
  if (!status.ok()) return Fail(status.message());
  runner.PrintSummary();
  return runner.broken() ? kExitBroken : kExitFine;
}

}  // namespace
}  // namespace ipcmark::stress

int main(int argc, char** argv) { return ipcmark::stress::Main({argv + 1, argv + argc}); }
