#ifndef IPCMARK_IPC_SYSV_SHM_SEGMENT_H_
#define IPCMARK_IPC_SYSV_SHM_SEGMENT_H_

// System V shared memory with owners: Segment for the kernel's object (shmget, shmctl), Attachment for one address
// range of one process (shmat, shmdt). What concerns all segments of the system is in segment_table.h, its limits in
// segment_limits.h. Source: shmget(2), shmop(2), shmctl(2), sysvipc(7), ftok(3); what Linux really does, with the test
// that proves it: docs/sysv_shm.md.
//
// Set-up code: it allocates, and every failure is a sentence that names system call, object, errno and remedy.

#include <sys/ipc.h>
#include <sys/shm.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"

namespace ipcmark::sysv_shm {

// The key that ftok(3) makes of a file and a number from 1 to 255. Two files can have one key: it holds only 16 bits of
// the inode number and 8 of the device's. Never IPC_PRIVATE. Errors: what stat(2) says (ENOENT, EACCES, ...), EINVAL
// for a number out of range, of which ftok would silently drop bits, and for a key that came out as IPC_PRIVATE.
absl::StatusOr<key_t> KeyFromPath(const std::string& path, int project_id);

enum class HugePages : uint8_t {
  kNone,
  kDefault,  // Hugepagesize in /proc/meminfo
  k2MiB,
  k1GiB,
};

struct CreateOptions {
  size_t bytes = 0;         // shmget rounds up to whole pages and remembers `bytes`
  key_t key = IPC_PRIVATE;  // IPC_PRIVATE: findable by id only
  int mode = 0600;          // permission bits; attaching executable needs one for execution
  HugePages huge_pages = HugePages::kNone;
  bool no_reserve = false;  // SHM_NORESERVE: memory is not promised; a later touch may end in SIGBUS
};

struct AttachOptions {
  bool read_only = false;      // SHM_RDONLY: a write is a SIGSEGV; needs only read permission
  bool executable = false;     // SHM_EXEC: its bytes may be run; needs execute permission (mode 0700)
  void* address = nullptr;     // null: the kernel chooses
  bool round_address = false;  // SHM_RND: rounds `address` down to a multiple of SHMLBA
  bool remap = false;          // SHM_REMAP (Linux): takes the place of what is mapped there
};

// What shmctl(IPC_SET) can change; what is left out stays as it is.
struct SegmentSettings {
  std::optional<uid_t> uid = std::nullopt;
  std::optional<gid_t> gid = std::nullopt;
  std::optional<uint32_t> mode = std::nullopt;  // the nine permission bits
};

// A segment as shmctl(IPC_STAT) has it, in one consistent snapshot. Times are seconds since 1970 of the system's clock,
// 0 for never.
struct SegmentInfo {
  uint64_t bytes;     // as asked for at creation
  uint64_t attached;  // shm_nattch: attachments, also several of one process
  uint32_t mode;      // permission bits
  pid_t creator_pid;
  pid_t last_pid;  // of the last shmat or shmdt; 0: none yet
  bool marked_for_removal;
  bool locked;  // SHM_LOCK
  int id;
  key_t key;          // becomes IPC_PRIVATE when the segment is marked for removal
  uint32_t sequence;  // how often the kernel's slot has been used again
  uid_t uid;          // owner: the creator until Set
  gid_t gid;
  uid_t creator_uid;
  gid_t creator_gid;
  int64_t attach_time_seconds;
  int64_t detach_time_seconds;
  int64_t change_time_seconds;  // of creation or the last Set; removal and locking do not move it

  static SegmentInfo Of(int id, const shmid_ds& ds);
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
  // The same, for who wants to know. EINVAL: nothing was attached there any more. Holds nothing afterwards either way.
  absl::Status DetachOrError();

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

