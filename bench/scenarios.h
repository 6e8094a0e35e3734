#ifndef IPCMARK_BENCH_SCENARIOS_H_
#define IPCMARK_BENCH_SCENARIOS_H_

// The scenarios as a table: what bench knows of a primitive at run time. The timed loops are templates, instantiated
// here once per primitive; choosing one is a call through a function pointer, once per slice.

#include <span>
#include <string>

#include "bench/burst.h"
#include "bench/depth.h"
#include "bench/fan.h"
#include "bench/loan.h"
#include "bench/open_loop.h"
#include "bench/recovery.h"
#include "bench/round_trip.h"
#include "bench/share.h"
#include "bench/slice.h"
#include "bench/throughput.h"
#include "bench/wake.h"

namespace ipcmark::bench {

using ScenarioRun = absl::StatusOr<SliceResult> (*)(const SliceSpec&);

struct PrimitiveEntry {
  const char* name;
  Capabilities capabilities;
  // Makes so many objects at once and drops them: OK, or why the primitive cannot (kUnimplemented) or the system does
  // not carry them.
  absl::Status (*probe)(const Geometry&, int objects);
  ScenarioRun round_trip;
  ScenarioRun throughput;
  ScenarioRun loan;            // null: it has no Loan and View
  ScenarioRun fan_throughput;  // the geometry says how many senders or receivers
  ScenarioRun fan_latency;
  ScenarioRun share;  // likewise
  ScenarioRun burst;
  ScenarioRun open_loop;
  ScenarioRun wake;
  ScenarioRun recovery;
  ScenarioRun depth;
  absl::Status (*can_stay_filled)(const Geometry&, Priorities);  // for depth
};

template <Primitive P>
absl::Status Probe(const Geometry& geometry, int objects) {
  std::vector<P> made;
  for (int n = 0; n < objects; ++n) {
    absl::StatusOr<P> object = P::Create(geometry);
    if (!object.ok()) return object.status();
    made.push_back(*std::move(object));
  }
  return absl::OkStatus();
}

template <Primitive P>
PrimitiveEntry MakePrimitiveEntry(const char* name) {
  return {.name = name,
          .capabilities = P::kCapabilities,
          .probe = &Probe<P>,
          .round_trip = &RoundTrip<P>,
          .throughput = &Throughput<P>,
          .loan = LoanOf<P>(),
          .fan_throughput = &Fan<FanMode::kThroughput, P>,
          .fan_latency = &Fan<FanMode::kLatency, P>,
          .share = &Share<P>,
          .burst = &Burst<P>,
          .open_loop = &OpenLoop<P>,
          .wake = &Wake<P>,
          .recovery = &Recovery<P>,
          .depth = &Depth<P>,
          .can_stay_filled = &CanStayFilled<P>};
}

// Every primitive that this binary was built with, in the order of its list. bench.bzl generates the definition.
std::span<const PrimitiveEntry> Primitives();
// What starts it: "./bazelw run //bench", or with another label, in another workspace. Likewise.
const char* RunCommand();

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_SCENARIOS_H_
