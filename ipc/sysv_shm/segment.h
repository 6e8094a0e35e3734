#ifndef IPCMARK_IPC_SYSV_SHM_SEGMENT_H_
#define IPCMARK_IPC_SYSV_SHM_SEGMENT_H_

// System V shared memory with owners: Segment for the kernel's object (shmget, shmctl), Attachment for one address
// range of one process (shmat, shmdt). Source: shmget(2), shmop(2), shmctl(2), sysvipc(7).

#include <sys/ipc.h>
#include <sys/shm.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"

namespace ipcmark::sysv_shm {

// A segment as shmctl(IPC_STAT) has it, in one consistent snapshot.
struct SegmentInfo {
  uint64_t bytes;
  uint64_t attached;  // shm_nattch: attachments, also several of one process
  uint32_t mode;      // permission bits
  pid_t creator_pid;
  pid_t last_pid;  // of the last shmat or shmdt
  bool marked_for_removal;
};

// One attachment of this process: detached by the destructor. A forked child inherits the attachment (the kernel counts
// it) and its own copy of the owner; exec and exit detach.
class Attachment {
 public:
  Attachment() = default;
  Attachment(Attachment&& other) noexcept
      : address_(std::exchange(other.address_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Attachment& operator=(Attachment&& other) noexcept;
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;
  ~Attachment() { Detach(); }

  [[nodiscard]] void* address() const { return address_; }
  [[nodiscard]] size_t bytes() const { return bytes_; }
  [[nodiscard]] bool valid() const { return address_ != nullptr; }
  void Detach();

 private:
  friend class Segment;
  Attachment(void* address, size_t bytes) : address_(address), bytes_(bytes) {}

  void* address_ = nullptr;
  size_t bytes_ = 0;
};

// A segment by its id. The one that Create returned owns it: its destructor removes the segment (IPC_RMID), in the
// process that created it only, so that a forked child's copy takes nothing away.
class Segment {
 public:
  Segment() = default;
  Segment(Segment&& other) noexcept
      : id_(std::exchange(other.id_, -1)), bytes_(other.bytes_), owner_pid_(std::exchange(other.owner_pid_, 0)) {}
  Segment& operator=(Segment&& other) noexcept;
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;
  ~Segment() { Remove().IgnoreError(); }

  // A new segment of `bytes` zeroed bytes (the kernel rounds up to pages), IPC_PRIVATE by default, else a new one under
  // `key` (IPC_CREAT | IPC_EXCL). Errors: ENOSPC (kernel.shmmni or shmall reached), EINVAL (0 bytes or above
  // kernel.shmmax), ENOMEM, EEXIST.
  static absl::StatusOr<Segment> Create(size_t bytes, key_t key = IPC_PRIVATE, int mode = 0600);
  // The segment under `key`, not owned. Errors: ENOENT, EACCES.
  static absl::StatusOr<Segment> Open(key_t key);

  // Attaches at an address of the kernel's choice; `flags`: SHM_RDONLY, ... Linux attaches a removed segment too while
  // somebody has its id and an attachment. Errors: EACCES, EIDRM, EINVAL (gone), ENOMEM.
  [[nodiscard]] absl::StatusOr<Attachment> Attach(int flags = 0) const;
  [[nodiscard]] absl::StatusOr<SegmentInfo> Stat() const;

  // Marks the segment for removal: it goes with its last attachment, whoever dies how. Does nothing in a process that
  // does not own it. Afterwards this Segment owns nothing any more, but Attach and Stat still work while it exists.
  absl::Status Remove();

  [[nodiscard]] int id() const { return id_; }
  [[nodiscard]] size_t bytes() const { return bytes_; }

 private:
  Segment(int id, size_t bytes, pid_t owner_pid) : id_(id), bytes_(bytes), owner_pid_(owner_pid) {}

  int id_ = -1;
  size_t bytes_ = 0;
  pid_t owner_pid_ = 0;  // 0: not owned
};

}  // namespace ipcmark::sysv_shm

#endif  // IPCMARK_IPC_SYSV_SHM_SEGMENT_H_
