#ifndef IPCMARK_IPC_CONFORMANCE_TOY_TOY_H_
#define IPCMARK_IPC_CONFORMANCE_TOY_TOY_H_

// A fourth primitive, for the tests that prove that one folder and one line in a list are enough: messages over a
// SOCK_SEQPACKET socket pair. Not in ipc/primitives.bzl, because it is here to show the contract and not to be
// measured. The smallest complete example of a primitive: start from it.
//
// Source: unix(7), socketpair(2), recv(2) (MSG_TRUNC, MSG_PEEK).

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "ipc/channel.h"
#include "ipc/os/clock.h"
#include "ipc/os/error.h"
#include "ipc/os/fd.h"

namespace ipcmark::toy {

// Waits for `events`, then for nothing: the caller tries again.
inline IoResult AwaitSocket(int fd, short events, Deadline deadline) noexcept {
  const int64_t left = deadline.never() || deadline.immediate() ? 0 : deadline.monotonic_nanos - os::MonotonicNanos();
  const timespec timeout = os::ToTimespec(left > 0 ? left : 0);
  pollfd poller = {.fd = fd, .events = events, .revents = 0};
  const int ready = ppoll(&poller, 1, deadline.never() ? nullptr : &timeout, nullptr);
  if (ready > 0) return IoResult::Ok(0);
  if (ready < 0) return IoResult::Of(errno == EINTR ? Outcome::kInterrupted : Outcome::kError, errno);
  return deadline.immediate() ? IoResult::Of(Outcome::kWouldBlock, EAGAIN) : IoResult::Of(Outcome::kDeadline);
}

// Each packet carries one byte more than its message, so that an empty message is a packet and not the end of the
// stream.
class Sender {
 public:
  Sender(os::Fd fd, uint32_t max_message_bytes) : fd_(std::move(fd)), max_message_bytes_(max_message_bytes) {}

  IoResult Send(std::span<const std::byte> message, Deadline deadline) noexcept {
    if (message.size() > max_message_bytes_) return IoResult::Of(Outcome::kTooBig, EMSGSIZE);
    char mark = 1;
    iovec parts[2] = {{&mark, 1}, {const_cast<std::byte*>(message.data()), message.size()}};
    msghdr packet = {};
    packet.msg_iov = parts;
    packet.msg_iovlen = 2;
    for (;;) {
      if (sendmsg(fd_.get(), &packet, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return IoResult::Ok(message.size());
      if (errno == EPIPE || errno == ECONNRESET) return IoResult::Of(Outcome::kClosed, EPIPE);
      if (errno != EAGAIN) return IoResult::Of(Outcome::kError, errno);
      const IoResult room = AwaitSocket(fd_.get(), POLLOUT, deadline);
      if (!room.ok()) return room;
    }
  }

 private:
  os::Fd fd_;
  uint32_t max_message_bytes_;
};

class Receiver {
 public:
  explicit Receiver(os::Fd fd) : fd_(std::move(fd)) {}

  IoResult Receive(std::span<std::byte> buffer, Deadline deadline) noexcept {
    const IoResult ready = AwaitSocket(fd_.get(), POLLIN, deadline);
    if (!ready.ok()) return ready;
    char mark = 0;
    // With MSG_TRUNC the real length comes back, whatever the room.
    const ssize_t bytes = recv(fd_.get(), &mark, 1, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
    if (bytes == 0) return IoResult::Of(Outcome::kClosed, EPIPE);
    if (bytes < 0) return IoResult::Of(errno == ECONNRESET ? Outcome::kClosed : Outcome::kError, errno);
    const size_t length = static_cast<size_t>(bytes) - 1;
    if (length > buffer.size()) return IoResult::Of(Outcome::kTooBig, EMSGSIZE, length);
    iovec parts[2] = {{&mark, 1}, {buffer.data(), length}};
    msghdr packet = {};
    packet.msg_iov = parts;
    packet.msg_iovlen = 2;
    if (recvmsg(fd_.get(), &packet, MSG_DONTWAIT) < 0) return IoResult::Of(Outcome::kError, errno);
    return IoResult::Ok(length);
  }

 private:
  os::Fd fd_;
};

class Channel {
 public:
  static constexpr Capabilities kCapabilities = {
      .max_senders = kUnlimited,
      .max_receivers = 1,
      .max_message_bytes = 65536,
      .keeps_boundaries = true,
      .has_priorities = false,
      .survives_sigkill = true,
      .reports_peer_death = true,
      .waits = {Wait::kBlock},
  };

  static absl::StatusOr<Channel> Create(const Geometry& geometry) {
    absl::Status fits = CheckGeometry("toy", kCapabilities, geometry);
    if (!fits.ok()) return fits;
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) return os::SyscallError("socketpair", errno);
    Channel channel(geometry, os::Fd(fds[0]), os::Fd(fds[1]));
    // The kernel counts about twice the bytes of a packet and some 700 for its header against this.
    const auto room = static_cast<int>(geometry.depth_messages * (uint64_t{geometry.max_message_bytes} + 1024));
    if (setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) != 0) {
      return os::SyscallError("setsockopt(SO_SNDBUF)", errno);
    }
    socklen_t bytes = sizeof(channel.buffer_bytes_);
    getsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &channel.buffer_bytes_, &bytes);
    return channel;
  }

  [[nodiscard]] const Geometry& geometry() const { return geometry_; }
  [[nodiscard]] uint64_t DepthLimit(uint32_t) const { return buffer_bytes_ / 512 + 1; }

  absl::StatusOr<Sender> OpenSender() {
    os::Fd fd(dup(send_.get()));
    if (!fd.valid()) return os::SyscallError("dup(socket)", errno, "open ends before ReleaseEnds");
    return Sender(std::move(fd), geometry_.max_message_bytes);
  }
  absl::StatusOr<Receiver> OpenReceiver() {
    os::Fd fd(dup(receive_.get()));
    if (!fd.valid()) return os::SyscallError("dup(socket)", errno, "open ends before ReleaseEnds");
    return Receiver(std::move(fd));
  }
  void ReleaseEnds() noexcept {
    send_.Reset();
    receive_.Reset();
  }

 private:
  Channel(Geometry geometry, os::Fd send, os::Fd receive)
      : geometry_(geometry), send_(std::move(send)), receive_(std::move(receive)) {}

  Geometry geometry_;
  os::Fd send_;
  os::Fd receive_;
  int buffer_bytes_ = 0;
};

static_assert(Primitive<Channel>);

}  // namespace ipcmark::toy

#endif  // IPCMARK_IPC_CONFORMANCE_TOY_TOY_H_
