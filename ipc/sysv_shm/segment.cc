#include "ipc/sysv_shm/segment.h"

#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_format.h"
#include "ipc/os/error.h"

namespace ipcmark::sysv_shm {
namespace {

const char* RemedyForShmget(int err) {
  switch (err) {
    case ENOSPC:
      return "remove unused segments (ipcs -m, ipcrm) or raise kernel.shmmni or kernel.shmall";
    case EINVAL:
      return "ask for 1 byte up to kernel.shmmax";
    case ENOMEM:
      return "free memory or ask for a smaller segment";
    case EEXIST:
      return "choose another key";
    case ENOENT:
      return "create it first";
    default:
      return "";
  }
}

// shmat reports failure as (void*)-1, not as null and not as a negative number.
bool AttachFailed(const void* address) { return reinterpret_cast<intptr_t>(address) == -1; }

}  // namespace

Attachment& Attachment::operator=(Attachment&& other) noexcept {
  if (this != &other) {
    Detach();
    address_ = std::exchange(other.address_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

void Attachment::Detach() {
  if (address_ != nullptr) shmdt(address_);
  address_ = nullptr;
  bytes_ = 0;
}

Segment& Segment::operator=(Segment&& other) noexcept {
  if (this != &other) {
    Remove().IgnoreError();
    id_ = std::exchange(other.id_, -1);
    bytes_ = other.bytes_;
    owner_pid_ = std::exchange(other.owner_pid_, 0);
  }
  return *this;
}

absl::StatusOr<Segment> Segment::Create(size_t bytes, key_t key, int mode) {
  const int id = shmget(key, bytes, IPC_CREAT | IPC_EXCL | mode);
  if (id < 0) {
    return os::SyscallError(absl::StrFormat("shmget(key=%#x, %d bytes)", static_cast<uint32_t>(key), bytes), errno,
                            RemedyForShmget(errno));
  }
  return Segment(id, bytes, getpid());
}

absl::StatusOr<Segment> Segment::Open(key_t key) {
  const int id = shmget(key, 0, 0);
  if (id < 0) {
    return os::SyscallError(absl::StrFormat("shmget(key=%#x)", static_cast<uint32_t>(key)), errno,
                            RemedyForShmget(errno));
  }
  Segment segment(id, 0, 0);
  absl::StatusOr<SegmentInfo> info = segment.Stat();
  if (!info.ok()) return info.status();
  segment.bytes_ = info->bytes;
  return segment;
}

absl::StatusOr<Attachment> Segment::Attach(int flags) const {
  void* address = shmat(id_, nullptr, flags);
  if (AttachFailed(address)) {
    return os::SyscallError(absl::StrFormat("shmat(id=%d, %d bytes)", id_, bytes_), errno,
                            errno == ENOMEM ? "free address space or memory" : "");
  }
  return Attachment(address, bytes_);
}

absl::StatusOr<SegmentInfo> Segment::Stat() const {
  shmid_ds ds;
  if (shmctl(id_, IPC_STAT, &ds) != 0) {
    return os::SyscallError(absl::StrFormat("shmctl(id=%d, IPC_STAT)", id_), errno);
  }
  return SegmentInfo{.bytes = ds.shm_segsz,
                     .attached = ds.shm_nattch,
                     .mode = ds.shm_perm.mode & 0777U,
                     .creator_pid = ds.shm_cpid,
                     .last_pid = ds.shm_lpid,
                     .marked_for_removal = (ds.shm_perm.mode & SHM_DEST) != 0};
}

absl::Status Segment::Remove() {
  if (id_ < 0 || owner_pid_ != getpid()) return absl::OkStatus();
  owner_pid_ = 0;
  // EINVAL, EIDRM: somebody else has removed it already, which is what was wanted.
  if (shmctl(id_, IPC_RMID, nullptr) != 0 && errno != EINVAL && errno != EIDRM) {
    return os::SyscallError(absl::StrFormat("shmctl(id=%d, IPC_RMID)", id_), errno);
  }
  return absl::OkStatus();
}

}  // namespace ipcmark::sysv_shm
