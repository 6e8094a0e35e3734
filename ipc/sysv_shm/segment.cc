#include "ipc/sysv_shm/segment.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ipc/os/error.h"

namespace ipcmark::sysv_shm {
namespace {

constexpr int kPermissionBits = 0777;
// Bits 26 to 31 of shmget's flags hold the logarithm of the huge page size. <linux/shm.h> has SHM_HUGE_2MB and
// SHM_HUGE_1GB, but cannot be included beside <sys/shm.h>.
constexpr int kHugeShift = 26;

int FlagsOf(HugePages huge_pages) {
  switch (huge_pages) {
    case HugePages::kNone:
      return 0;
    case HugePages::kDefault:
      return SHM_HUGETLB;
    case HugePages::k2MiB:
      return SHM_HUGETLB | 21 << kHugeShift;
    case HugePages::k1GiB:
      return SHM_HUGETLB | 30 << kHugeShift;
  }
  return 0;
}

const char* RemedyForShmget(int err, bool huge) {
  switch (err) {
    case ENOSPC:
      return "remove unused segments (ipcs -m, ipcrm) or raise kernel.shmmni or kernel.shmall";
    case EINVAL:
      return huge ? "choose a page size that /sys/kernel/mm/hugepages lists"
                  : "ask for 1 byte up to kernel.shmmax, and for no more than an existing segment has";
    case ENOMEM:
      return huge ? "reserve huge pages (vm.nr_hugepages)" : "free memory, ask for a smaller segment or use no-reserve";
    case EEXIST:
      return "choose another key";
    case ENOENT:
      return "create it first";
    case EACCES:
      return "ask its owner for permission, or ask for less";
    case EPERM:
      return "huge pages need CAP_IPC_LOCK or the group vm.hugetlb_shm_group";
    default:
      return "";
  }
}

const char* RemedyForShmctl(int err) {
  switch (err) {
    case EINVAL:
    case EIDRM:
      return "it is gone or never was; list what exists (ipcs -m)";
    case EACCES:
      return "reading it needs read permission or CAP_IPC_OWNER";
    case EPERM:
      return "be its owner or creator, or root";
    default:
      return "";
  }
}

const char* RemedyForShmat(int err, bool chosen_address) {
  switch (err) {
    case EINVAL:
      return chosen_address ? "use a free address that is a multiple of SHMLBA (or round), or remap"
                            : "it is gone or never was; list what exists (ipcs -m)";
    case EIDRM:
      return "it was removed meanwhile";
    case EACCES:
      return "ask its owner for permission, or attach read-only";
    case ENOMEM:
      return "free address space, or raise vm.max_map_count";
    case EPERM:
      return "use an address above vm.mmap_min_addr";
    default:
      return "";
  }
}

// shmat reports failure as (void*)-1, not as null and not as a negative number.
bool AttachFailed(const void* address) { return reinterpret_cast<intptr_t>(address) == -1; }

absl::StatusOr<int> Get(const CreateOptions& options, int flags) {
  flags |= (options.mode & kPermissionBits) | FlagsOf(options.huge_pages);
  if (options.no_reserve) flags |= SHM_NORESERVE;
  const int id = shmget(options.key, options.bytes, flags);
  if (id >= 0) return id;
  const int err = errno;
  std::string call = absl::StrFormat("shmget(key=%#x", static_cast<uint32_t>(options.key));
  if (options.bytes != 0 || (flags & IPC_CREAT) != 0) absl::StrAppendFormat(&call, ", %d bytes", options.bytes);
  call += ")";
  return os::SyscallError(call, err, RemedyForShmget(err, options.huge_pages != HugePages::kNone));
}

absl::StatusOr<int> Find(key_t key, size_t at_least_bytes, int mode) {
  // With IPC_PRIVATE shmget creates, whatever the flags: a new segment that nobody would own.
  if (key == IPC_PRIVATE) {
    return os::SyscallError("shmget(key=IPC_PRIVATE)", ENOENT, "a private segment has no key: open it by its id");
  }
  return Get({.bytes = at_least_bytes, .key = key, .mode = mode}, 0);
}

absl::Status Control(int id, int command, const char* name, shmid_ds* ds, absl::string_view remedy = "") {
  if (shmctl(id, command, ds) >= 0) return absl::OkStatus();
  const int err = errno;
  return os::SyscallError(absl::StrFormat("shmctl(id=%d, %s)", id, name), err,
                          remedy.empty() ? RemedyForShmctl(err) : remedy);
}

}  // namespace

absl::StatusOr<key_t> KeyFromPath(const std::string& path, int project_id) {
  const std::string call = absl::StrFormat("ftok(%s, %d)", path, project_id);
  if (project_id < 1 || project_id > 255) return os::SyscallError(call, EINVAL, "choose a number from 1 to 255");
  // ftok fails exactly when stat does, and leaves stat's errno.
  const key_t key = ftok(path.c_str(), project_id);
  if (key == -1) {
    struct stat file;
    // The number 255 with the right device and inode makes a real key of 0xffffffff.
    if (stat(path.c_str(), &file) != 0) return os::SyscallError(call, errno, "name an existing file");
  }
  if (key == IPC_PRIVATE) return os::SyscallError(call, EINVAL, "choose another file: its key is IPC_PRIVATE");
  return key;
}

SegmentInfo SegmentInfo::Of(int id, const shmid_ds& ds) {
  return SegmentInfo{.bytes = ds.shm_segsz,
                     .attached = ds.shm_nattch,
                     .mode = ds.shm_perm.mode & kPermissionBits,
                     .creator_pid = ds.shm_cpid,
                     .last_pid = ds.shm_lpid,
                     .marked_for_removal = (ds.shm_perm.mode & SHM_DEST) != 0,
                     .locked = (ds.shm_perm.mode & SHM_LOCKED) != 0,
                     .id = id,
                     .key = ds.shm_perm.__key,
                     .sequence = ds.shm_perm.__seq,
                     .uid = ds.shm_perm.uid,
                     .gid = ds.shm_perm.gid,
                     .creator_uid = ds.shm_perm.cuid,
                     .creator_gid = ds.shm_perm.cgid,
                     .attach_time_seconds = ds.shm_atime,
                     .detach_time_seconds = ds.shm_dtime,
                     .change_time_seconds = ds.shm_ctime};
}

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

absl::Status Attachment::DetachOrError() {
  if (!valid()) return absl::OkStatus();
  void* address = std::exchange(address_, nullptr);
  bytes_ = 0;
  if (shmdt(address) == 0) return absl::OkStatus();
  return os::SyscallError(absl::StrFormat("shmdt(%p)", address), errno, "it was detached or unmapped before");
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

absl::StatusOr<Segment> Segment::Create(const CreateOptions& options) {
  absl::StatusOr<int> id = Get(options, IPC_CREAT | IPC_EXCL);
  if (!id.ok()) return id.status();
  return Segment(*id, options.bytes, getpid());
}

absl::StatusOr<Segment> Segment::Create(size_t bytes, key_t key, int mode) {
  return Create(CreateOptions{.bytes = bytes, .key = key, .mode = mode});
}

absl::StatusOr<Segment> Segment::OpenOrCreate(const CreateOptions& options) {
  absl::StatusOr<int> id = Get(options, IPC_CREAT);
  if (!id.ok()) return id.status();
  absl::StatusOr<Segment> segment = OpenId(*id);
  // A mode without read permission: what was made, or found large enough, must not be lost for that.
  if (absl::IsPermissionDenied(segment.status())) return Segment(*id, options.bytes, 0);
  return segment;
}

absl::StatusOr<Segment> Segment::Open(key_t key, size_t at_least_bytes, int mode) {
  absl::StatusOr<int> id = Find(key, at_least_bytes, mode);
  if (!id.ok()) return id.status();
  return OpenId(*id);
}

absl::StatusOr<int> Segment::FindId(key_t key) { return Find(key, 0, 0); }

absl::StatusOr<Segment> Segment::OpenId(int id) {
  Segment segment(id, 0, 0);
  absl::StatusOr<SegmentInfo> info = segment.Stat();
  if (!info.ok()) return info.status();
  segment.bytes_ = info->bytes;
  return segment;
}

absl::StatusOr<Attachment> Segment::Attach(int flags) const { return AttachAt(nullptr, flags); }

absl::StatusOr<Attachment> Segment::Attach(const AttachOptions& options) const {
  const int flags = (options.read_only ? SHM_RDONLY : 0) | (options.executable ? SHM_EXEC : 0) |
                    (options.round_address ? SHM_RND : 0) | (options.remap ? SHM_REMAP : 0);
  const auto address = reinterpret_cast<uintptr_t>(options.address);
  if (options.round_address && address != 0 && address < static_cast<uintptr_t>(SHMLBA)) {
    return os::SyscallError(absl::StrFormat("shmat(id=%d, address %p)", id_, options.address), EINVAL,
                            "it rounds to null: use a higher address");
  }
  return AttachAt(options.address, flags);
}

absl::StatusOr<Attachment> Segment::AttachAt(void* address, int flags) const {
  void* attached = shmat(id_, address, flags);
  if (!AttachFailed(attached)) return Attachment(attached, bytes_);
  const int err = errno;
  const std::string where = address == nullptr ? "" : absl::StrFormat(", address %p", address);
  return os::SyscallError(absl::StrFormat("shmat(id=%d, %d bytes%s)", id_, bytes_, where), err,
                          RemedyForShmat(err, address != nullptr || (flags & SHM_REMAP) != 0));
}

absl::StatusOr<SegmentInfo> Segment::Stat() const {
  shmid_ds ds;
  absl::Status status = Control(id_, IPC_STAT, "IPC_STAT", &ds);
  if (!status.ok()) return status;
  return SegmentInfo::Of(id_, ds);
}

absl::Status Segment::Set(const SegmentSettings& settings) const {
  shmid_ds ds = {};
  if (!settings.uid || !settings.gid || !settings.mode) {
    absl::Status status = Control(id_, IPC_STAT, "IPC_STAT", &ds);
    if (!status.ok()) return status;
  }
  if (settings.uid) ds.shm_perm.uid = *settings.uid;
  if (settings.gid) ds.shm_perm.gid = *settings.gid;
  if (settings.mode) ds.shm_perm.mode = *settings.mode & kPermissionBits;
  // The kernel looks at these three and at nothing else in `ds`.
  return Control(id_, IPC_SET, "IPC_SET", &ds);
}

absl::Status Segment::Lock() const {
  if (shmctl(id_, SHM_LOCK, nullptr) == 0) return absl::OkStatus();
  const int err = errno;
  const bool limit = err == EPERM || err == ENOMEM;
  return os::SyscallError(
      absl::StrFormat("shmctl(id=%d, SHM_LOCK, %d bytes)", id_, bytes_), err,
      limit ? "raise RLIMIT_MEMLOCK (ulimit -l) as its owner, or have CAP_IPC_LOCK" : RemedyForShmctl(err));
}

absl::Status Segment::Unlock() const { return Control(id_, SHM_UNLOCK, "SHM_UNLOCK", nullptr); }

absl::Status Segment::Remove() {
  if (id_ < 0 || owner_pid_ != getpid()) return absl::OkStatus();
  owner_pid_ = 0;
  // EINVAL, EIDRM: somebody else has removed it already, which is what was wanted.
  if (shmctl(id_, IPC_RMID, nullptr) != 0 && errno != EINVAL && errno != EIDRM) {
    return os::SyscallError(absl::StrFormat("shmctl(id=%d, IPC_RMID)", id_), errno, RemedyForShmctl(errno));
  }
  return absl::OkStatus();
}

absl::Status Segment::MarkForRemoval() {
  absl::Status status = Control(id_, IPC_RMID, "IPC_RMID", nullptr);
  if (status.ok()) owner_pid_ = 0;
  return status;
}

int Segment::Release() {
  owner_pid_ = 0;
  return id_;
}

}  // namespace ipcmark::sysv_shm
