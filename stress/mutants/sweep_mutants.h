#ifndef IPCMARK_STRESS_MUTANTS_SWEEP_MUTANTS_H_
#define IPCMARK_STRESS_MUTANTS_SWEEP_MUTANTS_H_

// Primitives around another one that break when a process is killed at certain instructions, and not otherwise. Only
// for stress' tests. In this file:
//
//   WakesLast   sends first and wakes then, and who sleeps never looks up: killed in between, a receiver sleeps beside
//               its message until the next one comes
//   FixedName   makes its object under one name and takes the name away: killed in between, nobody can make another

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <span>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "ipc/channel.h"
#include "ipc/os/error.h"
#include "ipc/os/fd.h"
#include "ipc/os/futex.h"
#include "ipc/os/mapping.h"

namespace ipcmark::stress {

template <Primitive P>
class WakesLast {
 public:
  using Word = std::atomic<uint32_t>;
  class Sender {
   public:
    Sender(SenderOf<P> end, Word* sent) : end_(std::move(end)), sent_(sent) {}
    IoResult Send(std::span<const std::byte> message, Deadline deadline) noexcept {
      const IoResult result = end_.Send(message, deadline);
      sent_->fetch_add(1);
      os::WakeAllOnFutex(*sent_);
      return result;
    }

   private:
    SenderOf<P> end_;
    Word* sent_;
  };
  class Receiver {
   public:
    Receiver(ReceiverOf<P> end, Word* sent) : end_(std::move(end)), sent_(sent) {}
    IoResult Receive(std::span<std::byte> buffer, Deadline deadline) noexcept {
      for (;;) {
        const uint32_t seen = sent_->load();
        const IoResult result = end_.Receive(buffer, Deadline::Immediate());
        if (result.outcome != Outcome::kWouldBlock || deadline.immediate()) return result;
        if (os::WaitOnFutex(*sent_, seen, deadline) == os::FutexWait::kDeadline)
          return IoResult::Of(Outcome::kDeadline);
      }
    }

   private:
    ReceiverOf<P> end_;
    Word* sent_;
  };

  static constexpr Capabilities kCapabilities = [] {
    Capabilities capabilities = P::kCapabilities;
    capabilities.has_priorities = false;
    return capabilities;
  }();
  static absl::StatusOr<WakesLast> Create(const Geometry& geometry) {
    absl::StatusOr<P> object = P::Create(geometry);
    if (!object.ok()) return object.status();
    absl::StatusOr<os::Mapping> word = os::Mapping::SharedAnonymous(sizeof(Word));
    if (!word.ok()) return word.status();
    return WakesLast(*std::move(object), *std::move(word));
  }
  [[nodiscard]] const Geometry& geometry() const { return object_.geometry(); }
  [[nodiscard]] uint64_t DepthLimit(uint32_t bytes) const { return object_.DepthLimit(bytes); }
  absl::StatusOr<Sender> OpenSender() {
    absl::StatusOr<SenderOf<P>> end = object_.OpenSender();
    if (!end.ok()) return end.status();
    return Sender(*std::move(end), static_cast<Word*>(word_.address()));
  }
  absl::StatusOr<Receiver> OpenReceiver() {
    absl::StatusOr<ReceiverOf<P>> end = object_.OpenReceiver();
    if (!end.ok()) return end.status();
    return Receiver(*std::move(end), static_cast<Word*>(word_.address()));
  }
  void ReleaseEnds() noexcept { object_.ReleaseEnds(); }

 private:
  WakesLast(P object, os::Mapping word) : object_(std::move(object)), word_(std::move(word)) {}
  P object_;
  os::Mapping word_;
};

template <Primitive P>
class FixedName : public P {
 public:
  static absl::StatusOr<FixedName> Create(const Geometry& geometry) {
    // Fixed for all that one run forks.
    const std::string path = absl::StrCat("/dev/shm/fixed_name.", getsid(0));
    const os::Fd name(open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
    if (!name.valid()) return os::SyscallError(absl::StrCat("open(", path, ")"), errno, "remove it");
    absl::StatusOr<P> object = P::Create(geometry);
    unlink(path.c_str());
    if (!object.ok()) return object.status();
    return FixedName(*std::move(object));
  }

 private:
  explicit FixedName(P object) : P(std::move(object)) {}
};

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_MUTANTS_SWEEP_MUTANTS_H_
