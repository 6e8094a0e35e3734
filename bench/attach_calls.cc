#include "bench/attach_calls.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "absl/strings/str_format.h"
#include "bench/machine/clock.h"
#include "ipc/os/error.h"
#include "ipc/sysv_shm/segment_table.h"

namespace ipcmark::bench {
namespace {

using sysv_shm::Attachment;
using sysv_shm::Segment;

std::atomic<bool> asked_to_end = false;
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler writes it");

absl::Status TimeShmat(const Segment& segment, uint64_t calls, Recorder& recorder) {
  for (uint64_t n = 0; n < calls; ++n) {
    const int64_t before = NowNanos();
    absl::StatusOr<Attachment> attachment = segment.Attach();
    const int64_t after = NowNanos();
    if (!attachment.ok()) return attachment.status();
    recorder.Add(after - before, /*whole=*/true);
  }
  return absl::OkStatus();
}

absl::Status TimeShmdt(const Segment& segment, uint64_t calls, Recorder& recorder) {
  for (uint64_t n = 0; n < calls; ++n) {
    absl::StatusOr<Attachment> attachment = segment.Attach();
    if (!attachment.ok()) return attachment.status();
    const int64_t before = NowNanos();
    attachment->Detach();
    recorder.Add(NowNanos() - before, /*whole=*/true);
  }
  return absl::OkStatus();
}

absl::Status TimeLock(const Segment& segment, uint64_t calls, Recorder& recorder) {
  for (uint64_t n = 0; n < calls; ++n) {
    const int64_t before = NowNanos();
    absl::Status status = segment.Lock();
    if (status.ok()) status = segment.Unlock();
    const int64_t after = NowNanos();
    if (!status.ok()) return status;
    recorder.Add(after - before, /*whole=*/true);
  }
  return absl::OkStatus();
}

absl::Status TimeFirstTouch(const AttachSpec& spec, const Segment& segment, uint64_t calls, Recorder& recorder) {
  const uint64_t per_sample = CallsPerSample(spec);
  const uint64_t pages = spec.segment_bytes / spec.page_bytes;
  for (uint64_t left = calls; left > 0;) {
    absl::StatusOr<Attachment> attachment = segment.Attach();
    if (!attachment.ok()) return attachment.status();
    auto* at = static_cast<volatile char*>(attachment->address());
    // The last round ends where the calls do, so that a large segment does not cost more than it is asked for.
    uint64_t due = std::min(left, pages);
    left -= due;
    int64_t before = NowNanos();
    while (due > 0) {
      const uint64_t now = std::min(due, per_sample);
      for (uint64_t n = 0; n < now; ++n, at += spec.page_bytes) *at = 1;
      const int64_t after = NowNanos();
      recorder.Add(after - before, now == per_sample);
      before = after;
      due -= now;
    }
    if (madvise(attachment->address(), attachment->bytes(), MADV_REMOVE) != 0) {
      return os::SyscallError("madvise(segment, MADV_REMOVE)", errno);
    }
  }
  return absl::OkStatus();
}

// A process that is killed between the two calls leaves its segment: it has no key, and nobody else knows its number.
// So the measuring process is not killed with its parent, but told, and ends between two pairs (EndBetweenPairs); and
// when it is killed itself, its parent removes what it has created (RemoveLeftBy).
absl::Status TimeCreate(const AttachSpec& spec, uint64_t calls, Recorder& recorder) {
  int flags = IPC_CREAT | IPC_EXCL | 0600;
  // shmget(2): from bit 26 on, the logarithm of the size of a huge page.
  if (spec.page_bytes != static_cast<uint64_t>(sysconf(_SC_PAGESIZE))) {
    flags |= SHM_HUGETLB | std::countr_zero(spec.page_bytes) << 26;
  }
  for (uint64_t n = 0; n < calls; ++n) {
    const int64_t before = NowNanos();
    const int id = shmget(IPC_PRIVATE, spec.segment_bytes, flags);
    const int created = errno;
    const int removed = id < 0 ? 0 : shmctl(id, IPC_RMID, nullptr);
    const int64_t after = NowNanos();
    if (id < 0) return os::SyscallError(absl::StrFormat("shmget(key=0, %d bytes)", spec.segment_bytes), created);
    if (removed != 0) return os::SyscallError(absl::StrFormat("shmctl(id=%d, IPC_RMID)", id), errno);
    recorder.Add(after - before, /*whole=*/true);
    if (asked_to_end.load(std::memory_order_relaxed)) return absl::CancelledError("the benchmark has ended");
  }
  return absl::OkStatus();
}

}  // namespace

uint64_t CallsPerSample(const AttachSpec& spec) {
  constexpr uint64_t most_pages = 16;
  if (spec.op != AttachOp::kFirstTouch) return 1;
  return std::clamp<uint64_t>(spec.segment_bytes / spec.page_bytes, 1, most_pages);
}

void Recorder::Finish() noexcept {
  samples_.Finish(*shared_);
  shared_->start_nanos = 0;
  shared_->end_nanos = total_nanos_;
}

absl::Status TimeCalls(const AttachSpec& spec, const Segment& segment, uint64_t calls, Recorder& recorder) {
  switch (spec.op) {
    case AttachOp::kCreate:
      return TimeCreate(spec, calls, recorder);
    case AttachOp::kShmat:
      return TimeShmat(segment, calls, recorder);
    case AttachOp::kShmdt:
      return TimeShmdt(segment, calls, recorder);
    case AttachOp::kFirstTouch:
      return TimeFirstTouch(spec, segment, calls, recorder);
    case AttachOp::kLock:
      return TimeLock(segment, calls, recorder);
  }
  return absl::InternalError("no such operation");
}

absl::Status TouchAll(const Segment& segment, uint64_t page_bytes) {
  absl::StatusOr<Attachment> attachment = segment.Attach();
  if (!attachment.ok()) return attachment.status();
  auto* bytes = static_cast<volatile char*>(attachment->address());
  for (uint64_t at = 0; at < attachment->bytes(); at += page_bytes) bytes[at] = 1;
  return absl::OkStatus();
}

void EndBetweenPairs() {
  struct sigaction action = {};
  action.sa_handler = [](int /*signal*/) { asked_to_end.store(true, std::memory_order_relaxed); };
  sigaction(SIGTERM, &action, nullptr);
  // In place of ProcessGroup's SIGKILL.
  prctl(PR_SET_PDEATHSIG, SIGTERM);
}

void RemoveLeftBy(pid_t pid) {
  const auto segments = sysv_shm::ListSegments(sysv_shm::ListScope::kReadable);
  if (!segments.ok()) return;
  for (const sysv_shm::SegmentInfo& info : *segments) {
    if (info.creator_pid != pid || info.key != IPC_PRIVATE || info.attached != 0) continue;
    Segment::ById(info.id).MarkForRemoval().IgnoreError();
  }
}

}  // namespace ipcmark::bench
