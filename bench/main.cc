// The bench program: see HelpText in flags.cc for what it does.

#include <benchmark/benchmark.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>

#include "absl/strings/str_cat.h"
#include "bench/cases.h"
#include "bench/environment.h"
#include "bench/flags.h"
#include "bench/report.h"
#include "bench/runner.h"
#include "ipc/os/error.h"

namespace ipcmark::bench {
namespace {

enum ExitCode : int { kExitOk = 0, kExitFailed = 1, kExitUsage = 2, kExitInterrupted = 130 };

std::atomic<bool> interrupted = false;
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler writes it");

void OnInterrupt(int /*signal*/) { interrupted = true; }

int Refuse(const absl::Status& status) {
  std::cerr << "bench: " << status.message() << "\n";
  return kExitUsage;
}

// "results/runs/2026-11-23T13-40-12-smoke.json" in the workspace, or in the current directory outside of bazel run.
std::filesystem::path DefaultOut(const std::string& suite) {
  const char* workspace = getenv("BUILD_WORKSPACE_DIRECTORY");
  const std::filesystem::path base = workspace != nullptr ? workspace : std::filesystem::current_path();
  const time_t now = time(nullptr);
  tm utc;
  gmtime_r(&now, &utc);
  char stamp[32];
  strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H-%M-%S", &utc);
  return base / "results" / "runs" / absl::StrCat(stamp, "-", suite, ".json");
}

// The newest other run of the same suite beside `path`; `path` itself when there is none.
std::filesystem::path PreviousRun(const std::filesystem::path& path, const std::string& suite) {
  std::filesystem::path newest;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(path.parent_path(), error)) {
    const std::string name = entry.path().filename();
    const std::string ending = absl::StrCat("-", suite, ".json");
    const bool same_suite =
        name.size() > ending.size() && name.compare(name.size() - ending.size(), ending.size(), ending) == 0;
    if (same_suite && entry.path() != path && entry.path() > newest) newest = entry.path();
  }
  return newest.empty() ? path : newest;
}

// So that an hour of measuring is not lost to a folder that cannot be written.
absl::Status CheckWritable(const std::filesystem::path& path) {
  std::error_code error;
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), error);
  const bool existed = std::filesystem::exists(path);
  const bool writable = std::ofstream(path, std::ios::app).is_open();
  const int err = errno;
  if (!existed && writable) unlink(path.c_str());
  if (writable) return absl::OkStatus();
  return os::SyscallError(absl::StrCat("open ", path.string()), err, "name a writable file in --benchmark_out");
}

// Google Benchmark's flags: the suite's choices first, so that the user's win.
absl::Status InitialiseBenchmark(const Flags& flags, const SuiteTiming& timing) {
  static std::vector<std::string> arguments;
  arguments = {"bench", absl::StrCat("--benchmark_min_time=", timing.min_seconds),
               absl::StrCat("--benchmark_repetitions=", timing.repetitions)};
  arguments.insert(arguments.end(), flags.passed.begin(), flags.passed.end());
  static std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  int argc = static_cast<int>(argv.size()) - 1;
  benchmark::Initialize(&argc, argv.data());
  if (argc <= 1) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(argv[1], ": Google Benchmark has no such flag or not with that value; see its user guide"));
}

absl::StatusOr<std::unique_ptr<benchmark::BenchmarkReporter>> DisplayFor(const std::string& format) {
  if (format.empty()) return nullptr;
  if (format == "json") return std::make_unique<benchmark::JSONReporter>();
  if (format == "console") return std::make_unique<benchmark::ConsoleReporter>();
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"  // deprecated for new uses; the flag still has it
  if (format == "csv") return std::make_unique<benchmark::CSVReporter>();
#pragma GCC diagnostic pop
  return absl::InvalidArgumentError(
      absl::StrCat("--benchmark_format=", format, ": choose json, csv or console, or leave it out for the table"));
}

bool AnyFailed(const Collector& collector) {
  for (const auto& report : collector.reports()) {
    for (const auto& run : report) {
      if (run.error_occurred) return true;
    }
  }
  return false;
}

int Run(const Flags& flags, const CaseList& list, int rows, benchmark::BenchmarkReporter* display) {
  const std::filesystem::path out =
      flags.out.empty() ? DefaultOut(flags.options.suite) : std::filesystem::path(flags.out);
  absl::Status writable = CheckWritable(out);
  if (!writable.ok()) return Refuse(writable);
  for (const auto& [key, value] : Environment(flags.options, list.skipped)) benchmark::AddCustomContext(key, value);
  for (const std::string& warning : Warnings(flags.options)) std::cerr << "warning: " << warning << "\n";
  struct sigaction action = {};
  action.sa_handler = OnInterrupt;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);

  Progress progress(rows);
  RegisterCases(list.cases, &interrupted, &progress);
  Collector collector(&progress, display);
  CorrectedJsonReporter corrected;
  if (flags.out.empty()) {
    benchmark::RunSpecifiedBenchmarks(&collector);
  } else {
    benchmark::RunSpecifiedBenchmarks(&collector, &corrected);
  }
  progress.Clear();
  if (display == nullptr) std::cout << Table(list.cases, list.skipped, collector.reports());
  if (flags.out.empty()) {
    absl::Status written = WriteJson(out, collector.reports());
    if (!written.ok()) return Refuse(written);
  }
  std::ostream& notes = display == nullptr ? std::cout : std::cerr;
  if (interrupted) notes << "\ninterrupted: the rows above are all there is\n";
  const std::filesystem::path shown = std::filesystem::proximate(out);
  const std::filesystem::path base = std::filesystem::proximate(PreviousRun(out, flags.options.suite));
  notes << "\nopen it with: ./bazelw run //results:compare -- " << base.string() << " " << shown.string() << "\n";
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
  absl::StatusOr<std::unique_ptr<benchmark::BenchmarkReporter>> display = DisplayFor(flags->format);
  if (!display.ok()) return Refuse(display.status());
  absl::StatusOr<CaseList> list = BuildCases(flags->options);
  if (!list.ok()) return Refuse(list.status());
  absl::Status initialised = InitialiseBenchmark(*flags, *timing);
  if (!initialised.ok()) return Refuse(initialised);
  absl::StatusOr<int> rows = CountMatching(list->cases, benchmark::GetBenchmarkFilter());
  if (!rows.ok()) return Refuse(rows.status());
  if (*rows == 0) {
    return Refuse(absl::InvalidArgumentError(absl::StrCat("--benchmark_filter=", benchmark::GetBenchmarkFilter(),
                                                          ": matches none of ", list->cases.size(),
                                                          " benchmarks; list them with --benchmark_list_tests")));
  }
  if (flags->list_only) {
    Progress silent(0);
    RegisterCases(list->cases, &interrupted, &silent);
    benchmark::RunSpecifiedBenchmarks();
    return kExitOk;
  }
  return Run(*flags, *list, *rows, display->get());
}

}  // namespace
}  // namespace ipcmark::bench

int main(int argc, char** argv) { return ipcmark::bench::Main(argc, argv); }
