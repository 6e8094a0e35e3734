#ifndef IPCMARK_STRESS_SHIFTED_CLOCK_H_
#define IPCMARK_STRESS_SHIFTED_CLOCK_H_

// Processes whose CLOCK_MONOTONIC and CLOCK_BOOTTIME differ from those of everybody else: children in a time namespace
// (time_namespaces(7)). That is what a container sees that was moved between machines, and the only jump of a clock
// that leaves the machine's own clocks alone: CLOCK_REALTIME belongs to no namespace.

#include <sched.h>

#include <cstdint>
#include <fstream>
#include <string>

namespace ipcmark::stress {

// While it lives, what this process forks has its clocks `nanos` ahead. The process itself, which must have one thread,
// keeps its own. Does nothing where WorksHere() is false.
class ShiftedClock {
 public:
  explicit ShiftedClock(int64_t nanos) : before_seconds_(OffsetSeconds()) {
    works_ = Enter(before_seconds_ + nanos / 1'000'000'000);
  }
  // Not setns(2) back, which would need a right over the namespace of the machine: a new one that looks like it.
  ~ShiftedClock() { Enter(before_seconds_); }
  ShiftedClock(const ShiftedClock&) = delete;
  ShiftedClock& operator=(const ShiftedClock&) = delete;

  [[nodiscard]] bool works() const { return works_; }
  static bool WorksHere() { return Enter(OffsetSeconds()); }

 private:
  static int64_t OffsetSeconds() {
    std::ifstream file(kOffsets);
    std::string monotonic;
    int64_t seconds = 0;
    file >> monotonic >> seconds;
    return seconds;
  }
  // The offsets of a namespace can be set until the first process is in it. Whole seconds will do.
  static bool Enter(int64_t seconds) {
    if (unshare(CLONE_NEWTIME) != 0) return false;
    const std::string text = std::to_string(seconds);
    std::ofstream file(kOffsets);
    file << "monotonic " << text << " 0\nboottime " << text << " 0\n" << std::flush;
    return file.good();
  }

  static constexpr const char* kOffsets = "/proc/self/timens_offsets";
  int64_t before_seconds_;
  bool works_ = false;
};

// Whether this run may do so. Said by isolation.cc, once, before any fork.
inline bool g_may_shift_clocks = false;

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_SHIFTED_CLOCK_H_
