#include "ipc/sysv_shm/segment.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "ipc/conformance/support.h"
#include "ipc/os/clock.h"
#include "ipc/os/namespace_for_test.h"
#include "ipc/os/process_group.h"

namespace ipcmark::sysv_shm {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr int64_t kWatchdogNanos = 60 * os::kNanosPerSecond;
constexpr size_t kBytes = 10'000;

Segment NewSegment() {
  absl::StatusOr<Segment> segment = Segment::Create(kBytes);
  EXPECT_TRUE(segment.ok()) << segment.status();
  return *std::move(segment);
}

Attachment Attach(const Segment& segment) {
  absl::StatusOr<Attachment> attachment = segment.Attach();
  EXPECT_TRUE(attachment.ok()) << attachment.status();
  return *std::move(attachment);
}

bool Exists(int id) {
  shmid_ds ds;
  return shmctl(id, IPC_STAT, &ds) == 0;
}

// Runs `body` in a forked child that exits as a program does, destructors of its locals included.
void InForkedChild(absl::FunctionRef<void()> body) {
  const pid_t pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    body();
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
}

TEST(Segment, IsZeroFilledUpToItsLastByte) {
  const Segment segment = NewSegment();
  const Attachment attachment = Attach(segment);
  ASSERT_EQ(attachment.bytes(), kBytes);
  const auto* bytes = static_cast<const char*>(attachment.address());
  EXPECT_EQ(std::count(bytes, bytes + kBytes, '\0'), static_cast<long>(kBytes));
}

TEST(Segment, IsRemovedByItsOwnersDestructor) {
  int id = -1;
  {
    const Segment segment = NewSegment();
    id = segment.id();
    EXPECT_TRUE(Exists(id));
  }
  EXPECT_FALSE(Exists(id));
}

TEST(Segment, IsNotRemovedByAForkedChildsCopy) {
  Segment segment = NewSegment();
  InForkedChild([&] { Segment copy = std::move(segment); });
  EXPECT_TRUE(Exists(segment.id()));
  EXPECT_TRUE(segment.Attach().ok());
}

TEST(Segment, IsRemovedOnceByItsLastOwner) {
  Segment first = NewSegment();
  Segment second = NewSegment();
  const int first_id = first.id();
  const int second_id = second.id();
  second = std::move(first);
  EXPECT_FALSE(Exists(second_id)) << "assignment removes what was owned";
  EXPECT_TRUE(Exists(first_id));
  EXPECT_EQ(first.id(), -1);  // NOLINT(bugprone-use-after-move,clang-analyzer-cplusplus.Move)
  EXPECT_TRUE(first.Remove().ok());
  EXPECT_TRUE(Exists(first_id));
}

TEST(Segment, GoesWithItsLastAttachmentOnceItIsMarked) {
  Segment segment = NewSegment();
  Attachment first = Attach(segment);
  ASSERT_TRUE(segment.Remove().ok());
  Attachment second = Attach(segment);
  absl::StatusOr<SegmentInfo> info = segment.Stat();
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_TRUE(info->marked_for_removal);
  EXPECT_EQ(info->attached, 2U);
  first.Detach();
  EXPECT_TRUE(Exists(segment.id()));
  second.Detach();
  EXPECT_FALSE(Exists(segment.id()));
  EXPECT_THAT(segment.Attach().status().message(), HasSubstr("EINVAL"));
}

TEST(Segment, IsNotMarkedBeforeItIsRemoved) {
  const Segment segment = NewSegment();
  const absl::StatusOr<SegmentInfo> info = segment.Stat();
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_FALSE(info->marked_for_removal);
  EXPECT_EQ(info->bytes, kBytes);
  EXPECT_EQ(info->mode, 0600U);
  EXPECT_EQ(info->creator_pid, getpid());
}

TEST(Segment, CountsTheAttachmentsOfForkedChildrenUntilTheyEnd) {
  Segment segment = NewSegment();
  const Attachment attachment = Attach(segment);
  absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(2);
  ASSERT_TRUE(group.ok());
  auto hold = [](os::Gate& gate) -> absl::Status {
    gate.Arrive();
    for (;;) pause();
  };
  ASSERT_TRUE(group->Spawn("first", os::kAnyCpu, hold).ok());
  ASSERT_TRUE(group->Spawn("second", os::kAnyCpu, hold).ok());
  ASSERT_TRUE(group->Start(os::After(kWatchdogNanos)).ok());
  EXPECT_EQ(segment.Stat()->attached, 3U);
  group->KillAndReap(0);
  EXPECT_EQ(segment.Stat()->attached, 2U);
  group->KillAndReap(1);
  EXPECT_EQ(segment.Stat()->attached, 1U);
}

TEST(Segment, RefusesAKeyThatIsTaken) {
  // Another program may have a segment under the first key that chance names.
  absl::StatusOr<Segment> segment = absl::UnknownError("");
  key_t key = static_cast<key_t>(conformance::Seed() | 1);
  for (int attempt = 0; attempt < 100 && !segment.ok(); ++attempt, key += 2) segment = Segment::Create(kBytes, key);
  ASSERT_TRUE(segment.ok()) << segment.status();
  key -= 2;
  EXPECT_THAT(Segment::Create(kBytes, key).status().message(),
              AllOf(HasSubstr("shmget(key=0x"), HasSubstr(", 10000 bytes): EEXIST"), HasSubstr("choose another key")));
  {
    const absl::StatusOr<Segment> opened = Segment::Open(key);
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(opened->id(), segment->id());
    EXPECT_EQ(opened->bytes(), kBytes);
  }
  EXPECT_TRUE(Exists(segment->id())) << "who opens does not own";
  ASSERT_TRUE(segment->Remove().ok());
  EXPECT_THAT(Segment::Open(key).status().message(), HasSubstr("ENOENT"));
}

TEST(Segment, RefusesSizesThatTheKernelHasNot) {
  for (size_t bytes : {size_t{0}, SIZE_MAX}) {
    EXPECT_THAT(Segment::Create(bytes).status().message(), AllOf(HasSubstr("EINVAL"), HasSubstr("kernel.shmmax")));
  }
}

TEST(Segment, ToleratesThatSomebodyElseHasRemovedIt) {
  Segment segment = NewSegment();
  ASSERT_EQ(shmctl(segment.id(), IPC_RMID, nullptr), 0);
  EXPECT_EQ(segment.Remove(), absl::OkStatus());
}

// In a child with an IPC namespace of its own, so that the machine's limit stays as it is.
absl::Status FillNamespace() {
  absl::Status entered = os::EnterPrivateNamespaces(CLONE_NEWIPC);
  if (!entered.ok()) return entered;
  const os::Fd limit(open("/proc/sys/kernel/shmmni", O_WRONLY | O_CLOEXEC));
  if (!limit.valid() || write(limit.get(), "2", 1) != 1) {
    return absl::UnavailableError("kernel.shmmni cannot be written in a private IPC namespace");
  }
  std::vector<Segment> segments;
  for (int i = 0; i < 2; ++i) {
    absl::StatusOr<Segment> segment = Segment::Create(1);
    if (!segment.ok()) return segment.status();
    segments.push_back(*std::move(segment));
  }
  return Segment::Create(1).status();
}

TEST(Segment, SaysWhichLimitTooManySegmentsHaveReached) {
  const std::vector<std::string> before = conformance::Belongings();
  {
    absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(1);
    ASSERT_TRUE(group.ok());
    auto fill = [](os::Gate&) {
      absl::Status status = FillNamespace();
      // The outcome's text is all that reaches the parent, so the code goes in front.
      if (absl::IsUnavailable(status)) return absl::UnavailableError(absl::StrCat("SKIP ", status.message()));
      return status;
    };
    ASSERT_TRUE(group->Spawn("filler", os::kAnyCpu, fill).ok());
    const absl::Status end = group->Join(os::After(kWatchdogNanos));
    if (absl::StrContains(end.message(), "SKIP")) GTEST_SKIP() << end.message();
    EXPECT_THAT(end.message(), AllOf(HasSubstr("shmget(key=0, 1 bytes): ENOSPC"), HasSubstr("raise kernel.shmmni")));
  }
  EXPECT_EQ(conformance::Belongings(), before);
}

TEST(Attachment, IsDetachedOnceByItsLastOwner) {
  const Segment segment = NewSegment();
  Attachment first = Attach(segment);
  Attachment second = std::move(first);
  EXPECT_FALSE(first.valid());  // NOLINT(bugprone-use-after-move,clang-analyzer-cplusplus.Move)
  EXPECT_EQ(segment.Stat()->attached, 1U);
  second = Attach(segment);
  EXPECT_EQ(segment.Stat()->attached, 1U) << "assignment detaches what was owned";
  second.Detach();
  second.Detach();
  EXPECT_EQ(segment.Stat()->attached, 0U);
}

}  // namespace
}  // namespace ipcmark::sysv_shm
