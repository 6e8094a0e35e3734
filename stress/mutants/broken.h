#ifndef IPCMARK_STRESS_MUTANTS_BROKEN_H_
#define IPCMARK_STRESS_MUTANTS_BROKEN_H_

// Primitives that are broken on purpose, in one way each: the proof that stress would notice. Broken<P, Defect> is a
// Primitive around another one; with Defect::kNothing it must pass. Only for primitives of stress' tests.

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "ipc/channel.h"
#include "ipc/os/clock.h"
#include "ipc/os/die_with.h"
#include "ipc/os/fd.h"
#include "ipc/os/futex.h"
#include "ipc/os/mapping.h"

namespace ipcmark::stress {

enum class Defect : uint8_t {
  kNothing,
  kDrops,             // a receiver throws one message away
  kRepeats,           // a receiver gets one message twice
  kOverwrites,        // the last byte of one message changes
  kTruncates,         // one message arrives a byte short
  kSwaps,             // a receiver gets two messages in the wrong order
  kTooDeep,           // accepts one message more than it says
  kForgetsToWake,     // a receiver sleeps for ever beside the messages
  kForgetsOneToWake,  // ... but only one of them, and the others work on
  kDiesWithLock,      // promises to survive SIGKILL, but a killed sender keeps the lock
  kBuffersAccepted,   // promises to survive SIGKILL, but an accepted message dies with its sender
  kHidesDeath,        // promises to report a dead peer, and waits for it instead
  kCriesWolf,         // reports a dead peer where everybody lives
  kCrashes,           // ends its user's process
  kLeaksSlot,         // after a while it holds one message less than in the beginning
  kHurries,           // kDeadline at once, whatever the deadline
  kLeaksDescriptor,   // its object takes a descriptor that it never gives back
  kLosesOnSignal,     // a call that a signal interrupts has taken a message
  kGivesUpOnStopped,  // takes a peer that is silent for a while for dead
  kNeedsDescriptor,   // opens something for every message
  kKeepsSegment,      // an attachment that nobody gives back keeps its segment alive
  kNeverRearmed,      // a second registration for a notification comes to nothing
  kNotifiesAtOnce,    // a registration is told of a message that did not come
  kForgetsToNotify,   // one notification in three does not go out
  kNeedsLocking,      // locks a page for every message
  kNeedsDisk,         // writes every message to a file, too
  kNeedsSegment,      // makes a System V segment for every message
  kTrustsClock,       // takes a peer whose clock says something else for dead
  kStarves,           // one receiver gets nothing for long while the others are served
  kFavours,           // one receiver gets something only when no other one wants it
  kHidesAttachment,   // a process that nobody knows of has its segment attached
  kLosesOnClose,      // an accepted message goes with the end that is closed
  kSleepsUntilNet,    // nobody wakes a receiver that sleeps: it finds its messages when it looks up by itself
  kOverwritesUnread,  // a broadcast's sender does not wait for the slowest receiver, which is told nothing
  kMiscounts,         // a receiver is told of one missed message less than there were
};

// The message, counted per end from 0, at which a defect shows.
inline constexpr uint64_t kDefectAt = 50;

// After so much silence it takes its peer for dead.
inline constexpr int64_t kSilenceNanos = 3'000'000;
// How long the one waits that is to take something on the sly: long enough for whoever sends it to get a CPU.
inline constexpr int64_t kDefectNanos = 50'000'000;

// After so long who sleeps looks up by itself: what the rings do.
inline constexpr int64_t kNetNanos = 40'000'000;

// How long the one rests that is served, and how long a starved receiver waits.
inline constexpr int64_t kServedNanos = 1'000'000;
inline constexpr int64_t kStarvedNanos = 1'400'000'000;

// For so long no other receiver must have got anything before the one that is not favoured does.
inline constexpr int64_t kQuietNanos = 20'000'000;

// The words that all processes share, by index.
enum Word : int { kLock, kSleepers, kHeld, kSent, kDepth, kSentAtSeconds, kWords };

// Senders' and receivers' clocks that differ by more are those of the dead.
inline constexpr int64_t kClockSeconds = 5;

// Where an end stays that is never to come back.
[[noreturn]] inline void SleepForEver() noexcept {
  const std::atomic<uint32_t> nobody_knows = 0;
  for (;;) os::WaitOnFutex(nobody_knows, 0, Deadline::Never());
}

inline void SleepFor(int64_t nanos) noexcept {
  const std::atomic<uint32_t> nobody_knows = 0;
  const Deadline end = os::After(nanos);
  while (!os::HasPassed(end)) os::WaitOnFutex(nobody_knows, 0, end);
}

// A lock that its owner takes along into death: what a process-shared mutex is that is not robust.
class MortalLock {
 public:
  explicit MortalLock(std::atomic<uint32_t>& word) : word_(word) {
    for (uint32_t free = 0; !word_.compare_exchange_strong(free, 1, std::memory_order_acquire); free = 0) {
      os::WaitOnFutex(word_, 1, Deadline::Never());
    }
  }
  ~MortalLock() {
    word_.store(0, std::memory_order_release);
    os::WakeAllOnFutex(word_);
  }
  MortalLock(const MortalLock&) = delete;
  MortalLock& operator=(const MortalLock&) = delete;

