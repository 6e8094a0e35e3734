// The straight-line programs that the harness is held against: what a textbook would write, nothing in between. Prints
// nanoseconds per round trip or per message.
//
// usage: reference pipe_round_trip|pipe_ping_pong|pipe_throughput|line_ping_pong SENDER_CPU RECEIVER_CPU COUNT BYTES
//
// pipe_ping_pong does what `perf bench sched pipe` does: one write and one read of so many bytes, which nobody looks
// at. The other pipes do what ipc/pipe does for such a message: one write and one read of a 4-byte length and the
// payload, whose words are written by one side and summed by the other. The ring is in ring.c.

#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/validation/straight.h"

// Pipes as ipc/pipe has them at a depth of 64 messages, small ones and of 1 KiB; perf leaves its own as they come.
enum {
  kMaxBytes = 4000,
  kTripsPerBatch = 16,
  kSmallPipeBytes = 8 << 10,
  kPerfPipeBytes = 64 << 10,
  kLargePipeBytes = 128 << 10
};

struct Shared {
  _Alignas(64) _Atomic uint64_t line;
  _Alignas(64) _Atomic uint32_t warm;
  int64_t end_nanos;
};

static struct Shared* shared;

// The length and the payload together are what goes through the pipe, from the beginning of a cache line on, as in
// ipc/pipe.
static struct {
  uint32_t bytes;
  Word words[kMaxBytes / 8];
} frame __attribute__((aligned(64)));

static void Put(int fd, uint64_t n, uint32_t bytes) {
  frame.bytes = bytes;
  WriteWords(frame.words, n, bytes);
  if (write(fd, &frame.bytes, sizeof(bytes) + bytes) != (ssize_t)(sizeof(bytes) + bytes)) Die("write");
}

static void Take(int fd, uint64_t n, uint32_t bytes) {
  if (read(fd, &frame.bytes, sizeof(bytes) + bytes) != (ssize_t)(sizeof(bytes) + bytes)) Die("read");
  if (frame.bytes != bytes || !IsMessage(frame.words, n, bytes)) Die("another message");
}

static void Pipe(int fds[2], int bytes) {
  if (pipe(fds) != 0) Die("pipe");
  if (fcntl(fds[1], F_SETPIPE_SZ, bytes) < 0) Die("F_SETPIPE_SZ");
}

// Whole or not at all: BYTES are far fewer than PIPE_BUF.
static void PutPlain(int fd, uint64_t n, uint32_t bytes) {
  (void)n;
  if (write(fd, frame.words, bytes) != (ssize_t)bytes) Die("write");
}

static void TakePlain(int fd, uint64_t n, uint32_t bytes) {
  (void)n;
  if (read(fd, frame.words, bytes) != (ssize_t)bytes) Die("read");
}

typedef void Transfer(int fd, uint64_t n, uint32_t bytes);

static inline __attribute__((always_inline)) double RoundTrip(Transfer* put, Transfer* take, int pipe_bytes,
                                                              int sender_cpu, int receiver_cpu, uint64_t count,
                                                              uint32_t bytes) {
  const uint64_t warmup = Warmup(count);
  int there[2];
  int back[2];
  Pipe(there, pipe_bytes);
  Pipe(back, pipe_bytes);
  const pid_t child = Fork(sender_cpu, receiver_cpu);
  if (child == 0) {
    for (uint64_t n = 0; n < warmup + count; ++n) {
      take(there[0], n, bytes);
      put(back[1], n, bytes);
    }
    _exit(0);
  }
  int64_t start = 0;
  for (uint64_t n = 0; n < warmup + count; ++n) {
    if (n == warmup) start = Now();
    put(there[1], n, bytes);
    take(back[0], n, bytes);
  }
  const int64_t nanos = Now() - start;
  Reap(child);
  return (double)nanos / (double)count;
}

// From the first send to the last byte received.
static double PipeThroughput(int sender_cpu, int receiver_cpu, uint64_t count, uint32_t bytes) {
  const uint64_t warmup = Warmup(count);
  int fds[2];
  int warm[2];
  Pipe(fds, kLargePipeBytes);
  Pipe(warm, kSmallPipeBytes);
  const pid_t child = Fork(sender_cpu, receiver_cpu);
  if (child == 0) {
    for (uint64_t n = 0; n < warmup; ++n) Take(fds[0], n, bytes);
    Put(warm[1], 0, 8);
    for (uint64_t n = warmup; n < warmup + count; ++n) Take(fds[0], n, bytes);
    shared->end_nanos = Now();
    _exit(0);
  }
  for (uint64_t n = 0; n < warmup; ++n) Put(fds[1], n, bytes);
  Take(warm[0], 0, 8);
  const int64_t start = Now();
  for (uint64_t n = warmup; n < warmup + count; ++n) Put(fds[1], n, bytes);
  Reap(child);
  return (double)(shared->end_nanos - start) / (double)count;
}

