#include "bench/fake_primitives_for_test.h"

#include "ipc/pipe/pipe.h"

namespace ipcmark::bench {
namespace {

absl::StatusOr<SliceResult> Run(const SliceSpec& spec) {
  TheFakeSystem().runs.push_back(spec);
  SliceResult result;
  result.messages = spec.messages;
  return result;
}

absl::Status ProbeAny(const Geometry& /*geometry*/, int objects) {
  if (objects > TheFakeSystem().max_objects) return absl::ResourceExhaustedError("fake(): ENOSPC; raise the limit");
  return absl::OkStatus();
}

absl::Status ProbeNarrow(const Geometry& geometry, int objects) {
  if (geometry.wait != Wait::kBlock) return absl::UnimplementedError("narrow only blocks");
  if (geometry.max_message_bytes > 1024) return absl::UnimplementedError("narrow carries 1024 bytes");
  return ProbeAny(geometry, objects);
}

// Starts from a real entry, so that what this does not know of an entry is there.
PrimitiveEntry Entry(const char* name, absl::Status (*probe)(const Geometry&, int)) {
  PrimitiveEntry entry = MakePrimitiveEntry<pipe::Channel>(name);
  entry.probe = probe;
  entry.capabilities.survives_sigkill = true;
  entry.round_trip = entry.throughput = entry.fan_throughput = entry.fan_latency = &Run;
  entry.share = entry.burst = entry.recovery = entry.open_loop = entry.wake = entry.depth = &Run;
  entry.can_stay_filled = [](const Geometry&, Priorities priorities) {
    return priorities == Priorities::kConstant ? absl::OkStatus() : absl::UnimplementedError("it has no priorities");
  };
  return entry;
}

}  // namespace

FakeSystem& TheFakeSystem() {
  static auto* system = new FakeSystem();
  return *system;
}

std::span<const PrimitiveEntry> Primitives() {
  static const PrimitiveEntry entries[] = {Entry("sysv_shm", &ProbeAny), Entry("narrow", &ProbeNarrow)};
  return entries;
}

const char* RunCommand() { return "bazel run //my:bench"; }

}  // namespace ipcmark::bench
