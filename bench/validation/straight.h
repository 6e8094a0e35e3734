#ifndef IPCMARK_BENCH_VALIDATION_STRAIGHT_H_
#define IPCMARK_BENCH_VALIDATION_STRAIGHT_H_

// What the straight-line programs in C have in common: a clock, two processes on their CPUs, and the payload that one
// writes and the other sums up. Whatever goes wrong ends the program with status 2 and a line that names it.

#ifndef _GNU_SOURCE
#error "define _GNU_SOURCE before the first header"
#endif
#ifdef __SSE2__
#include <emmintrin.h>
#endif
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define INLINE static inline __attribute__((always_inline))

static inline void Die(const char* what) {
  perror(what);
  exit(2);
}

static inline int64_t Now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static inline void Pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof(set), &set) != 0) Die("sched_setaffinity");
}

// Forks the receiver, which dies with its parent. 0 in the child.
static inline pid_t Fork(int sender_cpu, int receiver_cpu) {
  const pid_t child = fork();
  if (child < 0) Die("fork");
  if (child == 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
  Pin(child == 0 ? receiver_cpu : sender_cpu);
  return child;
}

static inline void Reap(pid_t child) {
  int status = 0;
  if (waitpid(child, &status, 0) != child || status != 0) Die("receiver");
}

// A tenth of `count` and 80 more warm up before the clock starts.
static inline uint64_t Warmup(uint64_t count) { return count / 10 + 80; }

// Message n of so many bytes, a multiple of 8: word i is n + i. In vectors of two words, two at a time, as the harness
// does it (bench/slice.h): at 4 KiB the compiler's own vectors take twice as long, a fifth of a round trip.
typedef uint64_t TwoWords __attribute__((vector_size(16), aligned(4), may_alias));
// A payload may begin behind a length of four bytes.
typedef uint64_t Word __attribute__((aligned(4), may_alias));

// Inlined, as in the harness: what a call pushes waits behind the stores to another CPU's lines.
INLINE void WriteWords(Word* words, uint64_t n, uint64_t bytes) {
  const uint64_t count = bytes / 8;
  const uint64_t whole = count / 4 * 4;
  TwoWords low = {n, n + 1};
  TwoWords high = {n + 2, n + 3};
  for (uint64_t i = 0; i < whole; i += 4) {
    *(TwoWords*)&words[i] = low;
    *(TwoWords*)&words[i + 2] = high;
    low += 4;
    high += 4;
  }
  for (uint64_t i = whole; i < count; ++i) words[i] = n + i;
}

INLINE int IsMessage(const Word* words, uint64_t n, uint64_t bytes) {
  const uint64_t count = bytes / 8;
  const uint64_t whole = count / 4 * 4;
  TwoWords even = {0, 0};
  TwoWords odd = {0, 0};
  for (uint64_t i = 0; i < whole; i += 4) {
    even += *(const TwoWords*)&words[i];
    odd += *(const TwoWords*)&words[i + 2];
  }
  even += odd;
  uint64_t sum = even[0] + even[1];
  for (uint64_t i = whole; i < count; ++i) sum += words[i];
  return sum == count * n + count * (count - 1) / 2;
}

// Copies as ipc/copy.h has them, of multiples of 8 bytes.
INLINE void CopyFresh(char* to, const char* from, uint32_t bytes) {
  if (bytes > 256) {
    memcpy(to, from, bytes);
    return;
  }
  // Word by word: wider loads would wait for the stores just done (ipc/copy.h).
  for (uint32_t i = 0; i < bytes; i += 8) {
    uint64_t word;
    memcpy(&word, from + i, 8);
    __asm__ volatile("" : "+r"(word));
    memcpy(to + i, &word, 8);
  }
}

// Without a call (ipc/copy.h).
INLINE void CopyOut(char* to, const char* from, uint32_t bytes) {
#ifdef __SSE2__
  if (bytes <= 256) {
    uint32_t at = 0;
    for (__m128i part; at + sizeof(part) <= bytes; at += sizeof(part)) {
      memcpy(&part, from + at, sizeof(part));
      __asm__ volatile("" : "+x"(part));
      memcpy(to + at, &part, sizeof(part));
    }
    for (uint64_t word; at < bytes; at += sizeof(word)) {
      memcpy(&word, from + at, sizeof(word));
      memcpy(to + at, &word, sizeof(word));
    }
    return;
  }
#endif
  memcpy(to, from, bytes);
}

#endif  // IPCMARK_BENCH_VALIDATION_STRAIGHT_H_