 private:
  std::atomic<uint32_t>& word_;
};

template <SendEnd E, Defect kDefect>
class BrokenSender {
 public:
  BrokenSender(E end, std::atomic<uint32_t>* lock) : end_(std::move(end)), lock_(lock) {}
  BrokenSender(BrokenSender&&) noexcept = default;
  BrokenSender& operator=(BrokenSender&&) = delete;
  // An orderly end sends what it still has; a killed one cannot.
  ~BrokenSender() {
    if (kDefect != Defect::kLosesOnClose && !kept_.empty()) end_.Send(kept_, Deadline::Never());
  }

  IoResult Send(std::span<const std::byte> message, Deadline deadline) noexcept {
    if constexpr (kDefect == Defect::kDiesWithLock) {
      const MortalLock lock(*lock_);
      return end_.Send(message, deadline);
    } else if constexpr (kDefect == Defect::kBuffersAccepted || kDefect == Defect::kLosesOnClose) {
      if (!kept_.empty()) {
        const IoResult sent = end_.Send(kept_, deadline);
        if (!sent.ok()) return sent;
      }
      kept_.assign(message.begin(), message.end());
      return IoResult::Ok(message.size());
    } else if constexpr (kDefect == Defect::kLeaksSlot) {
      return SendIntoLess(message, deadline);
    } else if constexpr (kDefect == Defect::kNeedsDescriptor) {
      const os::Fd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
      if (!fd.valid()) return IoResult::Of(Outcome::kError, errno);
    } else if constexpr (kDefect == Defect::kNeedsLocking) {
      if (mlock(&count_, sizeof(count_)) != 0) return IoResult::Of(Outcome::kError, errno);
      munlock(&count_, sizeof(count_));
    } else if constexpr (kDefect == Defect::kNeedsDisk) {
      const os::Fd file(open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
      if (write(file.get(), message.data(), message.size()) < 0) return IoResult::Of(Outcome::kError, errno);
    } else if constexpr (kDefect == Defect::kNeedsSegment) {
      const int id = shmget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
      if (id < 0) return IoResult::Of(Outcome::kError, errno);
      shmctl(id, IPC_RMID, nullptr);
    } else if constexpr (kDefect == Defect::kTrustsClock) {
      words_[kSentAtSeconds] = static_cast<uint32_t>(os::MonotonicNanos() / os::kNanosPerSecond);
    } else if constexpr (kDefect == Defect::kCriesWolf) {
      if (count_++ == kDefectAt) return IoResult::Of(Outcome::kPeerDead, 0);
    } else if constexpr (kDefect == Defect::kCrashes) {
      if (count_++ == kDefectAt) __builtin_trap();
    }
    return end_.Send(message, deadline);
  }

 private:
  // Counts what is in the object. One sender only.
  IoResult SendIntoLess(std::span<const std::byte> message, Deadline deadline) noexcept {
    std::atomic<uint32_t>& held = words_[kHeld];
    std::atomic<uint32_t>& sent = words_[kSent];
    while (sent.load() > kDefectAt && held.load() + 1 >= words_[kDepth].load()) {
      if (deadline.immediate()) return IoResult::Of(Outcome::kWouldBlock);
      if (os::HasPassed(deadline)) return IoResult::Of(Outcome::kDeadline);
      sched_yield();
    }
    held.fetch_add(1);
    const IoResult result = end_.Send(message, deadline);
    if (result.ok()) {
      sent.fetch_add(1);
    } else {
      held.fetch_sub(1);
    }
    return result;
  }

  E end_;
  std::atomic<uint32_t>* lock_;
  std::atomic<uint32_t>* words_ = lock_;
  uint64_t count_ = 0;
  std::vector<std::byte> kept_;
};

template <ReceiveEnd E, Defect kDefect>
class BrokenReceiver {
 public:
  explicit BrokenReceiver(E end, std::atomic<uint32_t>* sleepers) : end_(std::move(end)), sleepers_(sleepers) {}

