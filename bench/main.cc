// The bench program: see HelpText in flags.cc for what it does.

#include <benchmark/benchmark.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <sstream>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "bench/cases.h"
#include "bench/flags.h"
#include "bench/machine/clock.h"
#include "bench/machine/environment.h"
#include "bench/placed_cases.h"
#include "bench/report/benchstat.h"
#include "bench/report/complexity.h"
#include "bench/report/output.h"
#include "bench/report/progress.h"
#include "bench/report/report.h"
#include "bench/report/result_file.h"
#include "bench/report/runner.h"
#include "bench/report/sample_file.h"
#include "ipc/os/cpu.h"
#include "ipc/os/error.h"

namespace ipcmark::bench {
namespace {

enum ExitCode : int { kExitOk = 0, kExitFailed = 1, kExitUsage = 2, kExitInterrupted = 130 };

std::atomic<bool> interrupted = false;
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler writes it");

// What runs a target of ours where this was built.
constexpr bool kIsOwnWorkspace = std::string_view(IPCMARK_REPOSITORY) == "@";
constexpr const char* kRunCommand = kIsOwnWorkspace ? "./bazelw run " : "bazel run " IPCMARK_REPOSITORY;

// The filter for Google Benchmark: what is registered has gone through ours.
constexpr char kAllRegistered[] = "all";

void OnInterrupt(int /*signal*/) { interrupted = true; }

int Refuse(const absl::Status& status) {
  std::cerr << "bench: " << status.message() << "\n";
  return kExitUsage;
}

absl::Status InitialiseBenchmark(const Flags& flags, const SuiteTiming& timing) {
  static std::vector<std::string> arguments;
  arguments = BenchmarkArguments(flags, timing);
  arguments.insert(arguments.begin(), "bench");
  static std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  int argc = static_cast<int>(argv.size()) - 1;
  // What it says about a bad value goes into our one sentence.
  std::ostringstream said;
  std::streambuf* const before = std::cerr.rdbuf(said.rdbuf());
  benchmark::Initialize(&argc, argv.data());
  std::cerr.rdbuf(before);
  if (argc <= 1) return absl::OkStatus();
  const std::string why = said.str().substr(0, said.str().find('\n'));
  return absl::InvalidArgumentError(
      absl::StrCat(argv[1], ": ", why.empty() ? "Google Benchmark has no such flag; see its user guide" : why));
}

// What --benchmark_format asks for, made of their own flags (--benchmark_color, ...); null for our table.
benchmark::BenchmarkReporter* DisplayFor(const std::string& format) {
  static CsvReporter csv;
  if (format.empty()) return nullptr;
  return format == "csv" ? &csv : benchmark::CreateDefaultDisplayReporter();
}

// For the context: where the two sides are, or each placement that was asked for.
std::string PlacementText(const Flags& flags) {
  if (flags.placements.empty()) return PlacementOf(flags.options, ReadTopology(os::AllowedCpus()));
  return absl::StrJoin(flags.placements, ",", [](std::string* out, Placement one) { *out += PlacementName(one); });
}

void PrintTable(const std::string& table) {
  const bool colour = WantsColour(isatty(STDOUT_FILENO) != 0, getenv("NO_COLOR"), getenv("TERM"));
  std::cout << (colour ? Coloured(table) : table);
}

bool AnyFailed(const Collector& collector) {
  for (const auto& report : collector.reports()) {
    for (const auto& run : report) {
      if (run.error_occurred) return true;
    }
  }
  return false;
}

// Each case so many times.
int Run(const Flags& flags, const CaseList& list, int repetitions) {
  const std::string& suite = flags.options.suite;
  const std::filesystem::path out = flags.out.empty() ? DefaultOut(suite) : std::filesystem::path(flags.out);
  std::error_code error;
  if (flags.out.empty()) std::filesystem::create_directories(out.parent_path(), error);
  absl::Status writable = CheckWritable(out, "--benchmark_out");
  if (!writable.ok()) return Refuse(writable);
  if (!flags.samples.empty()) writable = CheckWritable(flags.samples, "--samples");
  if (!writable.ok()) return Refuse(writable);
  if (!flags.samples.empty() && AreOneFile(out, flags.samples)) {
    return Refuse(absl::InvalidArgumentError(
        absl::StrCat("--samples=", flags.samples, ": the rows go to this file; name another one")));
  }
  struct sigaction action = {};
  action.sa_handler = OnInterrupt;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  const absl::StatusOr<ChosenClock> clock = ChooseClock(flags.clock, ReadTscSupport(), os::AllowedCpus());
  if (!clock.ok()) return Refuse(clock.status());
  UseClock(clock->clock);
  auto environment = Environment(flags.options, list.skipped, *clock);
  environment.emplace_back("placement", PlacementText(flags));
  for (const auto& [key, value] : environment) benchmark::AddCustomContext(key, value);
  for (const std::string& warning : Warnings(flags.options, flags.clock, *clock))
    std::cerr << "warning: " << warning << "\n";

  Progress progress(static_cast<int>(list.cases.size()) * repetitions);
  SampleFile samples(flags.samples);
  RegisterCases(
      list.cases, &interrupted, &progress, flags.messages,
      [&](const Case& one, uint64_t asked_for, const SliceResult& result) { samples.Keep(one, asked_for, result); });
  benchmark::BenchmarkReporter* shown = DisplayFor(flags.format);
  Collector collector(&progress, [&](const std::string& name) { samples.Write(name); });
  const auto fits = [&] { return FitRows(FitCurves(list.cases, collector.reports())); };
  Display display(&progress, shown, fits);
  benchmark::RunSpecifiedBenchmarks(&display, &collector, kAllRegistered);
  progress.Clear();
  if (flags.benchstat) {
    std::cout << BenchstatText(environment, collector.reports());
  } else if (shown == nullptr) {
    PrintTable(Table(list.cases, list.skipped, collector.reports()));
  }
  auto rows_with_fits = InOrderOf(list.cases, collector.reports());
  rows_with_fits.push_back(fits());
  absl::Status written = WriteRows(out, flags.out_format, rows_with_fits);
  if (written.ok()) written = samples.Close();
  if (!written.ok()) return Refuse(written);
  std::ostream& notes = shown == nullptr && !flags.benchstat ? std::cout : std::cerr;
  if (interrupted) notes << "\ninterrupted: the rows above are all there is\n";
  if (flags.out_format == "json" && std::filesystem::is_regular_file(out, error)) {
    notes << "\nopen it with: " << kRunCommand << "//results:compare -- "
          << std::filesystem::proximate(PreviousRun(out, suite)).string() << " "
          << std::filesystem::proximate(out).string() << "\n";
  }
  if (interrupted) return kExitInterrupted;
  return AnyFailed(collector) ? kExitFailed : kExitOk;
}

int Main(int argc, char** argv) {
  // bazel run starts us elsewhere; paths on the command line are the caller's.
  const char* caller = getenv("BUILD_WORKING_DIRECTORY");
  if (caller != nullptr && chdir(caller) != 0) return Refuse(os::SyscallError(absl::StrCat("chdir ", caller), errno));
  absl::StatusOr<Flags> flags = ParseFlags({argv + 1, argv + argc});
  if (!flags.ok()) return Refuse(flags.status());
  if (flags->help) {
    std::cout << HelpText();
    return kExitOk;
  }
  absl::StatusOr<SuiteTiming> timing = TimingOf(flags->options.suite);
  if (!timing.ok()) return Refuse(timing.status());
  flags->options.watchdog_nanos = WatchdogNanos(*flags, *timing);
  absl::StatusOr<CaseList> list = BuildPlacedCases(flags->options, flags->placements, ReadTopology(os::AllowedCpus()));
  if (!list.ok()) return Refuse(list.status());
  absl::Status initialised = InitialiseBenchmark(*flags, *timing);
  if (!initialised.ok()) return Refuse(initialised);
  const size_t known = list->cases.size();
  const std::string filter = benchmark::GetBenchmarkFilter();
  absl::StatusOr<int> selected = ApplyFilter(filter, flags->roofline && !flags->list_only, *list);
  if (!selected.ok()) return Refuse(selected.status());
  if (*selected == 0) {
    return Refuse(absl::InvalidArgumentError(absl::StrCat("--benchmark_filter=", filter, ": matches none of ", known,
                                                          " benchmarks; list them with --benchmark_list_tests")));
  }
  if (flags->list_only) {
    Progress silent(0);
    RegisterCases(list->cases, &interrupted, &silent);
    benchmark::RunSpecifiedBenchmarks(kAllRegistered);
    return kExitOk;
  }
  return Run(*flags, *list, flags->repetitions > 0 ? flags->repetitions : timing->repetitions);
}

// The same, with streams whose ends may fail.
int MainWithOutputs(int argc, char** argv) {
  Output err(std::cerr, STDERR_FILENO);
  Output out(std::cout, STDOUT_FILENO);
  const int status = Main(argc, argv);
  const int error = out.Finish();
  // A reader that has seen enough is no failure.
  if (error == 0 || error == EPIPE) return status;
  return Refuse(os::SyscallError("write to stdout", error, "free space there or send it elsewhere"));
}

}  // namespace
}  // namespace ipcmark::bench

int main(int argc, char** argv) { return ipcmark::bench::MainWithOutputs(argc, argv); }
