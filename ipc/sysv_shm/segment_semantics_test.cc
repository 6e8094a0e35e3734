// What System V shared memory means on Linux: its life, its counts, its times. docs/sysv_shm.md sums it up by the names
// of these tests. The memory itself (protection, addresses, locking) is in segment_memory_test.cc.

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ipc/os/clock.h"
#include "ipc/os/fd.h"
#include "ipc/os/process_group.h"
#include "ipc/sysv_shm/segment.h"
#include "ipc/sysv_shm/segment_table.h"
#include "ipc/sysv_shm/shm_test_support.h"

namespace ipcmark::sysv_shm {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr int64_t kWatchdogNanos = 60 * os::kNanosPerSecond;

// A segment that this process has attached.
struct Attached {
  Segment segment;
  Attachment attachment;

  explicit Attached(size_t bytes = kPageBytes, key_t key = IPC_PRIVATE) {
    absl::StatusOr<Segment> created = Segment::Create(bytes, key);
    if (!created.ok()) ADD_FAILURE() << created.status();
    if (!created.ok()) return;
    segment = *std::move(created);
    absl::StatusOr<Attachment> attached = segment.Attach();
    if (!attached.ok()) ADD_FAILURE() << attached.status();
    if (attached.ok()) attachment = *std::move(attached);
  }
  [[nodiscard]] unsigned char* data() const { return static_cast<unsigned char*>(attachment.address()); }
  [[nodiscard]] SegmentInfo Info() const {
    absl::StatusOr<SegmentInfo> info = segment.Stat();
    if (!info.ok()) ADD_FAILURE() << info.status();
    return info.value_or(SegmentInfo{});
  }
};

absl::Status Pause(os::Gate& gate) {
  gate.Arrive();
  for (;;) pause();
}

// The kernel stamps whole seconds of the clock that time(2) reads, so that a stamp's move shows only in a later second.
// There is no event to wait for: this is a wait for the clock itself, of at most one second.
void AwaitLaterSecondThan(int64_t seconds) {
  const timespec step = {.tv_sec = 0, .tv_nsec = 5'000'000};
  while (time(nullptr) <= seconds) nanosleep(&step, nullptr);
}

TEST(Segment, IsZeroFilledEvenWhereItsMemoryWasUsedBefore) {
  constexpr size_t kBytes = 1 << 20;
  for (int round = 0; round < 3; ++round) {
    const Attached used(kBytes);
    ASSERT_TRUE(used.attachment.valid());
    EXPECT_EQ(std::count(used.data(), used.data() + kBytes, 0), kBytes);
    memset(used.data(), 0xa5, kBytes);
  }
}

TEST(Segment, HasTheSizeAskedForAndTheRestOfItsLastPage) {
  const Attached small(100);
  EXPECT_EQ(small.Info().bytes, 100U);
  small.data()[kPageBytes - 1] = 7;
  EXPECT_EQ(small.data()[kPageBytes - 1], 7);
}

TEST(Segment, TellsEverythingOfItsCreation) {
  const key_t key = TestKey();
  const int64_t before = time(nullptr);
  absl::StatusOr<Segment> segment = Segment::Create(kPageBytes, key, 0640);
  const int64_t after = time(nullptr);
  ASSERT_TRUE(segment.ok()) << segment.status();
  absl::StatusOr<SegmentInfo> info = segment->Stat();
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->id, segment->id());
  EXPECT_EQ(info->key, key);
  EXPECT_EQ(info->mode, 0640U);
  EXPECT_EQ(info->uid, geteuid());
  EXPECT_EQ(info->gid, getegid());
  EXPECT_EQ(info->creator_uid, geteuid());
  EXPECT_EQ(info->creator_gid, getegid());
  EXPECT_EQ(info->creator_pid, getpid());
  EXPECT_EQ(info->last_pid, 0);
  EXPECT_EQ(info->attached, 0U);
  EXPECT_EQ(info->attach_time_seconds, 0);
  EXPECT_EQ(info->detach_time_seconds, 0);
  EXPECT_GE(info->change_time_seconds, before);
  EXPECT_LE(info->change_time_seconds, after);
  EXPECT_FALSE(info->locked);
  EXPECT_FALSE(info->marked_for_removal);
}

