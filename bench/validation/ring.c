// The ring of ipc/sysv_shm in straight-line C: the same memory, stores and waits, without deadlines, errors that come
// back to a caller, or a harness. Prints nanoseconds per round trip or per message.
//
// usage: ring round_trip|round_trip_blocking|throughput|throughput_blocking SENDER_CPU RECEIVER_CPU COUNT BYTES DEPTH
//
// One slot per message: a commit word (message number + 1, length) and the payload, side by side up to 256 bytes, else
// the words on lines of their own and the payloads, from 1 KiB on, on pages with 2 KiB between them. One side writes
// the payload's words to a buffer of its own and copies it in, the other one copies it out and sums it up. The round
// trips go over two rings, one for each way; as in the harness the clock is read once for each.

#define _GNU_SOURCE
#include <linux/futex.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#include "bench/validation/straight.h"

#if defined(__x86_64__)
#define SPIN_HINT() __builtin_ia32_pause()
#else
#define SPIN_HINT() ((void)0)
#endif

enum {
  kMaxBytes = 4096,
  kPage = 4096,
  kLine = 64,
  kPackedBytes = 256,
  kPagedBytes = 1024,
  kGapBytes = 2048,
  kPollsPerYield = 1024,
  kMessagesPerStamp = 64
};
// When a receiver lets a streaming sender get ahead: ipc/lead.h and ipc/sysv_shm/ring_layout.h say why.
enum { kMostLead = 128, kLeadRounds = 16, kLeadRoundsPerMessage = 4, kMinWaits = 64, kMaxWaits = 1 << 12 };
// When a receiver that never waits does: likewise (Distance).
enum { kMostDistance = 256, kLeastDepth = 512, kMessagesPerLook = 64, kDistanceRoundsPerMessage = 2 };
// When a sender lets its receiver get ahead: likewise.
enum { kRoomAtOnce = 512, kPausesPerLook = 4, kMostPausesPerLook = 256, kMostPauses = 2000, kIdleLooks = 8 };

struct Header {
  _Alignas(kLine) _Atomic uint32_t sender_sleeps;
  _Alignas(kLine) _Atomic uint32_t receiver_sleeps;
  _Alignas(kLine) _Atomic uint64_t head;  // messages taken
  _Alignas(kLine) int64_t end_nanos;
};

// Whether to try what pays only sometimes.
struct Trials {
  int chances_let_pass;
  int chances_left;
};

// What one process knows of a ring and of its end of it.
struct End {
  struct Header* header;
  char* slots;
  char* slots_end;
  char* payloads;
  uint64_t slot_bytes;
  uint64_t payload_bytes;
  uint64_t depth;
  uint64_t next;             // message
  _Atomic uint64_t* commit;  // its commit word
  char* payload;             // and payload
  uint64_t head;             // as the sender has read it last
  uint64_t next_look;        // from this message on
  struct Trials lead;
  struct Trials distance;
};

// In the middle of a page, as bench/slice.h has it.
static _Alignas(kPage) uint64_t page_and_words[(kPage / 2 + kMaxBytes) / 8];
static uint64_t* const kWords = page_and_words + kPage / 2 / 8;
static int peer = -1;  // pidfd of the other process

INLINE _Atomic uint64_t* CommitOf(const struct End* end, uint64_t message) {
  return (_Atomic uint64_t*)(end->slots + message % end->depth * end->slot_bytes);
}
INLINE bool IsCommitted(uint64_t commit, uint64_t message) {
  return (uint32_t)(commit >> 32) == (uint32_t)(message + 1);
}

INLINE void Step(struct End* end) {
  ++end->next;
  char* const next = (char*)end->commit + end->slot_bytes;
  const bool is_first = next == end->slots_end;
  end->commit = (_Atomic uint64_t*)(is_first ? end->slots : next);
  end->payload = is_first ? end->payloads : end->payload + end->payload_bytes;
}

// The sleep word is an epoch whose bit 0 says that somebody sleeps.
INLINE void Wake(_Atomic uint32_t* sleeps) {
  if ((atomic_load(sleeps) & 1) == 0) return;
  atomic_fetch_add(sleeps, 1);
  syscall(SYS_futex, sleeps, FUTEX_WAKE, 1, NULL, NULL, 0);
}

// Before each first sleep: a process that has died wakes nobody.
static void LookAtPeer(void) {
  struct pollfd poller = {.fd = peer, .events = POLLIN};
  if (poll(&poller, 1, 0) != 0) Die("the other process");
}

