#ifndef IPCMARK_IPC_LEAD_H_
#define IPCMARK_IPC_LEAD_H_

// Lets a streaming sender get some messages ahead of a polling receiver. A receiver that follows hard behind the sender
// takes each line from it while that is still writing there, and every message then costs two or three transfers of its
// lines, one after the other; some messages behind, lines come over while others are written. Whether there is a stream
// only a trial tells: the lead must double within half a microsecond, again and again. Where one message waits for
// another, as in a round trip, a trial costs that once, and trials become rare.

#include <algorithm>
#include <cstdint>

namespace ipcmark {

// Of one receiving end; not for several threads at once.
class Lead {
 public:
  // Before an end waits for its message. `depth`: of the object, in messages. `comes(ahead, rounds)`: polls, for so
  // many rounds of 25 ns, whether the message so far behind the due one is there.
  template <typename Comes>
  void BeforeWait(uint64_t depth, const Comes& comes) noexcept {
    if (--waits_until_trial_ < 0) Try(depth, comes);
  }

 private:
  // As far as the object is that deep.
  static constexpr uint64_t kMostMessages = 128;
  static constexpr int kRounds = 16;
  static constexpr int kRoundsPerMessage = 4;
  // In how many waits it does not try again when there was no stream after all, doubled each time.
  static constexpr int kMinWaits = 64;
  static constexpr int kMaxWaits = 1 << 16;

  template <typename Comes>
  [[gnu::noinline]] void Try(uint64_t depth, const Comes& comes) noexcept {
    const uint64_t most = std::min(kMostMessages, depth / 2);
    for (uint64_t ahead = 1; ahead <= most; ahead *= 2) {
      if (comes(ahead, kRounds + kRoundsPerMessage * static_cast<int>(ahead))) continue;
      waits_between_trials_ = std::min(2 * waits_between_trials_, kMaxWaits);
      waits_until_trial_ = waits_between_trials_;
      return;
    }
    // A stream: again at the next wait.
    waits_between_trials_ = kMinWaits;
    waits_until_trial_ = 0;
  }

  int waits_between_trials_ = kMinWaits;
  int waits_until_trial_ = kMinWaits;
};

}  // namespace ipcmark

#endif  // IPCMARK_IPC_LEAD_H_
