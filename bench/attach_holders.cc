#include "bench/attach_holders.h"

#include <unistd.h>

#include <new>

#include "bench/slice.h"
#include "ipc/os/clock.h"
#include "ipc/os/futex.h"

namespace ipcmark::bench {

// How often a death or the cancel flag is looked for.
constexpr int64_t kLookNanos = 200'000'000;

struct AttachHolders::Shared {
  std::atomic<uint32_t> asleep;      // how many of them are about to sleep
  std::atomic<uint32_t> all_asleep;  // 1: all are; what the parent waits on
};

absl::StatusOr<AttachHolders> AttachHolders::Create(int count, const std::atomic<bool>* cancel) {
  absl::StatusOr<os::Mapping> mapping = os::Mapping::SharedAnonymous(sizeof(Shared));
  if (!mapping.ok()) return mapping.status();
  absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(count, cancel);
  if (!group.ok()) return group.status();
  new (mapping->address()) Shared{.asleep = 0, .all_asleep = count == 0 ? 1U : 0U};
  AttachHolders holders(*std::move(group), *std::move(mapping));
  Shared& shared = holders.shared();
  // Not through the group's gate: each arrival wakes the parent, which then looks at every child.
  const auto hold = [&](os::Gate& /*gate*/) {
    // Relaxed, both: they hand over nothing but themselves.
    if (shared.asleep.fetch_add(1, std::memory_order_relaxed) + 1 == static_cast<uint32_t>(count)) {
      shared.all_asleep.store(1, std::memory_order_relaxed);
      os::WakeAllOnFutex(shared.all_asleep);
    }
    for (;;) pause();
    return absl::OkStatus();
  };
  for (int n = 0; n < count; ++n) {
    absl::StatusOr<int> holder = holders.group_.Spawn("holder", os::kAnyCpu, hold);
    if (!holder.ok()) return holder.status();
  }
  absl::Status status = holders.AwaitSleep();
  if (!status.ok()) return status;
  return holders;
}

absl::Status AttachHolders::AwaitSleep() {
  const Deadline watchdog = os::After(kSliceWatchdogNanos);
  while (shared().all_asleep.load(std::memory_order_relaxed) == 0) {
    if (os::WaitOnFutex(shared().all_asleep, 0, os::Slice(watchdog, kLookNanos)) != os::FutexWait::kDeadline) continue;
    if (os::HasPassed(watchdog)) return absl::DeadlineExceededError("the holders did not come up in time");
    for (int index = 0; index < group_.size(); ++index) {
      absl::Status status = group_.JoinOne(index, Deadline::Immediate());
      if (absl::IsDeadlineExceeded(status)) continue;  // it runs
      return status.ok() ? absl::AbortedError("a holder ended before its time") : status;
    }
  }
  return absl::OkStatus();
}

}  // namespace ipcmark::bench
