#ifndef IPCMARK_BENCH_SLICE_H_
#define IPCMARK_BENCH_SLICE_H_

// A slice: one short timed run of one scenario over one primitive, in fresh processes. In this file what goes in, what
// comes out, and what the processes share meanwhile. The headers that scenarios.h lists have the timed loops,
// roofline.h what they are compared with.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "bench/machine/system_calls.h"
#include "ipc/channel.h"
#include "ipc/os/mapping.h"
#include "ipc/os/process_group.h"

namespace ipcmark::bench {

// A slice that takes longer is killed, and its row is an error.
inline constexpr int64_t kSliceWatchdogNanos = 60'000'000'000;

// In which order the priorities of Depth's messages come.
enum class Priorities : uint8_t { kConstant, kRising, kFalling, kRandom };
// When OpenLoop's messages are due: at random instants, as from many independent users, or equally far apart.
enum class Arrivals : uint8_t { kPoisson, kFixed };
// Whom Recovery kills, and when: recovery.h.
enum class Victim : uint8_t { kSender, kReceiver, kHolder };

struct SliceSpec {
  Geometry geometry;
  uint32_t message_bytes;  // of every message: a multiple of 8, at least 8
  uint64_t messages;       // timed ones; warm-up comes on top
  int sender_cpu = os::kAnyCpu;
  int receiver_cpu = os::kAnyCpu;
  const std::atomic<bool>* cancel = nullptr;  // becomes true: stop, with kCancelled
  int64_t watchdog_nanos = kSliceWatchdogNanos;
  // Of one scenario each:
  uint32_t burst_messages = 1;                    // Burst
  double load = 0;                                // OpenLoop: share of the capacity; 0: the highest that is in time
  Arrivals arrivals = Arrivals::kPoisson;         // OpenLoop
  double* capacity_per_second = nullptr;          // OpenLoop: where it is kept between slices; 0 there: not measured
  Priorities priorities = Priorities::kConstant;  // Depth
  Victim victim = Victim::kSender;                // Recovery
};

// What one side used from its first to its last timed message.
struct SideUsage {
  int64_t cpu_nanos;  // user and system
  int64_t voluntary_switches;
  int64_t involuntary_switches;
  int64_t minor_faults;
  int64_t major_faults;
  int64_t system_calls = -1;  // -1: not counted (machine/system_calls.h)

  // Not counted with anything is not counted.
  SideUsage& operator+=(const SideUsage& other);
};

struct SliceResult {
  int64_t nanos = 0;  // from the clock's start to its end, as each scenario defines them
  uint64_t messages = 0;
  uint64_t messages_per_sample = 1;
  uint64_t samples_per_event = 1;         // so many of the samples tell of one message: Quantile's of_one_event
  std::vector<int64_t> samples_nanos;     // raw, sorted ascending; each covers messages_per_sample messages
  std::vector<int64_t> samples_in_order;  // the same as they were taken; of several processes one after the other
  uint64_t samples_apart = 1;             // of so many one was kept
  int64_t max_nanos = 0;                  // of all, kept or not
  // Of all processes of a side together; nothing where no process has that part alone, or nobody measured it.
  std::optional<SideUsage> sender = {};
  std::optional<SideUsage> receiver = {};
  int64_t other_cpu_nanos = 0;  // CPU time of processes that are counted with neither
  // What the hardware alone needs for a message (a round trip), measured in this slice: roofline.h. 0: not measured.
  double roofline_nanos = 0;
  bool bounds_median = false;  // it bounds the samples' median (where there are enough for one); else the mean time
  // What only this scenario measures: counters of its rows by their names in results/schema.md.
  std::vector<std::pair<const char*, double>> extras = {};
};

// Jain's index of fairness of what the members of one side got: 1 when all got the same, 1/n when one got everything.
double Fairness(std::span<const double> shares);

// More samples than this are thinned out evenly: memory is bounded, and quantiles do not get better. The largest is
// known all the same.
inline constexpr uint64_t kMaxSamples = uint64_t{1} << 22;

// What the processes of a slice share, followed by the samples. Each side writes its own line.
struct SliceShared {
  alignas(64) SideUsage sender;
  int64_t start_nanos;  // written by the side that starts the clock
  alignas(64) SideUsage receiver;
  int64_t end_nanos;  // written by the side that stops it
  uint64_t samples;   // this and the next two: Sampler's
  uint64_t samples_apart;
  int64_t max_nanos;
  alignas(64) std::atomic<uint32_t> warm;  // 1 when the receiver has all warm-up messages
  alignas(64) int64_t samples_nanos[];

  static absl::StatusOr<os::Mapping> Create(uint64_t max_samples);
  static SliceShared& In(const os::Mapping& mapping) { return *static_cast<SliceShared*>(mapping.address()); }
};

// The samples of one process: where it puts them, or every n-th where more will come than there is room for.
class Sampler {
 public:
  // At most `expected` will come; `samples_nanos` has room for `room`, at least 1, and is this process's to write.
  // Touches what it will use: a page fault costs as much as some round trips, and would be counted as the messages'.
  Sampler(int64_t* samples_nanos, uint64_t expected, uint64_t room) noexcept
      : samples_nanos_(samples_nanos), apart_(expected <= room ? 1 : (expected + room - 1) / room) {
    constexpr uint64_t kSamplesPerPage = 4096 / sizeof(int64_t);
    for (uint64_t n = 0; n < std::min(expected, room); n += kSamplesPerPage) samples_nanos[n] = 0;
  }

