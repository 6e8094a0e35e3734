#ifndef IPCMARK_IPC_OS_FENCE_H_
#define IPCMARK_IPC_OS_FENCE_H_

// An asymmetric pair of fences between processes: a light one that costs nothing, for a path that is taken all the
// time, and a heavy one that costs a system call and interrupts other CPUs, for a path that is about to sleep anyway.
//
// A pair of sequentially consistent fences promises: of two processes that each store to one word, fence, and load the
// other's word, at least one sees the other's store. LightFence in the one and HeavyFence in the other promise the
// same, on every architecture: while HeavyFence runs, every CPU that runs a registered process executes a full barrier,
// so all stores before that process's LightFence have become visible, or none of its loads behind it have been done.
//
// Source: membarrier(2), MEMBARRIER_CMD_GLOBAL_EXPEDITED (Linux 4.16).

#include <atomic>

namespace ipcmark::os {

// Registers this process, whose LightFences others' HeavyFences then reach. False when the kernel cannot, or a sandbox
// does not let us (seccomp): then neither fence may be relied on. Cheap when called again. Each process that uses
// either fence calls it, after fork too.
bool RegisterForHeavyFences() noexcept;

// 0.5 µs while no other registered process runs, about 8 µs while one does (a virtual machine with two CPUs).
void HeavyFence() noexcept;

// For the compiler only: keeps the program's order of stores before and loads behind.
inline void LightFence() noexcept { std::atomic_signal_fence(std::memory_order_seq_cst); }

}  // namespace ipcmark::os

#endif  // IPCMARK_IPC_OS_FENCE_H_
