#ifndef IPCMARK_BENCH_CASES_H_
#define IPCMARK_BENCH_CASES_H_

// What is to be measured: flags and suites become a list of cases, each with a name, and a list of what was left out
// and why. No measuring here.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/attach.h"
#include "bench/scenarios.h"

namespace ipcmark::bench {

// As many messages as 64 KiB hold, which is what a pipe holds whatever it is asked for, but 64 to 1,024.
inline constexpr uint32_t kAutoDepth = 0;

struct Options {
  std::string suite = "quick";
  std::vector<std::string> primitives;   // empty: all
  std::vector<uint32_t> message_bytes;   // empty: the suite's
  uint32_t depth_messages = kAutoDepth;  // at most; large messages get fewer, see DepthFor
  int sender_cpu = os::kAnyCpu;
  int receiver_cpu = os::kAnyCpu;
  int64_t watchdog_nanos = kSliceWatchdogNanos;  // of each slice
};

// One row of the report.
struct Case {
  std::string name;      // "RoundTrip/sysv_shm/spin/64"
  std::string scenario;  // "RoundTrip"
  std::string subject;   // the primitive
  std::string variant;   // the wait strategy, or Attach's call
  std::string size;      // "64 B", "64 B x8" with 8 processes on the large side, or Attach's "1 MiB x8"
  uint32_t bytes = 0;
  uint32_t depth_messages = 0;  // 0: has none
  uint32_t senders = 1;         // processes
  uint32_t receivers = 1;       // 0: the sender is alone, and receives what it sends where messages are sent
  int attached = 0;             // Attach only
  uint64_t pages = 0;           // 0: not an Attach case
  uint64_t fixed_messages = 0;  // of each run; 0: as many as Google Benchmark chooses
  uint64_t along_messages = 0;  // of each run along with rows that --benchmark_filter selects; 0: it does not run along
  bool runs_along = false;      // with them, selected by nobody (ApplyFilter)
  // Whether its sides make no system call of their own between their first and last timed message, so that those which
  // are counted are the primitive's.
  bool system_calls_are_the_primitives = false;
  // Whether messages follow one another, so that their number a second is a rate; else it is only 1 / latency.
  bool has_rate = true;
  std::string unit = {};  // what the rows of the scenario are about, in the table's heading
  std::string per = {};   // Attach only: what its times are of, "call" or "4 KiB page"
  int sender_cpu = os::kAnyCpu;
  int receiver_cpu = os::kAnyCpu;
  std::string placement = {};  // of a case that was asked for by placement (placed_cases.h); empty: the default
  // Runs one slice of so many messages.
  std::function<absl::StatusOr<SliceResult>(uint64_t messages, const std::atomic<bool>* cancel)> run = nullptr;
};

struct SkippedCase {
  std::string name;
  std::string reason;
};

struct CaseList {
  std::vector<Case> cases;
  std::vector<SkippedCase> skipped;
};

// Seconds that Google Benchmark times each case for, and how often, unless its own flags say otherwise.
struct SuiteTiming {
  double min_seconds;
  int repetitions;
};

// kInvalidArgument with one sentence for an unknown suite or primitive or a size that cannot be measured; what Create
// says when the system carries no object at all (kernel limits, permissions).
absl::StatusOr<SuiteTiming> TimingOf(const std::string& suite);
absl::StatusOr<CaseList> BuildCases(const Options& options);

// Messages that an object holds: `wanted`, but at most 4 MiB of payload and at least 4 messages, so that large messages
// stay in the cache that the small ones are measured in. Shown in every row.
uint32_t DepthFor(uint32_t wanted, uint32_t message_bytes);

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_CASES_H_
