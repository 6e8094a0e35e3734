#ifndef IPCMARK_IPC_SYSV_SHM_SHM_ERRNO_TEST_H_
#define IPCMARK_IPC_SYSV_SHM_SHM_ERRNO_TEST_H_

// Every errno of shmget, shmat, shmdt and shmctl, one row each: set-up, call, what the real kernel says to our wrapper.
// Each row runs in a child of its own, in its own IPC namespace where the machine grants one, because it may lower
// limits or give up its rights. EIDRM, which is a race, is in shm_eidrm_test.cc. The rows: shmget_errno_test.cc,
// shmat_errno_test.cc (with shmdt), shmctl_errno_test.cc.

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "ipc/sysv_shm/segment.h"
#include "ipc/sysv_shm/shm_test_support.h"

namespace ipcmark::sysv_shm {

constexpr size_t kPageBytes = 4096;
constexpr size_t kRoomBytes = 16 * kPageBytes;

// What a row's set-up prepares for its call.
struct World {
  key_t key = TestKey();
  Segment segment;
  Segment other;  // by its id only, not owned
  Attachment attachment;
  std::byte* room = nullptr;  // kRoomBytes of ordinary memory
  void* no_access = nullptr;  // an address that nobody may read or write
};

using Step = absl::Status (*)(World& world);

struct Row {
  const char* name;
  Step set_up;
  Step call;
  int expected_errno;  // 0: it must succeed
  Isolation isolation = Isolation::kPreferred;
};

void PrintTo(const Row& row, std::ostream* out);
std::string NameOf(const testing::TestParamInfo<Row>& info);

class ErrnoTest : public testing::TestWithParam<Row> {};

// The result of a system call without a wrapper, for what no wrapper lets one do wrong; -1 is failure.
absl::Status Raw(const char* call, intptr_t result);

template <typename T>
absl::Status Keep(absl::StatusOr<T> from, T& to) {
  if (!from.ok()) return from.status();
  to = *std::move(from);
  return absl::OkStatus();
}

// Set-ups.
absl::Status Nothing(World& world);
absl::Status Make(World& world, size_t bytes, int mode);
absl::Status MakePage(World& world);
absl::Status MakeAndBecomeNobody(World& world);
// `other` names a segment that has gone, and whose slot in the kernel's table nobody has taken since.
absl::Status MakeGone(World& world);
// The same, but the slot belongs to somebody else by now.
absl::Status MakeStale(World& world);

template <int kMode>
absl::Status MakeWithoutRights(World& world) {
  absl::Status status = Make(world, kPageBytes, kMode);
  return status.ok() ? DropCapabilities() : status;
}

}  // namespace ipcmark::sysv_shm

#endif  // IPCMARK_IPC_SYSV_SHM_SHM_ERRNO_TEST_H_
