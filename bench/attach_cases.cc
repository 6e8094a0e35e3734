#include "bench/attach_cases.h"

#include <unistd.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "bench/attach.h"
#include "bench/report/format.h"
#include "bench/room.h"
#include "ipc/sysv_shm/segment.h"

namespace ipcmark::bench {
namespace {

using sysv_shm::HugePages;
using sysv_shm::Segment;

struct HugeSegment {
  HugePages kind;
  uint64_t page_bytes;
  uint64_t segment_bytes;
};
constexpr HugeSegment kHugeSegments[] = {{HugePages::k2MiB, uint64_t{1} << 21, uint64_t{1} << 24},
                                         {HugePages::k1GiB, uint64_t{1} << 30, uint64_t{1} << 30}};

uint64_t SystemPageBytes() { return static_cast<uint64_t>(sysconf(_SC_PAGESIZE)); }

// What the system says to such a segment, before it is measured. Its pages are not touched yet.
absl::Status Probe(const AttachSpec& spec, HugePages huge_pages) {
  if (huge_pages != HugePages::kNone) {
    absl::Status room = RoomForHugePages(spec.page_bytes, spec.segment_bytes);
    if (!room.ok()) return room;
  } else if (TouchesPages(spec.op)) {
    absl::Status room = RoomForMemory(spec.segment_bytes);
    if (!room.ok()) return room;
  }
  absl::Status room = RoomForProcesses(spec.attached);
  if (!room.ok()) return room;
  absl::StatusOr<Segment> segment = Segment::Create({.bytes = spec.segment_bytes, .huge_pages = huge_pages});
  if (!segment.ok()) return segment.status();
  return spec.op == AttachOp::kLock ? segment->Lock() : absl::OkStatus();
}

// What the row's times are of: "call", "4 KiB page", and behind it the size of huge pages.
std::string PerWhat(const AttachSpec& spec) {
  if (spec.op == AttachOp::kFirstTouch) return absl::StrCat(FormatBytes(spec.page_bytes), " page");
  const bool pair = spec.op == AttachOp::kCreate || spec.op == AttachOp::kLock;
  const bool huge = spec.page_bytes != SystemPageBytes();
  return absl::StrCat(pair ? "pair" : "call", huge ? absl::StrCat(" (", FormatBytes(spec.page_bytes), ")") : "");
}

void AddCase(const AttachSpec& spec, HugePages huge_pages, CaseList& list) {
  std::string name =
      absl::StrCat("Attach/sysv_shm/", AttachOpName(spec.op), "/", spec.segment_bytes, "/attached:", spec.attached);
  if (huge_pages != HugePages::kNone) absl::StrAppend(&name, "/huge:", spec.page_bytes);
  const absl::Status probed = Probe(spec, huge_pages);
  if (!probed.ok()) {
    list.skipped.push_back({name, std::string(probed.message())});
    return;
  }
  Case one = {.name = name,
              .scenario = "Attach",
              .subject = "sysv_shm",
              .variant = AttachOpName(spec.op),
              .size = absl::StrCat(FormatBytes(spec.segment_bytes), " x", spec.attached),
              .bytes = static_cast<uint32_t>(spec.segment_bytes),
              .attached = spec.attached,
              .pages = spec.segment_bytes / spec.page_bytes,
              .per = PerWhat(spec),
              .sender_cpu = spec.cpu};
  one.run = [timed = AttachSpec(spec)](uint64_t calls, const std::atomic<bool>* cancel) mutable {
    timed.calls = calls;
    timed.cancel = cancel;
    return Attach(timed);
  };
  list.cases.push_back(std::move(one));
}

}  // namespace

void AddAttachCases(const AttachAxes& axes, const Options& options, CaseList& list) {
  for (AttachOp op : kAttachOps) {
    AttachSpec spec = {.op = op,
                       .segment_bytes = kAttachBytes,
                       .page_bytes = SystemPageBytes(),
                       // Nobody has attached what is only just being created.
                       .attached = op == AttachOp::kCreate ? 0 : 1,
                       .calls = 0,
                       .cpu = options.sender_cpu,
                       .watchdog_nanos = options.watchdog_nanos};
    for (uint64_t bytes : axes.segment_bytes) {
      spec.segment_bytes = bytes;
      AddCase(spec, HugePages::kNone, list);
    }
    if (axes.huge_pages && op != AttachOp::kLock) {  // huge pages are never swapped: SHM_LOCK does nothing there
      for (const HugeSegment& huge : kHugeSegments) {
        AttachSpec on_huge = spec;
        on_huge.segment_bytes = huge.segment_bytes;
        on_huge.page_bytes = huge.page_bytes;
        AddCase(on_huge, huge.kind, list);
      }
    }
    if (op == AttachOp::kCreate) continue;
    spec.segment_bytes = kAttachBytes;
    const bool has_point = std::count(axes.segment_bytes.begin(), axes.segment_bytes.end(), kAttachBytes) != 0;
    for (int attached : axes.attached) {
      spec.attached = attached;
      if (attached != 1 || !has_point) AddCase(spec, HugePages::kNone, list);
    }
  }
}

}  // namespace ipcmark::bench
