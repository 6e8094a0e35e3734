#ifndef PACKET_PIPE_H_
#define PACKET_PIPE_H_

// A transport of your own, as ipcmark wants to see it: one header with one class. This one is a pipe in packet mode
// (pipe2(2), O_DIRECT): every write of at most a page is one packet, so messages need no frame.
//
// It promises: 1 to 4,095 bytes and empty messages, many senders, one receiver, at most 256 messages deep, no loss when
// an end is killed but of the message in a dead receiver's hands. What it does not promise is in kCapabilities and is
// skipped, with the reason printed. The contract is ipc/channel.h.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "ipc/channel.h"
#include "ipc/os/clock.h"
#include "ipc/os/error.h"
#include "ipc/os/fd.h"

namespace acme {

namespace os = ipcmark::os;
using ipcmark::Deadline;
using ipcmark::IoResult;
using ipcmark::Outcome;

inline constexpr size_t kPacketBytes = 4096;  // the kernel splits larger writes
inline constexpr uint32_t kMaxPackets = 256;  // /proc/sys/fs/pipe-max-size, as the kernel sets it, in packets

// Calls `once` (a read or a write of a descriptor that never blocks) until it has moved a packet or has seen the other
// side's end (0), waiting for `events` in between. The bytes moved come back, or the outcome.
template <typename Once>
IoResult MovePacket(int fd, short events, Deadline deadline, const Once& once) noexcept {
  for (;;) {
    const ssize_t moved = once();
    if (moved > 0) return IoResult::Ok(static_cast<size_t>(moved));
    if (moved == 0 || errno == EPIPE) return IoResult::Of(Outcome::kClosed, EPIPE);
    if (errno != EAGAIN) return IoResult::Of(Outcome::kError, errno);
    if (os::HasPassed(deadline)) {
      return deadline.immediate() ? IoResult::Of(Outcome::kWouldBlock, EAGAIN) : IoResult::Of(Outcome::kDeadline);
    }
    pollfd poller = {.fd = fd, .events = events, .revents = 0};
    const timespec left =
        os::ToTimespec(deadline.never() ? 0 : std::max<int64_t>(0, deadline.monotonic_nanos - os::MonotonicNanos()));
    if (ppoll(&poller, 1, deadline.never() ? nullptr : &left, nullptr) < 0) {
      return IoResult::Of(errno == EINTR ? Outcome::kInterrupted : Outcome::kError, errno);
    }
  }
}

// A packet is one mark and the message: an empty write would be no packet at all.
class PacketSender {
 public:
  PacketSender(os::Fd fd, uint32_t max_message_bytes) : fd_(std::move(fd)), max_message_bytes_(max_message_bytes) {}

  IoResult Send(std::span<const std::byte> message, Deadline deadline) noexcept {
    if (message.size() > max_message_bytes_) return IoResult::Of(Outcome::kTooBig, EMSGSIZE);
    char mark = 1;
    const iovec parts[2] = {{&mark, 1}, {const_cast<std::byte*>(message.data()), message.size()}};
    const IoResult moved = MovePacket(fd_.get(), POLLOUT, deadline, [&] { return writev(fd_.get(), parts, 2); });
    return moved.ok() ? IoResult::Ok(message.size()) : moved;
  }

 private:
  os::Fd fd_;
  uint32_t max_message_bytes_;
};

// Reads into a page of its own: the kernel throws away what of a packet does not fit into the reader's buffer.
class PacketReceiver {
 public:
  explicit PacketReceiver(os::Fd fd) : fd_(std::move(fd)), page_(std::make_unique<std::byte[]>(kPacketBytes)) {}

  IoResult Receive(std::span<std::byte> buffer, Deadline deadline) noexcept {
    if (held_bytes_ == 0) {
      const IoResult moved =
          MovePacket(fd_.get(), POLLIN, deadline, [&] { return read(fd_.get(), page_.get(), kPacketBytes); });
      if (!moved.ok()) return moved;
      held_bytes_ = moved.bytes;
    }
    const size_t length = held_bytes_ - 1;
    if (length > buffer.size()) return IoResult::Of(Outcome::kTooBig, EMSGSIZE, length);
    if (length > 0) memcpy(buffer.data(), page_.get() + 1, length);
    held_bytes_ = 0;
    return IoResult::Ok(length);
  }

 private:
  os::Fd fd_;
  std::unique_ptr<std::byte[]> page_;
  size_t held_bytes_ = 0;  // of the packet in page_ that nobody has taken yet, its mark included; 0: none
};

class PacketPipe {
 public:
  static constexpr ipcmark::Capabilities kCapabilities = {
      .max_senders = ipcmark::kUnlimited,
      .max_receivers = 1,
      .max_message_bytes = kPacketBytes - 1,
      .keeps_boundaries = true,
      .has_priorities = false,
      .survives_sigkill = true,
      .reports_peer_death = true,
      .waits = {ipcmark::Wait::kBlock},
  };

  static absl::StatusOr<PacketPipe> Create(const ipcmark::Geometry& geometry) {
    absl::Status fits = ipcmark::CheckGeometry("packet_pipe", kCapabilities, geometry);
    if (!fits.ok()) return fits;
    if (geometry.depth_messages > kMaxPackets) return absl::UnimplementedError("packet_pipe holds 256 messages");
    int fds[2];
    if (pipe2(fds, O_DIRECT | O_NONBLOCK | O_CLOEXEC) != 0) return os::SyscallError("pipe2(O_DIRECT)", errno);
    PacketPipe made(geometry, os::Fd(fds[0]), os::Fd(fds[1]));
    // A packet occupies a page however short it is.
    const int pipe_bytes =
        fcntl(fds[1], F_SETPIPE_SZ, static_cast<int>(geometry.depth_messages * uint32_t{kPacketBytes}));
    if (pipe_bytes < 0) return os::SyscallError("fcntl(F_SETPIPE_SZ)", errno, "raise fs.pipe-user-pages-soft");
    made.packets_ = static_cast<uint64_t>(pipe_bytes) / kPacketBytes;
    return made;
  }

  [[nodiscard]] const ipcmark::Geometry& geometry() const { return geometry_; }
  // One more is in the receiver's page.
  [[nodiscard]] uint64_t DepthLimit(uint32_t /*bytes*/) const { return packets_ + 1; }

  absl::StatusOr<PacketSender> OpenSender() {
    os::Fd fd(dup(write_.get()));
    if (!fd.valid()) return os::SyscallError("dup(pipe)", errno, "open ends before ReleaseEnds");
    signal(SIGPIPE, SIG_IGN);  // a vanished reader is an outcome here, not a reason to die
    return PacketSender(std::move(fd), geometry_.max_message_bytes);
  }
  absl::StatusOr<PacketReceiver> OpenReceiver() {
    os::Fd fd(dup(read_.get()));
    if (!fd.valid()) return os::SyscallError("dup(pipe)", errno, "open ends before ReleaseEnds");
    return PacketReceiver(std::move(fd));
  }
  void ReleaseEnds() noexcept {
    read_.Reset();
    write_.Reset();
  }

 private:
  PacketPipe(ipcmark::Geometry geometry, os::Fd read, os::Fd write)
      : geometry_(geometry), read_(std::move(read)), write_(std::move(write)) {}

  ipcmark::Geometry geometry_;
  os::Fd read_;
  os::Fd write_;
  uint64_t packets_ = 0;
};

static_assert(ipcmark::Primitive<PacketPipe>);

}  // namespace acme

#endif  // PACKET_PIPE_H_
