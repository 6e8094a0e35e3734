#include "ipc/pipe/pipe.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_format.h"
#include "ipc/copy.h"
#include "ipc/os/clock.h"
#include "ipc/os/error.h"

namespace ipcmark::pipe {
namespace {

// The kernel copies a tenth slower from what begins four bytes before a cache line (1 KiB, one way, on one CPU).
constexpr size_t kFrameAlignment = 64;
constexpr uint64_t kPageBytes = 4096;  // the unit in which a pipe buffers; larger pages only give more room

// Waits until `events` or a hang-up on `fd`: ok, kWouldBlock, kDeadline or kInterrupted.
IoResult AwaitFd(int fd, short events, Deadline deadline) noexcept {
  for (;;) {
    timespec timeout = {};
    if (!deadline.immediate() && !deadline.never()) {
      timeout = os::ToTimespec(std::max<int64_t>(0, deadline.monotonic_nanos - os::MonotonicNanos()));
    }
    pollfd poller = {.fd = fd, .events = events, .revents = 0};
    const int ready = ppoll(&poller, 1, deadline.never() ? nullptr : &timeout, nullptr);
    if (ready > 0) return IoResult::Ok(0);
    if (ready < 0) {
      return errno == EINTR ? IoResult::Of(Outcome::kInterrupted, EINTR) : IoResult::Of(Outcome::kError, errno);
    }
    if (deadline.immediate()) return IoResult::Of(Outcome::kWouldBlock, EAGAIN);
    if (os::HasPassed(deadline)) return IoResult::Of(Outcome::kDeadline);
  }
}

// The pages that `bytes` bytes of frames can occupy at most. A frame's tail is put into the last page's free room only
// where it fits whole, so pages may stay half empty (pipe_write in the kernel); two neighbours hold more than one page.
constexpr uint64_t WorstPages(uint64_t bytes) { return 2 * ((bytes + kPageBytes - 1) / kPageBytes) + 2; }

uint32_t MaxPipeBytes() {
  unsigned limit = 1U << 20;  // the kernel's default
  FILE* file = fopen("/proc/sys/fs/pipe-max-size", "re");
  if (file != nullptr) {
    if (fscanf(file, "%u", &limit) != 1) limit = 1U << 20;
    fclose(file);
  }
  return limit;
}

IoResult FromErrno(int err) noexcept {
  if (err == EINTR) return IoResult::Of(Outcome::kInterrupted, EINTR);
  if (err == EAGAIN) return IoResult::Of(Outcome::kWouldBlock, EAGAIN);
  if (err == EPIPE) return IoResult::Of(Outcome::kClosed, EPIPE);
  return IoResult::Of(Outcome::kError, err);
}

}  // namespace

IoResult Sender::AwaitRoom(size_t frame_bytes, Deadline deadline) noexcept {
  if (!deadline.immediate()) return AwaitFd(blocking_.get(), POLLOUT, deadline);
  // A large frame is begun only if it certainly fits, since it could not be taken back and we may not wait.
  int unread = 0;
  if (ioctl(blocking_.get(), FIONREAD, &unread) != 0) return IoResult::Of(Outcome::kError, errno);
  pollfd poller = {.fd = blocking_.get(), .events = POLLOUT, .revents = 0};
  if (poll(&poller, 1, 0) == 1 && (poller.revents & POLLERR) != 0) return IoResult::Of(Outcome::kClosed, EPIPE);
  return WorstPages(unread + frame_bytes) * kPageBytes <= capacity_bytes_ ? IoResult::Ok(0)
                                                                          : IoResult::Of(Outcome::kWouldBlock, EAGAIN);
}

// A frame of up to PIPE_BUF is copied together and goes in one piece: writev and readv of two pieces take 150 ns longer
// each than write and read of one (a virtual machine, AMD EPYC), and the copy of as much takes less.
IoResult Sender::Send(std::span<const std::byte> message, Deadline deadline) noexcept {
  const size_t frame_bytes = kFrameHeaderBytes + message.size();
  if (message.size() <= max_message_bytes_ && frame_bytes <= PIPE_BUF) [[likely]] {
    alignas(kFrameAlignment) std::byte frame[PIPE_BUF];
    const auto header = static_cast<uint32_t>(message.size());
    memcpy(frame, &header, kFrameHeaderBytes);
    CopyFresh(frame + kFrameHeaderBytes, message.data(), message.size());
    // The kernel takes all or nothing, so the non-blocking description decides.
    const int fd = deadline.never() ? blocking_.get() : nonblocking_.get();
    while (write(fd, frame, frame_bytes) < 0) [[unlikely]] {
        if (errno != EAGAIN || deadline.immediate()) return FromErrno(errno);
        const IoResult room = AwaitFd(fd, POLLOUT, deadline);
        if (!room.ok()) return room;
      }
    return IoResult::Ok(message.size());
  }
  return SendInParts(message, deadline);
}

[[gnu::noinline, gnu::cold]] IoResult Sender::SendInParts(std::span<const std::byte> message,
                                                          Deadline deadline) noexcept {
  if (message.size() > max_message_bytes_) return IoResult::Of(Outcome::kTooBig, EMSGSIZE);
  auto header = static_cast<uint32_t>(message.size());
  const size_t frame_bytes = kFrameHeaderBytes + message.size();
  const int fd = blocking_.get();
  if (!deadline.never()) {
    const IoResult room = AwaitRoom(frame_bytes, deadline);
    if (!room.ok()) return room;
  }
  for (size_t sent = 0; sent < frame_bytes;) {
    iovec parts[2] = {{&header, kFrameHeaderBytes}, {const_cast<std::byte*>(message.data()), message.size()}};
    if (sent >= kFrameHeaderBytes) {
      parts[0].iov_len = 0;
      parts[1] = {const_cast<std::byte*>(message.data()) + sent - kFrameHeaderBytes, frame_bytes - sent};
    } else if (sent > 0) {
      parts[0] = {reinterpret_cast<std::byte*>(&header) + sent, kFrameHeaderBytes - sent};
    }
    const ssize_t written = writev(fd, parts, 2);
    if (written >= 0) {
      sent += static_cast<size_t>(written);
    } else if (sent > 0 && errno == EINTR) {
      continue;  // the frame has begun: it must be completed
    } else {
      return FromErrno(errno);
    }
  }
  return IoResult::Ok(message.size());
}

Receiver::Receiver(os::Fd fd, const Geometry& geometry)
    : fd_(std::move(fd)),
      max_message_bytes_(geometry.max_message_bytes),
      carry_(kFrameHeaderBytes + size_t{geometry.max_message_bytes}) {}

void Receiver::Carry(std::span<const std::byte> bytes) noexcept {
  if (!bytes.empty()) memmove(carry_.data(), bytes.data(), bytes.size());
  carry_begin_ = 0;
  carry_end_ = bytes.size();
}

IoResult Receiver::ReadHeader(std::span<std::byte> buffer, Deadline deadline, uint32_t header, size_t got) noexcept {
  size_t payload = 0;
  if (carried() >= kFrameHeaderBytes) {
    memcpy(&header, carry_.data() + carry_begin_, kFrameHeaderBytes);
    carry_begin_ += kFrameHeaderBytes;
  } else {
    if (carried() > 0) {
      got = carried();
      memcpy(&header, carry_.data() + carry_begin_, got);
    }
    const size_t guess = std::min<size_t>(frame_payload_bytes_, buffer.size());
    while (got < kFrameHeaderBytes) {
      IoResult ready = deadline.never() ? IoResult::Ok(0) : AwaitFd(fd_.get(), POLLIN, deadline);
      if (ready.ok()) {
        iovec parts[2] = {{reinterpret_cast<std::byte*>(&header) + got, kFrameHeaderBytes - got},
                          {buffer.data(), guess}};
        const ssize_t bytes = readv(fd_.get(), parts, 2);
        if (bytes > 0) {
          got += static_cast<size_t>(bytes);
          continue;
        }
        if (bytes == 0) ready = IoResult::Of(got == 0 ? Outcome::kClosed : Outcome::kPeerDead, EPIPE);
        if (bytes < 0) ready = FromErrno(errno);
      }
      Carry(std::as_bytes(std::span(&header, 1)).first(got));
      return ready;
    }
    payload = got - kFrameHeaderBytes;
    carry_begin_ = carry_end_ = 0;
  }
  if (header > max_message_bytes_) {
    // Nobody knows where the next frame begins: the bad header stays what is read next, so that no later call takes the
    // bytes behind it for a message.
    Carry(std::as_bytes(std::span(&header, 1)));
    return IoResult::Of(Outcome::kError, EBADMSG);
  }
  frame_payload_bytes_ = header;
  has_header_ = true;
  return IoResult::Ok(payload);
}

IoResult Receiver::ReadRest(std::span<std::byte> buffer, size_t got, Deadline deadline) noexcept {
  while (got < frame_payload_bytes_) {
    IoResult ready = deadline.never() ? IoResult::Ok(0) : AwaitFd(fd_.get(), POLLIN, deadline);
    if (ready.ok()) {
      const ssize_t bytes = read(fd_.get(), buffer.data() + got, frame_payload_bytes_ - got);
      if (bytes > 0) {
        got += static_cast<size_t>(bytes);
        continue;
      }
      ready = bytes == 0 ? IoResult::Of(Outcome::kPeerDead, EPIPE) : FromErrno(errno);
    }
    Carry(buffer.first(got));
    return ready;
  }
  has_header_ = false;
  return IoResult::Ok(frame_payload_bytes_);
}

// In one piece, as in Send, where it waits without a deadline and the next frame may be like the last one.
IoResult Receiver::Receive(std::span<std::byte> buffer, Deadline deadline) noexcept {
  uint32_t header = 0;
  size_t got = 0;
  // Never more than max_message_bytes_: a header was checked before it became the guess.
  const size_t guess = std::min<size_t>(frame_payload_bytes_, buffer.size());
  if (!has_header_ && carried() == 0 && deadline.never() && kFrameHeaderBytes + guess <= PIPE_BUF) [[likely]] {
    alignas(kFrameAlignment) std::byte frame[PIPE_BUF];
    const ssize_t bytes = read(fd_.get(), frame, kFrameHeaderBytes + guess);
    if (bytes < 0) return FromErrno(errno);
    if (bytes == 0) return IoResult::Of(Outcome::kClosed, EPIPE);
    got = static_cast<size_t>(bytes);
    memcpy(&header, frame, std::min<size_t>(got, kFrameHeaderBytes));
    if (got > kFrameHeaderBytes) CopyFresh(buffer.data(), frame + kFrameHeaderBytes, got - kFrameHeaderBytes);
    if (got == kFrameHeaderBytes + guess && header == guess) [[likely]] {
      return IoResult::Ok(guess);
    }
  }
  return ReceiveInParts(buffer, deadline, header, got);
}

[[gnu::noinline, gnu::cold]] IoResult Receiver::ReceiveInParts(std::span<std::byte> buffer, Deadline deadline,
                                                               uint32_t header, size_t frame_bytes) noexcept {
  size_t got = 0;
  if (!has_header_) {
    const IoResult read = ReadHeader(buffer, deadline, header, frame_bytes);
    if (!read.ok()) return read;
    got = read.bytes;
  }
  if (frame_payload_bytes_ > buffer.size()) {
    if (got > 0) Carry(buffer.first(got));
    return IoResult::Of(Outcome::kTooBig, EMSGSIZE, frame_payload_bytes_);
  }
  if (got > frame_payload_bytes_) {
    // The guess took a piece of the next frame along.
    Carry(buffer.subspan(frame_payload_bytes_, got - frame_payload_bytes_));
    got = frame_payload_bytes_;
  } else if (carried() > 0) {
    got = std::min<size_t>(carried(), frame_payload_bytes_);
    memcpy(buffer.data(), carry_.data() + carry_begin_, got);
    carry_begin_ += got;
  }
  return ReadRest(buffer, got, deadline);
}

absl::StatusOr<Channel> Channel::Create(const Geometry& geometry) {
  absl::Status fits = CheckGeometry("pipe", kCapabilities, geometry);
  if (!fits.ok()) return fits;
  const uint64_t frame_bytes = kFrameHeaderBytes + uint64_t{geometry.max_message_bytes};
  if (geometry.senders > 1 && frame_bytes > PIPE_BUF) {
    return absl::UnimplementedError(absl::StrFormat(
        "pipe: %d senders can share it for messages of up to %d bytes (PIPE_BUF less the frame's header), not %d",
        geometry.senders, PIPE_BUF - kFrameHeaderBytes, geometry.max_message_bytes));
  }
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) {
    return os::SyscallError("pipe2", errno, "close descriptors or raise the limit (ulimit -n)");
  }
  os::Fd read_fd(fds[0]);
  os::Fd write_fd(fds[1]);
  const uint64_t wanted = frame_bytes <= kPageBytes
                              ? (geometry.depth_messages / (kPageBytes / frame_bytes) + 2) * kPageBytes
                              : WorstPages(geometry.depth_messages * frame_bytes) * kPageBytes;
  // Refused above what this user may pin (EPERM, EBUSY): settle for less, down to what the pipe has anyway.
  for (uint64_t bytes = std::min<uint64_t>(wanted, MaxPipeBytes()); bytes >= kPageBytes; bytes /= 2) {
    if (fcntl(fds[1], F_SETPIPE_SZ, static_cast<int>(bytes)) >= 0) break;
  }
  const int capacity = fcntl(fds[1], F_GETPIPE_SZ);
  if (capacity < 0) return os::SyscallError("fcntl(pipe, F_GETPIPE_SZ)", errno);
  return Channel(geometry, std::move(read_fd), std::move(write_fd), static_cast<uint32_t>(capacity));
}

