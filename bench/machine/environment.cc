#include "bench/machine/environment.h"

#include <gnu/libc-version.h>
#include <stdlib.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "bench/machine/machine.h"
#include "bench/machine/system_calls.h"
#include "ipc/os/cpu.h"

namespace ipcmark::bench {
namespace {

std::string KernelRelease() {
  utsname name;
  return uname(&name) == 0 ? name.release : "unknown";
}

// Of the workspace that bazel run was called in; empty outside of one.
std::string GitRevision() {
  const char* workspace = getenv("BUILD_WORKSPACE_DIRECTORY");
  if (workspace == nullptr || std::string(workspace).find('\'') != std::string::npos) return "unknown";
  const std::string command =
      absl::StrCat("git -C '", workspace, "' describe --always --dirty --abbrev=12 --match= 2>/dev/null");
  FILE* pipe = popen(command.c_str(), "re");
  if (pipe == nullptr) return "unknown";
  char line[128] = "";
  const bool read = fgets(line, sizeof(line), pipe) != nullptr;
  pclose(pipe);
  std::string revision = read ? line : "unknown";
  revision.erase(std::remove(revision.begin(), revision.end(), '\n'), revision.end());
  return revision;
}

constexpr bool IsOptimised() {
#if defined(__OPTIMIZE__) && defined(NDEBUG)
  return true;
#else
  return false;
#endif
}

constexpr bool IsSanitized() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return true;
#else
  return false;
#endif
}

// What times, and what is known of it.
void AddClock(const ChosenClock& chosen, std::vector<std::pair<std::string, std::string>>& context) {
  context.emplace_back("clock", ClockName(chosen.clock));
  context.emplace_back("clock_read_ns", absl::StrFormat("%.1f", ClockReadNanos(chosen.clock)));
  if (!chosen.clock.is_tsc()) {
    context.emplace_back("clock_not_tsc", chosen.why);
    return;
  }
  context.emplace_back("clock_hz", absl::StrFormat("%.0f", chosen.ticks_per_second));
  context.emplace_back("clock_error_ppm", absl::StrFormat("%.1f", chosen.error_ppm));
  context.emplace_back("clock_skew_bound_ns", absl::StrCat(chosen.skew_bound_nanos));
}

// What the compiler was told, as far as it shows: it does not tell a level of optimisation from another.
std::string CompilerFlags() {
  std::vector<std::string> flags = {absl::StrCat("-std=c++", __cplusplus / 100 % 100)};
#ifdef __OPTIMIZE__
  flags.emplace_back("-O");
#endif
#ifdef NDEBUG
  flags.emplace_back("-DNDEBUG");
#endif
#ifdef _FORTIFY_SOURCE
  flags.push_back(absl::StrCat("-D_FORTIFY_SOURCE=", _FORTIFY_SOURCE));
#endif
#if defined(__SSP__) || defined(__SSP_STRONG__) || defined(__SSP_ALL__)
  flags.emplace_back("-fstack-protector");
#endif
#ifdef __AVX2__
  flags.emplace_back("-mavx2");
#endif
  return absl::StrJoin(flags, " ");
}

std::string Build() { return IsSanitized() ? "sanitized" : IsOptimised() ? "optimized" : "debug"; }

}  // namespace

std::vector<std::pair<std::string, std::string>> Environment(const Options& options,
                                                             const std::vector<SkippedCase>& skipped,
                                                             const ChosenClock& clock) {
  const std::string skipped_lines = absl::StrJoin(skipped, "\n", [](std::string* out, const SkippedCase& one) {
    absl::StrAppend(out, one.name, ": ", one.reason);
  });
  std::vector<std::pair<std::string, std::string>> context = {
      {"ipcmark_schema", "1"},
      {"suite", options.suite},
      {"kernel", KernelRelease()},
      {"git_revision", GitRevision()},
      {"build", Build()},
      {"compiler", "gcc " __VERSION__},
      {"libc", absl::StrCat("glibc ", gnu_get_libc_version())},
      {"compiler_flags", CompilerFlags()},
      {"sender_cpu", absl::StrCat(options.sender_cpu)},
      {"receiver_cpu", absl::StrCat(options.receiver_cpu)},
      {"skipped", skipped_lines},
  };
  AddClock(clock, context);
  const absl::Status counted = SystemCallCounter::Open().status();
  context.emplace_back("system_calls", counted.ok() ? "counted" : absl::StrCat("not counted: ", counted.message()));
  for (auto& pair : Machine()) context.push_back(std::move(pair));
  return context;
}

std::vector<std::string> Warnings(const Options& options, ClockChoice wanted, const ChosenClock& clock) {
  std::vector<std::string> warnings;
  if (Build() != "optimized") {
    warnings.push_back(
        absl::StrCat("this is a ", Build(), " build: its times mean nothing; leave out --config and -c"));
  }
  const size_t cpus = os::AllowedCpus().size();
  if (cpus < 2) {
    warnings.push_back("only one CPU: both sides share it, and spinning waits for the scheduler; allow a second one");
  } else if (options.sender_cpu != os::kAnyCpu && options.sender_cpu == options.receiver_cpu) {
    warnings.push_back(
        "both sides are on one CPU, where spinning waits for the scheduler: name two in --cpus, or read "
        "the block rows only");
  }
  double load = 0;
  if (getloadavg(&load, 1) == 1 && load > 0.5 * static_cast<double>(cpus)) {
    warnings.push_back(absl::StrFormat("the machine is busy (load %.1f on %d CPUs): stop what else runs", load, cpus));
  }
  if (wanted == ClockChoice::kAuto && !clock.clock.is_tsc()) {
    warnings.push_back(absl::StrCat("timed by CLOCK_MONOTONIC, not by the time stamp counter: ", clock.why,
                                    "; its reads are in every sample (Roofline/clock_read), --clock=monotonic if that "
                                    "is meant"));
  }
  for (std::string& warning : MachineWarnings()) warnings.push_back(std::move(warning));
  return warnings;
}

}  // namespace ipcmark::bench
