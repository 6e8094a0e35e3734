#include "bench/attach.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "bench/attach_calls.h"
#include "bench/attach_holders.h"
#include "ipc/os/clock.h"
#include "ipc/sysv_shm/segment.h"

namespace ipcmark::bench {
namespace {

using sysv_shm::Attachment;
using sysv_shm::Segment;

sysv_shm::HugePages HugePagesOf(uint64_t page_bytes) {
  if (page_bytes == uint64_t{1} << 21) return sysv_shm::HugePages::k2MiB;
  return page_bytes == uint64_t{1} << 30 ? sysv_shm::HugePages::k1GiB : sysv_shm::HugePages::kNone;
}

// OK when as many attachments exist as there should be, no more and no fewer: else the numbers would be another row's.
absl::Status CheckAttached(const Segment& segment, const AttachSpec& spec) {
  if (spec.op == AttachOp::kCreate) return absl::OkStatus();
  absl::StatusOr<sysv_shm::SegmentInfo> info = segment.Stat();
  if (!info.ok()) return info.status();
  if (info->attached == static_cast<uint64_t>(spec.attached)) return absl::OkStatus();
  return absl::InternalError(
      absl::StrFormat("the segment has %d attachments, expected %d", info->attached, spec.attached));
}

absl::Status Measure(const Segment& segment, const AttachSpec& spec, os::Gate& gate, SliceShared& shared) {
  absl::Status status;
  if (spec.op == AttachOp::kLock) status = TouchAll(segment, spec.page_bytes);
  if (!status.ok()) return status;
  gate.Arrive();
  // Not before: who waits at the gate when the parent dies must be killed, as nobody opens it any more.
  if (spec.op == AttachOp::kCreate) EndBetweenPairs();
  status = CheckAttached(segment, spec);
  Recorder scrap(nullptr, 0);
  const uint64_t per_sample = CallsPerSample(spec);
  const uint64_t warmup = 4 * per_sample + std::min<uint64_t>(spec.calls / 10, 1000);
  if (status.ok()) status = TimeCalls(spec, segment, warmup, scrap);
  Recorder recorder(&shared, spec.calls / per_sample);
  const UsageMeter usage;
  if (status.ok()) status = TimeCalls(spec, segment, spec.calls, recorder);
  shared.sender = usage.Stop();
  recorder.Finish();
  return status.ok() ? CheckAttached(segment, spec) : status;  // nobody has left meanwhile
}

// The segment that the others hold: made, attached by this process, the first of them, and marked for removal, so that
// it goes with them, whoever dies how.
struct Held {
  Segment segment;
  Attachment attachment;
};

absl::StatusOr<Held> Hold(const AttachSpec& spec) {
  absl::StatusOr<Segment> segment =
      Segment::Create({.bytes = spec.segment_bytes, .huge_pages = HugePagesOf(spec.page_bytes)});
  if (!segment.ok()) return segment.status();
  absl::StatusOr<Attachment> attachment = segment->Attach();
  if (!attachment.ok()) return attachment.status();
  absl::Status status = segment->Remove();
  if (!status.ok()) return status;
  return Held{*std::move(segment), *std::move(attachment)};
}

}  // namespace

const char* AttachOpName(AttachOp op) {
  constexpr const char* kNames[] = {"create", "shmat", "shmdt", "first_touch", "lock"};
  return kNames[static_cast<unsigned>(op)];
}

bool TouchesPages(AttachOp op) { return op == AttachOp::kFirstTouch || op == AttachOp::kLock; }

absl::StatusOr<SliceResult> Attach(const AttachSpec& spec) {
  absl::StatusOr<os::Mapping> mapping = SliceShared::Create(std::min(spec.calls, kMaxSamples));
  if (!mapping.ok()) return mapping.status();
  SliceShared& shared = SliceShared::In(*mapping);
  absl::StatusOr<Held> held = spec.op == AttachOp::kCreate ? Held{} : Hold(spec);
  if (!held.ok()) return held.status();
  // Forked children inherit the attachment; the measuring one gives its own back.
  absl::StatusOr<AttachHolders> holders = AttachHolders::Create(std::max(0, spec.attached - 1), spec.cancel);
  if (!holders.ok()) return holders.status();
  absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(1, spec.cancel);
  if (!group.ok()) return group.status();
  const auto measure = [&](os::Gate& gate) {
    held->attachment.Detach();
    return Measure(held->segment, spec, gate, shared);
  };
  absl::StatusOr<int> measuring = group->Spawn("attacher", spec.cpu, measure);
  if (!measuring.ok()) return measuring.status();
  const pid_t pid = group->pid(*measuring);
  const Deadline watchdog = os::After(spec.watchdog_nanos);
  absl::Status status = group->Start(watchdog);
  if (status.ok()) status = group->JoinOne(*measuring, watchdog);
  if (!status.ok()) {
    group->KillAndReap(*measuring);
    if (spec.op == AttachOp::kCreate) RemoveLeftBy(pid);
    // A signal to the whole group makes the measuring process end itself, and looks like its failure.
    const bool cancelled = spec.cancel != nullptr && spec.cancel->load(std::memory_order_relaxed);
    return cancelled ? absl::CancelledError("interrupted") : status;
  }
  SliceResult result = TakeResult(shared, spec.calls, CallsPerSample(spec));
  result.receiver.reset();
  return result;
}

}  // namespace ipcmark::bench
