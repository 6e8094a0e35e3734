#include "ipc/kernel_mq/kernel_mq.h"

#include <mqueue.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_format.h"
#include "ipc/kernel_mq/limits.h"
#include "ipc/os/clock.h"
#include "ipc/os/error.h"

namespace ipcmark::kernel_mq {
namespace {

// The instant of CLOCK_REALTIME that is `deadline` now.
timespec Realtime(Deadline deadline) noexcept {
  // A day is enough: who waits that long looks again.
  constexpr int64_t kLongestNanos = 86'400 * os::kNanosPerSecond;
  const int64_t now = os::MonotonicNanos();
  return os::RealtimeAt(std::clamp(deadline.monotonic_nanos, now, now + kLongestNanos));
}

// Runs call(until) with null for ever and a time long past for at once. `needed`: for kTooBig.
template <typename Call>
IoResult Until(Deadline deadline, uint32_t needed, const Call& call) noexcept {
  constexpr timespec kPast = {.tv_sec = 0, .tv_nsec = 0};
  for (;;) {
    timespec until = kPast;
    if (!deadline.immediate() && !deadline.never()) until = Realtime(deadline);
    const ssize_t done = call(deadline.never() ? nullptr : &until);
    if (done >= 0) return IoResult::Ok(static_cast<size_t>(done));
    switch (errno) {
      case ETIMEDOUT:
        if (deadline.immediate()) return IoResult::Of(Outcome::kWouldBlock, EAGAIN);
        // Early when CLOCK_REALTIME was set forward meanwhile.
        if (os::HasPassed(deadline)) return IoResult::Of(Outcome::kDeadline, ETIMEDOUT);
        break;
      case EINTR:
        return IoResult::Of(Outcome::kInterrupted, EINTR);
      case EMSGSIZE:
        return IoResult::Of(Outcome::kTooBig, EMSGSIZE, needed);
      default:
        return IoResult::Of(Outcome::kError, errno);
    }
  }
}

}  // namespace

IoResult Sender::Send(std::span<const std::byte> message, uint32_t priority, Deadline deadline) noexcept {
  // The queue's messages are a byte large where the geometry says none.
  if (message.size() > max_message_bytes_) return IoResult::Of(Outcome::kTooBig, EMSGSIZE);
  const auto* const bytes = reinterpret_cast<const char*>(message.data());
  const IoResult result = Until(deadline, 0, [&](const timespec* until) -> ssize_t {
    // The C library promises its compiler that the timed form is never called without a time.
    if (until == nullptr) return mq_send(queue_->get(), bytes, message.size(), priority);
    return mq_timedsend(queue_->get(), bytes, message.size(), priority, until);
  });
  return result.ok() ? IoResult::Ok(message.size()) : result;
}

IoResult Receiver::Receive(std::span<std::byte> buffer, uint32_t* priority, Deadline deadline) noexcept {
  auto* const bytes = reinterpret_cast<char*>(buffer.data());
  return Until(deadline, max_message_bytes_, [&](const timespec* until) -> ssize_t {
    if (until == nullptr) return mq_receive(queue_->get(), bytes, buffer.size(), priority);
    return mq_timedreceive(queue_->get(), bytes, buffer.size(), priority, until);
  });
}

IoResult Receiver::Notify(const sigevent* event) noexcept {
  return mq_notify(queue_->get(), event) == 0 ? IoResult::Ok(0) : IoResult::Of(Outcome::kError, errno);
}

absl::StatusOr<Channel> Channel::Create(const Geometry& geometry) {
  absl::Status fits = CheckGeometry("kernel_mq", kCapabilities, geometry);
  if (!fits.ok()) return fits;
  const QueueSize size = {.depth_messages = geometry.depth_messages,
                          .message_bytes = std::max<uint32_t>(1, geometry.max_message_bytes)};
  absl::StatusOr<os::Fd> queue = MakeQueue(size);
  if (!queue.ok()) return queue.status();
  return Channel(geometry, *std::move(queue));
}

absl::StatusOr<Sender> Channel::OpenSender() {
  if (queue_ == nullptr) return absl::FailedPreconditionError("kernel_mq: open ends before ReleaseEnds");
  return Sender(queue_, geometry_.max_message_bytes);
}

absl::StatusOr<Receiver> Channel::OpenReceiver() {
  if (queue_ == nullptr) return absl::FailedPreconditionError("kernel_mq: open ends before ReleaseEnds");
  return Receiver(queue_, geometry_.max_message_bytes);
}

}  // namespace ipcmark::kernel_mq