// At most 40 ms, as ipc/sysv_shm does to look up now and then.
static void Sleep(_Atomic uint32_t* sleeps, uint32_t asleep) {
  const int64_t until = Now() + 40000000;
  const struct timespec at = {until / 1000000000, until % 1000000000};
  syscall(SYS_futex, sleeps, FUTEX_WAIT_BITSET, asleep, &at, NULL, FUTEX_BITSET_MATCH_ANY);
}

INLINE bool HasRoom(struct End* end) {
  end->head = atomic_load(&end->header->head);
  return end->next - end->head < end->depth;
}

// Lets the receiver get ahead, as long as it does get on.
static void AwaitMoreRoom(struct End* end) {
  const uint64_t enough = end->depth / 2 < kRoomAtOnce ? end->depth / 2 : kRoomAtOnce;
  int pauses = kPausesPerLook;
  for (int idle = 0, left = kMostPauses;
       end->next - end->head + enough > end->depth && idle < kIdleLooks && left > 0;) {
    for (int i = 0; i < (pauses < left ? pauses : left); ++i) SPIN_HINT();
    left -= pauses + kPausesPerLook;
    const uint64_t before = end->head;
    HasRoom(end);
    const bool gets_on = end->head != before;
    idle = gets_on ? 0 : idle + 1;
    pauses = !gets_on ? kPausesPerLook : 2 * pauses < kMostPausesPerLook ? 2 * pauses : kMostPausesPerLook;
  }
}

static __attribute__((noinline)) void AwaitRoom(struct End* end, bool blocks) {
  if (!blocks) {
    for (int round = 1; !HasRoom(end); ++round) {
      SPIN_HINT();
      if (round % kPollsPerYield == 0) sched_yield();
    }
    AwaitMoreRoom(end);
    return;
  }
  if (HasRoom(end)) return;
  LookAtPeer();
  for (;;) {
    const uint32_t asleep = atomic_fetch_or(&end->header->sender_sleeps, 1) | 1;
    if (HasRoom(end)) break;
    Sleep(&end->header->sender_sleeps, asleep);
    if (HasRoom(end)) break;
  }
  atomic_fetch_and_explicit(&end->header->sender_sleeps, ~1U, memory_order_relaxed);
}

INLINE void Send(struct End* end, uint64_t n, uint32_t bytes, bool blocks) {
  WriteWords(kWords, n, bytes);
  if (end->next - end->head >= end->depth) AwaitRoom(end, blocks);
  CopyFresh(end->payload, (const char*)kWords, bytes);
  const uint64_t commit = (end->next + 1) << 32 | bytes;
  if (blocks) {
    atomic_store(end->commit, commit);
    Wake(&end->header->receiver_sleeps);
  } else {
    // Asks all the same whether somebody sleeps, as ipc/sysv_shm does.
    atomic_store_explicit(end->commit, commit, memory_order_release);
    if (atomic_load_explicit(&end->header->receiver_sleeps, memory_order_relaxed) & 1)
      Wake(&end->header->receiver_sleeps);
  }
  Step(end);
}

INLINE bool IsDue(struct Trials* trials) {
  if (trials->chances_left == 0) return true;
  --trials->chances_left;
  return false;
}
INLINE void Ended(struct Trials* trials, bool has_paid) {
  const int doubled = 2 * trials->chances_let_pass;
  trials->chances_let_pass = has_paid ? 0 : doubled < kMinWaits ? kMinWaits : doubled < kMaxWaits ? doubled : kMaxWaits;
  trials->chances_left = trials->chances_let_pass;
}

// Whether the message so far behind the due one comes within so many rounds.
INLINE bool ComesAhead(const struct End* end, uint64_t ahead, int rounds, int rounds_per_look) {
  const _Atomic uint64_t* commit = CommitOf(end, end->next + ahead);
  for (; !IsCommitted(atomic_load_explicit(commit, memory_order_relaxed), end->next + ahead);
       rounds -= rounds_per_look) {
    if (rounds <= 0) return false;
    for (int i = 0; i < rounds_per_look; ++i) SPIN_HINT();
  }
  return true;
}

static __attribute__((noinline)) bool IsStream(const struct End* end) {
  const uint64_t most = end->depth / 2 < kMostLead ? end->depth / 2 : kMostLead;
  for (uint64_t lead = 1; lead <= most; lead *= 2) {
    if (!ComesAhead(end, lead, kLeadRounds + kLeadRoundsPerMessage * (int)lead, 1)) return false;
  }
  return true;
}

