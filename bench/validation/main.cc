// Validation: the same work measured by the harness, by straight-line programs without one (reference.c, ring.c) and by
// the field's own tool where it is installed, pair by pair in one run. Prints how far they agree.

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "bench/report/format.h"
#include "bench/validation/agreement.h"
#include "ipc/os/cpu.h"
#include "rapidjson/document.h"

namespace ipcmark::bench {
namespace {

enum ExitCode : int { kExitAgrees = 0, kExitDiffers = 1, kExitUsage = 2, kExitUndecided = 3 };

constexpr double kFailed = -1;

// What a command prints; empty when it failed.
std::string Output(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "re");
  if (pipe == nullptr) return "";
  std::string text;
  for (int c = getc(pipe); c != EOF; c = getc(pipe)) text += static_cast<char>(c);
  return pclose(pipe) == 0 ? text : "";
}

struct Two {
  int sender_cpu;
  int receiver_cpu;
};

// `key` of the one row that the harness measures with these further flags; nanoseconds.
double ByHarness(const std::string& row, const char* key, Two cpus, int64_t count, const std::string& flags = "") {
  const std::vector<std::string> parts = absl::StrSplit(row, '/');
  const std::string text = Output(absl::StrFormat(
      "bench/bench --suite=smoke --noroofline --primitives=%s --bytes=%s --cpus=%d,%d %s '--benchmark_filter=^%s/' "
      "--benchmark_min_time=%dx --benchmark_format=json --benchmark_out=/dev/null 2>/dev/null",
      parts[1], parts.back(), cpus.sender_cpu, cpus.receiver_cpu, flags, row, count));
  rapidjson::Document document;
  document.Parse<rapidjson::kParseNanAndInfFlag>(text.c_str());
  if (document.HasParseError() || !document.IsObject()) return kFailed;
  const auto rows = document.FindMember("benchmarks");
  if (rows == document.MemberEnd() || !rows->value.IsArray() || rows->value.Size() != 1) return kFailed;
  const auto found = rows->value[0].FindMember(key);
  return found != rows->value[0].MemberEnd() && found->value.IsNumber() ? found->value.GetDouble() : kFailed;
}

// The median of 16 trips at once, as reference.c has it, of the raw samples of the harness's ping-pong; nanoseconds a
// trip.
double LineByHarness(Two cpus, int64_t count) {
  constexpr size_t trips_per_batch = 16;
  const std::string raw =
      Output(absl::StrFormat("bench/bench --suite=smoke --noroofline --primitives=pipe --cpus=%d,%d --clock=monotonic "
                             "'--benchmark_filter=^Roofline/cache_line/' --benchmark_min_time=%dx --samples=/dev/fd/3 "
                             "--benchmark_out=/dev/null 3>&1 >/dev/null 2>/dev/null",
                             cpus.sender_cpu, cpus.receiver_cpu, count));
  std::vector<double> batches;
  size_t trips = 0;
  double sum = 0;
  for (const absl::string_view line : absl::StrSplit(raw, '\n')) {
    int64_t nanos = 0;
    if (!absl::SimpleAtoi(line, &nanos)) continue;  // a comment
    sum += static_cast<double>(nanos);
    if (++trips % trips_per_batch != 0) continue;
    batches.push_back(sum / trips_per_batch);
    sum = 0;
  }
  if (batches.empty()) return kFailed;
  std::nth_element(batches.begin(), batches.begin() + batches.size() / 2, batches.end());
  return batches[batches.size() / 2];
}

// The one number that a program of this folder prints.
double ByProgram(const std::string& command) {
  double nanos = kFailed;
  return absl::SimpleAtod(Output("bench/validation/" + command), &nanos) ? nanos : kFailed;
}

double ByReference(const char* program, Two cpus, int64_t count, int bytes) {
  return ByProgram(
      absl::StrFormat("reference %s %d %d %d %d", program, cpus.sender_cpu, cpus.receiver_cpu, count, bytes));
}

double ByBare(const char* program, Two cpus, int64_t count, int bytes, int depth) {
  return ByProgram(
      absl::StrFormat("bare %s %d %d %d %d %d", program, cpus.sender_cpu, cpus.receiver_cpu, count, bytes, depth));
}

// perf has both its processes where it is put itself.
double ByPerf(Two cpus, int64_t count) {
  // Its simple format is the seconds of the whole.
  double seconds = kFailed;
  const std::string text = Output(
      absl::StrFormat("taskset -c %d perf bench --format=simple sched pipe -l %d 2>/dev/null", cpus.sender_cpu, count));
  return absl::SimpleAtod(text, &seconds) ? seconds * 1e9 / static_cast<double>(count) : kFailed;
}

struct Check {
  const char* name;
  double lowest;  // limits of measured / expected
  double highest;
  std::function<double()> measured;
  std::function<double()> expected;
};

// The ring of ipc/sysv_shm. All read the same clock, once a round trip or every 64 messages: of a message that takes
// 20 ns that would else be a part.
constexpr int kRingDepth = 256;
// Of streams of messages that take 10 ns: in a ring of a few kilobytes the ends meet each other now and then, whoever
// measures, and each such meeting costs as much as some instructions more or less in all messages. It is as deep as the
// harness makes it of itself.
constexpr int kDeepRing = 1024;
std::function<double()> RingByHarness(const std::string& row, Two cpus, int64_t count, int bytes, int depth) {
  const std::string flags = absl::StrFormat("--clock=monotonic --depth=%d", depth);
  return [=] { return ByHarness(absl::StrFormat("%s/%d", row, bytes), "real_time", cpus, count, flags); };
}
std::function<double()> RingInC(const char* program, Two cpus, int64_t count, int bytes, int depth) {
  return [=] {
    return ByProgram(
        absl::StrFormat("ring %s %d %d %d %d %d", program, cpus.sender_cpu, cpus.receiver_cpu, count, bytes, depth));
  };
}

std::vector<Check> RingChecks(Two one_cpu, Two two_cpus, int64_t count) {
  std::vector<Check> checks;
  // The analyzer loses what a std::function owns.
  // NOLINTBEGIN(clang-analyzer-cplusplus.NewDeleteLeaks)
  const auto add = [&](const char* name, const std::string& row, const char* program, Two cpus, int64_t messages,
                       int bytes, int depth = kRingDepth) {
    checks.push_back({name, 0.95, 1.05, RingByHarness(row, cpus, messages, bytes, depth),
                      RingInC(program, cpus, messages, bytes, depth)});
  };
  const auto against_bare = [&](const char* name, const std::string& row, const char* program, int64_t messages,
                                int bytes, int depth = kRingDepth) {
    const auto bare = [=] { return ByBare(program, two_cpus, messages, bytes, depth); };
    checks.push_back({name, 0.95, 1.05, RingByHarness(row, two_cpus, messages, bytes, depth), bare});
  };
  // NOLINTEND(clang-analyzer-cplusplus.NewDeleteLeaks)
  add("ring round trip, 64 B, spin, two CPUs: harness / C", "RoundTrip/sysv_shm/spin", "round_trip", two_cpus,
      4 * count, 64);
  against_bare("ring round trip, 64 B, spin, two CPUs: harness / bare", "RoundTrip/sysv_shm/spin", "ring_round_trip",
               4 * count, 64);
  add("ring round trip, 4 KiB, spin, two CPUs: harness / C", "RoundTrip/sysv_shm/spin", "round_trip", two_cpus, count,
      4096);
  against_bare("ring round trip, 4 KiB, spin, two CPUs: harness / bare", "RoundTrip/sysv_shm/spin", "ring_round_trip",
               count, 4096);
  add("ring throughput, 4 KiB, spin, two CPUs: harness / C", "Throughput/sysv_shm/spin", "throughput", two_cpus,
      10 * count, 4096);
  add("ring round trip, 64 B, block, one CPU: harness / C", "RoundTrip/sysv_shm/block", "round_trip_blocking", one_cpu,
      count, 64);
  add("ring throughput, 64 B, block, one CPU: harness / C", "Throughput/sysv_shm/block", "throughput_blocking", one_cpu,
      20 * count, 64);
  add("ring throughput, 64 B, spin, two CPUs: harness / C", "Throughput/sysv_shm/spin", "throughput", two_cpus,
      40 * count, 64, kDeepRing);
  against_bare("ring throughput, 64 B, spin, two CPUs: harness / bare", "Throughput/sysv_shm/spin", "ring_throughput",
               40 * count, 64, kDeepRing);
  return checks;
}

std::vector<Check> Checks(Two one_cpu, Two two_cpus, int64_t count) {
  const auto round_trip = [=] {
    return ByHarness("RoundTrip/pipe/block/8", "real_time", one_cpu, count, "--depth=64");
  };
  const auto straight = [=] { return ByReference("pipe_round_trip", one_cpu, count, 8); };
  return {
      {"pipe round trip, one CPU: harness / straight C", 0.95, 1.02, round_trip, straight},
      // Of that: what the harness adds to the same calls of the primitive.
      {"pipe round trip, one CPU: harness / bare primitive", 0.95, 1.02, round_trip,
       [=] { return ByBare("pipe_round_trip", one_cpu, count, 8, 64); }},
      // perf sends a bare int without a frame: less work than the harness's pipe, and so straight C stands in between.
      {"pipe ping-pong of an int, one CPU: straight C / perf", 0.95, 1.05,
       // More of them: perf tells the time of all in milliseconds.
       [=] { return ByReference("pipe_ping_pong", one_cpu, 8 * count, sizeof(int)); },
       [=] { return ByPerf(one_cpu, 8 * count); }},
      {"pipe throughput, 1 KiB, one CPU: harness / straight C", 0.95, 1.05,
       [=] { return ByHarness("Throughput/pipe/block/1024", "real_time", one_cpu, 4 * count, "--depth=64"); },
       [=] { return ByReference("pipe_throughput", one_cpu, 4 * count, 1024); }},
      {"line ping-pong, two CPUs: harness / straight C", 0.95, 1.05,
       // One read of the clock a trip is part of both: it has to be the same clock. 8,000 events are 2,000 trips.
       [=] { return LineByHarness(two_cpus, 8000); }, [=] { return ByReference("line_ping_pong", two_cpus, 2000, 8); }},
  };
}

// What the pairs of a check gave.
struct Measured {
  std::vector<double> measured;
  std::vector<double> expected;
  std::vector<double> ratios;
  bool failed = false;
};

volatile sig_atomic_t is_stopped = 0;

// A pair in one order and then in the other, after a run that does not count: what the programs of another check leave
// behind made the first round trips of 4 KiB a fifth slower, whoever measured them.
void Measure(const Check& check, Measured& all) {
  check.measured();
  const double measured_first = check.measured();
  const double expected_second = check.expected();
  const double expected_first = check.expected();
  const double measured_second = check.measured();
  if (is_stopped != 0) return;  // as are the programs
  if (std::min({measured_first, measured_second, expected_first, expected_second}) <= 0) {
    all.failed = true;
    return;
  }
  all.measured.push_back((measured_first + measured_second) / 2);
  all.expected.push_back((expected_first + expected_second) / 2);
  all.ratios.push_back(all.measured.back() / all.expected.back());
}

// Prints the check's line; what it says.
Agreement Report(const Check& check, const Measured& all) {
  if (all.failed || all.ratios.empty()) {
    absl::PrintF(" %-54s  not measured%s\n", check.name, all.failed ? ": a program is missing or failed" : "");
    return Agreement::kUndecided;
  }
  const MedianRatio ratio = MedianOfRatios(all.ratios);
  const Agreement agreement = Judge(ratio, check.lowest, check.highest);
  constexpr const char* kWords[] = {"agree", "DIFFER", "undecided"};
  absl::PrintF(" %-54s %s %s  %.3f (%.3f to %.3f)  %s\n", check.name,
               PadLeft(FormatNanos(MedianOfRatios(all.measured).median), 8),
               PadLeft(FormatNanos(MedianOfRatios(all.expected).median), 8), ratio.median, ratio.low, ratio.high,
               kWords[static_cast<int>(agreement)]);
  return agreement;
}

// A pair of each check, then the next of each: where the host has the CPUs changes within seconds, and so all checks
// see the same.
std::vector<Measured> MeasureAll(const std::vector<Check>& checks, int pairs) {
  std::vector<Measured> all(checks.size());
  const bool shows_progress = isatty(STDERR_FILENO) == 1;
  for (int pair = 0; pair < pairs && is_stopped == 0; ++pair) {
    if (shows_progress) absl::FPrintF(stderr, "\rpair %d of %d ", pair + 1, pairs);
    for (size_t i = 0; i < checks.size() && is_stopped == 0; ++i) {
      if (!all[i].failed) Measure(checks[i], all[i]);
    }
  }
  if (shows_progress) absl::FPrintF(stderr, "\r%20s\r", "");
  return all;
}

constexpr char kHelp[] =
    "usage: ./bazelw run //bench/validation -- [--pairs=N] [--count=N]\n"
    "  --pairs=N   interleaved pairs of each check, each in both orders (default 51; below 6 nothing can be decided)\n"
    "  --count=N   round trips of a slice (default 5000)\n"
    "SIGINT (Ctrl-C) ends it with what there is so far.\n"
    "exit codes: 0 all agree, 1 one differs, 2 bad usage, 3 undecided or not measured\n";

int Refuse(const std::string& why) {
  absl::FPrintF(stderr, "validation: %s; see --help\n", why);
  return kExitUsage;
}

int Main(const std::vector<std::string>& arguments) {
  // Many short slices rather than few long ones: what disturbs the machine hits one of them, not all.
  int pairs = 51;
  int64_t count = 5'000;
  for (const std::string& argument : arguments) {
    if (argument == "--help" || argument == "-h") {
      absl::PrintF("%s", kHelp);
      return kExitAgrees;
    }
    const bool known = (argument.rfind("--pairs=", 0) == 0 && absl::SimpleAtoi(argument.substr(8), &pairs)) ||
                       (argument.rfind("--count=", 0) == 0 && absl::SimpleAtoi(argument.substr(8), &count));
    if (!known || pairs < 1 || count < 1) return Refuse(argument + ": no such flag, or its number is below 1");
  }
  // So that the bench that we start stays in our folder.
  unsetenv("BUILD_WORKING_DIRECTORY");
  const std::vector<int> cpus = os::AllowedCpus();
  if (cpus.empty()) return Refuse("this process may run on no CPU: allow it one");
  bool differs = false;
  bool undecided = false;
  const Two one_cpu = {cpus[0], cpus[0]};
  const Two two_cpus = {cpus[0], cpus[cpus.size() > 1 ? 1 : 0]};
  std::vector<Check> checks = Checks(one_cpu, two_cpus, count);
  for (Check& check : RingChecks(one_cpu, two_cpus, count)) checks.push_back(std::move(check));
  signal(SIGINT, [](int) { is_stopped = 1; });
  const std::vector<Measured> all = MeasureAll(checks, pairs);
  absl::PrintF("medians of %d interleaved pairs, each in both orders%s; ratio with its 95 %% interval\n", pairs,
               is_stopped != 0 ? ", stopped before their end" : "");
  for (size_t i = 0; i < checks.size(); ++i) {
    const Agreement agreement = Report(checks[i], all[i]);
    differs |= agreement == Agreement::kDiffers;
    undecided |= agreement == Agreement::kUndecided;
  }
  return differs ? kExitDiffers : undecided ? kExitUndecided : kExitAgrees;
}

}  // namespace
}  // namespace ipcmark::bench

int main(int argc, char** argv) { return ipcmark::bench::Main({argv + 1, argv + argc}); }