TEST(Segment, ForkInheritsAttachmentsAndTheyAreCounted) {
  const Attached mine;
  mine.data()[0] = 42;
  absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(2);
  ASSERT_TRUE(group.ok()) << group.status();
  for (int child = 0; child < 2; ++child) {
    ASSERT_TRUE(group
                    ->Spawn("holder", os::kAnyCpu,
                            [&](os::Gate& gate) {
                              if (mine.data()[0] != 42) return Wrong("the child sees other bytes");
                              return Pause(gate);
                            })
                    .ok());
  }
  const absl::Status started = group->Start(os::After(kWatchdogNanos));
  ASSERT_TRUE(started.ok()) << started;
  EXPECT_EQ(mine.Info().attached, 3U);
  // It was the parent that attached for its children, says the kernel.
  EXPECT_EQ(mine.Info().last_pid, getpid());
  const pid_t killed = group->pid(0);
  group->KillAndReap(0);
  EXPECT_EQ(mine.Info().attached, 2U);
  EXPECT_EQ(mine.Info().last_pid, killed);
  group->KillAndReap(1);
  EXPECT_EQ(mine.Info().attached, 1U);
}

TEST(Segment, ExitDetaches) {
  const Attached mine;
  const int64_t before = time(nullptr);
  EXPECT_EQ(mine.Info().detach_time_seconds, 0);
  RunInChild(Isolation::kNone, [] { return absl::OkStatus(); });
  EXPECT_EQ(mine.Info().attached, 1U);
  EXPECT_GE(mine.Info().detach_time_seconds, before);
  EXPECT_LE(mine.Info().detach_time_seconds, time(nullptr));
}

TEST(Segment, ExecDetaches) {
  const Attached mine;
  int executed[2];
  int input[2];
  // The child's copy of executed[1] closes in exec, after the old memory has gone: the end of file says so.
  ASSERT_EQ(pipe2(executed, O_CLOEXEC), 0);
  ASSERT_EQ(pipe2(input, O_CLOEXEC), 0);
  const os::Fd executed_read(executed[0]);
  os::Fd executed_write(executed[1]);
  const os::Fd input_read(input[0]);
  os::Fd input_write(input[1]);
  absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(1);
  ASSERT_TRUE(group.ok()) << group.status();
  absl::StatusOr<int> child = group->Spawn("cat", os::kAnyCpu, [&](os::Gate&) {
    dup2(input_read.get(), STDIN_FILENO);
    execl("/bin/cat", "cat", nullptr);
    return Wrong("/bin/cat does not start");
  });
  ASSERT_TRUE(child.ok()) << child.status();
  executed_write.Reset();
  char byte;
  ASSERT_EQ(read(executed_read.get(), &byte, 1), 0);
  EXPECT_TRUE(group->running(*child));
  EXPECT_EQ(mine.Info().attached, 1U);
  EXPECT_EQ(mine.Info().last_pid, group->pid(*child));
  input_write.Reset();
  const absl::Status ended = group->JoinOne(*child, os::After(kWatchdogNanos));
  EXPECT_TRUE(ended.ok()) << ended;
}

TEST(Segment, AttachAndDetachAreStampedWithTimeAndProcess) {
  absl::StatusOr<Segment> segment = Segment::Create(kPageBytes);
  ASSERT_TRUE(segment.ok()) << segment.status();
  const int64_t before = time(nullptr);
  absl::StatusOr<Attachment> attachment = segment->Attach();
  ASSERT_TRUE(attachment.ok()) << attachment.status();
  absl::StatusOr<SegmentInfo> info = segment->Stat();
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->last_pid, getpid());
  EXPECT_GE(info->attach_time_seconds, before);
  EXPECT_LE(info->attach_time_seconds, time(nullptr));
  EXPECT_EQ(info->detach_time_seconds, 0);
  attachment->Detach();
  info = segment->Stat();
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_GE(info->detach_time_seconds, before);
  EXPECT_LE(info->detach_time_seconds, time(nullptr));
  EXPECT_EQ(info->attached, 0U);
}

