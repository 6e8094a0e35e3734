#include "bench/attach.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_format.h"
#include "ipc/os/clock.h"
#include "ipc/os/error.h"
#include "ipc/sysv_shm/segment.h"

namespace ipcmark::bench {
namespace {

using sysv_shm::Attachment;
using sysv_shm::Segment;

void TouchEveryPage(const Attachment& attachment, size_t page_bytes) {
  auto* bytes = static_cast<volatile char*>(attachment.address());
  for (size_t at = 0; at < attachment.bytes(); at += page_bytes) bytes[at] = 1;
}

// One round of all three operations; the nanoseconds of the one that is asked for.
absl::StatusOr<int64_t> Round(const Segment& segment, AttachOp op, size_t page_bytes) {
  int64_t before = os::MonotonicNanos();
  absl::StatusOr<Attachment> attachment = segment.Attach();
  int64_t after = os::MonotonicNanos();
  if (!attachment.ok()) return attachment.status();
  if (op == AttachOp::kShmat) return after - before;
  if (op == AttachOp::kFirstTouch) {
    before = os::MonotonicNanos();
    TouchEveryPage(*attachment, page_bytes);
    after = os::MonotonicNanos();
    if (madvise(attachment->address(), attachment->bytes(), MADV_REMOVE) != 0) {
      return os::SyscallError("madvise(segment, MADV_REMOVE)", errno);
    }
    return after - before;
  }
  before = os::MonotonicNanos();
  attachment->Detach();
  return os::MonotonicNanos() - before;
}

// OK when `expected` attachments exist, no more and no fewer: else the numbers would be another row's.
absl::Status CheckAttached(const Segment& segment, int expected) {
  absl::StatusOr<sysv_shm::SegmentInfo> info = segment.Stat();
  if (!info.ok()) return info.status();
  if (info->attached == static_cast<uint64_t>(expected)) return absl::OkStatus();
  return absl::InternalError(absl::StrFormat("the segment has %d attachments, expected %d", info->attached, expected));
}

absl::Status Measure(const Segment& segment, const AttachSpec& spec, os::Gate& gate, SliceShared& shared) {
  gate.Arrive();
  absl::Status exact = CheckAttached(segment, spec.attached);
  if (!exact.ok()) return exact;
  const auto page_bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const uint64_t warmup = 4 + std::min<uint64_t>(spec.rounds / 10, 1000);
  const uint64_t rounds_apart = spec.rounds / kMaxSamples + 1;
  UsageMeter usage;
  uint64_t samples = 0;
  int64_t total_nanos = 0;
  for (uint64_t round = 0; round < warmup + spec.rounds; ++round) {
    if (round == warmup) usage = UsageMeter();
    absl::StatusOr<int64_t> nanos = Round(segment, spec.op, page_bytes);
    if (!nanos.ok()) return nanos.status();
    if (round < warmup) continue;
    total_nanos += *nanos;
    if ((round - warmup) % rounds_apart == 0) shared.samples_nanos[samples++] = *nanos;
  }
  shared.sender = usage.Stop();
  shared.samples = samples;
  shared.start_nanos = 0;
  shared.end_nanos = total_nanos;
  return CheckAttached(segment, spec.attached);  // nobody has left meanwhile
}

}  // namespace

const char* AttachOpName(AttachOp op) {
  constexpr const char* kNames[] = {"shmat", "shmdt", "first_touch"};
  return kNames[static_cast<unsigned>(op)];
}

absl::StatusOr<SliceResult> Attach(const AttachSpec& spec) {
  absl::StatusOr<Segment> segment = Segment::Create(spec.segment_bytes);
  if (!segment.ok()) return segment.status();
  // This process is the first of those that hold it. Removed at once, the segment goes with them, whoever dies how.
  absl::StatusOr<Attachment> held = segment->Attach();
  if (!held.ok()) return held.status();
  absl::Status status = segment->Remove();
  if (!status.ok()) return status;
  absl::StatusOr<os::Mapping> mapping = SliceShared::Create(std::min(spec.rounds, kMaxSamples));
  if (!mapping.ok()) return mapping.status();
  SliceShared& shared = SliceShared::In(*mapping);
  absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(spec.attached, spec.cancel);
  if (!group.ok()) return group.status();
  // Forked children inherit the attachment; the measuring one gives its own back.
  const auto measure = [&](os::Gate& gate) {
    held->Detach();
    return Measure(*segment, spec, gate, shared);
  };
  const auto hold = [](os::Gate& gate) {
    gate.Arrive();
    for (;;) pause();
    return absl::OkStatus();
  };
  absl::StatusOr<int> measuring = group->Spawn("attacher", spec.cpu, measure);
  status = measuring.status();
  for (int holder = 1; holder < spec.attached && status.ok(); ++holder) {
    status = group->Spawn("holder", os::kAnyCpu, hold).status();
  }
  const Deadline watchdog = os::After(kSliceWatchdogNanos);
  if (status.ok()) status = group->Start(watchdog);
  if (status.ok()) status = group->JoinOne(*measuring, watchdog);
  if (!status.ok()) return status;
  return TakeResult(shared, spec.rounds, /*messages_per_sample=*/1);
}

}  // namespace ipcmark::bench
