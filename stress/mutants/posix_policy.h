#ifndef IPCMARK_STRESS_MUTANTS_POSIX_POLICY_H_
#define IPCMARK_STRESS_MUTANTS_POSIX_POLICY_H_

// A known real fault: mmap_queue with the policy `posix`, that is with the condition variables of the C library, that
// promises to survive SIGKILL. glibc's do not survive a waiter that was killed: later signals are lost, and signallers
// hang for ever. Only for stress' tests.

#include <utility>

#include "ipc/mmap_queue/mmap_queue.h"

namespace ipcmark::stress {

class PosixPolicy : public mmap_queue::Channel {
 public:
  static constexpr Capabilities kCapabilities = [] {
    Capabilities capabilities = mmap_queue::Channel::kCapabilities;
    capabilities.shows_signals = false;
    return capabilities;
  }();
  static absl::StatusOr<PosixPolicy> Create(const Geometry& geometry) {
    absl::StatusOr<mmap_queue::Channel> queue = mmap_queue::Channel::Create(geometry, mmap_queue::Policy::kPosix);
    if (!queue.ok()) return queue.status();
    return PosixPolicy(*std::move(queue));
  }

 private:
  explicit PosixPolicy(mmap_queue::Channel queue) : mmap_queue::Channel(std::move(queue)) {}
};

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_MUTANTS_POSIX_POLICY_H_
