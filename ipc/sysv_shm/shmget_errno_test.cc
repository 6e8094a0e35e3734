// shmget's rows of the table in shm_errno_test.h.

#include <unistd.h>

#include <cerrno>
#include <limits>

#include "absl/strings/str_cat.h"
#include "ipc/sysv_shm/segment_limits.h"
#include "ipc/sysv_shm/shm_errno_test.h"

namespace ipcmark::sysv_shm {
namespace {

absl::Status SkipUnlessOvercommitIsJudged(World& /*world*/) {
  absl::StatusOr<uint64_t> mode = ReadSysctl("vm/overcommit_memory");
  return mode.ok() && *mode == 1 ? Skip("vm.overcommit_memory is 1: any promise is given") : absl::OkStatus();
}

template <int kKibibytes>
absl::Status NeedNoFreeHugePages(World& /*world*/) {
  const std::string folder = absl::StrCat("../../sys/kernel/mm/hugepages/hugepages-", kKibibytes, "kB/free_hugepages");
  absl::StatusOr<uint64_t> free = ReadSysctl(folder.c_str());
  if (!free.ok()) return Skip(absl::StrCat("this kernel has no huge pages of ", kKibibytes, " KiB"));
  return *free == 0 ? absl::OkStatus() : Skip("huge pages are free here: the call would succeed");
}

// Root of a user namespace has CAP_IPC_LOCK there only, and huge pages are the whole machine's.
absl::Status SkipWithoutRight(const absl::Status& status) {
  return ErrnoIn(status) == "EPERM" ? Skip("neither CAP_IPC_LOCK nor vm.hugetlb_shm_group here") : status;
}

// Of this row's namespace. An older kernel lets only the root of the whole system do so.
absl::Status SetLimit(const char* name, uint64_t value) {
  absl::Status status = WriteSysctl(name, value);
  return status.ok() ? status : Skip(status.message());
}

absl::Status NobodyOutsideTheHugePageGroup(World& world) {
  absl::StatusOr<uint64_t> group = ReadSysctl("vm/hugetlb_shm_group");
  if (!group.ok()) return Skip(group.status().message());
  if (*group == 65534) return Skip("vm.hugetlb_shm_group is 65534");
  absl::Status status = NeedNoFreeHugePages<2048>(world);
  return status.ok() ? BecomeNobody() : status;
}

absl::Status InTheHugePageGroupOnly(World& world) {
  absl::StatusOr<uint64_t> group = ReadSysctl("vm/hugetlb_shm_group");
  if (!group.ok() || *group != getegid()) return Skip("this process is not in vm.hugetlb_shm_group");
  absl::Status status = NeedNoFreeHugePages<2048>(world);
  return status.ok() ? DropCapabilities() : status;
}

constexpr Row kShmget[] = {
    {"EACCES_ModeNotGrantedToOwner", MakeWithoutRights<0200>,
     [](World& world) { return Segment::Open(world.key, 0, 0400).status(); }, EACCES},
    {"EACCES_ModeNotGrantedToAnotherUser", MakeAndBecomeNobody,
     [](World& world) { return Segment::Open(world.key, 0, 0400).status(); }, EACCES},
    // Asking for no permission is granted to everybody; only what is done with the id is judged.
    {"OK_NoModeAskedByAnotherUser", MakeAndBecomeNobody,
     [](World& world) { return Segment::FindId(world.key).status(); }, 0},
    {"EEXIST_KeyTaken", MakePage, [](World& world) { return Segment::Create(kPageBytes, world.key).status(); }, EEXIST},
    {"OK_KeyTakenWithoutIpcExcl", MakePage,
     [](World& world) { return Segment::OpenOrCreate({.bytes = kPageBytes, .key = world.key}).status(); }, 0},
    {"EINVAL_NoBytes", Nothing, [](World&) { return Segment::Create(0).status(); }, EINVAL},
    {"EINVAL_AboveShmmax", [](World&) { return SetLimit("kernel/shmmax", 10 * kPageBytes); },
     [](World&) { return Segment::Create(10 * kPageBytes + 1).status(); }, EINVAL, Isolation::kRequired},
    {"OK_AtShmmax", [](World&) { return SetLimit("kernel/shmmax", 10 * kPageBytes); },
     [](World&) { return Segment::Create(10 * kPageBytes).status(); }, 0, Isolation::kRequired},
    {"EINVAL_AboveAnyShmmax", Nothing,
     [](World&) { return Segment::Create(std::numeric_limits<size_t>::max()).status(); }, EINVAL},
    // Below the default SHMMAX, but a segment is a file, and no file is larger than 2^63 - 1 bytes.
    {"EINVAL_AboveTheLargestFile", Nothing,
     [](World&) { return Segment::Create({.bytes = size_t{1} << 63, .no_reserve = true}).status(); }, EINVAL},
    {"EINVAL_AboveTheExistingSize", MakePage,
     [](World& world) { return Segment::Open(world.key, kPageBytes + 1).status(); }, EINVAL},
    // The size that was asked for counts, not the page that the kernel took for it.
    {"EINVAL_AboveTheExistingSizeWithinItsPage", [](World& world) { return Make(world, 100, 0600); },
     [](World& world) { return Segment::Open(world.key, 101).status(); }, EINVAL},
    {"EINVAL_UnknownHugePageSize", Nothing,
     [](World&) { return Raw("shmget", shmget(IPC_PRIVATE, kPageBytes, IPC_CREAT | SHM_HUGETLB | 13 << 26 | 0600)); },
     EINVAL},
    {"ENOENT_NoSuchKey", Nothing, [](World& world) { return Segment::Open(world.key).status(); }, ENOENT},
    {"ENOENT_KeyOfAMarkedSegment",
     [](World& world) {
       absl::Status status = MakePage(world);
       if (status.ok()) status = Keep(world.segment.Attach(), world.attachment);
       return status.ok() ? world.segment.MarkForRemoval() : status;
     },
     [](World& world) { return Segment::Open(world.key).status(); }, ENOENT},
    {"ENOMEM_MoreThanCanBePromised", SkipUnlessOvercommitIsJudged,
     [](World&) { return Segment::Create(size_t{1} << 61).status(); }, ENOMEM},
    {"ENOMEM_NoHugePagesOf2MiB", NeedNoFreeHugePages<2048>,
     [](World&) {
       return SkipWithoutRight(Segment::Create({.bytes = 1 << 21, .huge_pages = HugePages::k2MiB}).status());
     },
     ENOMEM},
    {"ENOMEM_NoHugePagesOf1GiB", NeedNoFreeHugePages<1048576>,
     [](World&) {
       return SkipWithoutRight(Segment::Create({.bytes = 1 << 30, .huge_pages = HugePages::k1GiB}).status());
     },
     ENOMEM},
    {"ENOSPC_ShmmniReached",
     [](World& world) {
       absl::Status status = SetLimit("kernel/shmmni", 1);
       return status.ok() ? MakePage(world) : status;
     },
     [](World&) { return Segment::Create(kPageBytes).status(); }, ENOSPC, Isolation::kRequired},
    {"ENOSPC_ShmallReached",
     [](World& world) {
       absl::Status status = SetLimit("kernel/shmall", 2);
       return status.ok() ? Make(world, kPageBytes + 1, 0600) : status;
     },
     [](World&) { return Segment::Create(1).status(); }, ENOSPC, Isolation::kRequired},
    {"EPERM_HugePagesWithoutRightOrGroup", NobodyOutsideTheHugePageGroup,
     [](World&) { return Segment::Create({.bytes = 1 << 21, .huge_pages = HugePages::k2MiB}).status(); }, EPERM},
    // vm.hugetlb_shm_group is 0 unless set: root's group needs no capability and is refused for want of pages only.
    {"ENOMEM_HugePagesByGroupAlone", InTheHugePageGroupOnly,
     [](World&) { return Segment::Create({.bytes = 1 << 21, .huge_pages = HugePages::k2MiB}).status(); }, ENOMEM,
     // A namespace of its own may map another group to 0.
     Isolation::kNone},
};
INSTANTIATE_TEST_SUITE_P(Shmget, ErrnoTest, testing::ValuesIn(kShmget), NameOf);

}  // namespace
}  // namespace ipcmark::sysv_shm
