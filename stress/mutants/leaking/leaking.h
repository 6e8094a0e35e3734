#ifndef IPCMARK_STRESS_MUTANTS_LEAKING_LEAKING_H_
#define IPCMARK_STRESS_MUTANTS_LEAKING_LEAKING_H_

// A primitive with a leak in the process that creates it, which is the runner: for the test that a run of hours would
// notice. It begins late, so that it is not taken for what a run needs anyway.

#include <cstddef>
#include <cstring>
#include <utility>

#include "absl/status/statusor.h"
#include "ipc/sysv_shm/sysv_shm.h"

namespace ipcmark::leaking {

inline constexpr int kLeaksFrom = 220;  // beyond stress::kSettlingTrials
inline constexpr size_t kLeakedBytes = size_t{8} << 20U;

class Channel : public sysv_shm::Channel {
 public:
  static absl::StatusOr<Channel> Create(const Geometry& geometry) {
    static int created = 0;
    if (++created > kLeaksFrom) memset(new std::byte[kLeakedBytes], 1, kLeakedBytes);
    absl::StatusOr<sysv_shm::Channel> ring = sysv_shm::Channel::Create(geometry);
    if (!ring.ok()) return ring.status();
    return Channel(*std::move(ring));
  }

 private:
  explicit Channel(sysv_shm::Channel ring) : sysv_shm::Channel(std::move(ring)) {}
};

}  // namespace ipcmark::leaking

#endif  // IPCMARK_STRESS_MUTANTS_LEAKING_LEAKING_H_
