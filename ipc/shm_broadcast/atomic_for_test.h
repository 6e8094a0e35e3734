#ifndef IPCMARK_IPC_SHM_BROADCAST_ATOMIC_FOR_TEST_H_
#define IPCMARK_IPC_SHM_BROADCAST_ATOMIC_FOR_TEST_H_

// os::InstrumentedAtomic with the two operations more that the sleep words of this ring need.

#include "ipc/os/instrumented_atomic.h"

namespace ipcmark::shm_broadcast {

template <typename T>
class AtomicForTest : public os::InstrumentedAtomic<T> {
 public:
  using os::InstrumentedAtomic<T>::InstrumentedAtomic;

  T fetch_or(T value, std::memory_order order) noexcept {
    os::InstrumentedAccess::Before();
    return std::atomic<T>::fetch_or(value, order);
  }
  T fetch_and(T value, std::memory_order order) noexcept {
    os::InstrumentedAccess::Before();
    return std::atomic<T>::fetch_and(value, order);
  }
};

}  // namespace ipcmark::shm_broadcast

#endif  // IPCMARK_IPC_SHM_BROADCAST_ATOMIC_FOR_TEST_H_