  IoResult Receive(std::span<std::byte> buffer, Deadline deadline) noexcept {
    if (!kept_.empty()) {
      const std::vector<std::byte> message = std::exchange(kept_, {});
      std::copy(message.begin(), message.end(), buffer.begin());
      return IoResult::Ok(message.size());
    }
    IoResult result = IoResult::Of(Outcome::kWouldBlock);
    if constexpr (kDefect == Defect::kFavours) {
      std::atomic<uint32_t>& others = (sleepers_ - kSleepers)[kSent];
      stands_back_ |= count_ == kDefectAt && sleepers_->exchange(1, std::memory_order_relaxed) == 0;
      for (bool quiet = !stands_back_; !quiet;) {
        if (deadline.immediate()) return result;
        const uint32_t served = others.load();
        SleepFor(os::Slice(deadline, kQuietNanos).monotonic_nanos - os::MonotonicNanos());
        quiet = others.load() == served;
        if (!quiet && os::HasPassed(deadline)) return IoResult::Of(Outcome::kDeadline);
      }
      if (!stands_back_) others.fetch_add(1);
    }
    if constexpr (kDefect == Defect::kStarves) {
      if (count_ >= kDefectAt && deadline.never()) {
        SleepFor(sleepers_->exchange(1, std::memory_order_relaxed) == 0 ? kStarvedNanos : kServedNanos);
      }
    }
    if constexpr (kDefect == Defect::kForgetsToWake || kDefect == Defect::kForgetsOneToWake) {
      // Like a sender that does not see somebody waiting: whoever has to sleep is not woken.
      if (count_ >= kDefectAt && !deadline.immediate()) {
        result = end_.Receive(buffer, Deadline::Immediate());
        if (result.outcome == Outcome::kWouldBlock &&
            (kDefect == Defect::kForgetsToWake || sleepers_->exchange(1, std::memory_order_relaxed) == 0)) {
          SleepForEver();
        }
      }
    }
    if constexpr (kDefect == Defect::kSleepsUntilNet) {
      while (count_ >= kDefectAt && !deadline.immediate()) {
        result = end_.Receive(buffer, Deadline::Immediate());
        if (result.outcome != Outcome::kWouldBlock) break;
        if (os::HasPassed(deadline)) return IoResult::Of(Outcome::kDeadline);
        SleepFor(os::Slice(deadline, kNetNanos).monotonic_nanos - os::MonotonicNanos());
      }
    }
    if (kDefect == Defect::kHurries && !deadline.immediate() && !deadline.never() && count_ >= kDefectAt) {
      result = end_.Receive(buffer, Deadline::Immediate());
      if (result.outcome == Outcome::kWouldBlock) return IoResult::Of(Outcome::kDeadline);
    }
    if (kDefect == Defect::kGivesUpOnStopped && deadline.never()) {
      result = end_.Receive(buffer, os::After(kSilenceNanos));
      if (result.outcome == Outcome::kDeadline) return IoResult::Of(Outcome::kPeerDead);
    }
    if (result.outcome == Outcome::kWouldBlock) result = end_.Receive(buffer, deadline);
    if (kDefect == Defect::kLosesOnSignal && result.outcome == Outcome::kInterrupted) {
      std::vector<std::byte> lost(buffer.size());
      end_.Receive(lost, os::After(kDefectNanos));
    }
    if (kDefect == Defect::kTrustsClock && result.ok()) {
      const int64_t sent_at_seconds = (sleepers_ - kSleepers)[kSentAtSeconds].load();
      const int64_t since_seconds = os::MonotonicNanos() / os::kNanosPerSecond - sent_at_seconds;
      if (since_seconds < -kClockSeconds || since_seconds > kClockSeconds) return IoResult::Of(Outcome::kPeerDead);
    }
    if (kDefect == Defect::kLeaksSlot && result.ok()) (sleepers_ - kSleepers)[kHeld].fetch_sub(1);
    if (result.outcome == Outcome::kMissed) {
      if constexpr (kDefect == Defect::kOverwritesUnread) return Receive(buffer, deadline);
      if (kDefect == Defect::kMiscounts && result.bytes > 1) --result.bytes;
    }
    if (!result.ok()) {
      const bool dead = result.outcome == Outcome::kPeerDead || result.outcome == Outcome::kClosed;
      if (kDefect == Defect::kHidesDeath && dead) SleepForEver();
      return result;
    }
    return count_++ == kDefectAt ? Spoil(buffer, result, deadline) : result;
  }

  IoResult Notify(const sigevent* event) noexcept requires NotifyingReceiveEnd<E> {
    if (event == nullptr || ++registrations_ == 1) return end_.Notify(event);
    if constexpr (kDefect == Defect::kNeverRearmed) return IoResult::Ok(0);
    sigevent changed = *event;
    if (kDefect == Defect::kForgetsToNotify && registrations_ % 3 == 0) changed.sigev_notify = SIGEV_NONE;
    const IoResult result = end_.Notify(&changed);
    if (kDefect == Defect::kNotifiesAtOnce && result.ok()) sigqueue(getpid(), event->sigev_signo, event->sigev_value);
    return result;
  }

