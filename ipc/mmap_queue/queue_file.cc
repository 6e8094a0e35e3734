#include "ipc/mmap_queue/queue_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "ipc/os/fd.h"

namespace ipcmark::mmap_queue {
namespace {

// The start of a queue's file name: a queue and a shared memory object (shm_open) may bear the same name.
constexpr char kPrefix[] = "mq.";
// At most so much is reserved in one call: a signal makes fallocate give back what it had, and one every few
// milliseconds must not keep it from ever getting through.
constexpr uint64_t kReserveBytes = uint64_t{16} << 20;

// glibc's fstat goes by a path lookup that costs several times as much.
int Fstat(int fd, struct stat* file) noexcept { return static_cast<int>(syscall(SYS_fstat, fd, file)); }

// Of an environment variable: set, and to something.
bool IsSet(const char* named) noexcept { return named != nullptr && *named != '\0'; }
bool IsOne(const char* said) noexcept { return said != nullptr && strcmp(said, "1") == 0; }

struct Path {
  char text[PATH_MAX];
};

// The file of a queue. Errors as the kernel's mq_open: it looks names up in a directory of its own.
int PathOf(const char* name, Path* path) noexcept {
  if (name[0] != '/') return EINVAL;
  ++name;
  const size_t length = strlen(name);
  if (length == 0) return ENOENT;
  if (length >= PATH_MAX) return ENAMETOOLONG;
  if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strchr(name, '/') != nullptr) return EACCES;
  const char* directory = QueueDirectory();
  const size_t directory_length = strlen(directory);
  if (length + strlen(kPrefix) > NAME_MAX || directory_length + 1 + strlen(kPrefix) + length >= sizeof(path->text)) {
    return ENAMETOOLONG;
  }
  snprintf(path->text, sizeof(path->text), "%s/%s%s", directory, kPrefix, name);
  return 0;
}

int StatusFlags(int flags) noexcept {
  const int nonblocking = flags & O_NONBLOCK;
  switch (flags & O_ACCMODE) {
    case O_RDONLY:
      return nonblocking | O_SYNC;
    case O_WRONLY:
      return nonblocking | O_DSYNC;
    default:
      return nonblocking;
  }
}

// Opens what has the name already.
int OpenExisting(const Path& path, int flags, os::Fd* fd) noexcept {
  *fd = os::Fd(open(path.text, O_RDWR | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC | StatusFlags(flags)));
  return fd->valid() ? 0 : errno;
}

// A queue without a name.
int MakeAside(int flags, mode_t mode, const Attributes& attributes, os::Fd* fd) noexcept {
  if (attributes.depth_messages <= 0 || attributes.message_bytes <= 0 ||
      attributes.depth_messages > kMaxDepthMessages || attributes.message_bytes > kMaxNamedMessageBytes ||
      (attributes.policy != Policy::kRobust && attributes.policy != Policy::kPosix)) {
    return EINVAL;
  }
  const auto depth = static_cast<uint32_t>(attributes.depth_messages);
  const auto message_bytes = static_cast<uint32_t>(attributes.message_bytes);
  const uint64_t bytes = QueueBytes(depth, message_bytes);
  *fd = os::Fd(open(QueueDirectory(), O_TMPFILE | O_RDWR | O_CLOEXEC | StatusFlags(flags), mode & 0777));
  if (!fd->valid()) return errno;
  const int err = ReserveSpace(fd->get(), bytes);
  if (err != 0) return err;
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd->get(), 0);
  if (address == MAP_FAILED) return errno;
  const int lock_err = Core::Initialise(address, depth, message_bytes, attributes.policy);
  munmap(address, bytes);
  return lock_err;
}

// Gives the queue of `fd` its name.
int LinkInto(int fd, const Path& path) noexcept {
  char self[32];
  snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
  if (linkat(AT_FDCWD, self, AT_FDCWD, path.text, AT_SYMLINK_FOLLOW) == 0) return 0;
  if (errno != ENOENT) return errno;
  // Without /proc: allowed to who opened the file, since Linux 6.10, and to root.
  return linkat(fd, "", AT_FDCWD, path.text, AT_EMPTY_PATH) == 0 ? 0 : errno;
}

// Opens or makes it. Goes round again only when another process has made or unlinked the name in between.
int OpenOrMake(const Path& path, int flags, mode_t mode, const Attributes& attributes, os::Fd* fd) noexcept {
  const bool exclusive = (flags & O_EXCL) != 0;
  os::Fd made;
  for (;;) {
    if (exclusive) {
      struct stat file;
      if (lstat(path.text, &file) == 0) return EEXIST;
    } else {
      const int err = OpenExisting(path, flags, fd);
      if (err != ENOENT) return err;
    }
    if (!made.valid()) {
      const int err = MakeAside(flags, mode, attributes, &made);
      if (err != 0) return err;
    }
    const int err = LinkInto(made.get(), path);
    if (err == 0) {
      *fd = std::move(made);
      return 0;
    }
    if (err != EEXIST || exclusive) return err;
  }
}

}  // namespace

void MappedFile::Unmap() noexcept {
  if (address != nullptr) munmap(address, id.bytes);
  address = nullptr;
}

