#include "bench/scenario_cases.h"

#include <algorithm>
#include <memory>
#include <span>

#include "absl/strings/str_cat.h"
#include "bench/limit_cases.h"
#include "bench/report/format.h"

namespace ipcmark::bench {
namespace {

// One point on a scenario's own axis.
struct Variant {
  std::string name = {};        // behind the row's name: "/senders:8"
  std::string size = {};        // behind the message size in the table: " x8"; without a space instead of it
  uint32_t processes = 2;       // that are at work at once
  uint64_t fixed_messages = 0;  // of each run; 0: as many as Google Benchmark chooses
  uint32_t fixed_bytes = 0;     // of every message; 0: each size in turn
  SliceSpec changes = {};       // senders, receivers, depth (0: the scenario's) and what only this scenario knows
};

Variant WithSides(const std::string& name, uint32_t count, uint32_t senders, uint32_t receivers) {
  Variant variant = {
      .name = absl::StrCat("/", name, ":", count), .size = absl::StrCat(" x", count), .processes = senders + receivers};
  variant.changes.geometry = {.depth_messages = 0, .senders = senders, .receivers = receivers};
  return variant;
}

Variant Plain() {
  Variant variant;
  variant.changes.geometry.depth_messages = 0;
  return variant;
}

std::vector<Variant> NoAxis(const ScenarioAxes& /*axes*/) { return {Plain()}; }

std::vector<Variant> ManySenders(const ScenarioAxes& axes) {
  std::vector<Variant> variants;
  for (uint32_t n : axes.fan) variants.push_back(WithSides("senders", n, n, 1));
  return variants;
}

std::vector<Variant> ManyReceivers(const ScenarioAxes& axes) {
  std::vector<Variant> variants;
  for (uint32_t n : axes.fan) variants.push_back(WithSides("receivers", n, 1, n));
  return variants;
}

std::vector<Variant> SharingReceivers(const ScenarioAxes& axes) {
  std::vector<Variant> variants;
  for (uint32_t n : axes.shared) variants.push_back(WithSides("receivers", n, 1, n));
  return variants;
}

std::vector<Variant> ManyPairs(const ScenarioAxes& axes) {
  std::vector<Variant> variants;
  for (uint32_t n : axes.shared) variants.push_back(WithSides("pairs", n, n, n));
  return variants;
}

std::vector<Variant> BurstLengths(const ScenarioAxes& axes) {
  std::vector<Variant> variants;
  for (uint32_t n : axes.bursts) {
    Variant variant = Plain();
    variant.name = absl::StrCat("/burst:", n);
    variant.size = absl::StrCat(" x", n);
    variant.fixed_messages = uint64_t{n} * axes.bursts_each;
    variant.changes.burst_messages = n;
    variants.push_back(variant);
  }
  return variants;
}

std::vector<Variant> FilledDepths(const ScenarioAxes& axes) {
  std::vector<Variant> variants;
  for (uint32_t depth : axes.depths) {
    for (Priorities priorities : axes.priorities) {
      Variant variant = Plain();
      variant.name = absl::StrCat("/depth:", depth, "/", PrioritiesName(priorities));
      variant.size = absl::StrCat(PrioritiesName(priorities), " @", depth);
      variant.processes = 1;
      variant.changes.geometry.depth_messages = depth;
      variant.changes.priorities = priorities;
      variants.push_back(variant);
    }
  }
  return variants;
}

std::vector<Variant> Loads(const ScenarioAxes& axes) {
  std::vector<Variant> variants;
  for (const Arrivals arrivals : {Arrivals::kPoisson, Arrivals::kFixed}) {
    const bool fixed = arrivals == Arrivals::kFixed;
    const auto add = [&](Variant variant) {
      if (fixed) variant.name += "/arrivals:fixed";
      if (fixed) variant.size += " fixed";
      variant.changes.arrivals = arrivals;
      variants.push_back(std::move(variant));
    };
    for (uint32_t percent : axes.load_percents) {
      Variant variant = Plain();
      variant.name = absl::StrCat("/load:", percent);
      variant.size = absl::StrCat(" at ", percent, "%");
      variant.changes.load = percent / 100.0;
      add(std::move(variant));
    }
    if (axes.highest_load) {
      Variant variant = Plain();
      variant.name = "/load:highest";
      variant.size = " highest";
      variant.fixed_messages = kMinProbeMessages;  // in name only: each slice of the search has its own number
      add(std::move(variant));
    }
  }
  return variants;
}

std::vector<Variant> Wakes(const ScenarioAxes& axes) {
  Variant variant = Plain();
  variant.fixed_messages = axes.wakes;
  return {variant};
}

std::vector<Variant> Victims(const ScenarioAxes& axes) {
  std::vector<Variant> variants;
  for (Victim victim : axes.victims) {
    Variant variant = Plain();
    variant.name = absl::StrCat("/", VictimName(victim));
    variant.size = absl::StrCat(" ", VictimName(victim));
    variant.processes = 3;
    variant.fixed_messages = axes.kills;
    variant.changes.geometry.depth_messages = kRecoveryDepth;
    if (victim == Victim::kHolder) {
      variant.fixed_bytes = kHoldersBytes;
      variant.changes.geometry.depth_messages = kHoldersDepth;
    }
    variant.changes.victim = victim;
    variants.push_back(variant);
  }
  return variants;
}

// Whether a primitive can take part at all, beyond what Create says.
absl::Status Any(const PrimitiveEntry& /*primitive*/, const SliceSpec& /*spec*/) { return absl::OkStatus(); }

absl::Status InPlaceOnly(const PrimitiveEntry& primitive, const SliceSpec& /*spec*/) {
  if (primitive.loan != nullptr) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat(primitive.name, " hands nothing over in place (no Loan and View)"));
}

absl::Status BroadcastsOnly(const PrimitiveEntry& primitive, const SliceSpec& /*spec*/) {
  if (primitive.capabilities.broadcasts) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat(primitive.name, " does not broadcast"));
}

