// The kernel's limits: read, reached, and left as they were.

#include <sys/resource.h>
#include <sys/shm.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ipc/os/error.h"
#include "ipc/sysv_shm/limit_proof.h"
#include "ipc/sysv_shm/segment_limits.h"
#include "ipc/sysv_shm/segment_table.h"
#include "ipc/sysv_shm/shm_test_support.h"

namespace ipcmark::sysv_shm {
namespace {

// Can this machine make a private namespace at all? Entered in a child, for good.
absl::Status PrivateNamespaceOrSkip() {
  absl::Status status = EnterPrivateNamespace(0);
  return status.ok() ? status : Skip(status.message());
}

absl::Status SetLimits(uint64_t shmmax, uint64_t shmmni, uint64_t shmall) {
  absl::Status status = WriteSysctl("kernel/shmmax", shmmax);
  if (status.ok()) status = WriteSysctl("kernel/shmmni", shmmni);
  if (status.ok()) status = WriteSysctl("kernel/shmall", shmall);
  return status.ok() ? status : Skip(status.message());
}

struct Expected {
  const char* name;
  uint64_t reached_at;
  int err;
};

absl::Status Compare(const std::vector<LimitProof>& proofs, const std::vector<Expected>& expected) {
  for (const Expected& row : expected) {
    bool found = false;
    for (const LimitProof& proof : proofs) {
      if (std::string(proof.name) != row.name) continue;
      found = proof.outcome == LimitOutcome::kReached && proof.reached_at == row.reached_at && proof.err == row.err;
      if (!found) {
        return Wrong(absl::StrCat(row.name, ": ", LimitOutcomeName(proof.outcome), " at ", proof.reached_at, " ",
                                  os::ErrnoName(proof.err), "; ", proof.how));
      }
    }
    if (!found) return Wrong(absl::StrCat(row.name, " is missing"));
  }
  return absl::OkStatus();
}

TEST(Limits, AreTheSameByIpcInfoAndByProc) {
  absl::StatusOr<Limits> limits = ReadLimits();
  ASSERT_TRUE(limits.ok()) << limits.status();
  EXPECT_EQ(limits->max_segment_bytes, ReadSysctl("kernel/shmmax").value_or(0));
  EXPECT_EQ(limits->max_segments, ReadSysctl("kernel/shmmni").value_or(0));
  EXPECT_EQ(limits->max_total_pages, ReadSysctl("kernel/shmall").value_or(0));
  EXPECT_EQ(limits->min_segment_bytes, 1U);
  // There is no SHMSEG: the kernel says SHMMNI in its place.
  EXPECT_EQ(limits->reported_attachments, limits->max_segments);
}

TEST(Limits, ANewNamespaceStartsWithTheDefaultsAndNotWithItsParents) {
  RunInChild(Isolation::kRequired, [] {
    absl::StatusOr<Limits> fresh = ReadLimits();
    if (!fresh.ok()) return fresh.status();
    absl::Status status = SetLimits(1 << 20, 7, 1000);
    if (status.ok()) status = PrivateNamespaceOrSkip();
    if (!status.ok()) return status;
    absl::StatusOr<Limits> again = ReadLimits();
    if (!again.ok()) return again.status();
    return again->max_segments == fresh->max_segments && again->max_segment_bytes == fresh->max_segment_bytes
               ? absl::OkStatus()
               : Wrong("the new namespace has its parent's limits");
  });
}

TEST(LimitProof, ReachesEveryDefaultLimitWithoutUsingMemory) {
  RunInChild(Isolation::kRequired, [] {
    absl::StatusOr<Limits> limits = ReadLimits();
    if (!limits.ok()) return limits.status();
    absl::StatusOr<uint64_t> mappings = ReadSysctl("vm/max_map_count");
    absl::StatusOr<uint64_t> overcommit = ReadSysctl("vm/overcommit_memory");
    if (!mappings.ok() || *mappings > 300'000) return Skip("vm.max_map_count is too high to be reached");
    if (!overcommit.ok() || *overcommit == 2) return Skip("vm.overcommit_memory 2 promises nothing it has not");
    absl::StatusOr<std::vector<LimitProof>> proofs = ProveLimits();
    if (!proofs.ok()) return proofs.status();
    for (const LimitProof& proof : *proofs) {
      if (proof.outcome != LimitOutcome::kReached) return Wrong(absl::StrCat(proof.name, ": ", proof.how));
      if (std::string(proof.name) == "SHMALL" && proof.reached_at != limits->max_total_pages) {
        return Wrong(absl::StrCat("SHMALL reached at ", proof.reached_at));
      }
      if (std::string(proof.name) == "SHMMNI" && proof.reached_at != limits->max_segments) {
        return Wrong(absl::StrCat("SHMMNI reached at ", proof.reached_at));
      }
      if (std::string(proof.name) == "SHMSEG" && proof.reached_at <= limits->max_segments) {
        return Wrong(absl::StrCat("attached only ", proof.reached_at));
      }
    }
    // The sizes in play are of 2^63 bytes; this leaves room for a sanitizer.
    rusage children;
    if (getrusage(RUSAGE_CHILDREN, &children) != 0) return os::SyscallError("getrusage", errno);
    constexpr long kMostKibibytes = 256L * 1024;
    return children.ru_maxrss < kMostKibibytes ? absl::OkStatus()
                                               : Wrong(absl::StrCat(children.ru_maxrss, " KiB used"));
  });
}

TEST(LimitProof, ReachesLimitsThatWereSetAndNotTheDefaults) {
  RunInChild(Isolation::kRequired, [] {
    absl::Status status = SetLimits(3'000'000, 10, 50);
    if (!status.ok()) return status;
    absl::StatusOr<std::vector<LimitProof>> proofs = ProveLimits();
    if (!proofs.ok()) return proofs.status();
    return Compare(
        *proofs,
        {{"SHMMAX", 3'000'000, EINVAL}, {"SHMMIN", 1, EINVAL}, {"SHMMNI", 10, ENOSPC}, {"SHMALL", 50, ENOSPC}});
  });
}

TEST(LimitProof, WorksAtTheLargestValuesThatCanBeSet) {
  RunInChild(Isolation::kRequired, [] {
    absl::Status status = SetLimits(UINT64_MAX, 32'768, UINT64_MAX);
    if (!status.ok()) return status;
    absl::StatusOr<std::vector<LimitProof>> proofs = ProveLimits();
    if (!proofs.ok()) return proofs.status();
    // SHMMAX is beyond the largest file and therefore proved lowered, to 1 MiB.
    return Compare(*proofs, {{"SHMMAX", 1 << 20, EINVAL}, {"SHMMNI", 32'768, ENOSPC}, {"SHMALL", UINT64_MAX, ENOSPC}});
  });
}

TEST(LimitProof, LimitsOfZeroAreReachedAtOnce) {
  RunInChild(Isolation::kRequired, [] {
    absl::Status status = SetLimits(1 << 20, 0, 0);
    if (!status.ok()) return status;
    absl::StatusOr<std::vector<LimitProof>> proofs = ProveLimits();
    if (!proofs.ok()) return proofs.status();
    return Compare(*proofs, {{"SHMMNI", 0, ENOSPC}, {"SHMALL", 0, ENOSPC}});
  });
}

TEST(LimitProof, LeavesLimitsAndSegmentsOfItsCallerAlone) {
  RunInChild(Isolation::kRequired, [] {
    absl::StatusOr<Segment> mine = Segment::Create(4096);
    if (!mine.ok()) return mine.status();
    absl::StatusOr<Limits> before = ReadLimits();
    if (!before.ok()) return before.status();
    if (!ProveLimits().ok()) return Wrong("no proofs");
    absl::StatusOr<Limits> after = ReadLimits();
    absl::StatusOr<std::vector<SegmentInfo>> segments = ListSegments(ListScope::kAll);
    if (!after.ok()) return after.status();
    if (!segments.ok()) return segments.status();
    if (after->max_segment_bytes != before->max_segment_bytes || after->max_segments != before->max_segments ||
        after->max_total_pages != before->max_total_pages) {
      return Wrong("a limit has changed");
    }
    return segments->size() == 1 && segments->front().id == mine->id() ? absl::OkStatus() : Wrong("other segments");
  });
}

TEST(LimitProof, WithoutARightToANamespaceItSaysWhy) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP()
      << "ThreadSanitizer has a thread of its own, and unshare(CLONE_NEWUSER) wants a process with one: EINVAL";
#endif
  RunInChild(Isolation::kNone, [] {
    // Who has no capability may still make a user namespace, unless its root directory is not the system's.
    const char* folder = getenv("TEST_TMPDIR");
    if (folder == nullptr || chroot(folder) != 0) return Skip(os::SyscallError("chroot", errno).message());
    absl::Status status = DropCapabilities();
    if (!status.ok()) return status;
    absl::StatusOr<std::vector<LimitProof>> proofs = ProveLimits();
    if (!proofs.ok()) return proofs.status();
    for (const LimitProof& proof : *proofs) {
      if (proof.outcome != LimitOutcome::kNotProvable || proof.how.find("EPERM") == std::string::npos) {
        return Wrong(absl::StrCat(proof.name, ": ", LimitOutcomeName(proof.outcome), "; ", proof.how));
      }
    }
    return absl::OkStatus();
  });
}

}  // namespace
}  // namespace ipcmark::sysv_shm
