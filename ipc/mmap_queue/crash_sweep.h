#ifndef IPCMARK_IPC_MMAP_QUEUE_CRASH_SWEEP_H_
#define IPCMARK_IPC_MMAP_QUEUE_CRASH_SWEEP_H_

// SIGKILL at every instruction of a call on a queue. A victim is single-stepped (ptrace) through one call and killed
// after its k-th instruction, for every k; then a survivor looks: no message that was accepted is lost, none is there
// twice or torn, count and room are right, and a peer that was blocked has what it waited for within 100 ms.

#include <cstdint>
#include <string>
#include <vector>

#include "ipc/mmap_queue/queue.h"
#include "ipc/mmap_queue/queue_layout.h"

namespace ipcmark::mmap_queue {

// The messages of a scenario are of one of these sizes. The large ones go through stages.
inline constexpr size_t kSweptSmallBytes = 12;
inline constexpr size_t kSweptLargeBytes = kStagedBytes;

// Somebody who is blocked in a call when the victim begins.
enum class Peer : uint8_t { kNone, kReceiver, kSender };

struct Scenario {
  const char* name;
  uint64_t messages;  // that lie there before
  Peer peer;
  bool sends;  // what the victim does
  void (*act)(Queue& queue);
  // How many messages the survivor sends (when the victim receives) or takes (when it sends), one each time that the
  // victim sleeps.
  uint64_t meanwhile = 0;
  size_t bytes = kSweptSmallBytes;  // of every message, or kSweptLargeBytes
};

// The victim's message, `bytes` long, and the priority with which it is to be sent.
const std::vector<std::byte>& VictimsMessage(size_t bytes = kSweptSmallBytes);
inline constexpr uint32_t kVictimsPriority = 5;
// Of the queue; a buffer has that much room. Smaller messages have queues without stages.
inline constexpr size_t kSweptMessageBytes = 16;
constexpr size_t RoomFor(size_t bytes) { return bytes <= kSweptMessageBytes ? kSweptMessageBytes : kSweptLargeBytes; }

struct Found {
  uint64_t instructions = 0;  // of the call
  uint64_t killed = 0;        // how many kills there were
  std::string unharmed;       // what is wrong when nobody is killed, else empty
  std::vector<std::string> wrong;
  uint64_t hangs = 0;  // of `wrong`: a survivor did not come back from its call
};

struct Extent {
  bool whole = false;            // every instruction, else a sample by the seed
  uint64_t enough = UINT64_MAX;  // ends when so many kills went wrong
};

// With Policy::kRobust all kills are survived by one queue, one after the other. With Policy::kPosix, where a kill may
// be the end of it, each has a queue of its own, and survivors that hang are found and killed.
Found SweepThrough(const Scenario& scenario, Policy policy, const Extent& extent);

// Whether this process may use ptrace(2).
bool MayTrace();

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_CRASH_SWEEP_H_
