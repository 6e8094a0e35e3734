#include "ipc/boost_mq/boost_mq.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/date_time/posix_time/posix_time_types.hpp>
#include <boost/interprocess/ipc/message_queue.hpp>
#include <cerrno>
#include <string>

#include "absl/strings/str_format.h"
#include "ipc/os/clock.h"
#include "ipc/os/error.h"
#include "ipc/os/fd.h"

namespace ipcmark::boost_mq {

namespace interprocess = boost::interprocess;

class Queue {
 public:
  Queue(const std::string& name, uint32_t depth, uint32_t most_bytes)
      : queue(interprocess::create_only, name.c_str(), depth, std::max(1U, most_bytes)),
        max_message_bytes(most_bytes) {}

  interprocess::message_queue queue;
  const uint32_t max_message_bytes;
};

namespace {

// The library's time (UTC, microseconds) that is `deadline` now, rounded up.
boost::posix_time::ptime Utc(Deadline deadline) {
  const int64_t left = std::max<int64_t>(0, deadline.monotonic_nanos - os::MonotonicNanos());
  return boost::posix_time::microsec_clock::universal_time() + boost::posix_time::microseconds(left / 1000 + 1);
}

// Gives the queue's memory all the pages that it may ever touch. Returns 0 or an errno.
int Reserve(const std::string& name) {
  const os::Fd file(shm_open(name.c_str(), O_RDWR | O_CLOEXEC, 0));
  struct stat its {};
  if (!file.valid() || fstat(file.get(), &its) != 0) return errno;
  return posix_fallocate(file.get(), 0, its.st_size);
}

// Runs the form of a call that fits `deadline`. True: done.
template <typename Blocking, typename Timed, typename Try>
Outcome Until(Deadline deadline, const Blocking& blocking, const Timed& timed, const Try& attempt) {
  if (deadline.never()) {
    blocking();
    return Outcome::kOk;
  }
  if (deadline.immediate()) return attempt() ? Outcome::kOk : Outcome::kWouldBlock;
  // Early when the clock was set forward meanwhile.
  do {
    if (timed(Utc(deadline))) return Outcome::kOk;
  } while (!os::HasPassed(deadline));
  return Outcome::kDeadline;
}

}  // namespace

IoResult Sender::Send(std::span<const std::byte> message, uint32_t priority, Deadline deadline) noexcept {
  if (message.size() > queue_->max_message_bytes) return IoResult::Of(Outcome::kTooBig, EMSGSIZE);
  try {
    interprocess::message_queue& queue = queue_->queue;
    const Outcome outcome = Until(
        deadline, [&] { queue.send(message.data(), message.size(), priority); },
        [&](const auto& utc) { return queue.timed_send(message.data(), message.size(), priority, utc); },
        [&] { return queue.try_send(message.data(), message.size(), priority); });
    return outcome == Outcome::kOk ? IoResult::Ok(message.size()) : IoResult::Of(outcome);
  } catch (const std::exception&) {
    return IoResult::Of(Outcome::kError, EIO);
  }
}

IoResult Receiver::Receive(std::span<std::byte> buffer, uint32_t* priority, Deadline deadline) noexcept {
  interprocess::message_queue& queue = queue_->queue;
  if (buffer.size() < queue_->max_message_bytes) {
    return IoResult::Of(Outcome::kTooBig, EMSGSIZE, queue_->max_message_bytes);
  }
  // The library wants room for a byte where the geometry has none.
  std::byte nothing;
  void* const into = queue_->max_message_bytes == 0 ? &nothing : buffer.data();
  const size_t room = std::max<size_t>(1, buffer.size());
  interprocess::message_queue::size_type bytes = 0;
  unsigned its_priority = 0;
  try {
    const Outcome outcome = Until(
        deadline, [&] { queue.receive(into, room, bytes, its_priority); },
        [&](const auto& utc) { return queue.timed_receive(into, room, bytes, its_priority, utc); },
        [&] { return queue.try_receive(into, room, bytes, its_priority); });
    if (outcome != Outcome::kOk) return IoResult::Of(outcome);
  } catch (const std::exception&) {
    return IoResult::Of(Outcome::kError, EIO);
  }
  if (priority != nullptr) *priority = its_priority;
  return IoResult::Ok(bytes);
}

absl::StatusOr<Channel> Channel::Create(const Geometry& geometry) {
  absl::Status fits = CheckGeometry("boost_mq", kCapabilities, geometry);
  if (!fits.ok()) return fits;
  const std::string call =
      absl::StrFormat("message_queue(%d messages of %d bytes)", geometry.depth_messages, geometry.max_message_bytes);
  // The library does not reserve the room, and a full /dev/shm would be SIGBUS: already to Create, hence this look, and
  // later to a sender, hence Reserve.
  const uint64_t wanted = geometry.depth_messages * (uint64_t{geometry.max_message_bytes} + 64);
  struct statvfs room {};
  if (statvfs("/dev/shm", &room) == 0 && room.f_blocks != 0 && wanted / room.f_frsize >= room.f_bavail) {
    return os::SyscallError(call, ENOSPC, "free space in /dev/shm, or ask for fewer or smaller messages");
  }
  static std::atomic<unsigned> count = 0;
  const std::string name = absl::StrFormat("ipcmark.%d.%d.%d", getpid(), count.fetch_add(1, std::memory_order_relaxed),
                                           os::MonotonicNanos());
  try {
    auto queue = std::make_shared<Queue>(name, geometry.depth_messages, geometry.max_message_bytes);
    const int err = Reserve(name);
    interprocess::message_queue::remove(name.c_str());
    if (err != 0) return os::SyscallError(call, err, "free space in /dev/shm, or ask for fewer or smaller messages");
    return Channel(geometry, std::move(queue));
  } catch (const interprocess::interprocess_exception& failed) {
    interprocess::message_queue::remove(name.c_str());
    const int err = failed.get_native_error();
    if (err != 0) return os::SyscallError(call, err);
    return absl::InternalError(absl::StrFormat("%s: %s", call, failed.what()));
  }
}

absl::StatusOr<Sender> Channel::OpenSender() {
  if (queue_ == nullptr) return absl::FailedPreconditionError("boost_mq: open ends before ReleaseEnds");
  return Sender(queue_);
}

absl::StatusOr<Receiver> Channel::OpenReceiver() {
  if (queue_ == nullptr) return absl::FailedPreconditionError("boost_mq: open ends before ReleaseEnds");
  return Receiver(queue_);
}

}  // namespace ipcmark::boost_mq