absl::Status SharesOnly(const PrimitiveEntry& primitive, const SliceSpec& /*spec*/) {
  if (!primitive.capabilities.broadcasts) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat(primitive.name, " gives every message to every receiver"));
}

absl::Status FillsUp(const PrimitiveEntry& primitive, const SliceSpec& spec) {
  absl::Status can = primitive.can_stay_filled(spec.geometry, spec.priorities);
  if (!absl::IsUnimplemented(can)) return can;
  return absl::UnimplementedError(absl::StrCat(primitive.name, ": ", can.message()));
}

absl::Status SurvivorsOnly(const PrimitiveEntry& primitive, const SliceSpec& spec) {
  if (!primitive.capabilities.survives_sigkill) {
    return absl::UnimplementedError(absl::StrCat(primitive.name, " does not promise to survive SIGKILL of an end"));
  }
  if (spec.victim != Victim::kHolder || primitive.capabilities.locks) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat(primitive.name, " has no lock to hold"));
}

absl::Status SleepersOnly(const PrimitiveEntry& /*primitive*/, const SliceSpec& spec) {
  if (spec.geometry.wait == Wait::kBlock) return absl::OkStatus();
  return absl::UnimplementedError(absl::StrCat("a receiver that waits by ", WaitName(spec.geometry.wait),
                                               " polls before it sleeps, if it sleeps at all; see the block row"));
}

enum class Sizes : uint8_t { kAll, kInPlace, kSmall };

