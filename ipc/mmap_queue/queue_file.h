#ifndef IPCMARK_IPC_MMAP_QUEUE_QUEUE_FILE_H_
#define IPCMARK_IPC_MMAP_QUEUE_QUEUE_FILE_H_

// The file of a queue: its name, how it comes to be, and how a process gets from a descriptor to a mapped queue.
//
// The queue "/name" is the file mq.name in the directory that the environment variable IPCMARK_QUEUE_DIR names, else in
// /dev/shm; the directory's file system must know O_TMPFILE (tmpfs, ext4, xfs, btrfs). The file is made without a name,
// its space reserved and its contents written, and then linked into place: nobody ever sees half a queue, and a creator
// that dies leaves nothing.
//
// A descriptor carries all there is to know of it, so that it may be duplicated, inherited and passed on: O_NONBLOCK is
// the flag of its open file description, and what it was opened for is kept there too. Every user writes to the file,
// so it is always open for reading and writing (and opening needs both permissions); in its status flags
//
//   neither O_DSYNC nor O_SYNC   may send and receive
//   O_DSYNC                      may send only (O_WRONLY)
//   O_SYNC                       may receive only (O_RDONLY)
//
// which fcntl cannot change afterwards and which mean nothing to a mapping. Errors are errnos; nothing here allocates.

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "ipc/mmap_queue/core.h"

namespace ipcmark::mmap_queue {

// What mq_open gives a queue when it is not told. The same as the kernel's queues.
inline constexpr uint32_t kDefaultDepthMessages = 10;
inline constexpr uint32_t kDefaultMessageBytes = 8192;
// The kernel's hard limits, and ours for named queues.
inline constexpr int64_t kMaxDepthMessages = 65536;
inline constexpr int64_t kMaxNamedMessageBytes = int64_t{16} << 20;

// As they come from a caller: not yet checked.
struct Attributes {
  int64_t depth_messages = kDefaultDepthMessages;
  int64_t message_bytes = kDefaultMessageBytes;
  Policy policy = Policy::kRobust;
};

// Which file it is, and how much of it is mapped.
struct FileId {
  dev_t device = 0;
  ino_t inode = 0;
  uint64_t bytes = 0;
};

// A mapped queue.
struct MappedFile {
  Core core;
  void* address = nullptr;
  FileId id;
  bool may_send = false;
  bool may_receive = false;
  bool trusted = false;  // TrustsDescriptors, when it was mapped
  bool spins = false;    // SpinsFirst, likewise

  void Unmap() noexcept;
};

// What the environment variable IPCMARK_QUEUE_POLICY says, `robust` (also when it is not set, or empty) or `posix`;
// nothing for another word.
std::optional<Policy> PolicyOfEnvironment() noexcept;

// Whether sends and receives through the C interface believe that a descriptor still stands for the queue that it stood
// for: the environment variable IPCMARK_QUEUE_TRUST_DESCRIPTORS is 1.
bool TrustsDescriptors() noexcept;

// Whether calls of the C interface that have to wait poll for about 50 us before they sleep, as Wait::kSpinThenBlock:
// the environment variable IPCMARK_QUEUE_SPIN is 1.
bool SpinsFirst() noexcept;

// The directory for queues.
const char* QueueDirectory() noexcept;

// Takes `bytes` of room for `fd` now, so that a full disk shows here (ENOSPC) and not as SIGBUS later. EFBIG: this
// process may not make so large a file (RLIMIT_FSIZE), and is not sent SIGXFSZ for it.
int ReserveSpace(int fd, uint64_t bytes) noexcept;

// Opens or makes the queue `name`; `flags` as for mq_open. `attributes`: null for the defaults; looked at only when it
// is made. On success *fd is the caller's to close and *file to unmap. Errors: those of mq_open(3); EBADMSG when the
// file holds no queue or a damaged one; EFBIG as ReserveSpace.
int OpenQueueFile(const char* name, int flags, mode_t mode, const Attributes* attributes, int* fd, MappedFile* file);
// Maps the queue behind `fd`. EBADF when it is no descriptor of a queue.
int MapQueueFile(int fd, MappedFile* file) noexcept;
// Reads anew what `fd` was opened for.
void ReadAccess(int fd, MappedFile* file) noexcept;
// EBADF when `fd` is not, or not any more, a descriptor of `file`; EBADMSG when somebody has truncated it. One system
// call.
int CheckQueueFile(int fd, const FileId& file) noexcept;
// Whether a page of a mapping is there: false when its file has been truncated, and touching it would be SIGBUS. One
// system call, and no descriptor, which may have been closed. Before Linux 5.14 always true.
bool IsThere(const void* in_page) noexcept;

// mq_unlink(3). EACCES, as POSIX has it, also where unlink(2) says EPERM.
int UnlinkQueueFile(const char* name) noexcept;

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_QUEUE_FILE_H_
