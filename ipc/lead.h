#ifndef IPCMARK_IPC_LEAD_H_
#define IPCMARK_IPC_LEAD_H_

// How ends let the other side get some messages ahead: Lead and Distance for a receiver, AwaitMoreRoom for a sender;
// and Trials, for what pays only sometimes.
//
// Lead. A receiver that follows hard behind the sender takes each line from it while that is still writing there, and
// every message then costs two or three transfers of its lines, one after the other; some messages behind, lines come
// over while others are written. Whether there is a stream only a trial tells: the lead must double, each time within
// 0.4 µs and 0.1 µs a message. Where one message waits for another, as in a round trip, a trial costs that once, and
// trials become rare.

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "ipc/os/cpu.h"

namespace ipcmark {

// Pauses (25 ns each) between two looks at what the other side is about to change: each takes a line from it.
inline constexpr int kPausesPerLook = 4;
// The most that an end polls for before it sleeps: 50 µs, about the cost of the sleep that this may save.
inline constexpr int kMostPauses = 2000;

inline void Pause(int pauses) noexcept {
  for (int i = 0; i < pauses; ++i) os::SpinHint();
}

// For a sender that polls and has just found room. One that follows hard behind the receiver meets it at every slot
// that comes back, and writes to lines that this is still reading. So it waits until half of `depth` is free, or 512
// messages, as long as the receiver gets on, and for `most_pauses` at most, a look counted as kPausesPerLook. Each look
// takes the receiver's line from it, so that looks become rare while much is missing: a look every 100 ns made a stream
// between far CPUs three times as slow. `used()`: how many messages there are, at most `depth`. `pause`: for tests.
template <typename Used, typename PauseFor = void (*)(int) noexcept>
void AwaitMoreRoom(uint64_t depth, const Used& used, int most_pauses = kMostPauses,
                   const PauseFor& pause = Pause) noexcept {
  constexpr uint64_t kRoomAtOnce = 512;
  constexpr int kMostPausesPerLook = 256;
  // After so many looks that found no more room the sender goes on with what there is.
  constexpr int kIdleLooks = 8;
  const uint64_t enough = std::min(kRoomAtOnce, depth / 2);
  uint64_t before = used();
  int pauses = kPausesPerLook;
  for (int idle = 0, left = most_pauses; depth - before < enough && idle < kIdleLooks && left > 0;) {
    pause(std::min(pauses, left));
    left -= pauses + kPausesPerLook;
    const uint64_t now = used();
    const bool gets_on = now < before;
    idle = gets_on ? 0 : idle + 1;
    pauses = gets_on ? std::min(2 * pauses, kMostPausesPerLook) : kPausesPerLook;
    before = now;
  }
}

// Whether to try what pays only sometimes: always while it pays, else after 64 chances that are let pass, and after
// twice as many each time that it does not pay, up to 4,096. Zeroes are a new one. It may lie in memory that others
// share, and write to: whatever they write, no more chances than that are let pass in a row.
class Trials {
 public:
  // Whether to try at this chance; then tell Ended.
  bool IsDue() noexcept {
    const std::atomic_ref left(chances_left_);
    const uint32_t chances = std::min(left.load(std::memory_order_relaxed), kMost);
    if (chances != 0) left.store(chances - 1, std::memory_order_relaxed);
    return chances == 0;
  }
  void Ended(bool has_paid) noexcept {
    const std::atomic_ref let_pass(chances_let_pass_);
    const uint32_t chances = has_paid ? 0 : std::clamp(2 * let_pass.load(std::memory_order_relaxed), kFewest, kMost);
    let_pass.store(chances, std::memory_order_relaxed);
    std::atomic_ref(chances_left_).store(chances, std::memory_order_relaxed);
  }

 private:
  static constexpr uint32_t kFewest = 64;
  static constexpr uint32_t kMost = 1 << 12;

  uint32_t chances_left_ = 0;
  uint32_t chances_let_pass_ = 0;
};

// Of one receiving end, or of all that receive from one object (Trials).
class Lead {
 public:
  // Before an end waits for its message. `depth`: of the object, in messages. `comes(ahead, rounds)`: polls, for so
  // many rounds of 25 ns, whether the message so far behind the due one is there.
  template <typename Comes>
  void BeforeWait(uint64_t depth, const Comes& comes) noexcept {
    if (trials_.IsDue()) trials_.Ended(IsStream(depth, comes));
  }

 private:
  // As far as the object is that deep.
  static constexpr uint64_t kMostMessages = 128;
  static constexpr int kRounds = 16;
  static constexpr int kRoundsPerMessage = 4;

  template <typename Comes>
  [[gnu::noinline]] static bool IsStream(uint64_t depth, const Comes& comes) noexcept {
    const uint64_t most = std::min(kMostMessages, depth / 2);
    for (uint64_t ahead = 1; ahead <= most; ahead *= 2) {
      if (!comes(ahead, kRounds + kRoundsPerMessage * static_cast<int>(ahead))) return false;
    }
    return true;
  }

  Trials trials_;
};

// Of one receiving end, or of all that receive from one object (Trials). A receiver that is a little faster than the
// sender and never finds nothing follows hard behind it all the same: then the processor fetches lines ahead of the
// ones that it reads, as it does where slots lie one behind the other, which the sender is writing at that moment.
// Messages between two CPUs that share a cache so cost half as much again as they need. So where fewer than 64 of them
// are there the receiver lets them become 256, if they come within 50 ns each.
class Distance {
 public:
  // Before an end takes more of the messages that are there. As BeforeWait of a Lead.
  template <typename Comes>
  void BeforeMore(uint64_t depth, const Comes& comes) noexcept {
    const uint64_t most = std::min(kMostMessages, depth / 4);
    if (depth < kLeastDepth || comes(most / 4, 0)) return;
    if (trials_.IsDue()) trials_.Ended(IsFastStream(most, comes));
  }

 private:
  static constexpr uint64_t kMostMessages = 256;
  // Fewer slots lie in the CPU's first cache, and are not fetched far ahead.
  static constexpr uint64_t kLeastDepth = 256;
  static constexpr int kRoundsPerMessage = 2;

  template <typename Comes>
  [[gnu::noinline]] static bool IsFastStream(uint64_t most, const Comes& comes) noexcept {
    uint64_t there = 0;
    for (uint64_t ahead = most / 4; ahead <= most; there = ahead, ahead *= 2) {
      if (!comes(ahead, kRoundsPerMessage * static_cast<int>(ahead - there))) return false;
    }
    return true;
  }

  Trials trials_;
};

}  // namespace ipcmark

#endif  // IPCMARK_IPC_LEAD_H_