TEST(Segment, OnlySetMovesTheChangeTimeAndForkMovesTheAttachTime) {
  Attached mine;
  const SegmentInfo created = mine.Info();
  AwaitLaterSecondThan(created.attach_time_seconds);
  RunInChild(Isolation::kNone, [] { return absl::OkStatus(); });
  EXPECT_GT(mine.Info().attach_time_seconds, created.attach_time_seconds);
  EXPECT_GT(mine.Info().detach_time_seconds, created.attach_time_seconds);
  absl::Status status = mine.segment.Lock();
  if (status.ok()) status = mine.segment.Unlock();
  if (status.ok()) status = mine.segment.MarkForRemoval();
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(mine.Info().change_time_seconds, created.change_time_seconds);
  status = mine.segment.Set({.mode = 0640});
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_GT(mine.Info().change_time_seconds, created.change_time_seconds);
  EXPECT_LE(mine.Info().change_time_seconds, time(nullptr));
}

TEST(Segment, SetChangesOwnerGroupAndModeAndNothingElse) {
  Attached mine;
  const SegmentInfo before = mine.Info();
  // Execute bits are kept; what is beyond the nine bits is not.
  const absl::Status status = mine.segment.Set({.uid = geteuid(), .gid = getegid(), .mode = 07751});
  ASSERT_TRUE(status.ok()) << status;
  const SegmentInfo after = mine.Info();
  EXPECT_EQ(after.mode, 0751U);
  EXPECT_EQ(after.uid, before.uid);
  EXPECT_EQ(after.bytes, before.bytes);
  EXPECT_EQ(after.attached, before.attached);
  EXPECT_EQ(after.creator_pid, before.creator_pid);
  EXPECT_EQ(after.last_pid, before.last_pid);
  EXPECT_EQ(after.attach_time_seconds, before.attach_time_seconds);
}

TEST(Segment, CreatorKeepsItsRightsWhenItGivesTheSegmentAway) {
  RunInChild(Isolation::kPreferred, [] {
    absl::StatusOr<Segment> segment = Segment::Create(kPageBytes);
    if (!segment.ok()) return segment.status();
    if (!segment->Set({.uid = 65534}).ok()) return Skip("no second user in this user namespace (a Bazel sandbox)");
    absl::Status status = DropCapabilities();
    if (!status.ok()) return status;
    absl::StatusOr<SegmentInfo> info = segment->Stat();
    if (!info.ok()) return info.status();
    if (info->uid != 65534 || info->creator_uid != geteuid()) return Wrong("owner or creator is somebody else");
    status = segment->Set({.mode = 0400});
    return status.ok() ? segment->MarkForRemoval() : status;
  });
}

TEST(Segment, MarkedForRemovalItLosesItsKeyAndCanStillBeAttachedById) {
  const key_t key = TestKey();
  Attached mine(kPageBytes, key);
  mine.data()[0] = 42;
  ASSERT_TRUE(mine.segment.Remove().ok());
  EXPECT_TRUE(mine.Info().marked_for_removal);
  EXPECT_EQ(mine.Info().key, IPC_PRIVATE);
  EXPECT_EQ(ErrnoIn(Segment::Open(key).status()), "ENOENT");
  // The key is free at once, for another segment.
  absl::StatusOr<Segment> next = Segment::Create(kPageBytes, key);
  EXPECT_TRUE(next.ok()) << next.status();
  absl::StatusOr<Attachment> second = mine.segment.Attach();
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(*static_cast<unsigned char*>(second->address()), 42);
  mine.attachment.Detach();
  EXPECT_EQ(mine.Info().attached, 1U);
  second->Detach();
  EXPECT_EQ(ErrnoIn(mine.segment.Stat().status()), "EINVAL");
  EXPECT_EQ(ErrnoIn(mine.segment.Attach().status()), "EINVAL");
}

TEST(Segment, MarkedForRemovalItCanBeAttachedByAProcessThatHadIt) {
  Attached mine;
  ASSERT_TRUE(mine.segment.Remove().ok());
  RunInChild(Isolation::kNone, [&] {
    mine.attachment.Detach();
    return mine.segment.Attach().status();
  });
  EXPECT_EQ(mine.Info().attached, 1U);
}