static void AwaitLine(uint64_t value) {
  // Release and acquire: what a message's commit word needs. The yield is for two processes on one CPU.
  for (int round = 1; atomic_load_explicit(&shared->line, memory_order_acquire) != value; ++round) {
    if (round % 4096 == 0) sched_yield();
  }
}

static int Compare(const void* left, const void* right) {
  const int64_t a = *(const int64_t*)left;
  const int64_t b = *(const int64_t*)right;
  return (a > b) - (a < b);
}

// The median of kTripsPerBatch trips at once: clocks step (by 10 ns on an AMD EPYC, the TSC like CLOCK_MONOTONIC), and
// a single trip may be 80 of them or 90.
static double LinePingPong(int sender_cpu, int receiver_cpu, uint64_t count) {
  const uint64_t warmup = Warmup(count);
  const uint64_t batches = (count + kTripsPerBatch - 1) / kTripsPerBatch;
  int64_t* const samples = calloc(batches, sizeof(*samples));
  if (samples == NULL) Die("calloc");
  const pid_t child = Fork(sender_cpu, receiver_cpu);
  if (child == 0) {
    for (uint64_t n = 0; n < warmup + batches * kTripsPerBatch; ++n) {
      AwaitLine(2 * n + 1);
      atomic_store_explicit(&shared->line, 2 * n + 2, memory_order_release);
    }
    _exit(0);
  }
  // Each trip is stamped, as the harness stamps its own: the clock's fences are part of what is compared.
  int64_t start = 0;
  int64_t now = 0;
  for (uint64_t n = 0; n < warmup + batches * kTripsPerBatch; ++n) {
    if (n >= warmup && (n - warmup) % kTripsPerBatch == 0) start = now;
    atomic_store_explicit(&shared->line, 2 * n + 1, memory_order_release);
    AwaitLine(2 * n + 2);
    now = Now();
    if (n >= warmup) samples[(n - warmup) / kTripsPerBatch] = now - start;
  }
  Reap(child);
  qsort(samples, batches, sizeof(*samples), Compare);
  const int64_t median = samples[batches / 2];
  free(samples);
  return (double)median / kTripsPerBatch;
}

int main(int argc, char** argv) {
  if (argc != 6 || atoll(argv[4]) <= 0 || atoi(argv[5]) <= 0 || atoi(argv[5]) > kMaxBytes ||
      (atoi(argv[5]) % 8 != 0 && strcmp(argv[1], "pipe_ping_pong") != 0)) {
    fprintf(stderr, "usage: %s pipe_round_trip|pipe_ping_pong|pipe_throughput|line_ping_pong CPU CPU COUNT BYTES\n",
            argv[0]);
    return 2;
  }
  const int sender_cpu = atoi(argv[2]);
  const int receiver_cpu = atoi(argv[3]);
  const uint64_t count = (uint64_t)atoll(argv[4]);
  const uint32_t bytes = (uint32_t)atoi(argv[5]);
  shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) Die("mmap");
  double nanos = 0;
  if (strcmp(argv[1], "pipe_round_trip") == 0) {
    nanos = RoundTrip(Put, Take, kSmallPipeBytes, sender_cpu, receiver_cpu, count, bytes);
  } else if (strcmp(argv[1], "pipe_ping_pong") == 0) {
    nanos = RoundTrip(PutPlain, TakePlain, kPerfPipeBytes, sender_cpu, receiver_cpu, count, bytes);
  } else if (strcmp(argv[1], "pipe_throughput") == 0) {
    nanos = PipeThroughput(sender_cpu, receiver_cpu, count, bytes);
  } else if (strcmp(argv[1], "line_ping_pong") == 0) {
    nanos = LinePingPong(sender_cpu, receiver_cpu, count);
  } else {
    fprintf(stderr, "%s: no such program\n", argv[1]);
    return 2;
  }
  printf("%.3f\n", nanos);
  return 0;
}
