#include <fcntl.h>

#include <cerrno>

#include "absl/strings/str_format.h"
#include "ipc/mmap_queue/mmap_queue.h"
#include "ipc/mmap_queue/queue_file.h"
#include "ipc/os/clock.h"
#include "ipc/os/error.h"
#include "ipc/os/fd.h"
#include "ipc/os/futex.h"

namespace ipcmark::mmap_queue {
namespace {

// The contract's deadlines: a Limit of view.h.
class MonotonicLimit {
 public:
  MonotonicLimit(Deadline deadline, Wait wait) : deadline_(deadline), wait_(wait) {}
  [[nodiscard]] IoResult MayWait() const noexcept {
    if (deadline_.immediate()) return IoResult::Of(Outcome::kWouldBlock, EAGAIN);
    return Passed() ? IoResult::Of(Outcome::kDeadline) : IoResult::Ok(0);
  }
  // An immediate call waits for the lock, however long: it is held for a copy, not for a message.
  static constexpr bool IsNonblocking() { return false; }
  [[nodiscard]] bool Passed() const noexcept { return !deadline_.immediate() && os::HasPassed(deadline_); }
  [[nodiscard]] Deadline Slice(int64_t nanos) const noexcept {
    return os::Slice(deadline_.immediate() ? Deadline::Never() : deadline_, nanos);
  }
  [[nodiscard]] os::FutexWait Wait(const std::atomic<uint32_t>& word, uint32_t expected) const noexcept {
    return os::WaitOnFutex(word, expected, Slice(kLookNanos));
  }
  [[nodiscard]] int WaitLiterally(pthread_cond_t* condition, pthread_mutex_t* lock) const noexcept {
    // The ends' calls are no cancellation points; pthread_cond_wait is one.
    int state = 0;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    const timespec until = os::ToTimespec(deadline_.monotonic_nanos);
    const int err = WaitUntilMonotonic(condition, lock, deadline_.never() ? nullptr : &until);
    pthread_setcancelstate(state, nullptr);
    return err;
  }
  [[nodiscard]] bool spins() const noexcept { return wait_ == ipcmark::Wait::kSpinThenBlock; }
  static constexpr bool touches() { return false; }

 private:
  Deadline deadline_;
  ipcmark::Wait wait_;
};

}  // namespace

IoResult Sender::Send(std::span<const std::byte> message, uint32_t priority, Deadline deadline) noexcept {
  MonotonicLimit limit(deadline, wait_);
  return view_.Send(message, priority, limit);
}

IoResult Receiver::Receive(std::span<std::byte> buffer, uint32_t* priority, Deadline deadline) noexcept {
  MonotonicLimit limit(deadline, wait_);
  return view_.Receive(buffer, priority, limit);
}

absl::StatusOr<Channel> Channel::Create(const Geometry& geometry, Policy policy) {
  absl::Status fits = CheckGeometry("mmap_queue", kCapabilities, geometry);
  if (!fits.ok()) return fits;
  const char* directory = QueueDirectory();
  os::Fd fd(open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!fd.valid()) {
    return os::SyscallError(absl::StrFormat("open(%s, O_TMPFILE)", directory), errno,
                            "name a writable directory on a file system with O_TMPFILE in IPCMARK_QUEUE_DIR");
  }
  const uint64_t bytes = QueueBytes(geometry.depth_messages, geometry.max_message_bytes);
  const int err = ReserveSpace(fd.get(), bytes);
  if (err != 0) {
    return os::SyscallError(absl::StrFormat("posix_fallocate(%s, %d bytes)", directory, bytes), err,
                            "free space there, or ask for fewer or smaller messages");
  }
  absl::StatusOr<os::Mapping> mapping = os::Mapping::SharedFile(fd.get(), bytes);
  if (!mapping.ok()) return mapping.status();
  const int lock_err =
      Core::Initialise(mapping->address(), geometry.depth_messages, geometry.max_message_bytes, policy);
  if (lock_err != 0) return os::SyscallError("pthread_mutex_init(process-shared)", lock_err);
  return Channel(geometry, *std::move(mapping));
}

absl::StatusOr<std::shared_ptr<const os::Mapping>> Channel::Shared() const {
  if (mapping_ == nullptr) return absl::FailedPreconditionError("mmap_queue: open ends before ReleaseEnds");
  if (!Core::IsValid(mapping_->address(), mapping_->bytes())) {
    return absl::DataLossError("the file holds no valid queue (magic, version or sizes are off); create a new one");
  }
  return mapping_;
}

absl::StatusOr<Sender> Channel::OpenSender() {
  absl::StatusOr<std::shared_ptr<const os::Mapping>> mapping = Shared();
  if (!mapping.ok()) return mapping.status();
  return Sender(*std::move(mapping), geometry_.wait);
}

absl::StatusOr<Receiver> Channel::OpenReceiver() {
  absl::StatusOr<std::shared_ptr<const os::Mapping>> mapping = Shared();
  if (!mapping.ok()) return mapping.status();
  return Receiver(*std::move(mapping), geometry_.wait);
}

}  // namespace ipcmark::mmap_queue
