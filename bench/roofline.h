#ifndef IPCMARK_BENCH_ROOFLINE_H_
#define IPCMARK_BENCH_ROOFLINE_H_

// Rooflines: what the hardware itself needs for the data movement of a scenario, measured by the same two processes on
// the same CPUs in the same slice, in short bursts right before and right after the timed messages. On a virtual
// machine one cache line costs 70, 230 or 1,000 ns a round trip within an hour; a ratio taken inside a slice stands
// still meanwhile.
//
//   LinePingPong   one cache line there and back, one clock read each: no round trip of a message can be faster, and no
//                  message one way than half of it. Between sides that sleep in the kernel (Wait::kBlock) with a futex
//                  wake-up each way.
//   OneCopy        payloads written straight into shared memory by one side, copied out of it and checked by the other,
//                  with one flag per chunk of at least 4 KiB, and its lines handed back (ipc/copy.h): what passing the
//                  bytes costs when messages cost nothing.
//                  Bounds everything that copies each message; what hands messages over in place may be faster.
//
// A burst begins with a rendezvous of the two sides. Both spin, and let others run now and then, so that a burst ends
// also where both share a CPU.

#include <atomic>
#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "bench/slice.h"
#include "ipc/channel.h"
#include "ipc/os/mapping.h"

namespace ipcmark::bench {

// One slice's, in memory that both sides share; made before they are forked.
class LinePingPong {
 public:
  // In a slice of so many messages: a burst is no longer than a quarter of it.
  static absl::StatusOr<LinePingPong> Create(uint64_t messages, Wait wait = Wait::kSpin);

  // One burst: the sender leads, the receiver follows.
  void Lead() noexcept;
  void Follow() noexcept;
  // All round trips so far, and their median in nanoseconds; 0 before the first one.
  [[nodiscard]] std::span<const int64_t> Samples() const;
  [[nodiscard]] double Nanos() const;

 private:
  struct Shared;
  LinePingPong(os::Mapping mapping, uint32_t rounds, bool sleeps)
      : mapping_(std::move(mapping)), rounds_(rounds), sleeps_(sleeps) {}
  void Await(uint32_t turn) const noexcept;
  void Give(uint32_t turn) const noexcept;
  [[nodiscard]] Shared& shared() const { return *static_cast<Shared*>(mapping_.address()); }

  os::Mapping mapping_;
  uint32_t rounds_;    // round trips of a burst
  bool sleeps_;        // whoever waits
  uint32_t turn_ = 0;  // of this process's copy: round trips so far
};

class OneCopy {
 public:
  // In a slice of so many messages of so many bytes (a multiple of 8, at least 8), through as much memory as
  // `depth_messages` of them.
  static absl::StatusOr<OneCopy> Create(uint32_t message_bytes, uint32_t depth_messages, uint64_t messages);

  void Lead() noexcept;
  void Follow() noexcept;
  // The median over all bursts, in nanoseconds per message; 0 before the first one, or when a payload came out wrong.
  [[nodiscard]] double NanosPerMessage() const;
  // Copied in all bursts so far.
  [[nodiscard]] uint64_t Messages() const;

 private:
  struct Shared;
  // Without its memory.
  OneCopy(uint32_t message_bytes, uint32_t depth_messages, uint64_t messages);
  [[nodiscard]] Shared& shared() const { return *static_cast<Shared*>(mapping_.address()); }
  void LeadOnce() noexcept;
  void FollowOnce() noexcept;

  os::Mapping mapping_;
  uint64_t words_;  // of a message
  uint64_t messages_per_chunk_;
  uint64_t chunks_;  // in memory
  uint64_t chunks_per_burst_;
  uint64_t next_ = 0;  // of this process's copy: chunks so far
  Words out_;          // the follower's copy of a message
};

// In the place of OneCopy where nothing bounds.
struct NoBound {
  static absl::StatusOr<NoBound> Create(uint32_t /*message_bytes*/, uint32_t /*depth_messages*/,
                                        uint64_t /*messages*/) {
    return NoBound();
  }
  void Lead() noexcept {}
  void Follow() noexcept {}
  [[nodiscard]] double NanosPerMessage() const { return 0; }
};

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_ROOFLINE_H_
