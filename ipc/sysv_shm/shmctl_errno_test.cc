// shmctl's rows of the table in shm_errno_test.h.

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <vector>

#include "ipc/os/error.h"
#include "ipc/sysv_shm/segment_table.h"
#include "ipc/sysv_shm/shm_errno_test.h"

namespace ipcmark::sysv_shm {
namespace {

absl::Status MakeNoAccess(World& world) {
  world.no_access = mmap(nullptr, kPageBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (world.no_access == MAP_FAILED) return os::SyscallError("mmap", errno);
  return MakePage(world);
}

// The wrappers have a buffer of their own, so that EFAULT is the raw call's only.
template <int kCommand>
absl::Status ControlWithNoAccess(World& world) {
  const bool on_id = kCommand == IPC_STAT || kCommand == IPC_SET;
  int target = on_id ? world.segment.id() : 0;
  if (kCommand == SHM_STAT) {
    absl::StatusOr<SegmentUsage> usage = ReadUsage();
    if (!usage.ok()) return usage.status();
    target = usage->highest_index;
  }
  return Raw("shmctl", shmctl(target, kCommand, static_cast<shmid_ds*>(world.no_access)));
}

template <int kCommand>
absl::Status ControlIndexOfMine(World& world) {
  absl::StatusOr<std::vector<SegmentInfo>> all = ListSegments(ListScope::kAll);
  if (!all.ok()) return all.status();
  absl::StatusOr<SegmentUsage> usage = ReadUsage();
  if (!usage.ok()) return usage.status();
  shmid_ds ds;
  for (int index = 0; index <= usage->highest_index; ++index) {
    if (shmctl(index, SHM_STAT_ANY, &ds) == world.segment.id()) return Raw("shmctl", shmctl(index, kCommand, &ds));
  }
  return Wrong("SHM_STAT_ANY does not show the segment");
}

absl::Status LockLimitedTo(World& world, uint64_t limit_bytes) {
  absl::Status status = Make(world, 2 * kPageBytes, 0600);
  if (status.ok()) status = LimitLockedBytes(limit_bytes);
  return status.ok() ? DropCapabilities() : status;
}

constexpr uid_t kNoUser = std::numeric_limits<uid_t>::max();

constexpr Row kStat[] = {
    {"EACCES_WithoutReadPermission", MakeWithoutRights<0200>,
     [](World& world) { return world.segment.Stat().status(); }, EACCES},
    {"EACCES_AnotherUser", MakeAndBecomeNobody, [](World& world) { return world.segment.Stat().status(); }, EACCES},
    {"EINVAL_NegativeId", Nothing, [](World&) { return Segment::ById(-1).Stat().status(); }, EINVAL},
    {"EINVAL_GoneId", MakeGone, [](World& world) { return world.other.Stat().status(); }, EINVAL},
    {"EINVAL_StaleIdOfASlotUsedAgain", MakeStale, [](World& world) { return world.other.Stat().status(); }, EINVAL},
    {"EINVAL_UnknownCommand", MakePage,
     [](World& world) { return Raw("shmctl", shmctl(world.segment.id(), 9999, nullptr)); }, EINVAL},
    {"EFAULT_NoBuffer", MakeNoAccess, ControlWithNoAccess<IPC_STAT>, EFAULT},
    // Permission is judged before the buffer is looked at.
    {"EACCES_NoPermissionAndNoBuffer",
     [](World& world) {
       absl::Status status = MakeNoAccess(world);
       if (status.ok()) status = world.segment.Set({.mode = 0});
       return status.ok() ? DropCapabilities() : status;
     },
     ControlWithNoAccess<IPC_STAT>, EACCES},
};
INSTANTIATE_TEST_SUITE_P(ShmctlStat, ErrnoTest, testing::ValuesIn(kStat), NameOf);

constexpr Row kSet[] = {
    {"EPERM_AnotherUser", MakeAndBecomeNobody,
     [](World& world) { return world.segment.Set({.uid = 65534, .gid = 65534, .mode = 0666}); }, EPERM},
    {"EACCES_ReadingWhatIsLeftOut", MakeWithoutRights<0>,
     [](World& world) { return world.segment.Set({.mode = 0600}); }, EACCES},
    {"OK_OwnerWithoutAnyPermissionBit", MakeWithoutRights<0>,
     [](World& world) { return world.segment.Set({.uid = geteuid(), .gid = getegid(), .mode = 0600}); }, 0},
    {"EINVAL_NoSuchUser", MakePage, [](World& world) { return world.segment.Set({.uid = kNoUser}); }, EINVAL},
    {"EINVAL_GoneId", MakeGone, [](World& world) { return world.other.Set({.uid = 0, .gid = 0, .mode = 0}); }, EINVAL},
    {"EFAULT_NoBuffer", MakeNoAccess, ControlWithNoAccess<IPC_SET>, EFAULT},
    {"OK_MarkedForRemoval",
     [](World& world) {
       absl::Status status = MakePage(world);
       if (status.ok()) status = Keep(world.segment.Attach(), world.attachment);
       return status.ok() ? world.segment.MarkForRemoval() : status;
     },
     [](World& world) { return world.segment.Set({.mode = 0400}); }, 0},
};
INSTANTIATE_TEST_SUITE_P(ShmctlSet, ErrnoTest, testing::ValuesIn(kSet), NameOf);

constexpr Row kRemove[] = {
    {"EPERM_AnotherUser", MakeAndBecomeNobody, [](World& world) { return world.segment.MarkForRemoval(); }, EPERM},
    // Nobody needs a permission bit to remove what is his.
    {"OK_OwnerWithoutAnyPermissionBit", MakeWithoutRights<0>,
     [](World& world) { return world.segment.MarkForRemoval(); }, 0},
    {"EINVAL_GoneId", MakeGone, [](World& world) { return world.other.MarkForRemoval(); }, EINVAL},
    {"EINVAL_StaleIdOfASlotUsedAgain", MakeStale, [](World& world) { return world.other.MarkForRemoval(); }, EINVAL},
    {"OK_MarkedBefore",
     [](World& world) {
       absl::Status status = MakePage(world);
       if (status.ok()) status = Keep(world.segment.Attach(), world.attachment);
       return status.ok() ? world.segment.MarkForRemoval() : status;
     },
     [](World& world) { return world.segment.MarkForRemoval(); }, 0},
};
INSTANTIATE_TEST_SUITE_P(ShmctlRemove, ErrnoTest, testing::ValuesIn(kRemove), NameOf);

constexpr Row kLock[] = {
    {"EPERM_AnotherUser", MakeAndBecomeNobody, [](World& world) { return world.segment.Lock(); }, EPERM},
    {"EPERM_UnlockByAnotherUser", MakeAndBecomeNobody, [](World& world) { return world.segment.Unlock(); }, EPERM},
    {"EPERM_NothingMayBeLocked", [](World& world) { return LockLimitedTo(world, 0); },
     [](World& world) { return world.segment.Lock(); }, EPERM},
    {"ENOMEM_LargerThanTheLimit", [](World& world) { return LockLimitedTo(world, kPageBytes); },
     [](World& world) { return world.segment.Lock(); }, ENOMEM},
    // More than the segment has: the limit is shared with what else of this user is locked.
    {"OK_WithinTheLimit", [](World& world) { return LockLimitedTo(world, 1 << 20); },
     [](World& world) { return world.segment.Lock(); }, 0},
    {"OK_UnlockAtNoLimit", [](World& world) { return LockLimitedTo(world, 0); },
     [](World& world) { return world.segment.Unlock(); }, 0},
    {"EINVAL_GoneId", MakeGone, [](World& world) { return world.other.Lock(); }, EINVAL},
    {"EINVAL_UnlockOfAGoneId", MakeGone, [](World& world) { return world.other.Unlock(); }, EINVAL},
};
INSTANTIATE_TEST_SUITE_P(ShmctlLock, ErrnoTest, testing::ValuesIn(kLock), NameOf);

constexpr Row kTable[] = {
    {"EFAULT_IpcInfo", MakeNoAccess, ControlWithNoAccess<IPC_INFO>, EFAULT},
    {"EFAULT_ShmInfo", MakeNoAccess, ControlWithNoAccess<SHM_INFO>, EFAULT},
    {"EFAULT_ShmStat", MakeNoAccess, ControlWithNoAccess<SHM_STAT>, EFAULT},
    {"EINVAL_ShmStatOfAFreeSlot", Nothing,
     [](World&) {
       shmid_ds ds;
       return Raw("shmctl", shmctl(0, SHM_STAT, &ds));
     },
     EINVAL, Isolation::kRequired},
    {"EACCES_ShmStatWithoutReadPermission", MakeWithoutRights<0200>, ControlIndexOfMine<SHM_STAT>, EACCES},
    {"OK_ShmStatAnyWithoutReadPermission", MakeWithoutRights<0200>, ControlIndexOfMine<SHM_STAT_ANY>, 0},
    {"EACCES_ShmStatByAnotherUser", MakeAndBecomeNobody, ControlIndexOfMine<SHM_STAT>, EACCES},
    {"OK_ShmStatAnyByAnotherUser", MakeAndBecomeNobody, ControlIndexOfMine<SHM_STAT_ANY>, 0},
};
INSTANTIATE_TEST_SUITE_P(ShmctlTable, ErrnoTest, testing::ValuesIn(kTable), NameOf);

}  // namespace
}  // namespace ipcmark::sysv_shm
