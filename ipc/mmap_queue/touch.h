#ifndef IPCMARK_IPC_MMAP_QUEUE_TOUCH_H_
#define IPCMARK_IPC_MMAP_QUEUE_TOUCH_H_

// A caller's bad pointer faults here, before a lock is taken: a program that goes on after SIGSEGV (siglongjmp) would
// otherwise do so with the lock in its hands, alive, and everybody else would wait for it for ever. Memory that another
// thread takes away later is not the queue's business.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace ipcmark::mmap_queue {

// The smallest page of the machines that we know.
inline constexpr size_t kTouchedPageBytes = 4096;
inline void TouchForReading(std::span<const std::byte> memory) noexcept {
  if (memory.empty()) return;
  for (size_t at = 0; at < memory.size(); at += kTouchedPageBytes) {
    static_cast<void>(*static_cast<const volatile std::byte*>(&memory[at]));
  }
  static_cast<void>(*static_cast<const volatile std::byte*>(&memory.back()));
}

// One byte of each page, which keeps its value.
inline void TouchForWriting(std::span<std::byte> memory) noexcept {
  if (memory.empty()) return;
  volatile std::byte* first = memory.data();
  *first = *first;
  const size_t in_first_page = kTouchedPageBytes - reinterpret_cast<uintptr_t>(memory.data()) % kTouchedPageBytes;
  for (size_t at = in_first_page; at < memory.size(); at += kTouchedPageBytes) {
    // At once, because a program that lies about the size of its buffer, and gets small messages only, may have
    // another thread's data there.
    std::atomic_ref byte(memory[at]);
    std::byte value = byte.load(std::memory_order_relaxed);
    byte.compare_exchange_strong(value, value, std::memory_order_relaxed);
  }
}

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_TOUCH_H_