  // A new segment of zeroed bytes: IPC_CREAT | IPC_EXCL. Errors (shmget(2)): EEXIST (the key is taken), EINVAL (0
  // bytes, above kernel.shmmax, or a huge page size that this kernel has not), ENOSPC (kernel.shmmni or kernel.shmall
  // reached), ENOMEM (the bytes cannot be promised, or too few huge pages), EPERM (huge pages without CAP_IPC_LOCK and
  // outside vm.hugetlb_shm_group).
  static absl::StatusOr<Segment> Create(const CreateOptions& options);
  static absl::StatusOr<Segment> Create(size_t bytes, key_t key = IPC_PRIVATE, int mode = 0600);
  // The segment under options.key, or a new one: IPC_CREAT alone. Owned by nobody, because the kernel does not say
  // which it was. bytes() is what was asked for when it may not be read. Errors: as Create without EEXIST, and EACCES
  // (options.mode is not granted), EINVAL (the existing one is smaller).
  static absl::StatusOr<Segment> OpenOrCreate(const CreateOptions& options);
  // The segment under `key`, not owned. Errors: ENOENT; EINVAL (smaller than `at_least_bytes`); EACCES (a bit of `mode`
  // is not granted, or no read permission, which the size needs). With mode 0 shmget itself grants everybody the id.
  static absl::StatusOr<Segment> Open(key_t key, size_t at_least_bytes = 0, int mode = 0);
  // The segment `id`, not owned. Errors: EINVAL (no such id), EACCES (no read permission), EIDRM (see Stat).
  static absl::StatusOr<Segment> OpenId(int id);
  // The same without asking the kernel, for who may not read the segment but may remove, set or lock it. bytes() is 0.
  static Segment ById(int id) { return Segment(id, 0, 0); }
  // The id under `key`. Errors: ENOENT. Needs no permission at all.
  static absl::StatusOr<int> FindId(key_t key);

  // Attaches at an address of the kernel's choice; `flags`: SHM_RDONLY, SHM_EXEC. Linux attaches a removed segment too
  // while somebody has its id and an attachment. Errors (shmop(2)): EACCES (no permission for what is asked), EINVAL
  // (no such segment any more), ENOMEM (no address space, or vm.max_map_count reached), EIDRM (see Stat).
  [[nodiscard]] absl::StatusOr<Attachment> Attach(int flags = 0) const;
  // The same at options.address. Errors besides: EINVAL (not a multiple of SHMLBA and no round_address; something is
  // mapped there and no remap; remap of null), ENOMEM (beyond the address space), EPERM (below vm.mmap_min_addr).
  // An address that rounds to null is refused with EINVAL before the call: Linux would map page 0 for a privileged
  // process, and an attachment there cannot be told from none.
  [[nodiscard]] absl::StatusOr<Attachment> Attach(const AttachOptions& options) const;

  // Errors (shmctl(2)): EACCES (no read permission), EINVAL (gone), EIDRM. On Linux EIDRM means only that the segment
  // went during this very call; of one that went before, EINVAL.
  [[nodiscard]] absl::StatusOr<SegmentInfo> Stat() const;

  // IPC_SET; moves change_time_seconds. What `settings` leaves out is read first, which needs read permission.
  // Errors: EPERM (neither owner nor creator, and no CAP_SYS_ADMIN), EINVAL (gone, or an id that this user namespace
  // has not), EACCES (no read permission and something left out), EIDRM.
  [[nodiscard]] absl::Status Set(const SegmentSettings& settings) const;

  // SHM_LOCK keeps the segment's pages from being swapped out once they are there; it brings none in. Locking twice is
  // fine and counts once. Errors: EPERM (neither owner nor creator and no CAP_IPC_LOCK, or RLIMIT_MEMLOCK is 0), ENOMEM
  // (more than RLIMIT_MEMLOCK), EINVAL, EIDRM.
  [[nodiscard]] absl::Status Lock() const;
  // SHM_UNLOCK. Errors: EPERM (as Lock, but for the limit), EINVAL, EIDRM.
  [[nodiscard]] absl::Status Unlock() const;

  // Marks the segment for removal: it goes with its last attachment, whoever dies how. Does nothing in a process that
  // does not own it. Afterwards this Segment owns nothing any more, but Attach and Stat still work while it exists.
  absl::Status Remove();
  // The same whether owned or not. Marking twice is fine. Errors: EPERM (neither owner nor creator, and no
  // CAP_SYS_ADMIN), EINVAL (gone), EIDRM.
  absl::Status MarkForRemoval();
  // Gives up ownership: nothing removes the segment any more but a call of MarkForRemoval. Returns its id.
  int Release();

  [[nodiscard]] int id() const { return id_; }
  [[nodiscard]] size_t bytes() const { return bytes_; }

 private:
  Segment(int id, size_t bytes, pid_t owner_pid) : id_(id), bytes_(bytes), owner_pid_(owner_pid) {}
  [[nodiscard]] absl::StatusOr<Attachment> AttachAt(void* address, int flags) const;

  int id_ = -1;
  size_t bytes_ = 0;
  pid_t owner_pid_ = 0;  // 0: not owned
};

}  // namespace ipcmark::sysv_shm

#endif  // IPCMARK_IPC_SYSV_SHM_SEGMENT_H_
