#include "bench/environment.h"

#include <gnu/libc-version.h>
#include <stdlib.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "ipc/os/clock.h"
#include "ipc/os/cpu.h"

namespace ipcmark::bench {
namespace {

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  return std::getline(file, line) ? line : "unknown";
}

std::string CpuModel() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

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

// The cheapest of many, so that an interrupt does not count.
int64_t ClockReadNanos() {
  constexpr int reads = 1000;
  int64_t best = os::kNanosPerSecond;
  for (int trial = 0; trial < 20; ++trial) {
    const int64_t start = os::MonotonicNanos();
    for (int i = 0; i < reads; ++i) os::MonotonicNanos();
    best = std::min(best, (os::MonotonicNanos() - start) / reads);
  }
  return best;
}

std::string Governor() { return FirstLine("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"); }

std::string Build() { return IsSanitized() ? "sanitized" : IsOptimised() ? "optimized" : "debug"; }

}  // namespace

std::vector<std::pair<std::string, std::string>> Environment(const Options& options,
                                                             const std::vector<SkippedCase>& skipped) {
  const std::string skipped_lines = absl::StrJoin(skipped, "\n", [](std::string* out, const SkippedCase& one) {
    absl::StrAppend(out, one.name, ": ", one.reason);
  });
  return {
      {"ipcmark_schema", "1"},
      {"suite", options.suite},
      {"kernel", KernelRelease()},
      {"cpu_model", CpuModel()},
      {"git_revision", GitRevision()},
      {"build", Build()},
      {"compiler", "gcc " __VERSION__},
      {"libc", absl::StrCat("glibc ", gnu_get_libc_version())},
      {"governor", Governor()},
      {"clocksource", FirstLine("/sys/devices/system/clocksource/clocksource0/current_clocksource")},
      {"clock_read_ns", absl::StrCat(ClockReadNanos())},
      {"sender_cpu", absl::StrCat(options.sender_cpu)},
      {"receiver_cpu", absl::StrCat(options.receiver_cpu)},
      {"skipped", skipped_lines},
  };
}

std::vector<std::string> Warnings(const Options& options) {
  std::vector<std::string> warnings;
  if (Build() != "optimized") {
    warnings.push_back(
        absl::StrCat("this is a ", Build(), " build: its times mean nothing; leave out --config and -c"));
  }
  const size_t cpus = os::AllowedCpus().size();
  if (cpus < 2) {
    warnings.push_back("only one CPU: both sides share it, and spinning waits for the scheduler; allow a second one");
  } else if (options.sender_cpu != os::kAnyCpu && options.sender_cpu == options.receiver_cpu) {
    warnings.push_back("both sides are on one CPU: spinning waits for the scheduler");
  }
  double load = 0;
  if (getloadavg(&load, 1) == 1 && load > 0.5 * static_cast<double>(cpus)) {
    warnings.push_back(absl::StrFormat("the machine is busy (load %.1f on %d CPUs): stop what else runs", load, cpus));
  }
  const std::string governor = Governor();
  if (governor != "unknown" && governor != "performance") {
    warnings.push_back(absl::StrCat("the CPU governor is ", governor, ": set it to performance"));
  }
  return warnings;
}

}  // namespace ipcmark::bench
