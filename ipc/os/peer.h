#ifndef IPCMARK_IPC_OS_PEER_H_
#define IPCMARK_IPC_OS_PEER_H_

// Who is at the other end of a shared-memory object, and is it still alive? A process that dies by SIGKILL tells
// nobody; what it leaves is its process id, and the kernel knows the rest.

#include <sys/types.h>

#include <atomic>
#include <cstdint>

#include "ipc/os/fd.h"

namespace ipcmark::os {

enum class PeerState : uint8_t {
  kNever,   // nobody has opened this end yet
  kOpen,    // open, and its process lives
  kClosed,  // closed in an orderly way
  kDead,    // open, but its process is gone (a zombie counts as gone)
};

// One end's entry in shared memory. All zero: never opened. At most one process claims it at a time.
struct PeerWord {
  // Bits 0..21: process id (the kernel's PID_MAX_LIMIT is 2^22); 22..23: 0 never, 1 open, 2 closed; 24..63: when that
  // process started, in clock ticks since boot, which tells it from a later one with the same id (0: unknown). One
  // word, so that a claim is one compare-exchange and nobody sees half of it.
  std::atomic<uint64_t> owner;
};
static_assert(sizeof(PeerWord) == 8 && std::atomic<uint64_t>::is_always_lock_free);

// The start time of a process in clock ticks since boot (field 22 of /proc/PID/stat), 0 when it cannot be read. The
// same in every time namespace whose offset is whole seconds. Does not allocate.
uint64_t ProcessStartTicks(pid_t pid) noexcept;

// Takes `word` for this process. False when a living process holds it (`holder` says which).
bool ClaimPeer(PeerWord& word, pid_t* holder) noexcept;
// Gives it back, if this process still holds it. Release: what the owner did before is visible to who sees kClosed.
void ReleasePeer(PeerWord& word) noexcept;

// Watches one PeerWord from another process. Keeps a pidfd of the process last seen there, so that a look costs one
// poll(2) and no /proc access. Look is noexcept and allocates nothing; for slow paths only (about a microsecond).
class PeerWatch {
 public:
  PeerState Look(const PeerWord& word) noexcept;
  // The same for an owner word that was loaded before.
  PeerState LookAt(uint64_t owner) noexcept;

 private:
  uint64_t owner_ = 0;  // the owner word that pidfd_ stands for
  Fd pidfd_;
  bool dead_ = false;
};

}  // namespace ipcmark::os

#endif  // IPCMARK_IPC_OS_PEER_H_