TEST(Segment, NotRemovedItOutlivesEveryAttachment) {
  Attached mine;
  mine.data()[0] = 42;
  mine.attachment.Detach();
  absl::StatusOr<Attachment> again = mine.segment.Attach();
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*static_cast<unsigned char*>(again->address()), 42);
}

TEST(Segment, AttachmentSurvivesANewNamespaceButTheIdDoesNot) {
  RunInChild(Isolation::kRequired, [] {
    absl::StatusOr<Segment> segment = Segment::Create(kPageBytes);
    if (!segment.ok()) return segment.status();
    absl::StatusOr<Attachment> attachment = segment->Attach();
    if (!attachment.ok()) return attachment.status();
    if (unshare(CLONE_NEWIPC) != 0) return Skip("no second IPC namespace");
    *static_cast<volatile char*>(attachment->address()) = 42;
    const std::string stat = ErrnoIn(segment->Stat().status());
    return stat == "EINVAL" ? absl::OkStatus() : Wrong(absl::StrCat("stat in the new namespace: ", stat));
  });
}

TEST(SegmentTable, ListsSegmentsWithEverythingAndCountsTheirPages) {
  RunInChild(Isolation::kRequired, [] {
    const Attached mine(2 * kPageBytes, TestKey());
    mine.data()[0] = 1;
    absl::StatusOr<std::vector<SegmentInfo>> all = ListSegments(ListScope::kAll);
    absl::StatusOr<SegmentUsage> usage = ReadUsage();
    if (!all.ok()) return all.status();
    if (!usage.ok()) return usage.status();
    if (all->size() != 1 || usage->segments != 1) return Wrong("another count than 1");
    const SegmentInfo& listed = all->front();
    const SegmentInfo info = mine.Info();
    if (listed.id != info.id || listed.key != info.key || listed.bytes != info.bytes || listed.attached != 1) {
      return Wrong("another segment");
    }
    if (usage->total_pages != 2 || usage->resident_pages != 1) return Wrong("another number of pages");
    return absl::OkStatus();
  });
}

TEST(SegmentTable, ShowsUnreadableSegmentsOnlyWhenAskedForAll) {
  RunInChild(Isolation::kRequired, [] {
    absl::StatusOr<Segment> segment = Segment::Create(kPageBytes, IPC_PRIVATE, 0200);
    if (!segment.ok()) return segment.status();
    absl::Status status = DropCapabilities();
    if (!status.ok()) return status;
    absl::StatusOr<std::vector<SegmentInfo>> all = ListSegments(ListScope::kAll);
    absl::StatusOr<std::vector<SegmentInfo>> readable = ListSegments(ListScope::kReadable);
    if (!all.ok()) return all.status();
    if (!readable.ok()) return readable.status();
    return all->size() == 1 && readable->empty() ? absl::OkStatus() : Wrong("another list");
  });
}

TEST(Key, IsMadeOfTheNumberAndPartsOfDeviceAndInode) {
  const std::string path = absl::StrCat(getenv("TEST_TMPDIR"), "/key.", getpid());
  std::ofstream(path) << "";
  struct stat file;
  ASSERT_EQ(stat(path.c_str(), &file), 0);
  absl::StatusOr<key_t> key = KeyFromPath(path, 200);
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(static_cast<uint32_t>(*key), 200U << 24 | (file.st_dev & 0xffU) << 16 | (file.st_ino & 0xffffU));
  const std::string link = path + ".link";
  ASSERT_EQ(::link(path.c_str(), link.c_str()), 0);
  EXPECT_EQ(KeyFromPath(link, 200).value_or(0), *key);
  unlink(link.c_str());
  unlink(path.c_str());
  EXPECT_EQ(ErrnoIn(KeyFromPath(path, 200).status()), "ENOENT");
}

TEST(Key, RefusesANumberOfWhichFtokWouldDropBits) {
  for (const int number : {0, -1, 256, 1 << 16}) EXPECT_EQ(ErrnoIn(KeyFromPath("/", number).status()), "EINVAL");
}

}  // namespace
}  // namespace ipcmark::sysv_shm
