#ifdef __SANITIZE_ADDRESS__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // false alarms in <regex>, GCC bug 105562
#endif

#include "bench/report/runner.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <regex>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/machine/system_calls.h"
#include "bench/report/drift.h"
#include "bench/report/quantile.h"
#include "ipc/os/clock.h"

namespace ipcmark::bench {
namespace {

void AddQuantiles(const SliceResult& result, benchmark::UserCounters& counters) {
  // A sample of several messages is reported per message, like everything else in the row.
  const auto per_message = [&](int64_t nanos) {
    return static_cast<double>(nanos) / static_cast<double>(result.messages_per_sample);
  };
  struct Named {
    const char* name;
    double q;
  };
  for (const Named& quantile : {Named{kP50, 0.5}, Named{kP90, 0.9}, Named{kP99, 0.99}, Named{kP999, 0.999}}) {
    const std::optional<int64_t> nanos = Quantile(result.samples_nanos, quantile.q, result.samples_per_event);
    if (nanos.has_value()) counters[quantile.name] = per_message(*nanos);
  }
  if (!result.samples_nanos.empty()) counters[kMax] = per_message(result.max_nanos);
  if (result.samples_apart > 1) counters["thinned"] = static_cast<double>(result.samples_apart);
  counters["samples"] = static_cast<double>(result.samples_nanos.size());
  counters["sample_messages"] = static_cast<double>(result.messages_per_sample);
}

// A distribution of single messages is compared by its median; without samples enough for one, not at all. A rate by
// the time per message.
void AddRoofline(const SliceResult& result, benchmark::UserCounters& counters) {
  if (result.roofline_nanos == 0) return;
  const std::optional<int64_t> p50 = Quantile(result.samples_nanos, 0.5);
  counters[kRoofline] = result.roofline_nanos;
  if (result.bounds_median && !p50.has_value()) return;
  const double nanos = result.bounds_median ? static_cast<double>(*p50)
                                            : static_cast<double>(result.nanos) / static_cast<double>(result.messages);
  counters[kOfRoofline] = nanos / result.roofline_nanos;
}

// System calls of a message, by side; each side only where it was counted.
struct SystemCalls {
  std::optional<double> sender;
  std::optional<double> receiver;
};

// Enough that one more or less does not show, few enough that large ones do not take long.
uint64_t CountedMessages(uint32_t bytes) { return std::clamp<uint64_t>((64 << 20) / bytes, 64, 2'000); }

// Of a slice of their own, whose times do not count: what counts system calls makes them slow.
SystemCalls CountSystemCallsOf(const Case& one, const std::atomic<bool>* cancel) {
  CountSystemCalls(true);
  const absl::StatusOr<SliceResult> result = one.run(CountedMessages(one.bytes), cancel);
  CountSystemCalls(false);
  if (!result.ok()) return {};
  const auto per_message = [&](const std::optional<SideUsage>& side) -> std::optional<double> {
    if (!side.has_value() || side->system_calls < 0) return std::nullopt;
    return static_cast<double>(side->system_calls) / static_cast<double>(result->messages);
  };
  return {per_message(result->sender), per_message(result->receiver)};
}

// What the processes of a side used; what was not measured is left out.
void AddUsage(const std::string& side, const std::optional<SideUsage>& usage, double messages,
              benchmark::UserCounters& counters) {
  if (!usage.has_value()) return;
  const auto add = [&](const char* what, int64_t count) {
    counters[absl::StrCat(side, what)] = static_cast<double>(count) / messages;
  };
  add("_cpu_ns", usage->cpu_nanos);
  add("_voluntary_switches", usage->voluntary_switches);
  add("_involuntary_switches", usage->involuntary_switches);
  add("_minor_faults", usage->minor_faults);
  add("_major_faults", usage->major_faults);
}

void AddCounters(const Case& one, const SliceResult& result, benchmark::UserCounters& counters) {
  const auto messages = static_cast<double>(result.messages);
  const double seconds = static_cast<double>(result.nanos) / os::kNanosPerSecond;
  AddQuantiles(result, counters);
  AddUsage("sender", result.sender, messages, counters);
  AddUsage("receiver", result.receiver, messages, counters);
  const auto cpu_of = [](const std::optional<SideUsage>& side) { return side.has_value() ? side->cpu_nanos : 0; };
  counters[kAllCpu] =
      static_cast<double>(cpu_of(result.sender) + cpu_of(result.receiver) + result.other_cpu_nanos) / messages;
  for (const auto& [name, value] : result.extras) counters[name] = value;
  if (one.bytes > 0) counters["bytes"] = one.bytes;
  counters["pinned_sender_cpu"] = one.sender_cpu;
  if (one.has_rate) counters["items_per_second"] = messages / seconds;
  AddRoofline(result, counters);
  // Samples of several processes follow one another in the vector, not in time.
  const bool in_time = one.senders == 1 && one.receivers <= 1;
  const std::optional<double> drift = in_time ? DriftOf(result.samples_in_order) : std::nullopt;
  if (drift.has_value()) counters[kDrift] = *drift;
  if (one.pages > 0) {
    counters["attached"] = one.attached;
    counters["pages"] = static_cast<double>(one.pages);
    counters["page_bytes"] = one.bytes / static_cast<double>(one.pages);
    return;
  }
  if (one.depth_messages > 0) counters["depth_messages"] = one.depth_messages;
  counters["senders"] = one.senders;
  counters["receivers"] = one.receivers;
  if (one.has_rate && one.bytes > 0) counters["bytes_per_second"] = messages * one.bytes / seconds;
  if (one.receivers > 0) counters["pinned_receiver_cpu"] = one.receiver_cpu;
}

// More than any --benchmark_min_time that makes sense.
constexpr double kEnoughSeconds = 1e6;

void RunCase(benchmark::State& state, const Case& one, const std::atomic<bool>* cancel, Progress* progress,
             int64_t fixed_messages, const SliceObserver& observe, std::optional<SystemCalls>& calls) {
  if (!one.placement.empty()) state.SetLabel(one.placement);
  // One run of a number of our own: its time is stretched beyond measure for Google Benchmark, which would ask for more
  // runs until it has seen so much of it, and corrected in the report.
  const bool own_number = one.fixed_messages > 0;
  benchmark::IterationCount messages = state.max_iterations;
  if (own_number) messages = static_cast<benchmark::IterationCount>(one.fixed_messages);
  if (fixed_messages > 0 && !one.runs_along) messages = fixed_messages;
  progress->Begin(one.name, messages);
  // One batch is the whole run, so that the slice alone decides what happens inside.
  while (state.KeepRunningBatch(messages)) {
    absl::StatusOr<SliceResult> result = cancel->load()
                                             ? absl::StatusOr<SliceResult>(absl::CancelledError(kInterrupted))
                                             : one.run(static_cast<uint64_t>(messages), cancel);
    if (!result.ok()) {
      const bool cancelled = absl::IsCancelled(result.status());
      if (cancelled) progress->CutOff(one.name);
      state.SkipWithError(cancelled ? kInterrupted : std::string(result.status().message()).c_str());
      return;
    }
    // Where each of several processes sends equally many, more came than were asked for: Google Benchmark divides by
    // what it asked for.
    const double asked_for = static_cast<double>(messages) / static_cast<double>(result->messages);
    const double seconds = static_cast<double>(result->nanos) * asked_for / os::kNanosPerSecond;
    state.SetIterationTime(own_number ? std::max(seconds, kEnoughSeconds) : seconds);
    if (own_number) state.counters[kWall] = static_cast<double>(result->nanos) / static_cast<double>(result->messages);
    AddCounters(one, *result, state.counters);
    if (!calls.has_value() && one.system_calls_are_the_primitives && SystemCallCounter::Open().ok()) {
      calls = CountSystemCallsOf(one, cancel);
    }
    if (calls.has_value() && calls->sender.has_value()) state.counters[kSenderCalls] = *calls->sender;
    if (calls.has_value() && calls->receiver.has_value()) state.counters[kReceiverCalls] = *calls->receiver;
    if (observe) observe(one, static_cast<uint64_t>(messages), *result);
  }
}

}  // namespace

void RegisterCases(const std::vector<Case>& cases, const std::atomic<bool>* cancel, Progress* progress,
                   int64_t messages, const SliceObserver& observe) {
  for (const Case& one : cases) {
    // Counted once for all runs and repetitions of a benchmark.
    const auto calls = std::make_shared<std::optional<SystemCalls>>();
    benchmark::RegisterBenchmark(one.name.c_str(), [&one, cancel, progress, messages, observe,
                                                    calls](benchmark::State& state) {
      RunCase(state, one, cancel, progress, messages, observe, *calls);
    })->UseManualTime();
  }
}

absl::StatusOr<int> ApplyFilter(const std::string& filter, bool with_roofline, CaseList& list) {
  const bool negated = !filter.empty() && filter[0] == '-';
  std::regex regex;
  try {
    regex.assign(filter.substr(negated ? 1 : 0), std::regex::extended);
  } catch (const std::regex_error& error) {
    return absl::InvalidArgumentError(absl::StrCat("--benchmark_filter=", filter, ": no regular expression (",
                                                   error.what(), "); quote it for the shell"));
  }
  if (filter.empty() || filter == "all") return static_cast<int>(list.cases.size());
  const auto selects = [&](const std::string& name) {
    // Google Benchmark matches the name with what it appends to it.
    return std::regex_search(name + "/manual_time", regex) != negated;
  };
  std::erase_if(list.skipped, [&](const SkippedCase& one) {
    const bool is_row = one.name.find('/') != std::string::npos;
    return is_row && !selects(one.name);
  });
  int selected = 0;
  std::set<std::string> placements;
  for (const Case& one : list.cases) {
    if (!selects(one.name)) continue;
    ++selected;
    placements.insert(one.placement);
  }
  std::erase_if(list.cases, [&](Case& one) {
    if (selects(one.name)) return false;
    one.runs_along = with_roofline && !negated && one.along_messages > 0 && placements.count(one.placement) > 0;
    if (one.runs_along) one.fixed_messages = one.along_messages;
    return !one.runs_along;
  });
  return selected;
}

}  // namespace ipcmark::bench
