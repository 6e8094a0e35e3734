#include "bench/cases.h"

#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "bench/format.h"

namespace ipcmark::bench {
namespace {

struct Suite {
  const char* name;
  SuiteTiming timing;
  std::vector<uint32_t> message_bytes;
  std::vector<int> attached;
};

std::vector<uint32_t> PowersOfTwo(uint32_t first, uint32_t last, uint32_t factor) {
  std::vector<uint32_t> sizes;
  for (uint32_t bytes = first; bytes <= last; bytes *= factor) sizes.push_back(bytes);
  return sizes;
}

// About 10 seconds, 1 minute and 10 minutes on two CPUs.
const std::vector<Suite>& Suites() {
  static const auto* suites = new std::vector<Suite>{
      {"smoke", {0.05, 1}, {8, 4096, 1 << 20}, {1, 64}},
      {"quick", {0.2, 1}, PowersOfTwo(8, 1 << 20, 8), {1, 4, 16, 64}},
      {"full", {0.4, 3}, PowersOfTwo(8, 1 << 20, 2), {1, 2, 4, 8, 16, 32, 64}},
  };
  return *suites;
}

constexpr uint64_t kAttachBytes = 1 << 20;

absl::StatusOr<Suite> FindSuite(const std::string& name) {
  std::vector<std::string> names;
  for (const Suite& suite : Suites()) {
    if (suite.name == name) return suite;
    names.emplace_back(suite.name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--suite=", name, ": no such suite; choose one of ", absl::StrJoin(names, ", ")));
}

struct Scenario {
  const char* name;
  int objects;  // that it holds at once
  absl::StatusOr<SliceResult> (*PrimitiveEntry::*run)(const SliceSpec&);
};
constexpr Scenario kScenarios[] = {{"RoundTrip", 2, &PrimitiveEntry::round_trip},
                                   {"Throughput", 1, &PrimitiveEntry::throughput}};

absl::Status AddScenarioCase(const Scenario& scenario, const PrimitiveEntry& primitive, Wait wait, uint32_t bytes,
                             const Options& options, CaseList& list) {
  SliceSpec spec = {
      .geometry = {.depth_messages = DepthFor(options.depth_messages, bytes), .max_message_bytes = bytes, .wait = wait},
      .message_bytes = bytes,
      .messages = 0,
      .sender_cpu = options.sender_cpu,
      .receiver_cpu = options.receiver_cpu};
  const std::string name = absl::StrCat(scenario.name, "/", primitive.name, "/", WaitName(wait), "/", bytes);
  absl::Status probed = primitive.probe(spec.geometry, scenario.objects);
  if (absl::IsUnimplemented(probed)) {
    list.skipped.push_back({name, std::string(probed.message())});
    return absl::OkStatus();
  }
  if (!probed.ok()) return probed;
  Case one = {.name = name,
              .scenario = scenario.name,
              .subject = primitive.name,
              .variant = WaitName(wait),
              .size = FormatBytes(bytes),
              .bytes = bytes,
              .depth_messages = spec.geometry.depth_messages,
              .sender_cpu = options.sender_cpu,
              .receiver_cpu = options.receiver_cpu};
  one.run = [run = primitive.*scenario.run, spec](uint64_t messages, const std::atomic<bool>* cancel) mutable {
    spec.messages = messages;
    spec.cancel = cancel;
    return run(spec);
  };
  list.cases.push_back(std::move(one));
  return absl::OkStatus();
}

void AddAttachCase(AttachOp op, int attached, const Options& options, CaseList& list) {
  AttachSpec spec = {.op = op, .segment_bytes = kAttachBytes, .attached = attached, .rounds = 0};
  spec.cpu = options.sender_cpu;
  Case one = {.name = absl::StrCat("Attach/sysv_shm/", AttachOpName(op), "/", kAttachBytes, "/attached:", attached),
              .scenario = "Attach",
              .subject = "sysv_shm",
              .variant = AttachOpName(op),
              .size = absl::StrCat("x", attached),
              .bytes = static_cast<uint32_t>(kAttachBytes),
              .attached = attached,
              .pages = kAttachBytes / static_cast<uint64_t>(sysconf(_SC_PAGESIZE)),
              .sender_cpu = options.sender_cpu};
  one.run = [spec](uint64_t rounds, const std::atomic<bool>* cancel) mutable {
    spec.rounds = rounds;
    spec.cancel = cancel;
    return Attach(spec);
  };
  list.cases.push_back(std::move(one));
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
    for (const PrimitiveEntry& primitive : *primitives) {
      for (Wait wait : kAllWaits) {
        for (uint32_t bytes : sizes) {
          absl::Status added = AddScenarioCase(scenario, primitive, wait, bytes, options, list);
          if (!added.ok()) return added;
        }
      }
    }
  }
  // Attach is about the System V segment itself, so it comes with that primitive.
  const bool has_segment = std::any_of(primitives->begin(), primitives->end(),
                                       [](const PrimitiveEntry& p) { return std::string(p.name) == "sysv_shm"; });
  for (AttachOp op : kAttachOps) {
    for (int attached : suite->attached) {
      if (has_segment) AddAttachCase(op, attached, options, list);
    }
  }
  return list;
}

}  // namespace ipcmark::bench
