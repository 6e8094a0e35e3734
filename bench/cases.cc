#include "bench/cases.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "bench/attach_cases.h"
#include "bench/scenario_cases.h"

namespace ipcmark::bench {
namespace {

struct Suite {
  const char* name;
  SuiteTiming timing;
  AttachAxes attach;
  ScenarioAxes scenarios;
};

std::vector<uint32_t> PowersOfTwo(uint32_t first, uint32_t last, uint32_t factor) {
  std::vector<uint32_t> sizes;
  for (uint32_t bytes = first; bytes <= last; bytes *= factor) sizes.push_back(bytes);
  return sizes;
}

constexpr uint64_t kKiB = 1 << 10;
constexpr uint64_t kMiB = 1 << 20;

constexpr Priorities kAllPriorities[] = {Priorities::kConstant, Priorities::kRising, Priorities::kFalling,
                                         Priorities::kRandom};

Suite Smoke() {
  return {.name = "smoke",
          .timing = {0.03, 1},
          .attach = {{kMiB}, {1, 64}},
          .scenarios = {.message_bytes = {8, 4096, 1 << 20},
                        .loan_bytes = {64 << 10},
                        .fan = {8},
                        .shared = {2},
                        .bursts = {64},
                        .bursts_each = 50,
                        .load_percents = {50},
                        .wakes = 100,

                        .depths = {1000},
                        .priorities = {Priorities::kConstant, Priorities::kRandom},
                        .victims = {Victim::kSender, Victim::kHolder},
                        .kills = 10,
                        .limit_events = 400,
                        .one_wait = true}};
}

Suite Quick() {
  return {.name = "quick",
          .timing = {0.2, 1},
          .attach = {{4 * kKiB, kMiB, 16 * kMiB}, {1, 8, 64}, true},
          .scenarios = {.message_bytes = PowersOfTwo(8, 1 << 20, 8),
                        .fan = {1, 8, 64},
                        .shared = {1, 2, 4, 8},
                        .bursts = {64},
                        .bursts_each = 1000,
                        .load_percents = {10, 25, 50, 75, 90},
                        .highest_load = true,
                        .wakes = 1000,
                        .depths = {10, 1000, 10'000},
                        .priorities = {std::begin(kAllPriorities), std::end(kAllPriorities)},
                        .victims = {Victim::kSender, Victim::kReceiver, Victim::kHolder},
                        .kills = 40,
                        .one_wait = true}};
}

Suite Full() {
  return {.name = "full",
          .timing = {0.4, 3},
          .attach = {{4 * kKiB, 64 * kKiB, kMiB, 16 * kMiB, 256 * kMiB, 1024 * kMiB}, {1, 8, 64, 256, 1000}, true},
          .scenarios = {.message_bytes = PowersOfTwo(8, 1 << 20, 2),
                        .fan = {1, 2, 4, 8, 16, 32, 64},
                        .shared = {1, 2, 3, 4, 5, 6, 7, 8},
                        .bursts = {1, 8, 64, 512},
                        .bursts_each = 5000,
                        .load_percents = {5, 10, 25, 50, 75, 90, 95},
                        .highest_load = true,
                        .wakes = 5000,
                        .depths = {10, 100, 1000, 10'000},
                        .priorities = {std::begin(kAllPriorities), std::end(kAllPriorities)},
                        .victims = {Victim::kSender, Victim::kReceiver, Victim::kHolder},
                        .kills = 200}};
}

const std::vector<Suite>& Suites() {
  static const auto* suites = new std::vector<Suite>{Smoke(), Quick(), Full()};
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
  for (uint32_t bytes : options.message_bytes.empty() ? suite->scenarios.message_bytes : options.message_bytes) {
    if (bytes < 8 || bytes % 8 != 0 || bytes > (1U << 30)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--bytes=", bytes, ": a measured message has 8 bytes to 1 GiB, in steps of 8"));
    }
    // Asked for twice is measured once: a row is found by its name.
    if (std::count(sizes.begin(), sizes.end(), bytes) == 0) sizes.push_back(bytes);
  }
  CaseList list;
  ScenarioAxes axes = suite->scenarios;
  axes.message_bytes = sizes;
  absl::Status added = AddScenarioCases(axes, *primitives, options, list);
  if (!added.ok()) return added;
  // Attach is about the System V segment itself, so it comes with that primitive.
  const bool has_segment = std::any_of(primitives->begin(), primitives->end(),
                                       [](const PrimitiveEntry& p) { return std::string(p.name) == "sysv_shm"; });
  if (has_segment) AddAttachCases(suite->attach, options, list);
  return list;
}

}  // namespace ipcmark::bench
