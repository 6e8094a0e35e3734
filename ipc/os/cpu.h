#ifndef IPCMARK_IPC_OS_CPU_H_
#define IPCMARK_IPC_OS_CPU_H_

// What spinning and placing processes needs to know of the processor.

#include <cstddef>
#include <vector>

#include "absl/status/status.h"

namespace ipcmark::os {

// The unit in which CPUs exchange memory; structures keep what different processes write this far apart.
inline constexpr size_t kCacheLineBytes = 64;

// Tells the processor that this is a spin loop (PAUSE, YIELD): frees the sibling thread, saves power.
inline void SpinHint() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Asks for a cache line that will be written soon. Never faults, whatever the address.
inline void PrefetchForWrite(const void* address) noexcept {
#if defined(__x86_64__)
  // GCC emits this for __builtin_prefetch(address, 1) only with -mprfchw; where it is unknown it does nothing.
  asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(address)));
#else
  __builtin_prefetch(address, 1);
#endif
}

// Starts to fetch the cache line at `address` for reading and waits for nothing. Reads nothing, as the language sees
// it: another process may be writing there.
inline void PrefetchLine(const void* address) noexcept { __builtin_prefetch(address); }

// The CPUs on which this process may run, ascending (sched_getaffinity(2)).
std::vector<int> AllowedCpus();

// Binds the calling thread to one CPU (sched_setaffinity(2)).
absl::Status PinToCpu(int cpu);

}  // namespace ipcmark::os

#endif  // IPCMARK_IPC_OS_CPU_H_
