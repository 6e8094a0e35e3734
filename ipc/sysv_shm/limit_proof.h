#ifndef IPCMARK_IPC_SYSV_SHM_LIMIT_PROOF_H_
#define IPCMARK_IPC_SYSV_SHM_LIMIT_PROOF_H_

// Reaches each limit on System V shared memory, so that what sysctl says is known to be what shmget does. Every proof
// runs in a forked child with a private IPC namespace, which dies with its parent: the system's own segments are
// neither seen nor touched, and nothing remains whoever is killed when. Segments are created with SHM_NORESERVE and
// never touched, so that 2^63 bytes cost as little as one page: under 64 MiB and a few seconds for all proofs together.
//
// A new namespace starts with the kernel's default limits, not with its parent's. The one under proof is therefore
// copied into it first; one that is out of reach (SHMMAX above the largest file) is lowered there, and `how` says so.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "ipc/sysv_shm/segment_limits.h"

namespace ipcmark::sysv_shm {

enum class LimitOutcome : uint8_t {
  kReached,       // it holds: `reached_at` was granted, one more was refused with `err`
  kNotProvable,   // `how` says why not here
  kContradicted,  // the kernel granted more, or less, than it says
  kNotTried,      // by ListLimits
};

const char* LimitOutcomeName(LimitOutcome outcome);  // "reached", "not_provable", "contradicted", "not_tried"

struct LimitProof {
  const char* name;                      // "SHMMAX"
  const char* unit;                      // of value and reached_at: "bytes", "segments", "pages", "attachments"
  const char* sysctl;                    // "kernel.shmmax"; empty where the limit is not adjustable
  uint64_t value;                        // as shmctl(IPC_INFO) has it
  std::optional<uint64_t> sysctl_value;  // the same as /proc/sys has it, where it could be read
  LimitOutcome outcome;
  uint64_t reached_at;
  int err;  // errno of the refusal, 0 when nothing was reached
  std::string how;
};

// Each proof ends within this, or its limit counts as not provable.
inline constexpr int64_t kProofWatchdogNanos = 30'000'000'000;

// SHMMAX, SHMMIN, SHMMNI, SHMALL and SHMSEG of this namespace. Must be called with one thread only (fork). Errors: as
// ReadLimits; what a proof could not do is an outcome and no error.
absl::StatusOr<std::vector<LimitProof>> ProveLimits();

// The limits alone: every outcome is kNotTried.
absl::StatusOr<std::vector<LimitProof>> ListLimits();

}  // namespace ipcmark::sysv_shm

#endif  // IPCMARK_IPC_SYSV_SHM_LIMIT_PROOF_H_