  void Add(int64_t nanos) noexcept {
    max_nanos_ = nanos > max_nanos_ ? nanos : max_nanos_;
    if (--until_next_ != 0) return;
    samples_nanos_[count_++] = nanos;
    until_next_ = apart_;
  }
  // The result of a slice with one process that takes samples.
  void Finish(SliceShared& shared) const noexcept {
    shared.samples = count_;
    shared.samples_apart = apart_;
    shared.max_nanos = max_nanos_;
  }

  [[nodiscard]] uint64_t count() const noexcept { return count_; }
  [[nodiscard]] uint64_t apart() const noexcept { return apart_; }
  [[nodiscard]] int64_t max_nanos() const noexcept { return max_nanos_; }

 private:
  int64_t* samples_nanos_;
  uint64_t apart_;
  uint64_t until_next_ = 1;
  uint64_t count_ = 0;
  int64_t max_nanos_ = 0;
};

// Measures what the calling thread uses between construction and Stop.
class UsageMeter {
 public:
  UsageMeter();
  [[nodiscard]] SideUsage Stop() const;

 private:
  SideUsage start_;
  const SystemCallCounter* calls_ = nullptr;  // null: they are not counted
};

// Allocates from the middle of a page, for Words.
template <typename T>
struct MidPageAllocator {
  using value_type = T;
  static constexpr std::align_val_t kPageBytes{4096};
  static constexpr size_t kOffsetBytes = 2048;
  MidPageAllocator() = default;
  template <typename U>
  explicit MidPageAllocator(const MidPageAllocator<U>&) noexcept {}
  [[nodiscard]] T* allocate(size_t count) {
    auto* const page = static_cast<std::byte*>(::operator new(kOffsetBytes + count * sizeof(T), kPageBytes));
    return reinterpret_cast<T*>(page + kOffsetBytes);
  }
  void deallocate(T* address, size_t /*count*/) noexcept {
    ::operator delete(reinterpret_cast<std::byte*>(address) - kOffsetBytes, kPageBytes);
  }
  friend bool operator==(const MidPageAllocator&, const MidPageAllocator&) noexcept { return true; }
};

// A process's own copy of a message. Where malloc puts it, a multiple of 16 bytes, depends on what was allocated
// before, and the same loop over the same ring took 17 or 30 ns a message for it. The middle of a page, because
// primitives and kernels have theirs at or a little behind the beginning of one: a copy to a place a little ahead of
// its source, modulo 4 KiB, is slower (kernel_mq at 4 KiB by a fifth).
using Words = std::vector<uint64_t, MidPageAllocator<uint64_t>>;

// Payload number `n`: word i is n times an odd factor plus i. Every word is written by the sender and read by the
// receiver, so that no primitive is faster for not touching it. The sum finds a message that is not number `n`, or torn
// between two numbers. In vectors of two words: one word at a time would cost more than the copies that are to be
// measured, and the compiler finds none at -O2.
inline constexpr uint64_t kPayloadFactor = 0x9e3779b97f4a7c15;
using TwoWords [[gnu::vector_size(16), gnu::aligned(8), gnu::may_alias]] = uint64_t;

// Multiplied anew for each message: a loop over `n` would else carry this along, and what follows from it, on the stack
// when it runs out of registers.
inline uint64_t FirstWord(uint64_t n) noexcept {
  uint64_t word = n * kPayloadFactor;
  asm("" : "+r"(word));
  return word;
}

inline void WritePayload(std::span<uint64_t> words, uint64_t n) noexcept {
  const uint64_t first = FirstWord(n);
  const TwoWords both = {first, first};
  TwoWords low = both + TwoWords{0, 1};
  TwoWords high = both + TwoWords{2, 3};
  const size_t whole = words.size() / 4 * 4;
  for (size_t i = 0; i < whole; i += 4) {
    *reinterpret_cast<TwoWords*>(&words[i]) = low;
    *reinterpret_cast<TwoWords*>(&words[i + 2]) = high;
    low += 4;
    high += 4;
  }
  for (size_t i = whole; i < words.size(); ++i) words[i] = first + i;
}
[[nodiscard]] inline bool IsPayload(std::span<const uint64_t> words, uint64_t n) noexcept {
  TwoWords even = {};
  TwoWords odd = {};
  const size_t whole = words.size() / 4 * 4;
  for (size_t i = 0; i < whole; i += 4) {
    even += *reinterpret_cast<const TwoWords*>(&words[i]);
    odd += *reinterpret_cast<const TwoWords*>(&words[i + 2]);
  }
  even += odd;
  uint64_t sum = even[0] + even[1];
  for (size_t i = whole; i < words.size(); ++i) sum += words[i];
  const uint64_t count = words.size();
  return sum == count * FirstWord(n) + count * (count - 1) / 2;
}

// "Send of message 7: peer-dead (errno 32)", or that the message which came is not the one that was due.
absl::Status MessageFailure(const char* what, uint64_t n, const IoResult& result, uint32_t expected_bytes);

// Makes it the failure of a loop, out of the loop's way; always false.
[[gnu::cold, gnu::noinline]] bool Fail(absl::Status& failure, const char* what, uint64_t n, IoResult result,
                                       uint32_t expected_bytes);

// Messages before the clock starts: every slot has been through once (its pages are mapped and its lines have an
// owner), and a tenth of the run on top.
uint64_t WarmupMessages(const SliceSpec& spec);

// Makes these, as they were taken, all samples of the result.
void SetSamples(std::vector<int64_t> in_order, SliceResult& result);

// Copies the result out of shared memory and sorts the samples. Of one process alone (RunOne) all usage is the
// sender's.
SliceResult TakeResult(const SliceShared& shared, uint64_t messages, uint64_t messages_per_sample);

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_SLICE_H_
