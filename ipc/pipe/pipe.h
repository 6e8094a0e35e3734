#ifndef IPCMARK_IPC_PIPE_PIPE_H_
#define IPCMARK_IPC_PIPE_PIPE_H_

// The baseline: framed messages over an anonymous pipe. A frame is a 4-byte length in host order and the payload.
//
// What it promises: messages whole and in order; frames of up to PIPE_BUF (4,096) bytes are atomic, so that several
// senders may share the pipe when the geometry's messages are that small (pipe(7), "PIPE_BUF"). What breaks it: a
// sender killed inside a larger frame (its receiver gets kPeerDead at the end of the torn frame), a receiver killed
// inside one.
//
// One exception to the contract: a deadline bounds the wait for a frame to *begin*. Once its first byte is in the pipe,
// a frame that is larger than the room left is completed whatever the deadline says, as long as the peer lives, because
// half a frame could not be taken back.
//
// Source: pipe(2), pipe(7), fcntl(2) F_SETPIPE_SZ.

#include <vector>

#include "ipc/channel.h"
#include "ipc/os/fd.h"

namespace ipcmark::pipe {

inline constexpr uint32_t kFrameHeaderBytes = 4;

// The writing end. Opening one makes this process ignore SIGPIPE if it had the default action: a vanished reader is
// an outcome here, not a reason to die.
class Sender {
 public:
  Sender(os::Fd blocking, os::Fd nonblocking, const Geometry& geometry, uint32_t capacity_bytes)
      : blocking_(std::move(blocking)),
        nonblocking_(std::move(nonblocking)),
        max_message_bytes_(geometry.max_message_bytes),
        capacity_bytes_(capacity_bytes) {}

  IoResult Send(std::span<const std::byte> message, Deadline deadline) noexcept;

 private:
  // Send for frames above PIPE_BUF.
  IoResult SendInParts(std::span<const std::byte> message, Deadline deadline) noexcept;
  // Waits until the pipe may take a frame's first bytes; ok, or why not.
  IoResult AwaitRoom(size_t frame_bytes, Deadline deadline) noexcept;

  // Two descriptions of the same pipe, because O_NONBLOCK belongs to the description and not to the call.
  os::Fd blocking_;
  os::Fd nonblocking_;
  uint32_t max_message_bytes_;
  uint32_t capacity_bytes_;
};

// The reading end. One readv takes a frame whose payload is as long as the last one's; what was read of a frame that is
// not complete yet, too large for the caller's buffer, or next in line, is carried over to the next call.
class Receiver {
 public:
  Receiver(os::Fd fd, const Geometry& geometry);

  IoResult Receive(std::span<std::byte> buffer, Deadline deadline) noexcept;

 private:
  // Receive for all that one read does not settle. It has taken `frame_bytes` bytes of a frame: into `header`, and
  // behind that into `buffer`.
  IoResult ReceiveInParts(std::span<std::byte> buffer, Deadline deadline, uint32_t header, size_t frame_bytes) noexcept;
  // Completes a header of which `header` has the first `got` bytes. If there are more, or come along, they are payload
  // in `buffer`: ok with bytes = payload bytes there.
  IoResult ReadHeader(std::span<std::byte> buffer, Deadline deadline, uint32_t header, size_t got) noexcept;
  // Completes the frame whose first `got` payload bytes are in `buffer`.
  IoResult ReadRest(std::span<std::byte> buffer, size_t got, Deadline deadline) noexcept;
  void Carry(std::span<const std::byte> bytes) noexcept;
  [[nodiscard]] size_t carried() const { return carry_end_ - carry_begin_; }

  os::Fd fd_;
  uint32_t max_message_bytes_;
  uint32_t frame_payload_bytes_ = 0;  // of the frame being read; kept as the guess for the next one
  bool has_header_ = false;           // the header of the frame being read has been taken from the pipe
  std::vector<std::byte> carry_;      // room for one largest frame
  size_t carry_begin_ = 0;
  size_t carry_end_ = 0;
};

class Channel {
 public:
  static constexpr Capabilities kCapabilities = {
      .max_senders = kUnlimited,  // Create refuses more than one for frames above PIPE_BUF
      .max_receivers = 1,         // two readers could split a frame
      .max_message_bytes = uint64_t{1} << 30,
      .keeps_boundaries = true,
      .has_priorities = false,
      .survives_sigkill = false,  // a killed end may leave half a frame
      .reports_peer_death = true,
      .waits = {Wait::kBlock},
  };

  // Sets the capacity so that depth_messages frames fit, as far as /proc/sys/fs/pipe-max-size allows; what the kernel
  // gave is in capacity_bytes(), and DepthLimit follows it. Errors: EMFILE, ENFILE.
  static absl::StatusOr<Channel> Create(const Geometry& geometry);

  [[nodiscard]] const Geometry& geometry() const { return geometry_; }
  [[nodiscard]] uint64_t DepthLimit(uint32_t message_bytes) const;
  [[nodiscard]] uint32_t capacity_bytes() const { return capacity_bytes_; }

  absl::StatusOr<Sender> OpenSender();
  absl::StatusOr<Receiver> OpenReceiver();
  // Closes this process's spare copies of both ends: without it no end ever sees the end of the stream.
  void ReleaseEnds() noexcept;

 private:
  Channel(Geometry geometry, os::Fd read_fd, os::Fd write_fd, uint32_t capacity_bytes)
      : geometry_(geometry),
        read_fd_(std::move(read_fd)),
        write_fd_(std::move(write_fd)),
        capacity_bytes_(capacity_bytes) {}

  Geometry geometry_;
  os::Fd read_fd_;
  os::Fd write_fd_;
  uint32_t capacity_bytes_;
};

static_assert(Primitive<Channel>);

}  // namespace ipcmark::pipe

#endif  // IPCMARK_IPC_PIPE_PIPE_H_