// In the order in which the table below reads, some bytes larger for it.
struct Scenario {  // NOLINT(clang-analyzer-optin.performance.Padding)
  const char* name;
  int objects;              // that it holds at once
  uint32_t depth_messages;  // unless the user chooses; kAutoDepth
  Sizes sizes;
  ScenarioRun PrimitiveEntry::*run;
  std::vector<Variant> (*variants)(const ScenarioAxes&);
  absl::Status (*can)(const PrimitiveEntry&, const SliceSpec&);
  bool one_wait_will_do;  // in suites that say so
  const char* unit;       // of its rows
};
// One message is on its way in a round trip: more slots would only make it walk through more memory.
constexpr uint32_t kRoundTripDepth = 64;
constexpr Scenario kScenarios[] = {
    {"RoundTrip", 2, kRoundTripDepth, Sizes::kAll, &PrimitiveEntry::round_trip, &NoAxis, &Any, false,
     "per round trip; roof: times the ping-pong of one cache line"},
    {"Throughput", 1, kAutoDepth, Sizes::kAll, &PrimitiveEntry::throughput, &NoAxis, &Any, false,
     "per message, timed by the receiver; roof: times one copy of the bytes"},
    {"Loan", 1, kAutoDepth, Sizes::kInPlace, &PrimitiveEntry::loan, &NoAxis, &InPlaceOnly, false,
     "per message handed over in place, timed by the receiver"},
    {"FanIn", 1, kAutoDepth, Sizes::kSmall, &PrimitiveEntry::fan_throughput, &ManySenders, &Any, false,
     "N senders to one receiver, which times; per message; roof: times one copy of the bytes"},
    {"FanInLatency", 1, kAutoDepth, Sizes::kSmall, &PrimitiveEntry::fan_latency, &ManySenders, &Any, false,
     "from before Send until a receiver has it; one message a sender on its way"},
    {"Broadcast", 1, kAutoDepth, Sizes::kSmall, &PrimitiveEntry::fan_throughput, &ManyReceivers, &BroadcastsOnly, false,
     "one sender, N receivers that each get every message; per message; roof: times one copy of the bytes"},
    {"BroadcastLatency", 1, kAutoDepth, Sizes::kSmall, &PrimitiveEntry::fan_latency, &ManyReceivers, &BroadcastsOnly,
     false, "from before Send until a receiver has it; one message a sender on its way"},
    {"FanOut", 1, kAutoDepth, Sizes::kSmall, &PrimitiveEntry::share, &SharingReceivers, &SharesOnly, true,
     "one sender, N receivers that share the messages; quantiles: per message of one receiver"},
    {"Pairs", 1, kAutoDepth, Sizes::kSmall, &PrimitiveEntry::share, &ManyPairs, &SharesOnly, true,
     "N senders, N receivers, one object; quantiles: per message of one receiver"},
    {"Burst", 1, kAutoDepth, Sizes::kSmall, &PrimitiveEntry::burst, &BurstLengths, &Any, true,
     "xN messages back to back, then idle; quantiles: from first Send to last received; roof: times one "
     "copy of the bytes"},
    {"OpenLoop", 1, kAutoDepth, Sizes::kSmall, &PrimitiveEntry::open_loop, &Loads, &Any, true,
     "Poisson or fixed arrivals at a share of the capacity; from the instant when a message was due until "
     "received; roof: times half the ping-pong of one cache line"},
    {"Wake", 1, kRoundTripDepth, Sizes::kSmall, &PrimitiveEntry::wake, &Wakes, &SleepersOnly, true,
     "from Send until a receiver that slept has it; roof: times a bare futex wake-up"},
    {"Recovery", 1, kRecoveryDepth, Sizes::kSmall, &PrimitiveEntry::recovery, &Victims, &SurvivorsOnly, true,
     "from SIGKILL of the sender, receiver or lock holder until the survivors go on; per kill"},
    {"Depth", 1, kAutoDepth, Sizes::kSmall, &PrimitiveEntry::depth, &FilledDepths, &FillsUp, true,
     "receive one, send one in a queue that holds @N; per message, alone in one process"},
};
// Of these the sides do nothing but send and receive between their first and last timed message.
constexpr const char* kBareScenarios[] = {"RoundTrip", "Throughput", "Loan", "FanIn", "Broadcast", "Depth"};
// Their messages are single events: how many of them fit into a second is no rate.
constexpr const char* kEventScenarios[] = {"Wake", "Recovery"};
bool IsOneOf(std::span<const char* const> names, const Scenario& scenario) {
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) { return name == scenario.name; });
}
constexpr uint32_t kSmallBytes = 64;

// One point of what a scenario is measured over.
struct Point {
  const PrimitiveEntry& primitive;
  Wait wait;
  uint32_t bytes;
  const Variant& variant;
  std::shared_ptr<double> capacity_per_second;  // of all variants of one object together
};

std::string NameOf(const Scenario& scenario, const Point& point) {
  return absl::StrCat(scenario.name, "/", point.primitive.name, "/", WaitName(point.wait), "/", point.bytes,
                      point.variant.name);
}

std::string SizeOf(const Point& point) {
  const std::string& variant = point.variant.size;
  return variant.empty() || variant[0] == ' ' ? FormatBytes(point.bytes) + variant : variant;
}

SliceSpec SpecOf(const Scenario& scenario, const Point& point, const Options& options) {
  SliceSpec spec = point.variant.changes;
  Geometry& geometry = spec.geometry;
  const uint32_t wanted = options.depth_messages == kAutoDepth ? scenario.depth_messages : options.depth_messages;
  if (geometry.depth_messages == 0) geometry.depth_messages = DepthFor(wanted, point.bytes);
  geometry.max_message_bytes = point.bytes;
  geometry.wait = point.wait;
  spec.message_bytes = point.bytes;
  spec.sender_cpu = options.sender_cpu;
  spec.receiver_cpu = options.receiver_cpu;
  spec.watchdog_nanos = options.watchdog_nanos;
  return spec;
}

// kUnimplemented with the reason why this cannot be measured, or what the system says.
absl::Status CanMeasure(const Scenario& scenario, const Point& point, const SliceSpec& spec) {
  absl::Status can = scenario.can(point.primitive, spec);
  if (!can.ok()) return can;
  const size_t cpus = os::AllowedCpus().size();
  if (point.variant.processes > std::max<size_t>(2, cpus) && point.wait == Wait::kSpin) {
    return absl::UnimplementedError(
        absl::StrCat("more spinning processes than CPUs (", cpus, ") would measure the scheduler"));
  }
  return point.primitive.probe(spec.geometry, scenario.objects);
}

