#ifndef IPCMARK_STRESS_SHM_LIMITS_H_
#define IPCMARK_STRESS_SHM_LIMITS_H_

// The limits on System V segments (SHMMNI and SHMALL), lowered to none. Only in a namespace of our own: elsewhere
// every other program of the machine would feel it.

#include <sys/shm.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <string>

namespace ipcmark::stress {

// Whether this process and all that it forks have an IPC namespace of their own whose limits they may change. Said by
// isolation.cc, once, before any fork.
inline bool g_may_lower_shm_limits = false;

class LoweredShmLimits {
 public:
  LoweredShmLimits() {
    for (size_t i = 0; i < kLimits.size(); ++i) {
      std::ifstream(kLimits[i]) >> before_[i];
      std::ofstream(kLimits[i]) << "0\n";
    }
  }
  LoweredShmLimits(const LoweredShmLimits&) = delete;
  LoweredShmLimits& operator=(const LoweredShmLimits&) = delete;
  ~LoweredShmLimits() {
    for (size_t i = 0; i < kLimits.size(); ++i) std::ofstream(kLimits[i]) << before_[i] << "\n";
  }

  // Whether no segment is to be had: what one of a page says.
  static bool IsExhausted() {
    const int id = shmget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
    const bool refused = id < 0 && errno == ENOSPC;
    if (id >= 0) shmctl(id, IPC_RMID, nullptr);
    return refused;
  }

  // By writing what they are already.
  static bool MayLower() {
    for (const char* limit : kLimits) {
      std::string value;
      std::ifstream(limit) >> value;
      std::ofstream file(limit);
      if (!(file << value << "\n" << std::flush)) return false;
    }
    return true;
  }

 private:
  static constexpr std::array<const char*, 2> kLimits = {"/proc/sys/kernel/shmmni", "/proc/sys/kernel/shmall"};
  std::array<std::string, 2> before_;
};

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_SHM_LIMITS_H_
