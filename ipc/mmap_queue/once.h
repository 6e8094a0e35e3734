#ifndef IPCMARK_IPC_MMAP_QUEUE_ONCE_H_
#define IPCMARK_IPC_MMAP_QUEUE_ONCE_H_

namespace ipcmark::mmap_queue {

// Reads shared memory once: the compiler may otherwise read it again after a check, when somebody has changed it.
template <typename T>
T Once(const T& shared) noexcept {
  return *static_cast<const volatile T*>(&shared);
}

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_ONCE_H_
