// What an attachment's memory may and may not do: protection, addresses, counting, locking, huge pages. Some of it is
// in no manual; docs/sysv_shm.md lists it by the names of these tests.

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ipc/os/error.h"
#include "ipc/os/fd.h"
#include "ipc/sysv_shm/segment.h"
#include "ipc/sysv_shm/segment_limits.h"
#include "ipc/sysv_shm/shm_test_support.h"

namespace ipcmark::sysv_shm {
namespace {

constexpr size_t kPageBytes = 4096;

Segment Made(const CreateOptions& options) {
  absl::StatusOr<Segment> segment = Segment::Create(options);
  if (!segment.ok()) ADD_FAILURE() << segment.status();
  return segment.ok() ? *std::move(segment) : Segment();
}
Segment Made(size_t bytes = kPageBytes) { return Made(CreateOptions{.bytes = bytes}); }

Attachment Attached(const Segment& segment, const AttachOptions& options = {}) {
  absl::StatusOr<Attachment> attachment = segment.Attach(options);
  if (!attachment.ok()) ADD_FAILURE() << attachment.status();
  return attachment.ok() ? *std::move(attachment) : Attachment();
}

volatile char* Bytes(const Attachment& attachment) { return static_cast<volatile char*>(attachment.address()); }

uint64_t CountOf(const Segment& segment) { return segment.Stat().value_or(SegmentInfo{}).attached; }

// An address where `bytes` are free: nobody else maps anything in this process meanwhile.
char* FreeAddress(size_t bytes) {
  void* address = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  EXPECT_NE(address, MAP_FAILED);
  munmap(address, bytes);
  return static_cast<char*>(address);
}

TEST(Attachment, TwoAtDifferentAddressesShowTheSameBytes) {
  const Segment segment = Made();
  const Attachment one = Attached(segment);
  const Attachment two = Attached(segment, {.read_only = true});
  EXPECT_NE(one.address(), two.address());
  EXPECT_EQ(CountOf(segment), 2U);
  Bytes(one)[10] = 42;
  EXPECT_EQ(Bytes(two)[10], 42);
}

TEST(Attachment, RoundsDownToAMultipleOfShmlba) {
  const Segment segment = Made();
  char* address = FreeAddress(2 * static_cast<size_t>(SHMLBA));
  char* rounded = address + SHMLBA - 1;
  rounded -= reinterpret_cast<uintptr_t>(rounded) % SHMLBA;
  const Attachment attachment = Attached(segment, {.address = rounded + SHMLBA / 2, .round_address = true});
  EXPECT_EQ(attachment.address(), rounded);
}

TEST(Attachment, LiesAtTheChosenAddress) {
  const Segment segment = Made();
  char* address = FreeAddress(kPageBytes);
  const Attachment attachment = Attached(segment, {.address = address});
  EXPECT_EQ(attachment.address(), address);
}

TEST(Attachment, RemapTakesThePlaceOfAnotherAttachmentAndOfItsCount) {
  const Segment first = Made();
  const Segment second = Made();
  const Attachment under = Attached(first);
  Bytes(under)[0] = 1;
  Attachment over = Attached(second, {.address = under.address(), .remap = true});
  EXPECT_EQ(over.address(), under.address());
  EXPECT_EQ(Bytes(over)[0], 0);
  EXPECT_EQ(CountOf(first), 0U);
  EXPECT_EQ(CountOf(second), 1U);
}

TEST(Attachment, AtPageZeroIsGrantedToThePrivileged) {
  // The raw call: our wrapper refuses it, because null means no attachment. In a child, which then has a page at null.
  RunInChild(Isolation::kNone, [] {
    const Segment segment = Made();
    void* address = shmat(segment.id(), AddressOf(SHMLBA - 1), SHM_RND);
    if (reinterpret_cast<intptr_t>(address) == -1) return Skip("needs CAP_SYS_RAWIO outside any user namespace");
    if (address != nullptr) return Wrong("attached elsewhere");
    return CountOf(segment) == 1 && shmdt(nullptr) == 0 ? absl::OkStatus() : Wrong("not attached at null");
  });
}

TEST(Attachment, WritingToAReadOnlyOneIsASegmentationFault) {
  const Segment segment = Made();
  const Attachment attachment = Attached(segment, {.read_only = true});
  EXPECT_EQ(Bytes(attachment)[0], 0);
  ExpectDeathBySignal(SIGSEGV, [&] {
    Bytes(attachment)[0] = 1;
    return absl::OkStatus();
  });
}

TEST(Attachment, ReadOnlyCannotBeMadeWritableLater) {
  const Segment segment = Made();
  const Attachment attachment = Attached(segment, {.read_only = true});
  EXPECT_EQ(mprotect(attachment.address(), kPageBytes, PROT_READ | PROT_WRITE), -1);
  EXPECT_EQ(errno, EACCES);
}

#if defined(__x86_64__) || defined(__aarch64__)
// int f() { return 42; } in the machine's own words.
#if defined(__x86_64__)
constexpr unsigned char kReturn42[] = {0xb8, 42, 0, 0, 0, 0xc3};  // mov eax, 42; ret
#else
constexpr unsigned char kReturn42[] = {0x40, 0x05, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6};  // mov w0, #42; ret
#endif

int RunCode(void* code) {
  auto* begin = static_cast<char*>(code);
  // Arm's instruction cache does not see what was just stored.
  __builtin___clear_cache(begin, begin + sizeof(kReturn42));
  return reinterpret_cast<int (*)()>(code)();
}

TEST(Attachment, ExecutableOneRunsItsBytes) {
  const Segment segment = Made({.bytes = kPageBytes, .mode = 0700});
  const Attachment writable = Attached(segment);
  memcpy(writable.address(), kReturn42, sizeof(kReturn42));
  const Attachment executable = Attached(segment, {.read_only = true, .executable = true});
  EXPECT_EQ(RunCode(executable.address()), 42);
}

TEST(Attachment, RunningOneThatIsNotExecutableIsASegmentationFault) {
  const Segment segment = Made({.bytes = kPageBytes, .mode = 0700});
  const Attachment attachment = Attached(segment);
  memcpy(attachment.address(), kReturn42, sizeof(kReturn42));
  ExpectDeathBySignal(SIGSEGV, [&] {
    RunCode(attachment.address());
    return absl::OkStatus();
  });
}

TEST(Attachment, CanBeMadeExecutableLaterWithoutShmExec) {
  // Unlike writing: SHM_EXEC and the mode's execute bits are a convenience, no protection.
  RunInChild(Isolation::kPreferred, [] {
    const Segment segment = Made();
    absl::Status status = DropCapabilities();
    if (!status.ok()) return status;
    const Attachment attachment = Attached(segment);
    memcpy(attachment.address(), kReturn42, sizeof(kReturn42));
    if (mprotect(attachment.address(), kPageBytes, PROT_READ | PROT_EXEC) != 0)
      return os::SyscallError("mprotect", errno);
    return RunCode(attachment.address()) == 42 ? absl::OkStatus() : Wrong("ran something else");
  });
}
#endif

TEST(Attachment, IsCountedByMappingSoThatAHoleMakesTwo) {
  const Segment segment = Made(3 * kPageBytes);
  Attachment attachment = Attached(segment);
  char* bytes = static_cast<char*>(attachment.address());
  ASSERT_EQ(munmap(bytes + kPageBytes, kPageBytes), 0);
  EXPECT_EQ(CountOf(segment), 2U);
  bytes[2 * kPageBytes] = 1;
  // One shmdt takes both pieces.
  const absl::Status detached = attachment.DetachOrError();
  EXPECT_TRUE(detached.ok()) << detached;
  EXPECT_EQ(CountOf(segment), 0U);
}

TEST(Attachment, MunmapDetaches) {
  const Segment segment = Made();
  Attachment attachment = Attached(segment);
  ASSERT_EQ(munmap(attachment.address(), kPageBytes), 0);
  EXPECT_EQ(CountOf(segment), 0U);
  EXPECT_EQ(ErrnoIn(attachment.DetachOrError()), "EINVAL");
}

TEST(Attachment, DetachesOnceAndIsMovable) {
  const Segment segment = Made();
  Attachment one = Attached(segment);
  Attachment two = std::move(one);
  EXPECT_FALSE(one.valid());  // NOLINT(bugprone-use-after-move,clang-analyzer-cplusplus.Move): what is tested
  EXPECT_EQ(CountOf(segment), 1U);
  two = Attachment();
  EXPECT_EQ(CountOf(segment), 0U);
  EXPECT_TRUE(two.DetachOrError().ok());
}

// How many of the attachment's pages are in memory.
size_t ResidentPages(const Attachment& attachment) {
  std::vector<unsigned char> pages(attachment.bytes() / kPageBytes);
  EXPECT_EQ(mincore(attachment.address(), attachment.bytes(), pages.data()), 0);
  size_t resident = 0;
  for (const unsigned char page : pages) resident += page & 1U;
  return resident;
}

TEST(Lock, IsSeenInStatAndBringsNoPageIn) {
  const Segment segment = Made(16 * kPageBytes);
  const Attachment attachment = Attached(segment);
  Bytes(attachment)[0] = 1;
  const absl::Status locked = segment.Lock();
  ASSERT_TRUE(locked.ok()) << locked;
  EXPECT_TRUE(segment.Stat().value_or(SegmentInfo{}).locked);
  EXPECT_EQ(ResidentPages(attachment), 1U);
  EXPECT_TRUE(segment.Lock().ok());
  EXPECT_TRUE(segment.Unlock().ok());
  EXPECT_FALSE(segment.Stat().value_or(SegmentInfo{}).locked);
  EXPECT_TRUE(segment.Unlock().ok());
}

// How many of the attachment's pages the kernel will not evict (KPF_UNEVICTABLE), by Documentation/admin-guide/mm/
// pagemap.rst: page frame numbers are in /proc/self/pagemap, their flags in /proc/kpageflags.
absl::StatusOr<size_t> UnevictablePages(const Attachment& attachment) {
  const os::Fd pagemap(open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
  const os::Fd flags(open("/proc/kpageflags", O_RDONLY | O_CLOEXEC));
  if (!pagemap.valid() || !flags.valid()) return Skip("/proc/kpageflags cannot be opened: needs CAP_SYS_ADMIN");
  constexpr uint64_t kFrameMask = (uint64_t{1} << 55) - 1;
  constexpr int kUnevictable = 18;
  const auto address = reinterpret_cast<uintptr_t>(attachment.address());
  size_t unevictable = 0;
  for (size_t page = 0; page < attachment.bytes() / kPageBytes; ++page) {
    uint64_t entry = 0;
    uint64_t flag = 0;
    if (pread(pagemap.get(), &entry, 8, static_cast<off_t>((address / kPageBytes + page) * 8)) != 8) {
      return os::SyscallError("pread(/proc/self/pagemap)", errno);
    }
    if ((entry & kFrameMask) == 0) return Skip("/proc/self/pagemap hides page frames: needs CAP_SYS_ADMIN");
    if (pread(flags.get(), &flag, 8, static_cast<off_t>((entry & kFrameMask) * 8)) != 8) {
      return os::SyscallError("pread(/proc/kpageflags)", errno);
    }
    unevictable += flag >> kUnevictable & 1U;
  }
  return unevictable;
}

TEST(Lock, KeepsTouchedPagesFromBeingEvicted) {
  RunInChild(Isolation::kNone, [] {
    // The kernel puts new pages on its lists in batches of 31 a CPU: of 256 some are there whatever CPU we are on.
    constexpr size_t kPages = 256;
    const Segment segment = Made(kPages * kPageBytes);
    const Attachment attachment = Attached(segment);
    absl::Status status = segment.Lock();
    if (!status.ok()) return status;
    for (size_t page = 0; page < kPages; ++page) Bytes(attachment)[page * kPageBytes] = 1;
    absl::StatusOr<size_t> locked = UnevictablePages(attachment);
    if (!locked.ok()) return locked.status();
    status = segment.Unlock();
    if (!status.ok()) return status;
    absl::StatusOr<size_t> unlocked = UnevictablePages(attachment);
    if (!unlocked.ok()) return unlocked.status();
    if (*locked >= kPages / 2 && *unlocked < *locked) return absl::OkStatus();
    return Wrong(absl::StrCat("unevictable of 256: ", *locked, " locked, ", *unlocked, " unlocked"));
  });
}

TEST(NoReserve, GrantsMoreThanThereIs) {
  const Segment segment = Made({.bytes = size_t{1} << 50, .no_reserve = true});
  EXPECT_EQ(segment.Stat().value_or(SegmentInfo{}).bytes, size_t{1} << 50);
}

absl::StatusOr<uint64_t> FreeHugePages() {
  return ReadSysctl("../../sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
}

TEST(HugePages, HoldBytesWhereSomeAreReserved) {
  RunInChild(Isolation::kNone, [] {
    absl::StatusOr<uint64_t> free = FreeHugePages();
    if (!free.ok() || *free == 0) return Skip("no huge pages of 2 MiB are reserved (vm.nr_hugepages)");
    absl::StatusOr<Segment> segment = Segment::Create({.bytes = 1 << 21, .huge_pages = HugePages::k2MiB});
    if (absl::IsPermissionDenied(segment.status())) return Skip(segment.status().message());
    if (!segment.ok()) return segment.status();
    absl::StatusOr<Attachment> attachment = segment->Attach();
    if (!attachment.ok()) return attachment.status();
    if (reinterpret_cast<uintptr_t>(attachment->address()) % (1 << 21) != 0) return Wrong("not on a huge page");
    Bytes(*attachment)[0] = 1;
    Bytes(*attachment)[(1 << 21) - 1] = 1;
    return absl::OkStatus();
  });
}

TEST(HugePages, WithoutReserveTheyAreGrantedAndFailWithSigbusAtTheFirstTouch) {
  if (FreeHugePages().value_or(1) != 0) GTEST_SKIP() << "huge pages of 2 MiB are free here, or none are supported";
  absl::StatusOr<Segment> segment =
      Segment::Create({.bytes = 1 << 21, .huge_pages = HugePages::k2MiB, .no_reserve = true});
  if (absl::IsPermissionDenied(segment.status())) GTEST_SKIP() << segment.status().message();
  ASSERT_TRUE(segment.ok()) << segment.status();
  const Attachment attachment = Attached(*segment);
  ExpectDeathBySignal(SIGBUS, [&] {
    Bytes(attachment)[0] = 1;
    return absl::OkStatus();
  });
}

}  // namespace
}  // namespace ipcmark::sysv_shm
