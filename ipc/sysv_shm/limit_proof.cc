#include "ipc/sysv_shm/limit_proof.h"

#include <sys/shm.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "ipc/os/clock.h"
#include "ipc/os/error.h"
#include "ipc/os/mapping.h"
#include "ipc/os/process_group.h"
#include "ipc/sysv_shm/segment_table.h"

namespace ipcmark::sysv_shm {
namespace {

// MAX_LFS_FILESIZE: a segment is a file of the kernel's own tmpfs.
constexpr uint64_t kLargestFileBytes = std::numeric_limits<int64_t>::max();
// The most that a proof creates or attaches. IPCMNI, the highest kernel.shmmni, is 32,768 unless the kernel was booted
// with ipcmni_extend; vm.max_map_count is 65,530 by default and often 262,144 where databases run, and a mapping
// costs the kernel some 200 bytes.
constexpr uint64_t kMostSegments = 32'768;
constexpr uint64_t kMostAttachments = 300'000;
constexpr uint64_t kLoweredSegments = 64;
constexpr uint64_t kLoweredPages = 16;
constexpr uint64_t kLoweredBytes = 1 << 20;

uint64_t PageBytes() { return static_cast<uint64_t>(sysconf(_SC_PAGESIZE)); }

// What a child found out, in memory that its parent shares.
struct Finding {
  LimitOutcome outcome;
  int err;
  uint64_t reached_at;
  char how[480];
};

void Say(Finding& finding, LimitOutcome outcome, absl::string_view how) {
  finding.outcome = outcome;
  absl::SNPrintF(finding.how, sizeof(finding.how), "%s", how);
}

// One more was asked for after `granted`, which is all that the limit allows: `err` is shmget's answer, 0 if it
// granted.
absl::Status Judge(Finding& finding, uint64_t granted, int err, int expected_err, absl::string_view how) {
  finding.reached_at = granted;
  finding.err = err;
  if (err == expected_err) {
    Say(finding, LimitOutcome::kReached, how);
  } else {
    Say(finding, LimitOutcome::kContradicted,
        absl::StrCat(how, "; but one more ", err == 0 ? "was granted" : "gave " + os::ErrnoName(err)));
  }
  return absl::OkStatus();
}

// 0, or the errno of a shmget that promises no memory.
int Make(uint64_t bytes) { return shmget(IPC_PRIVATE, bytes, IPC_CREAT | SHM_NORESERVE | 0600) < 0 ? errno : 0; }

// Makes this namespace's limit what the proof needs; fine when it is that already and cannot be written.
absl::Status Impose(const char* sysctl, uint64_t current, uint64_t wanted) {
  return current == wanted ? absl::OkStatus() : WriteSysctl(sysctl, wanted);
}

// `configured`: the limits of the caller's namespace. Each proof runs in a namespace of its own, in a state of no
// segments and default limits. An error it returns is why the limit is not provable here.
using Proof = absl::Status (*)(const Limits& configured, const Limits& fresh, Finding& finding);

absl::Status ProveLargest(const Limits& configured, const Limits& fresh, Finding& finding) {
  const uint64_t value = configured.max_segment_bytes;
  std::string why_lowered;
  if (value <= kLargestFileBytes) {
    absl::Status imposed = Impose("kernel/shmmax", fresh.max_segment_bytes, value);
    if (!imposed.ok()) return imposed;
    const int err = Make(value);
    if (err == 0) {
      return Judge(finding, value, Make(value + 1), EINVAL,
                   absl::StrFormat("a segment of %d bytes was made, untouched; one byte more was refused", value));
    }
    if (err == EINVAL) return Judge(finding, 0, err, 0, absl::StrFormat("%d bytes were asked for", value));
    why_lowered = absl::StrFormat("a segment of that size cannot be promised (%s)", os::ErrnoName(err));
  } else {
    const int at = Make(kLargestFileBytes);
    const int above = Make(kLargestFileBytes + 1);
    why_lowered = absl::StrFormat("the largest file comes first: 2^63-1 bytes %s, 2^63 gave %s",
                                  at == 0 ? "were granted" : "gave " + os::ErrnoName(at),
                                  above == 0 ? "a segment" : os::ErrnoName(above));
  }
  absl::Status lowered = WriteSysctl("kernel/shmmax", kLoweredBytes);
  if (!lowered.ok()) return absl::FailedPreconditionError(absl::StrCat(why_lowered, "; ", lowered.message()));
  const int err = Make(kLoweredBytes);
  if (err != 0) return os::SyscallError("shmget(1 MiB, lowered SHMMAX)", err);
  return Judge(finding, kLoweredBytes, Make(kLoweredBytes + 1), EINVAL,
               absl::StrFormat("%s. Lowered to %d in the namespace: that was granted, one byte more refused",
                               why_lowered, kLoweredBytes));
}

absl::Status ProveSmallest(const Limits& configured, const Limits& /*fresh*/, Finding& finding) {
  const int err = Make(configured.min_segment_bytes);
  if (err != 0) return Judge(finding, 0, err, 0, "SHMMIN bytes were asked for");
  return Judge(finding, configured.min_segment_bytes, Make(configured.min_segment_bytes - 1), EINVAL,
               absl::StrFormat("a segment of %d byte was made (it takes a page of %d); one byte less was refused",
                               configured.min_segment_bytes, PageBytes()));
}

absl::Status ProveCount(const Limits& configured, const Limits& fresh, Finding& finding) {
  const bool lower = configured.max_segments > kMostSegments;
  const uint64_t value = lower ? kLoweredSegments : configured.max_segments;
  absl::Status imposed = Impose("kernel/shmmni", fresh.max_segments, value);
  if (!imposed.ok()) return imposed;
  for (uint64_t made = 0; made < value; ++made) {
    const int err = Make(1);
    if (err == ENOSPC) return Judge(finding, made, err, 0, absl::StrFormat("%d segments were asked for", value));
    if (err != 0) return os::SyscallError(absl::StrFormat("shmget(1 byte, with %d segments)", made), err);
  }
  return Judge(finding, value, Make(1), ENOSPC,
               absl::StrFormat("%d segments of 1 byte were made, untouched%s; one more was refused", value,
                               lower ? ", with the limit lowered to that in the namespace" : ""));
}

// Spans `pages` pages with as few segments as it can. The errno of the first refusal, 0 for none.
int Span(uint64_t pages, uint64_t largest_pages, uint64_t* segments) {
  for (uint64_t left = pages; left > 0; ++*segments) {
    const uint64_t next = std::min(left, largest_pages);
    const int err = Make(next * PageBytes());
    if (err != 0) return err;
    left -= next;
  }
  return 0;
}

absl::Status ProveTotal(const Limits& configured, const Limits& fresh, Finding& finding) {
  uint64_t value = configured.max_total_pages;
  const uint64_t largest_pages = std::min(fresh.max_segment_bytes, kLargestFileBytes) / PageBytes();
  // One slot for the page too many: it must be refused for the total, not for the count.
  const uint64_t slots = value / largest_pages + 2;
  std::string lowered;
  if (slots > kMostSegments) {
    value = kLoweredPages;
    lowered = ", with the limit lowered to that in the namespace";
  } else if (slots > fresh.max_segments) {
    absl::Status raised = WriteSysctl("kernel/shmmni", slots);
    if (!raised.ok()) return raised;
    lowered = absl::StrFormat(", with kernel.shmmni raised to %d in the namespace", slots);
  }
  absl::Status imposed = Impose("kernel/shmall", fresh.max_total_pages, value);
  if (!imposed.ok()) return imposed;
  uint64_t segments = 0;
  const int err = Span(value, largest_pages, &segments);
  absl::StatusOr<SegmentUsage> usage = ReadUsage();
  if (!usage.ok()) return usage.status();
  const std::string how =
      absl::StrFormat("%d segments spanning %d pages were made, untouched%s", segments, usage->total_pages, lowered);
  if (err == ENOSPC) return Judge(finding, usage->total_pages, err, 0, how);
  if (err != 0) return os::SyscallError(absl::StrFormat("shmget after %s", how), err, "vm.overcommit_memory 2 forbids");
  return Judge(finding, usage->total_pages, Make(1), ENOSPC, how + "; one page more was refused");
}

absl::Status ProveAttachments(const Limits& configured, const Limits& /*fresh*/, Finding& finding) {
  absl::StatusOr<uint64_t> mappings = ReadSysctl("vm/max_map_count");
  if (!mappings.ok()) return mappings.status();
  if (*mappings > kMostAttachments) {
    return absl::FailedPreconditionError(absl::StrFormat("vm.max_map_count is %d, too many to try", *mappings));
  }
  const int id = shmget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
  if (id < 0) return os::SyscallError("shmget(1 byte)", errno);
  constexpr size_t kSpare = 1024;
  std::vector<const void*> spare(kSpare);
  uint64_t attached = 0;
  int err = 0;
  while (attached <= *mappings) {
    const void* address = shmat(id, nullptr, SHM_RDONLY);
    if (reinterpret_cast<intptr_t>(address) == -1) {
      err = errno;
      break;
    }
    if (attached < kSpare) spare[attached] = address;
    ++attached;
  }
  // Some back before anything that may allocate: the allocator needs mappings too. The rest goes with this process.
  for (uint64_t at = 0; at < std::min<uint64_t>(attached, kSpare); ++at) shmdt(spare[at]);
  if (attached <= configured.reported_attachments) {
    return os::SyscallError(absl::StrFormat("shmat with %d attachments", attached), err, "raise vm.max_map_count");
  }
  return Judge(finding, attached, err, ENOMEM,
               absl::StrFormat("Linux has no SHMSEG: IPC_INFO reports SHMMNI for it (%d) and one process attached a "
                               "segment %d times; vm.max_map_count (%d) was the end",
                               configured.reported_attachments, attached, *mappings));
}

absl::Status RunProof(Proof proof, const Limits& configured, pid_t parent, Finding& finding) {
  absl::Status status = EnterPrivateNamespace(parent);
  if (!status.ok()) return status;
  absl::StatusOr<SegmentUsage> usage = ReadUsage();
  if (!usage.ok()) return usage.status();
  if (usage->segments != 0) return absl::InternalError("the new IPC namespace is not empty: nothing was tried");
  absl::StatusOr<Limits> fresh = ReadLimits();
  if (!fresh.ok()) return fresh.status();
  return proof(configured, *fresh, finding);
}

void Prove(Proof proof, const Limits& configured, LimitProof& limit) {
  absl::StatusOr<os::Mapping> mapping = os::Mapping::SharedAnonymous(sizeof(Finding));
  absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(1);
  absl::Status status = mapping.ok() ? group.status() : mapping.status();
  if (status.ok()) {
    auto& finding = *static_cast<Finding*>(mapping->address());
    const pid_t parent = getpid();
    const auto body = [&](os::Gate&) { return RunProof(proof, configured, parent, finding); };
    absl::StatusOr<int> child = group->Spawn("proof", os::kAnyCpu, body);
    status = child.ok() ? group->JoinOne(*child, os::After(kProofWatchdogNanos)) : child.status();
    if (status.ok()) {
      limit.outcome = finding.outcome;
      limit.reached_at = finding.reached_at;
      limit.err = finding.err;
      limit.how = finding.how;
      return;
    }
  }
  limit.outcome = LimitOutcome::kNotProvable;
  limit.how = std::string(status.message());
}

std::vector<LimitProof> Describe(const Limits& limits) {
  const auto row = [](const char* name, const char* unit, const char* sysctl, uint64_t value) {
    LimitProof limit = {.name = name,
                        .unit = unit,
                        .sysctl = sysctl,
                        .value = value,
                        .sysctl_value = std::nullopt,
                        .outcome = LimitOutcome::kNotTried,
                        .reached_at = 0,
                        .err = 0,
                        .how = ""};
    if (*sysctl == '\0') return limit;
    absl::StatusOr<uint64_t> read = ReadSysctl(absl::StrReplaceAll(sysctl, {{".", "/"}}).c_str());
    if (read.ok()) limit.sysctl_value = *read;
    return limit;
  };
  return {row("SHMMAX", "bytes", "kernel.shmmax", limits.max_segment_bytes),
          row("SHMMIN", "bytes", "", limits.min_segment_bytes),
          row("SHMMNI", "segments", "kernel.shmmni", limits.max_segments),
          row("SHMALL", "pages", "kernel.shmall", limits.max_total_pages),
          row("SHMSEG", "attachments", "", limits.reported_attachments)};
}

}  // namespace

const char* LimitOutcomeName(LimitOutcome outcome) {
  constexpr const char* kNames[] = {"reached", "not_provable", "contradicted", "not_tried"};
  return kNames[static_cast<unsigned>(outcome)];
}

absl::StatusOr<std::vector<LimitProof>> ListLimits() {
  absl::StatusOr<Limits> limits = ReadLimits();
  if (!limits.ok()) return limits.status();
  return Describe(*limits);
}

absl::StatusOr<std::vector<LimitProof>> ProveLimits() {
  absl::StatusOr<Limits> limits = ReadLimits();
  if (!limits.ok()) return limits.status();
  std::vector<LimitProof> proofs = Describe(*limits);
  constexpr Proof kProofs[] = {ProveLargest, ProveSmallest, ProveCount, ProveTotal, ProveAttachments};
  for (size_t at = 0; at < proofs.size(); ++at) Prove(kProofs[at], *limits, proofs[at]);
  return proofs;
}

}  // namespace ipcmark::sysv_shm