static __attribute__((noinline)) void KeepDistance(struct End* end) {
  end->next_look = end->depth < kLeastDepth ? UINT64_MAX : end->next + kMessagesPerLook;
  const uint64_t most = end->depth / 4 < kMostDistance ? end->depth / 4 : kMostDistance;
  if (end->depth < kLeastDepth || ComesAhead(end, most / 4, 0, kPausesPerLook) || !IsDue(&end->distance)) return;
  bool is_fast = true;
  uint64_t there = 0;
  for (uint64_t ahead = most / 4; is_fast && ahead <= most; there = ahead, ahead *= 2) {
    is_fast = ComesAhead(end, ahead, kDistanceRoundsPerMessage * (int)(ahead - there), kPausesPerLook);
  }
  Ended(&end->distance, is_fast);
}

static __attribute__((noinline)) uint64_t AwaitMessage(struct End* end, uint32_t bytes, bool blocks) {
  const _Atomic uint64_t* due = end->commit;
  uint64_t commit;
  if (!blocks) {
    if (IsDue(&end->lead)) Ended(&end->lead, IsStream(end));
    // A small message lies on two lines: the second one comes along.
    const char* near_end = end->payload + (bytes < 63 ? bytes : 63);
    for (int round = 1; !IsCommitted(commit = atomic_load(due), end->next); ++round) {
      if (bytes <= kPackedBytes) __builtin_prefetch(near_end);
      SPIN_HINT();
      if (round % kPollsPerYield == 0) sched_yield();
    }
    return commit;
  }
  LookAtPeer();
  for (;;) {
    const uint32_t asleep = atomic_fetch_or(&end->header->receiver_sleeps, 1) | 1;
    if (IsCommitted(commit = atomic_load(due), end->next)) break;
    Sleep(&end->header->receiver_sleeps, asleep);
    if (IsCommitted(commit = atomic_load(due), end->next)) break;
  }
  atomic_fetch_and_explicit(&end->header->receiver_sleeps, ~1U, memory_order_relaxed);
  return commit;
}

INLINE void Receive(struct End* end, uint64_t n, uint32_t bytes, bool blocks) {
  uint64_t commit = atomic_load_explicit(end->commit, memory_order_acquire);
  if (!IsCommitted(commit, end->next)) {
    commit = AwaitMessage(end, bytes, blocks);
  } else if (end->next >= end->next_look) {
    KeepDistance(end);
  }
  if ((uint32_t)commit != bytes) Die("another length");
  char* payload = end->payload;
  CopyOut((char*)kWords, payload, bytes);
  // The lines become the receiver's, so that the sender need not wait for the rights to each (ipc/copy.h, HandBack).
  if (!blocks || bytes > kPackedBytes) {
    for (uint32_t i = 0; i + kLine <= bytes; i += kLine) {
      volatile char* line = payload + i;
      *line = *line;
    }
  }
  Step(end);
  if (blocks) {
    atomic_store(&end->header->head, end->next);
    Wake(&end->header->sender_sleeps);
  } else {
    atomic_store_explicit(&end->header->head, end->next, memory_order_release);
    if (atomic_load_explicit(&end->header->sender_sleeps, memory_order_relaxed) & 1) Wake(&end->header->sender_sleeps);
  }
  if (!IsMessage(kWords, n, bytes)) Die("another message");
}

// In a System V segment, which goes when the last process does.
static struct End Create(uint32_t bytes, uint32_t depth) {
  const bool packed = bytes <= kPackedBytes;
  const bool paged = bytes >= kPagedBytes;
  const uint64_t slot_bytes = packed ? 8 + bytes : kLine;
  const uint64_t payload_bytes = packed  ? slot_bytes
                                 : paged ? (bytes + kGapBytes + kPage - 1) / kPage * kPage
                                         : (bytes + kLine - 1) / kLine * kLine;
  const uint64_t unit = paged ? kPage : kLine;
  const uint64_t offset =
      packed ? sizeof(struct Header) + 8 : (sizeof(struct Header) + depth * slot_bytes + unit - 1) / unit * unit;
  const int id = shmget(IPC_PRIVATE, offset + depth * payload_bytes, IPC_CREAT | 0600);
  if (id < 0) Die("shmget");
  char* memory = shmat(id, NULL, 0);
  if (shmctl(id, IPC_RMID, NULL) != 0) Die("shmctl");
  if ((intptr_t)memory == -1) Die("shmat");
  char* const slots = memory + sizeof(struct Header);
  return (struct End){.header = (struct Header*)memory,
                      .slots = slots,
                      .slots_end = slots + depth * slot_bytes,
                      .payloads = memory + offset,
                      .slot_bytes = slot_bytes,
                      .payload_bytes = payload_bytes,
                      .depth = depth,
                      .commit = (_Atomic uint64_t*)slots,
                      .payload = memory + offset};
}