uint64_t Channel::DepthLimit(uint32_t message_bytes) const {
  // What the pipe holds and what the receiver may have read ahead.
  return (capacity_bytes_ + kFrameHeaderBytes + uint64_t{geometry_.max_message_bytes}) /
         (kFrameHeaderBytes + uint64_t{message_bytes});
}

absl::StatusOr<Sender> Channel::OpenSender() {
  os::Fd blocking(fcntl(write_fd_.get(), F_DUPFD_CLOEXEC, 0));
  if (!blocking.valid()) return os::SyscallError("dup(pipe's write end)", errno, "open ends before ReleaseEnds");
  const std::string path = absl::StrFormat("/proc/self/fd/%d", write_fd_.get());
  os::Fd nonblocking(open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  if (!nonblocking.valid()) return os::SyscallError(absl::StrFormat("open(%s)", path), errno, "mount /proc");
  struct sigaction action = {};
  sigaction(SIGPIPE, nullptr, &action);
  if (action.sa_handler == SIG_DFL) signal(SIGPIPE, SIG_IGN);
  return Sender(std::move(blocking), std::move(nonblocking), geometry_, capacity_bytes_);
}

absl::StatusOr<Receiver> Channel::OpenReceiver() {
  os::Fd fd(fcntl(read_fd_.get(), F_DUPFD_CLOEXEC, 0));
  if (!fd.valid()) return os::SyscallError("dup(pipe's read end)", errno, "open ends before ReleaseEnds");
  return Receiver(std::move(fd), geometry_);
}

void Channel::ReleaseEnds() noexcept {
  read_fd_.Reset();
  write_fd_.Reset();
}

}  // namespace ipcmark::pipe
