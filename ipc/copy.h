#ifndef IPCMARK_IPC_COPY_H_
#define IPCMARK_IPC_COPY_H_

// Copying messages: CopyFresh for one that its sender has just written, CopyAcross for one that another CPU is to read,
// CopyOut for that CPU, HandBack for when it has read it.
//
// CopyFresh.
// memcpy loads up to 64 bytes at once. Where these were written a moment ago by several smaller stores, the processor
// cannot hand them from the stores to the load: the load waits until all of them, and every older store, have reached
// the cache; and the older ones are those to the ring's lines, which must first come over from the receiver's CPU. A
// sender of small messages then waits for its own last message: 23 instead of 27 million 64-byte messages a second one
// way through sysv_shm, 16 instead of 19 through moodycamel. Loads of a word are handed over.

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define IPCMARK_COPIES_PAST_THE_CACHE 1
#endif
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace ipcmark {

// Larger messages are not in the store buffer as a whole anyway, and memcpy is faster.
inline constexpr size_t kFreshBytes = 256;

// memcpy(3), for bytes that were just written. Four words a round are faster alone (6.5 instead of 9 ns for a 64-byte
// message) and slower in a stream (11 to 14 instead of 9): measure there.
inline void CopyFresh(std::byte* to, const std::byte* from, size_t bytes) noexcept {
  if (bytes > kFreshBytes) {
    memcpy(to, from, bytes);
    return;
  }
  uint64_t word;
  for (; bytes >= sizeof(word); bytes -= sizeof(word), to += sizeof(word), from += sizeof(word)) {
    memcpy(&word, from, sizeof(word));
    // Else the compiler finds that this is a memcpy.
    asm volatile("" : "+r"(word));
    memcpy(to, &word, sizeof(word));
  }
  for (; bytes > 0; --bytes, ++to, ++from) {
    auto byte = *from;
    asm volatile("" : "+r"(byte));
    *to = byte;
  }
}

// memcpy(3), for a message that another CPU has written: a small one without the call, which costs as much again.
inline void CopyOut(std::byte* to, const std::byte* from, size_t bytes) noexcept {
#ifdef __SSE2__
  if (bytes <= kFreshBytes) {
    size_t at = 0;
    for (__m128i part; at + sizeof(part) <= bytes; at += sizeof(part)) {
      memcpy(&part, from + at, sizeof(part));
      // Else the compiler finds that this is a memcpy.
      asm volatile("" : "+x"(part));
      memcpy(to + at, &part, sizeof(part));
    }
    for (; at < bytes; ++at) {
      auto byte = from[at];
      asm volatile("" : "+r"(byte));
      to[at] = byte;
    }
    return;
  }
#endif
  memcpy(to, from, bytes);
}

// In which CPUs exchange memory.
inline constexpr size_t kCopiedLineBytes = 64;
// Messages from this size on go past the cache, where their reader hands back what it has read. (Where CPUs are far
// apart this pays a little sooner, where they are near much later.)
inline constexpr size_t kAcrossBytes = 32768;
// The same where readers do not.
inline constexpr size_t kSharedAcrossBytes = 8192;

#ifdef IPCMARK_COPIES_PAST_THE_CACHE
// With non-temporal stores. Complete, for whoever sees a later store, when it returns.
[[gnu::noinline]] inline void CopyPastTheCache(std::byte* to, const std::byte* from, size_t bytes) noexcept {
  constexpr size_t kLine = kCopiedLineBytes;
  // A part of a line would be read, changed and written back.
  const size_t before = std::min<size_t>(-reinterpret_cast<uintptr_t>(to) % kLine, bytes);
  memcpy(to, from, before);
  bytes -= before, to += before, from += before;
  for (; bytes >= kLine; bytes -= kLine, to += kLine, from += kLine) {
    const auto* source = reinterpret_cast<const __m128i*>(from);
    auto* destination = reinterpret_cast<__m128i*>(to);
    const __m128i first = _mm_loadu_si128(source);
    const __m128i second = _mm_loadu_si128(source + 1);
    const __m128i third = _mm_loadu_si128(source + 2);
    const __m128i fourth = _mm_loadu_si128(source + 3);
    _mm_stream_si128(destination, first);
    _mm_stream_si128(destination + 1, second);
    _mm_stream_si128(destination + 2, third);
    _mm_stream_si128(destination + 3, fourth);
  }
  memcpy(to, from, bytes);
  _mm_sfence();
}
#endif

// CopyFresh for a buffer that a reader on another CPU has read before and reads next. From `across_bytes` on it goes
// past the cache: it need not fetch the lines from the reader's only to overwrite them, nor give them back dirty.
inline void CopyAcross(std::byte* to, const std::byte* from, size_t bytes,
                       [[maybe_unused]] size_t across_bytes = kAcrossBytes) noexcept {
#ifdef IPCMARK_COPIES_PAST_THE_CACHE
  if (bytes >= across_bytes) {
    CopyPastTheCache(to, from, bytes);
    return;
  }
#endif
  CopyFresh(to, from, bytes);
}

// What a reader does with a message of CopyFresh or CopyAcross that its writer, on another CPU, is to write over:
// called when it has read all it wants, and before it tells the writer so. A line that is only read stays with both,
// and the writer's next store to it has to wait until it is its own again, which no prefetch for writing speeds up: 47
// ns a line of 512 in random order here, where a line's round trip takes 340. A line that the reader has written to is
// the reader's alone, and the writer fetches it as it fetches any other, many at a time: 6 to 10 ns. So this writes to
// each line what is there. Whoever dies within it leaves the message as it was; nobody else may write to it meanwhile.
inline void HandBack(std::byte* at, size_t bytes, size_t across_bytes = kAcrossBytes) noexcept {
  // The writer does not fetch these.
  if (bytes >= across_bytes) return;
  for (size_t offset = 0; offset < bytes; offset += kCopiedLineBytes) {
    volatile std::byte* first_of_line = at + offset;
    *first_of_line = *first_of_line;
  }
}

}  // namespace ipcmark

#endif  // IPCMARK_IPC_COPY_H_