std::optional<Policy> PolicyOfEnvironment() noexcept {
  const char* named = secure_getenv("IPCMARK_QUEUE_POLICY");
  if (!IsSet(named) || strcmp(named, "robust") == 0) return Policy::kRobust;
  if (strcmp(named, "posix") == 0) return Policy::kPosix;
  return std::nullopt;
}

bool TrustsDescriptors() noexcept { return IsOne(secure_getenv("IPCMARK_QUEUE_TRUST_DESCRIPTORS")); }

bool SpinsFirst() noexcept { return IsOne(secure_getenv("IPCMARK_QUEUE_SPIN")); }

const char* QueueDirectory() noexcept {
  // Not for a program that runs with more rights than who started it.
  const char* named = secure_getenv("IPCMARK_QUEUE_DIR");
  return IsSet(named) ? named : "/dev/shm";
}

int ReserveSpace(int fd, uint64_t bytes) noexcept {
  if (bytes > LONG_MAX) return EFBIG;
  rlimit allowed;
  if (getrlimit(RLIMIT_FSIZE, &allowed) == 0 && allowed.rlim_cur != RLIM_INFINITY && bytes > allowed.rlim_cur) {
    return EFBIG;
  }
  // A look first: asking tmpfs for more than there is would fill the memory on the way to the error.
  struct statvfs room;
  if (fstatvfs(fd, &room) == 0 && room.f_blocks != 0 && bytes / room.f_frsize > room.f_bfree) return ENOSPC;
  for (uint64_t done = 0; done < bytes;) {
    const uint64_t part = std::min(kReserveBytes, bytes - done);
    const int err = posix_fallocate(fd, static_cast<off_t>(done), static_cast<off_t>(part));
    if (err == 0) done += part;
    if (err != 0 && err != EINTR) return err;
  }
  return 0;
}

int OpenQueueFile(const char* name, int flags, mode_t mode, const Attributes* attributes, int* fd, MappedFile* file) {
  Path path;
  int err = PathOf(name, &path);
  if (err != 0) return err;
  if ((flags & O_ACCMODE) == O_ACCMODE) {
    struct stat its;
    return lstat(path.text, &its) != 0 && (flags & O_CREAT) == 0 ? errno : EINVAL;
  }
  os::Fd opened;
  if ((flags & O_CREAT) != 0) {
    err = OpenOrMake(path, flags, mode, attributes != nullptr ? *attributes : Attributes{}, &opened);
  } else {
    err = OpenExisting(path, flags, &opened);
  }
  if (err == ELOOP || err == ENXIO || err == EISDIR) return EACCES;
  if (err != 0) return err;
  err = MapQueueFile(opened.get(), file);
  // There is something of that name, and it is not what it should be.
  if (err == EBADF) return EBADMSG;
  if (err != 0) return err;
  *fd = opened.Release();
  return 0;
}

int MapQueueFile(int fd, MappedFile* file) noexcept {
  struct stat its;
  if (Fstat(fd, &its) != 0) return EBADF;
  const int flags = fcntl(fd, F_GETFL);
  if (!S_ISREG(its.st_mode) || (flags & O_ACCMODE) != O_RDWR || its.st_size < off_t{sizeof(QueueHeader)}) return EBADF;
  // Looked at without mapping it: it may be anybody's.
  uint64_t magic = 0;
  if (pread(fd, &magic, sizeof(magic), 0) != ssize_t{sizeof(magic)} || magic != kQueueMagic) return EBADF;
  const auto bytes = static_cast<uint64_t>(its.st_size);
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (address == MAP_FAILED) return errno;
  const std::optional<Sizes> sizes = Core::Check(address, bytes);
  if (!sizes) {
    munmap(address, bytes);
    return EBADMSG;
  }
  *file = {.core = Core(address, *sizes),
           .address = address,
           .id = {.device = its.st_dev, .inode = its.st_ino, .bytes = bytes},
           .trusted = TrustsDescriptors(),
           .spins = SpinsFirst()};
  ReadAccess(fd, file);
  return 0;
}

void ReadAccess(int fd, MappedFile* file) noexcept {
  const int flags = fcntl(fd, F_GETFL);
  // O_SYNC includes O_DSYNC's bit.
  file->may_send = (flags & O_SYNC) != O_SYNC;
  file->may_receive = (flags & O_SYNC) != O_DSYNC;
}

int CheckQueueFile(int fd, const FileId& file) noexcept {
  struct stat its;
  if (Fstat(fd, &its) != 0 || its.st_dev != file.device || its.st_ino != file.inode) return EBADF;
  return static_cast<uint64_t>(its.st_size) < file.bytes ? EBADMSG : 0;
}

bool IsThere(const void* in_page) noexcept {
  const auto page_bytes = static_cast<uintptr_t>(getpagesize());
  const char* page = static_cast<const char*>(in_page);
  page -= reinterpret_cast<uintptr_t>(page) % page_bytes;
  return madvise(const_cast<char*>(page), page_bytes, MADV_POPULATE_READ) == 0 || errno != EFAULT;
}

int UnlinkQueueFile(const char* name) noexcept {
  Path path;
  const int err = PathOf(name, &path);
  if (err != 0) return err;
  if (unlink(path.text) == 0) return 0;
  return errno == EPERM ? EACCES : errno;
}

}  // namespace ipcmark::mmap_queue
