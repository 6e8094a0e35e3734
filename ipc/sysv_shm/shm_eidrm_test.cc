// EIDRM. The manual has it for any removed id; Linux has it only for a segment that goes during the very call: the call
// has found it and waits for its lock, which the remover holds. Of one that went before, the answer is EINVAL, also
// when its slot is in use again (ErrnoTest, *StaleIdOfASlotUsedAgain). So it takes a race, and a machine that runs both
// sides at once.

#include <sys/shm.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ipc/os/clock.h"
#include "ipc/os/error.h"
#include "ipc/sysv_shm/shm_test_support.h"

namespace ipcmark::sysv_shm {
namespace {

// Here every 60th removal is met by a call; on one CPU none is.
constexpr int64_t kRaceNanos = 10 * os::kNanosPerSecond;

// While another thread makes and removes segments, calls `call` with the newest id until it says EIDRM. `call`: 0 or
// the errno.
absl::Status RaceUntilEidrm(absl::FunctionRef<int(int id)> call) {
  std::atomic<bool> stop = false;
  std::atomic<int> newest = -1;
  std::thread remover([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      const int id = shmget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
      // Relaxed: only the number matters; what it names is the kernel's.
      newest.store(id, std::memory_order_relaxed);
      shmctl(id, IPC_RMID, nullptr);
    }
  });
  const Deadline deadline = os::After(kRaceNanos);
  absl::Status status = Skip("no call met a removal: the two sides did not run at once");
  for (uint64_t calls = 0; calls % 1024 != 0 || !os::HasPassed(deadline); ++calls) {
    const int err = call(newest.load(std::memory_order_relaxed));
    if (err == 0 || err == EINVAL) continue;
    status = err == EIDRM ? absl::OkStatus() : Wrong(absl::StrCat("expected EIDRM, got ", os::ErrnoName(err)));
    break;
  }
  stop.store(true, std::memory_order_relaxed);
  remover.join();
  return status;
}

TEST(Eidrm, IsWhatShmctlSaysOfASegmentRemovedDuringTheCall) {
  RunInChild(Isolation::kPreferred, [] {
    return RaceUntilEidrm([](int id) {
      shmid_ds ds;
      return shmctl(id, IPC_STAT, &ds) == 0 ? 0 : errno;
    });
  });
}

TEST(Eidrm, IsWhatShmatSaysOfASegmentRemovedDuringTheCall) {
  RunInChild(Isolation::kPreferred, [] {
    return RaceUntilEidrm([](int id) {
      void* address = shmat(id, nullptr, 0);
      if (reinterpret_cast<intptr_t>(address) == -1) return errno;
      shmdt(address);
      return 0;
    });
  });
}

}  // namespace
}  // namespace ipcmark::sysv_shm
