// shmat's and shmdt's rows of the table in shm_errno_test.h.

#include <sys/mman.h>

#include <cerrno>

#include "ipc/os/error.h"
#include "ipc/sysv_shm/segment_limits.h"
#include "ipc/sysv_shm/shm_errno_test.h"

namespace ipcmark::sysv_shm {
namespace {

absl::Status MakeRoom(World& world) {
  void* room = mmap(nullptr, kRoomBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (room == MAP_FAILED) return os::SyscallError("mmap", errno);
  world.room = static_cast<std::byte*>(room);
  return MakePage(world);
}

absl::Status MakeAttached(World& world) {
  absl::Status status = MakePage(world);
  return status.ok() ? Keep(world.segment.Attach(), world.attachment) : status;
}

absl::Status AttachAs(World& world, const AttachOptions& options) {
  return Keep(world.segment.Attach(options), world.attachment);
}

// Attaches with `options`, and checks that it came to lie at `expected`.
absl::Status AttachAt(World& world, const AttachOptions& options, const void* expected) {
  absl::Status status = AttachAs(world, options);
  if (!status.ok() || world.attachment.address() == expected) return status;
  return Wrong("attached at another address");
}

absl::Status NeedMinimumAddress(World& world) {
  absl::StatusOr<uint64_t> lowest = ReadSysctl("vm/mmap_min_addr");
  if (!lowest.ok() || *lowest <= kPageBytes / 2) return Skip("vm.mmap_min_addr does not protect the first page");
  return MakeWithoutRights<0600>(world);
}

constexpr Row kShmat[] = {
    {"EACCES_ReadingAndWritingWithoutPermission", MakeWithoutRights<0>,
     [](World& world) { return AttachAs(world, {}); }, EACCES},
    {"EACCES_ReadingWithoutPermission", MakeWithoutRights<0>,
     [](World& world) { return AttachAs(world, {.read_only = true}); }, EACCES},
    {"EACCES_WritingWithReadPermissionOnly", MakeWithoutRights<0400>, [](World& world) { return AttachAs(world, {}); },
     EACCES},
    {"OK_ReadingWithReadPermissionOnly", MakeWithoutRights<0400>,
     [](World& world) { return AttachAs(world, {.read_only = true}); }, 0},
    // There is no attaching for writing only: without read permission it fails.
    {"EACCES_WritingWithWritePermissionOnly", MakeWithoutRights<0200>, [](World& world) { return AttachAs(world, {}); },
     EACCES},
    // shmget(2) says that execute permissions are not used; shmat does.
    {"EACCES_ExecutingWithoutExecutePermission", MakeWithoutRights<0600>,
     [](World& world) { return AttachAs(world, {.executable = true}); }, EACCES},
    {"OK_ExecutingWithExecutePermission", MakeWithoutRights<0700>,
     [](World& world) { return AttachAs(world, {.executable = true}); }, 0},
    {"EACCES_AnotherUser", MakeAndBecomeNobody, [](World& world) { return AttachAs(world, {}); }, EACCES},
    {"EINVAL_NegativeId", Nothing, [](World&) { return Segment::ById(-1).Attach().status(); }, EINVAL},
    {"EINVAL_GoneId", MakeGone, [](World& world) { return world.other.Attach().status(); }, EINVAL},
    // The manual says EIDRM for a removed id; this is what Linux says even when its slot has a new owner.
    {"EINVAL_StaleIdOfASlotUsedAgain", MakeStale, [](World& world) { return world.other.Attach().status(); }, EINVAL},
    {"OK_MarkedButAttached",
     [](World& world) {
       absl::Status status = MakeAttached(world);
       return status.ok() ? world.segment.MarkForRemoval() : status;
     },
     [](World& world) { return world.segment.Attach().status(); }, 0},
    {"EINVAL_UnalignedAddress", MakeRoom,
     [](World& world) { return AttachAs(world, {.address = world.room + kPageBytes + 1}); }, EINVAL},
    {"EINVAL_OverlapWithMemory", MakeRoom,
     [](World& world) { return AttachAs(world, {.address = world.room + kPageBytes}); }, EINVAL},
    {"EINVAL_OverlapWithAnAttachment", MakeAttached,
     [](World& world) { return world.segment.Attach({.address = world.attachment.address()}).status(); }, EINVAL},
    {"EINVAL_OverlapAfterRounding", MakeRoom,
     [](World& world) { return AttachAs(world, {.address = world.room + kPageBytes + 1, .round_address = true}); },
     EINVAL},
    {"EINVAL_RemapAtNull", MakePage, [](World& world) { return AttachAs(world, {.remap = true}); }, EINVAL},
    {"EINVAL_RemapRoundedToNull", MakePage,
     [](World& world) {
       return Raw("shmat", reinterpret_cast<intptr_t>(
                               shmat(world.segment.id(), AddressOf(kPageBytes - 1), SHM_RND | SHM_REMAP)));
     },
     EINVAL},
    // Ours, before the system call: docs/sysv_shm.md has why.
    {"EINVAL_RoundedToNull", MakePage,
     [](World& world) { return AttachAs(world, {.address = AddressOf(SHMLBA - 1), .round_address = true}); }, EINVAL},
    {"OK_RemapOverMemory", MakeRoom,
     [](World& world) {
       std::byte* const at = world.room + kPageBytes;
       return AttachAt(world, {.address = at, .remap = true}, at);
     },
     0},
    {"OK_RemapRoundsDown", MakeRoom,
     [](World& world) {
       std::byte* const at = world.room + kPageBytes;
       return AttachAt(world, {.address = at + SHMLBA - 1, .round_address = true, .remap = true}, at);
     },
     0},
    {"ENOMEM_BeyondTheAddressSpace", MakePage,
     [](World& world) { return AttachAs(world, {.address = AddressOf(uintptr_t{1} << 63)}); }, ENOMEM},
    {"ENOMEM_LargerThanTheAddressSpace",
     [](World& world) { return Keep(Segment::Create({.bytes = size_t{1} << 62, .no_reserve = true}), world.segment); },
     [](World& world) { return AttachAs(world, {}); }, ENOMEM},
    {"EPERM_BelowTheLowestAddress", NeedMinimumAddress,
     [](World& world) {
       return Raw("shmat", reinterpret_cast<intptr_t>(shmat(world.segment.id(), AddressOf(kPageBytes / 2), SHM_RND)));
     },
     EPERM},
};
INSTANTIATE_TEST_SUITE_P(Shmat, ErrnoTest, testing::ValuesIn(kShmat), NameOf);

constexpr Row kShmdt[] = {
    {"EINVAL_MemoryThatIsNoAttachment", MakeRoom, [](World& world) { return Raw("shmdt", shmdt(world.room)); }, EINVAL},
    {"EINVAL_Null", Nothing, [](World&) { return Raw("shmdt", shmdt(nullptr)); }, EINVAL},
    {"EINVAL_UnalignedAddress", MakeAttached,
     [](World& world) { return Raw("shmdt", shmdt(static_cast<char*>(world.attachment.address()) + 1)); }, EINVAL},
    {"EINVAL_WithinAnAttachment",
     [](World& world) {
       absl::Status status = Make(world, 2 * kPageBytes, 0600);
       return status.ok() ? AttachAs(world, {}) : status;
     },
     [](World& world) { return Raw("shmdt", shmdt(static_cast<char*>(world.attachment.address()) + kPageBytes)); },
     EINVAL},
    {"EINVAL_DetachedBefore",
     [](World& world) {
       absl::Status status = MakeAttached(world);
       return status.ok() ? Raw("shmdt", shmdt(world.attachment.address())) : status;
     },
     [](World& world) { return world.attachment.DetachOrError(); }, EINVAL},
    {"EINVAL_UnmappedBefore",
     [](World& world) {
       absl::Status status = MakeAttached(world);
       return status.ok() ? Raw("munmap", munmap(world.attachment.address(), kPageBytes)) : status;
     },
     [](World& world) { return world.attachment.DetachOrError(); }, EINVAL},
    {"OK_ReadOnlyAttachment",
     [](World& world) {
       absl::Status status = MakePage(world);
       return status.ok() ? AttachAs(world, {.read_only = true}) : status;
     },
     [](World& world) { return world.attachment.DetachOrError(); }, 0},
};
INSTANTIATE_TEST_SUITE_P(Shmdt, ErrnoTest, testing::ValuesIn(kShmdt), NameOf);

}  // namespace
}  // namespace ipcmark::sysv_shm