 private:
  IoResult Spoil(std::span<std::byte> buffer, IoResult result, Deadline deadline) noexcept {
    const std::span<std::byte> message = buffer.first(result.bytes);
    switch (kDefect) {
      case Defect::kDrops:
        return end_.Receive(buffer, deadline);
      case Defect::kRepeats:
        kept_.assign(message.begin(), message.end());
        return result;
      case Defect::kOverwrites:
        message.back() ^= std::byte{1};
        return result;
      case Defect::kTruncates:
        return IoResult::Ok(result.bytes - 1);
      case Defect::kSwaps: {
        kept_.assign(message.begin(), message.end());
        const IoResult next = end_.Receive(buffer, Deadline::Never());
        return next.ok() ? next : Receive(buffer, deadline);
      }
      default:
        return result;
    }
  }

  E end_;
  std::atomic<uint32_t>* sleepers_;
  uint64_t count_ = 0;
  uint64_t registrations_ = 0;
  bool stands_back_ = false;
  std::vector<std::byte> kept_;
};

template <Primitive P, Defect kDefect>
class Broken {
 public:
  using Sender = BrokenSender<SenderOf<P>, kDefect>;
  using Receiver = BrokenReceiver<ReceiverOf<P>, kDefect>;

  static constexpr Capabilities kCapabilities = [] {
    Capabilities capabilities = P::kCapabilities;
    // The wrapped ends have none; order is then over all messages of a sender.
    capabilities.has_priorities = false;
    return capabilities;
  }();

  static absl::StatusOr<Broken> Create(const Geometry& geometry) {
    Geometry deeper = geometry;
    if (kDefect == Defect::kTooDeep) ++deeper.depth_messages;
    if (kDefect == Defect::kOverwritesUnread) deeper.slow_receiver = SlowReceiver::kMissesMessages;
    absl::StatusOr<P> object = P::Create(deeper);
    if (!object.ok()) return object.status();
    absl::StatusOr<os::Mapping> words = os::Mapping::SharedAnonymous(kWords * sizeof(std::atomic<uint32_t>));
    if (!words.ok()) return words.status();
    static_cast<std::atomic<uint32_t>*>(words->address())[kDepth] = geometry.depth_messages;
    if constexpr (kDefect == Defect::kKeepsSegment) (void)shmat(object->segment().id(), nullptr, 0);
    if (kDefect == Defect::kLeaksDescriptor) (void)!dup(STDERR_FILENO);
    return Broken(geometry, *std::move(object), *std::move(words));
  }

  [[nodiscard]] const Geometry& geometry() const { return geometry_; }
  [[nodiscard]] uint64_t DepthLimit(uint32_t message_bytes) const {
    // What a defect keeps in an end is no excess: each is to be caught by its own invariant.
    const bool keeps =
        kDefect == Defect::kSwaps || kDefect == Defect::kBuffersAccepted || kDefect == Defect::kLosesOnClose;
    const uint64_t limit = object_.DepthLimit(message_bytes) + (keeps ? geometry_.senders : 0);
    return kDefect == Defect::kTooDeep ? limit - 1 : limit;
  }
  absl::StatusOr<Sender> OpenSender() {
    absl::StatusOr<SenderOf<P>> end = object_.OpenSender();
    if (!end.ok()) return end.status();
    return Sender(*std::move(end), WordAt(kLock));
  }
  absl::StatusOr<Receiver> OpenReceiver() {
    absl::StatusOr<ReceiverOf<P>> end = object_.OpenReceiver();
    if (!end.ok()) return end.status();
    if constexpr (kDefect == Defect::kHidesAttachment) {
      const pid_t parent = getpid();
      if (_Fork() == 0) {
        os::DieWith(parent);
        for (;;) pause();
      }
    }
    return Receiver(*std::move(end), WordAt(kSleepers));
  }
  void ReleaseEnds() noexcept { object_.ReleaseEnds(); }

 private:
  Broken(Geometry geometry, P object, os::Mapping words)
      : geometry_(geometry), object_(std::move(object)), words_(std::move(words)) {}
  [[nodiscard]] std::atomic<uint32_t>* WordAt(int index) const {
    return static_cast<std::atomic<uint32_t>*>(words_.address()) + index;
  }

  Geometry geometry_;
  P object_;
  os::Mapping words_;  // shared by all processes: the mortal lock, and who sleeps for ever
};

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_MUTANTS_BROKEN_H_
