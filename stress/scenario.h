#ifndef IPCMARK_STRESS_SCENARIO_H_
#define IPCMARK_STRESS_SCENARIO_H_

// Scenarios: the product of primitives, shapes, wait strategies, geometries and faults, less what a primitive says that
// it cannot carry. A name says all of it: sysv_shm/1to1/spin_then_block/depth:4/bytes:4096/sigkill. 1to3_misses is a
// broadcast that waits for no receiver (SlowReceiver::kMissesMessages).

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "stress/faults/fault.h"
#include "stress/name_list.h"
#include "stress/traffic.h"

namespace ipcmark::stress {

struct Scenario {
  std::string name;
  const PrimitiveEntry* primitive;
  Geometry geometry;
  const Fault* fault;
};

// A combination that a primitive cannot carry, with everything below it: "sysv_shm/3to1", and its own words why.
struct Skipped {
  std::string name;
  std::string reason;
};

struct Catalogue {
  std::vector<Scenario> scenarios;
  std::vector<Skipped> skipped;
};

// What to keep of the product.
struct Choice {
  NameList primitive = {};
  NameList fault = {};
  std::function<bool(const std::string&)> name = [](const std::string&) { return true; };
};

// All scenarios of `primitives` (which must outlive the result) that `choice` accepts. Creates an object of each
// chosen geometry and removes it again, because only Create knows all that a primitive cannot carry.
Catalogue MakeCatalogue(std::span<const PrimitiveEntry> primitives, const Choice& choice);

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_SCENARIO_H_
