#ifndef IPCMARK_BENCH_FUTEX_WAKE_H_
#define IPCMARK_BENCH_FUTEX_WAKE_H_

// FutexWake: what the kernel alone needs to get a sleeping process running: from before FUTEX_WAKE in one process until
// the other one is back from FUTEX_WAIT. The roofline of everything that wakes a sleeper; bursts as in roofline.h.

#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "bench/sleeper.h"
#include "ipc/os/mapping.h"

namespace ipcmark::bench {

// Messages that Wake sends before its clock starts.
inline constexpr uint64_t kWakeWarmup = 20;

// One slice's, in memory that both sides share; made before they are forked.
class FutexWake {
 public:
  // In a slice of so many messages: a burst is no longer than a quarter of it, but 10 wake-ups, and at most 1,000.
  static absl::StatusOr<FutexWake> Create(uint64_t messages);

  // The follower says who it is; the leader waits for that and watches it.
  void IntroduceFollower() noexcept;
  absl::StatusOr<Sleeper> AwaitFollower() noexcept;
  // One burst.
  void Lead(const Sleeper& follower) noexcept;
  void Follow() noexcept;
  // All samples so far, and their median in nanoseconds; 0 before the first one.
  [[nodiscard]] std::span<const int64_t> Samples() const;
  [[nodiscard]] double Nanos() const;

 private:
  struct Shared;
  FutexWake(os::Mapping mapping, uint32_t rounds) : mapping_(std::move(mapping)), rounds_(rounds) {}
  [[nodiscard]] Shared& shared() const { return *static_cast<Shared*>(mapping_.address()); }

  os::Mapping mapping_;
  uint32_t rounds_;    // wake-ups of a burst
  uint32_t turn_ = 0;  // of this process's copy: wake-ups so far
};

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_FUTEX_WAKE_H_
