#ifndef IPCMARK_IPC_MOODYCAMEL_SHARED_LIBRARY_H_
#define IPCMARK_IPC_MOODYCAMEL_SHARED_LIBRARY_H_

// moodycamel::ReaderWriterQueue, unchanged but for where its blocks come from. The library is made for two threads and
// takes its memory from std::malloc, in its constructor only (try_enqueue never allocates). Two processes need it in
// shared memory, so while its header is read, `std` means a namespace that has everything of std and a malloc of ours.

#include <atomic>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <stdexcept>
#include <type_traits>
#include <utility>

// Everything that the two headers include themselves must have been read before `std` is renamed.
#include <semaphore.h>

namespace ipcmark::moodycamel {

// Hands out `bytes` from `next` on; set while a queue is constructed. Not thread-safe: set-up runs in one thread.
struct Arena {
  std::byte* next = nullptr;
  std::byte* end = nullptr;
};
inline Arena arena;

namespace shared_std {
using namespace ::std;  // NOLINT(google-build-using-namespace): this is the whole point

inline void* malloc(size_t bytes) noexcept {
  std::byte* const at = arena.next;
  if (static_cast<size_t>(arena.end - at) < bytes) return nullptr;
  arena.next = at + (bytes + 63) / 64 * 64;
  return at;
}
// The mapping goes as a whole.
inline void free(void* /*block*/) noexcept {}
}  // namespace shared_std
}  // namespace ipcmark::moodycamel

#define std ipcmark::moodycamel::shared_std
#include <readerwriterqueue.h>
#undef std

#endif  // IPCMARK_IPC_MOODYCAMEL_SHARED_LIBRARY_H_
