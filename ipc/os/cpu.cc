#include "ipc/os/cpu.h"

#include <sched.h>

#include <cerrno>

#include "absl/strings/str_format.h"
#include "ipc/os/error.h"

namespace ipcmark::os {
namespace {

// More than any kernel is built for (CONFIG_NR_CPUS is at most 8,192).
constexpr int kMaxCpus = CPU_SETSIZE * 64;

}  // namespace

std::vector<int> AllowedCpus() {
  std::vector<int> cpus;
  // A machine may have more CPUs than the fixed cpu_set_t holds; grow until the kernel is content.
  for (int capacity = CPU_SETSIZE; capacity <= kMaxCpus; capacity *= 2) {
    cpu_set_t* set = CPU_ALLOC(capacity);
    const size_t bytes = CPU_ALLOC_SIZE(capacity);
    CPU_ZERO_S(bytes, set);
    const int rc = sched_getaffinity(0, bytes, set);
    if (rc == 0) {
      for (int cpu = 0; cpu < capacity; ++cpu) {
        if (CPU_ISSET_S(cpu, bytes, set)) cpus.push_back(cpu);
      }
    }
    CPU_FREE(set);
    if (rc == 0) break;
  }
  return cpus;
}

absl::Status PinToCpu(int cpu) {
  // A number beyond every set (CPU_SET_S leaves it out) makes an empty one, which the kernel refuses with EINVAL.
  const int capacity = cpu >= CPU_SETSIZE && cpu < kMaxCpus ? cpu + 1 : CPU_SETSIZE;
  cpu_set_t* set = CPU_ALLOC(capacity);
  const size_t bytes = CPU_ALLOC_SIZE(capacity);
  CPU_ZERO_S(bytes, set);
  CPU_SET_S(cpu, bytes, set);
  const int rc = sched_setaffinity(0, bytes, set);
  const int err = errno;
  CPU_FREE(set);
  if (rc == 0) return absl::OkStatus();
  return SyscallError(absl::StrFormat("sched_setaffinity(CPU %d)", cpu), err, "name a CPU that `taskset -p $$` allows");
}

}  // namespace ipcmark::os
