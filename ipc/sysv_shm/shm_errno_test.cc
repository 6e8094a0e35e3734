#include "ipc/sysv_shm/shm_errno_test.h"

#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "ipc/os/error.h"

namespace ipcmark::sysv_shm {

void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }

std::string NameOf(const testing::TestParamInfo<Row>& info) { return info.param.name; }

absl::Status Raw(const char* call, intptr_t result) {
  return result == -1 ? os::SyscallError(call, errno) : absl::OkStatus();
}

absl::Status Nothing(World& /*world*/) { return absl::OkStatus(); }

absl::Status Make(World& world, size_t bytes, int mode) {
  return Keep(Segment::Create(bytes, world.key, mode), world.segment);
}

absl::Status MakePage(World& world) { return Make(world, kPageBytes, 0600); }

absl::Status MakeAndBecomeNobody(World& world) {
  absl::Status status = MakePage(world);
  return status.ok() ? BecomeNobody() : status;
}

absl::Status MakeGone(World& world) {
  absl::Status status = MakePage(world);
  world.other = Segment::ById(world.segment.id());
  return status.ok() ? world.segment.MarkForRemoval() : status;
}

absl::Status MakeStale(World& world) {
  absl::Status status = MakeGone(world);
  // An id is its slot plus 32,768 times the slot's sequence number (2^24 on a kernel booted with ipcmni_extend). The
  // kernel hands slots out in turn, and begins anew after 64 at least (ipc_min_cycle), or 1.5 times those in use.
  constexpr int kSlotMask = (1 << 15) - 1;
  constexpr int kMostTries = 100'000;
  for (int tries = 0; status.ok() && tries < kMostTries; ++tries) {
    world.segment = Segment();
    status = MakePage(world);
    if (((world.segment.id() ^ world.other.id()) & kSlotMask) == 0) return status;
  }
  return status.ok() ? Skip("the slot was not handed out again") : status;
}

TEST_P(ErrnoTest, IsWhatTheKernelSays) {
  const Row& row = GetParam();
  RunInChild(row.isolation, [&row] {
    World world;
    absl::Status status = row.set_up(world);
    if (!status.ok()) return status;
    status = row.call(world);
    // Skipped after all. None of the errnos here has this code.
    if (absl::IsUnavailable(status)) return status;
    const std::string expected = row.expected_errno == 0 ? "OK" : os::ErrnoName(row.expected_errno);
    if (ErrnoIn(status) == expected) return absl::OkStatus();
    return Wrong(absl::StrCat("expected ", expected, ", got ", status.ok() ? "OK" : status.message()));
  });
}

}  // namespace ipcmark::sysv_shm
