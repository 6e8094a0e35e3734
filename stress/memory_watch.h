#ifndef IPCMARK_STRESS_MEMORY_WATCH_H_
#define IPCMARK_STRESS_MEMORY_WATCH_H_

// That a run of hours needs no more memory than one of minutes: the runner's resident memory between two trials,
// against the most that it had in its first trials.

#include <cstdint>
#include <string>

namespace ipcmark::stress {

// The allocator keeps what the largest trial needed, and it takes some trials to meet that one.
inline constexpr uint64_t kSettlingTrials = 200;
// Some times what the allocator's habits add in hours. A leak of 1 KiB a trial, at 20 trials a
// second, passes it within half an hour.
inline constexpr uint64_t kMostGrowthBytes = uint64_t{32} << 20U;

class MemoryWatch {
 public:
  // After each trial. 0: unknown, is ignored.
  void Note(uint64_t resident_bytes);
  [[nodiscard]] uint64_t settled_bytes() const { return settled_bytes_; }
  [[nodiscard]] uint64_t growth_bytes() const { return growth_bytes_; }
  // "" or "expected ..., seen ...".
  [[nodiscard]] std::string FindBreach() const;

 private:
  uint64_t trials_ = 0;
  uint64_t settled_bytes_ = 0;  // the most of the first trials
  uint64_t growth_bytes_ = 0;   // beyond it, at most
};

// Of this process; 0 where /proc does not say.
uint64_t ResidentBytes();

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_MEMORY_WATCH_H_