struct Run {
  int sender_cpu;
  int receiver_cpu;
  uint64_t count;
  uint32_t bytes;
  uint32_t depth;
};

// 0 in the child.
static pid_t ForkAndWatch(struct Run run) {
  const pid_t child = Fork(run.sender_cpu, run.receiver_cpu);
  peer = (int)syscall(SYS_pidfd_open, child == 0 ? getppid() : child, 0);
  if (peer < 0) Die("pidfd_open");
  return child;
}

INLINE double RoundTrip(struct Run run, bool blocks) {
  const uint64_t end = run.depth + Warmup(run.count) + run.count;
  const uint64_t start_at = end - run.count;
  struct End there = Create(run.bytes, run.depth);
  struct End back = Create(run.bytes, run.depth);
  const pid_t child = ForkAndWatch(run);
  if (child == 0) {
    for (uint64_t n = 0; n < end; ++n) {
      Receive(&there, n, run.bytes, blocks);
      Send(&back, n, run.bytes, blocks);
    }
    _exit(0);
  }
  int64_t start = 0;
  int64_t now = 0;
  for (uint64_t n = 0; n < end; ++n) {
    if (n == start_at) start = now;
    Send(&there, n, run.bytes, blocks);
    Receive(&back, n, run.bytes, blocks);
    now = Now();
  }
  Reap(child);
  return (double)(now - start) / (double)run.count;
}

// From the first send into an empty ring to the last message taken.
INLINE double Throughput(struct Run run, bool blocks) {
  const uint64_t warmup = run.depth + Warmup(run.count);
  struct End ring = Create(run.bytes, run.depth);
  struct End warm = Create(8, 1);
  const pid_t child = ForkAndWatch(run);
  if (child == 0) {
    for (uint64_t n = 0; n < warmup; ++n) Receive(&ring, n, run.bytes, blocks);
    Send(&warm, 0, 8, blocks);
    for (uint64_t n = warmup; n < warmup + run.count; ++n) {
      Receive(&ring, n, run.bytes, blocks);
      if ((n - warmup) % kMessagesPerStamp == 0) ring.header->end_nanos = Now();
    }
    ring.header->end_nanos = Now();
    _exit(0);
  }
  for (uint64_t n = 0; n < warmup; ++n) Send(&ring, n, run.bytes, blocks);
  Receive(&warm, 0, 8, blocks);
  const int64_t start = Now();
  for (uint64_t n = warmup; n < warmup + run.count; ++n) Send(&ring, n, run.bytes, blocks);
  Reap(child);
  return (double)(ring.header->end_nanos - start) / (double)run.count;
}

int main(int argc, char** argv) {
  const bool enough = argc == 7;
  const struct Run run = {.sender_cpu = enough ? atoi(argv[2]) : 0,
                          .receiver_cpu = enough ? atoi(argv[3]) : 0,
                          .count = enough ? strtoull(argv[4], NULL, 10) : 0,
                          .bytes = enough ? (uint32_t)atoi(argv[5]) : 0,
                          .depth = enough ? (uint32_t)atoi(argv[6]) : 0};
  double nanos = -1;
  if (run.count > 0 && run.bytes > 0 && run.bytes % 8 == 0 && run.bytes <= kMaxBytes && run.depth > 0) {
    if (strcmp(argv[1], "round_trip") == 0) nanos = RoundTrip(run, false);
    if (strcmp(argv[1], "round_trip_blocking") == 0) nanos = RoundTrip(run, true);
    if (strcmp(argv[1], "throughput") == 0) nanos = Throughput(run, false);
    if (strcmp(argv[1], "throughput_blocking") == 0) nanos = Throughput(run, true);
  }
  if (nanos < 0) {
    fprintf(stderr,
            "usage: %s round_trip|round_trip_blocking|throughput|throughput_blocking CPU CPU COUNT BYTES DEPTH\n"
            "BYTES: a multiple of 8 up to %d; COUNT and DEPTH: at least 1\n",
            argv[0], kMaxBytes);
    return 2;
  }
  printf("%.3f\n", nanos);
  return 0;
}
