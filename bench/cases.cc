#include "bench/cases.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "bench/attach_cases.h"
#include "bench/format.h"

namespace ipcmark::bench {
namespace {

struct Suite {
  const char* name;
  SuiteTiming timing;
  std::vector<uint32_t> message_bytes;
  AttachAxes attach;
  std::vector<uint32_t> fan;         // processes on the large side of FanIn and Broadcast
  std::vector<uint32_t> loan_bytes;  // of Loan, which costs about the same in every size; empty: message_bytes
};

std::vector<uint32_t> PowersOfTwo(uint32_t first, uint32_t last, uint32_t factor) {
  std::vector<uint32_t> sizes;
  for (uint32_t bytes = first; bytes <= last; bytes *= factor) sizes.push_back(bytes);
  return sizes;
}

constexpr uint64_t kKiB = 1 << 10;
constexpr uint64_t kMiB = 1 << 20;

// 12 seconds, 2 min 40 s and, reckoned from that, about an hour on two CPUs.
const std::vector<Suite>& Suites() {
  static const auto* suites = new std::vector<Suite>{
      {"smoke", {0.03, 1}, {8, 4096, 1 << 20}, {{kMiB}, {1, 64}}, {8}, {64 << 10}},
      {"quick", {0.2, 1}, PowersOfTwo(8, 1 << 20, 8), {{4 * kKiB, kMiB, 16 * kMiB}, {1, 8, 64}, true}, {1, 8, 64}, {}},
      {"full",
       {0.4, 3},
       PowersOfTwo(8, 1 << 20, 2),
       {{4 * kKiB, 64 * kKiB, kMiB, 16 * kMiB, 256 * kMiB, 1024 * kMiB}, {1, 8, 64, 256, 1000}, true},
       {1, 2, 4, 8, 16, 32, 64},
       {}},
  };
  return *suites;
}

absl::StatusOr<Suite> FindSuite(const std::string& name) {
  std::vector<std::string> names;
  for (const Suite& suite : Suites()) {
    if (suite.name == name) return suite;
    names.emplace_back(suite.name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--suite=", name, ": no such suite; choose one of ", absl::StrJoin(names, ", ")));
}

enum class Ends : uint8_t { kOneToOne, kManyToOne, kOneToAll };

struct Scenario {
  const char* name;
  Ends ends;
  int objects;              // that it holds at once
  uint32_t depth_messages;  // unless the user chooses; kAutoDepth
  ScenarioRun PrimitiveEntry::*run;
};
// One message is on its way in a round trip: more slots would only make it walk through more memory.
constexpr uint32_t kRoundTripDepth = 64;
constexpr Scenario kScenarios[] = {
    {"RoundTrip", Ends::kOneToOne, 2, kRoundTripDepth, &PrimitiveEntry::round_trip},
    {"Throughput", Ends::kOneToOne, 1, kAutoDepth, &PrimitiveEntry::throughput},
    {"Loan", Ends::kOneToOne, 1, kAutoDepth, &PrimitiveEntry::loan},
    {"FanIn", Ends::kManyToOne, 1, kAutoDepth, &PrimitiveEntry::fan_throughput},
    {"FanInLatency", Ends::kManyToOne, 1, kAutoDepth, &PrimitiveEntry::fan_latency},
    {"Broadcast", Ends::kOneToAll, 1, kAutoDepth, &PrimitiveEntry::fan_throughput},
    {"BroadcastLatency", Ends::kOneToAll, 1, kAutoDepth, &PrimitiveEntry::fan_latency},
};
constexpr uint32_t kFanBytes = 64;

// One point of what a scenario is measured over.
struct Point {
  const PrimitiveEntry& primitive;
  Wait wait;
  uint32_t bytes;
  uint32_t fan;  // processes on the large side
};

std::string NameOf(const Scenario& scenario, const Point& point) {
  const char* side = scenario.ends == Ends::kManyToOne ? "/senders:" : "/receivers:";
  return absl::StrCat(scenario.name, "/", point.primitive.name, "/", WaitName(point.wait), "/", point.bytes,
                      scenario.ends == Ends::kOneToOne ? "" : absl::StrCat(side, point.fan));
}

Geometry GeometryOf(const Scenario& scenario, const Point& point, const Options& options) {
  const uint32_t wanted = options.depth_messages == kAutoDepth ? scenario.depth_messages : options.depth_messages;
  return {.depth_messages = DepthFor(wanted, point.bytes),
          .max_message_bytes = point.bytes,
          .wait = point.wait,
          .senders = scenario.ends == Ends::kManyToOne ? point.fan : 1,
          .receivers = scenario.ends == Ends::kOneToAll ? point.fan : 1};
}

// kUnimplemented with the reason why this cannot be measured, or what the system says.
absl::Status CanMeasure(const Scenario& scenario, const Point& point, const Geometry& geometry) {
  const PrimitiveEntry& primitive = point.primitive;
  if (primitive.*scenario.run == nullptr) {
    return absl::UnimplementedError(absl::StrCat(primitive.name, " hands nothing over in place (no Loan and View)"));
  }
  if (scenario.ends == Ends::kOneToAll && !primitive.capabilities.broadcasts) {
    return absl::UnimplementedError(absl::StrCat(primitive.name, " does not broadcast"));
  }
  const size_t cpus = os::AllowedCpus().size();
  if (scenario.ends != Ends::kOneToOne && point.wait == Wait::kSpin && point.fan + 1 > cpus) {
    return absl::UnimplementedError(
        absl::StrCat("more spinning processes than CPUs (", cpus, ") would measure the scheduler"));
  }
  return primitive.probe(geometry, scenario.objects);
}

absl::Status AddScenarioCase(const Scenario& scenario, const Point& point, const Options& options, CaseList& list) {
  SliceSpec spec = {.geometry = GeometryOf(scenario, point, options),
                    .message_bytes = point.bytes,
                    .messages = 0,
                    .sender_cpu = options.sender_cpu,
                    .receiver_cpu = options.receiver_cpu};
  const std::string name = NameOf(scenario, point);
  absl::Status can = CanMeasure(scenario, point, spec.geometry);
  if (absl::IsUnimplemented(can)) {
    list.skipped.push_back({name, std::string(can.message())});
    return absl::OkStatus();
  }
  if (!can.ok()) return can;
  const bool fan = scenario.ends != Ends::kOneToOne;
  Case one = {.name = name,
              .scenario = scenario.name,
              .subject = point.primitive.name,
              .variant = WaitName(point.wait),
              .size = absl::StrCat(FormatBytes(point.bytes), fan ? absl::StrCat(" x", point.fan) : ""),
              .bytes = point.bytes,
              .depth_messages = spec.geometry.depth_messages,
              .senders = spec.geometry.senders,
              .receivers = spec.geometry.receivers,
              .sender_cpu = spec.geometry.senders == 1 ? options.sender_cpu : os::kAnyCpu,
              .receiver_cpu = spec.geometry.receivers == 1 ? options.receiver_cpu : os::kAnyCpu};
  one.run = [run = point.primitive.*scenario.run, spec](uint64_t messages, const std::atomic<bool>* cancel) mutable {
    spec.messages = messages;
    spec.cancel = cancel;
    return run(spec);
  };
  list.cases.push_back(std::move(one));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<PrimitiveEntry>> ChosenPrimitives(const Options& options) {
  std::vector<PrimitiveEntry> chosen;
  std::vector<std::string> known;
  for (const PrimitiveEntry& primitive : Primitives()) {
    known.emplace_back(primitive.name);
    if (options.primitives.empty() ||
        std::count(options.primitives.begin(), options.primitives.end(), primitive.name)) {
      chosen.push_back(primitive);
    }
  }
  for (const std::string& name : options.primitives) {
    if (std::count(known.begin(), known.end(), name) == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("--primitives=", name, ": no such primitive; choose from ", absl::StrJoin(known, ", ")));
    }
  }
  return chosen;
}

}  // namespace

uint32_t DepthFor(uint32_t wanted, uint32_t message_bytes) {
  constexpr uint32_t most_payload_bytes = 4 << 20;
  constexpr uint32_t pipe_bytes = 64 << 10;
  if (wanted == kAutoDepth) wanted = std::clamp<uint32_t>(pipe_bytes / message_bytes, 64, 1024);
  return std::min(wanted, std::max<uint32_t>(4, most_payload_bytes / message_bytes));
}

absl::StatusOr<SuiteTiming> TimingOf(const std::string& suite) {
  absl::StatusOr<Suite> found = FindSuite(suite);
  if (!found.ok()) return found.status();
  return found->timing;
}

absl::StatusOr<CaseList> BuildCases(const Options& options) {
  absl::StatusOr<Suite> suite = FindSuite(options.suite);
  if (!suite.ok()) return suite.status();
  absl::StatusOr<std::vector<PrimitiveEntry>> primitives = ChosenPrimitives(options);
  if (!primitives.ok()) return primitives.status();
  std::vector<uint32_t> sizes;
  for (uint32_t bytes : options.message_bytes.empty() ? suite->message_bytes : options.message_bytes) {
    if (bytes < 8 || bytes % 8 != 0 || bytes > (1U << 30)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--bytes=", bytes, ": a measured message has 8 bytes to 1 GiB, in steps of 8"));
    }
    // Asked for twice is measured once: a row is found by its name.
    if (std::count(sizes.begin(), sizes.end(), bytes) == 0) sizes.push_back(bytes);
  }
  CaseList list;
  for (const Scenario& scenario : kScenarios) {
    const bool fan = scenario.ends != Ends::kOneToOne;
    const bool in_place = scenario.run == &PrimitiveEntry::loan;
    std::vector<uint32_t> its_sizes = sizes;
    if (options.message_bytes.empty() && fan) its_sizes = {kFanBytes};
    if (options.message_bytes.empty() && in_place && !suite->loan_bytes.empty()) its_sizes = suite->loan_bytes;
    for (const PrimitiveEntry& primitive : *primitives) {
      for (Wait wait : kAllWaits) {
        for (uint32_t bytes : its_sizes) {
          for (uint32_t processes : fan ? suite->fan : std::vector<uint32_t>{1}) {
            absl::Status added = AddScenarioCase(scenario, {primitive, wait, bytes, processes}, options, list);
            if (!added.ok()) return added;
          }
        }
      }
    }
  }
  // Attach is about the System V segment itself, so it comes with that primitive.
  const bool has_segment = std::any_of(primitives->begin(), primitives->end(),
                                       [](const PrimitiveEntry& p) { return std::string(p.name) == "sysv_shm"; });
  if (has_segment) AddAttachCases(suite->attach, options, list);
  return list;
}

}  // namespace ipcmark::bench
