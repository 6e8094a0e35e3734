#include "ipc/os/mapping.h"

#include <sys/mman.h>

#include <cerrno>

#include "absl/strings/str_format.h"
#include "ipc/os/error.h"

namespace ipcmark::os {

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this != &other) {
    Reset();
    address_ = std::exchange(other.address_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

absl::StatusOr<Mapping> Mapping::Map(int fd, size_t bytes, int flags) {
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (address == MAP_FAILED) {
    return SyscallError(absl::StrFormat("mmap(%d bytes, shared)", bytes), errno, "free memory or ask for less");
  }
  return Mapping(address, bytes);
}

absl::StatusOr<Mapping> Mapping::SharedAnonymous(size_t bytes) { return Map(-1, bytes, MAP_SHARED | MAP_ANONYMOUS); }

absl::StatusOr<Mapping> Mapping::SharedFile(int fd, size_t bytes) { return Map(fd, bytes, MAP_SHARED); }

void Mapping::Reset() {
  if (address_ != nullptr) munmap(address_, bytes_);
  address_ = nullptr;
  bytes_ = 0;
}

}  // namespace ipcmark::os
