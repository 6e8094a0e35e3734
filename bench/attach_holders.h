#ifndef IPCMARK_BENCH_ATTACH_HOLDERS_H_
#define IPCMARK_BENCH_ATTACH_HOLDERS_H_

// Processes that hold what they inherit (here: an attachment) and do nothing. Set-up code.

#include <atomic>

#include "absl/status/statusor.h"
#include "ipc/os/mapping.h"
#include "ipc/os/process_group.h"

namespace ipcmark::bench {

// The destructor ends them; so does the end of the process that made them, whatever ended it. A thousand take about
// 0.2 s to come and go.
class AttachHolders {
 public:
  // Forks `count`, 0 or more, and returns when all of them sleep: from then on they use no CPU. Errors: what fork(2)
  // and pidfd_open(2) say, kAborted when one dies, kCancelled when `cancel` (may be null) becomes true.
  static absl::StatusOr<AttachHolders> Create(int count, const std::atomic<bool>* cancel);

 private:
  struct Shared;
  AttachHolders(os::ProcessGroup group, os::Mapping shared) : group_(std::move(group)), shared_(std::move(shared)) {}
  [[nodiscard]] Shared& shared() const { return *static_cast<Shared*>(shared_.address()); }
  absl::Status AwaitSleep();

  os::ProcessGroup group_;
  os::Mapping shared_;
};

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_ATTACH_HOLDERS_H_