// The processes of a row: how many, and where they are.
struct Sides {
  uint32_t senders;
  uint32_t receivers;
  int sender_cpu;
  int receiver_cpu;
};

Sides SidesOf(const Scenario& scenario, const Point& point, const SliceSpec& spec) {
  // Who dies and who survives on that side.
  if (scenario.run == &PrimitiveEntry::recovery) {
    const bool kills_receiver = spec.victim == Victim::kReceiver;
    return {kills_receiver ? 1U : 2U, kills_receiver ? 2U : 1U, os::kAnyCpu, os::kAnyCpu};
  }
  if (point.variant.processes == 1) return {1, 0, spec.sender_cpu, os::kAnyCpu};
  const Geometry& geometry = spec.geometry;
  return {geometry.senders, geometry.receivers, geometry.senders == 1 ? spec.sender_cpu : os::kAnyCpu,
          geometry.receivers == 1 ? spec.receiver_cpu : os::kAnyCpu};
}

absl::Status AddCase(const Scenario& scenario, const Point& point, const Options& options, CaseList& list) {
  SliceSpec spec = SpecOf(scenario, point, options);
  const std::string name = NameOf(scenario, point);
  absl::Status can = CanMeasure(scenario, point, spec);
  if (absl::IsUnimplemented(can)) {
    list.skipped.push_back({name, std::string(can.message())});
    return absl::OkStatus();
  }
  if (!can.ok()) return can;
  const Sides sides = SidesOf(scenario, point, spec);
  Case one = {.name = name,
              .scenario = scenario.name,
              .subject = point.primitive.name,
              .variant = WaitName(point.wait),
              .size = SizeOf(point),
              .bytes = point.bytes,
              .depth_messages = spec.geometry.depth_messages,
              .senders = sides.senders,
              .receivers = sides.receivers,
              .fixed_messages = point.variant.fixed_messages,
              .system_calls_are_the_primitives = IsOneOf(kBareScenarios, scenario),
              .has_rate = !IsOneOf(kEventScenarios, scenario),
              .unit = scenario.unit,
              .sender_cpu = sides.sender_cpu,
              .receiver_cpu = sides.receiver_cpu};
  one.run = [run = point.primitive.*scenario.run, spec, capacity = point.capacity_per_second](
                uint64_t messages, const std::atomic<bool>* cancel) mutable {
    spec.messages = messages;
    spec.cancel = cancel;
    spec.capacity_per_second = capacity.get();
    return run(spec);
  };
  list.cases.push_back(std::move(one));
  return absl::OkStatus();
}

std::vector<uint32_t> SizesOf(const Scenario& scenario, const ScenarioAxes& axes, const Options& options) {
  if (!options.message_bytes.empty() || scenario.sizes == Sizes::kAll) return axes.message_bytes;
  if (scenario.sizes == Sizes::kSmall) return {kSmallBytes};
  return axes.loan_bytes.empty() ? axes.message_bytes : axes.loan_bytes;
}

std::vector<Wait> WaitsOf(const Scenario& scenario, const ScenarioAxes& axes, const PrimitiveEntry& primitive) {
  std::vector<Wait> waits(std::begin(kAllWaits), std::end(kAllWaits));
  if (!axes.one_wait || !scenario.one_wait_will_do) return waits;
  // The last one that it has: kBlock, where it has that.
  while (waits.size() > 1 && !primitive.capabilities.waits.Has(waits.back())) waits.pop_back();
  return {waits.back()};
}

}  // namespace

absl::Status AddScenarioCases(const ScenarioAxes& axes, const std::vector<PrimitiveEntry>& primitives,
                              const Options& options, CaseList& list) {
  for (const Scenario& scenario : kScenarios) {
    const std::vector<Variant> variants = scenario.variants(axes);
    const std::vector<uint32_t> sizes = SizesOf(scenario, axes, options);
    for (const PrimitiveEntry& primitive : primitives) {
      for (Wait wait : WaitsOf(scenario, axes, primitive)) {
        for (uint32_t bytes : sizes) {
          const auto capacity = std::make_shared<double>(0);
          for (const Variant& variant : variants) {
            if (variant.fixed_bytes != 0 && bytes != sizes.front()) continue;  // it is there already
            const uint32_t own_bytes = variant.fixed_bytes == 0 ? bytes : variant.fixed_bytes;
            absl::Status added = AddCase(scenario, {primitive, wait, own_bytes, variant, capacity}, options, list);
            if (!added.ok()) return added;
          }
        }
      }
    }
  }
  AddLimitCases(axes.limit_events, options, list);
  return absl::OkStatus();
}

}  // namespace ipcmark::bench
