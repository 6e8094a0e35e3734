#ifndef IPCMARK_BENCH_REPORT_RUNNER_H_
#define IPCMARK_BENCH_REPORT_RUNNER_H_

// Cases as Google Benchmark benchmarks: one iteration is one message (one round trip, one call), one run of a benchmark
// is one slice in fresh processes, and Google Benchmark chooses how many messages that is.

#include <benchmark/benchmark.h>

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "bench/cases.h"
#include "bench/report/progress.h"

namespace ipcmark::bench {

// Names of our counters in the rows; results/schema.md says what they mean.
inline constexpr char kP50[] = "p50_ns";
inline constexpr char kP90[] = "p90_ns";
inline constexpr char kP99[] = "p99_ns";
inline constexpr char kP999[] = "p999_ns";
inline constexpr char kMax[] = "max_ns";
inline constexpr char kRoofline[] = "roofline_ns";
inline constexpr char kOfRoofline[] = "of_roofline";
inline constexpr char kDrift[] = "drift";
inline constexpr char kHighestRate[] = "highest_rate";
inline constexpr char kSenderCpu[] = "sender_cpu_ns";
inline constexpr char kReceiverCpu[] = "receiver_cpu_ns";
inline constexpr char kSenderSwitches[] = "sender_voluntary_switches";
inline constexpr char kReceiverSwitches[] = "receiver_voluntary_switches";
inline constexpr char kSenderCalls[] = "sender_system_calls";
inline constexpr char kReceiverCalls[] = "receiver_system_calls";

// CPU time per message of all processes, in ns: a counter only until CorrectCpuTime makes it cpu_time, so that Google
// Benchmark aggregates the sum (a median or a deviation of a sum is not the sum of theirs).
inline constexpr char kAllCpu[] = "all_cpu_ns";

// Wall time per message, in ns: likewise, where a case runs once with a number of messages of its own (fixed_messages).
inline constexpr char kWall[] = "wall_ns";

// The error message of a run that was cut off.
inline constexpr char kInterrupted[] = "interrupted";

// Sees every slice that was measured, and how many messages it was asked for; also those with which Google Benchmark
// looks for their number.
using SliceObserver = std::function<void(const Case&, uint64_t asked_for, const SliceResult&)>;

// Registers every case under its name. Every run sends `messages`, or what Google Benchmark chooses if 0. The cases,
// `progress`, `cancel` and what `observe` refers to must outlive the run.
void RegisterCases(const std::vector<Case>& cases, const std::atomic<bool>* cancel, Progress* progress,
                   int64_t messages = 0, const SliceObserver& observe = nullptr);

// Leaves in the list the cases that the value of --benchmark_filter selects (POSIX extended, a leading '-' negates, as
// Google Benchmark has it), and says how many those are. `with_roofline`: of the others, those that run along
// (Case::along_messages) stay, too, where a selected case has their placement; unless the filter is negated, and so
// says what is not wanted. Skipped ones that it does not select leave: nobody asked for them. Those without a row's
// name (a placement) stay. kInvalidArgument when it is no regular expression.
absl::StatusOr<int> ApplyFilter(const std::string& filter, bool with_roofline, CaseList& list);

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_REPORT_RUNNER_H_
