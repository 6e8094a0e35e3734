#ifndef IPCMARK_IPC_OS_MAPPING_H_
#define IPCMARK_IPC_OS_MAPPING_H_

// A memory mapping that unmaps itself.

#include <atomic>
#include <cstddef>
#include <cstring>
#include <type_traits>
#include <utility>

#include "absl/status/statusor.h"

namespace ipcmark::os {

// Owns one mmap'ed range of this process, or none. A forked child inherits the range and its own copy of the owner.
class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept
      : address_(std::exchange(other.address_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() { Reset(); }

  // `bytes` of zeroed memory that forked children share. Errors: what mmap(2) says.
  static absl::StatusOr<Mapping> SharedAnonymous(size_t bytes);
  // The first `bytes` of `fd`, shared, readable and writable. The descriptor may be closed afterwards.
  static absl::StatusOr<Mapping> SharedFile(int fd, size_t bytes);

  [[nodiscard]] void* address() const { return address_; }
  [[nodiscard]] size_t bytes() const { return bytes_; }
  [[nodiscard]] bool valid() const { return address_ != nullptr; }
  void Reset();

 private:
  Mapping(void* address, size_t bytes) : address_(address), bytes_(bytes) {}
  static absl::StatusOr<Mapping> Map(int fd, size_t bytes, int flags);

  void* address_ = nullptr;
  size_t bytes_ = 0;
};

// A copy of what lies in memory that others may write to, to be checked and then used: they change nothing about it.
template <typename T>
T CopyOnce(const void* memory) noexcept {
  static_assert(std::is_trivially_copyable_v<T>);
  T copy;
  memcpy(&copy, memory, sizeof(copy));
  // For the compiler only: behind this it must take the memory for changed, so it cannot check one reading of a size
  // and use another.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  return copy;
}

}  // namespace ipcmark::os

#endif  // IPCMARK_IPC_OS_MAPPING_H_
