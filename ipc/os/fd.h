#ifndef IPCMARK_IPC_OS_FD_H_
#define IPCMARK_IPC_OS_FD_H_

// A file descriptor that closes itself.

#include <unistd.h>

#include <utility>

namespace ipcmark::os {

// Owns one descriptor, or none (-1). Movable. Thread-compatible; fork-safe in the sense that each process closes its
// own copy.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      Reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { Reset(); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }

  // Hands the descriptor to the caller, who closes it from now on.
  [[nodiscard]] int Release() { return std::exchange(fd_, -1); }

  // Linux has released the descriptor whatever close returns (close(2), "Dealing with error returns"), so it is not
  // retried.
  void Reset() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

}  // namespace ipcmark::os

#endif  // IPCMARK_IPC_OS_FD_H_
