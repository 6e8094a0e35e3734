#ifndef IPCMARK_STRESS_FULL_DISK_H_
#define IPCMARK_STRESS_FULL_DISK_H_

// A file system without any room: a tmpfs of our own whose size is lowered to what lies in it. Never one that others
// use, too.

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>

#include "ipc/os/fd.h"

namespace ipcmark::stress {

// Whether /dev/shm is this run's own tmpfs. Said by isolation.cc, once, before any fork.
inline bool g_has_own_dev_shm = false;

// While it lives, nothing more fits into `mount`, a tmpfs that belongs to this process' mount namespace.
class FullDisk {
 public:
  explicit FullDisk(const char* mount) : mount_(mount), filler_(open(mount, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)) {
    struct statvfs room {};
    if (statvfs(mount, &room) != 0) return;
    before_bytes_ = uint64_t{room.f_blocks} * room.f_frsize;
    // A page more than is used, because a size of 0 means that there is no limit; the page is then taken.
    Resize((uint64_t{room.f_blocks} - room.f_bfree + 1) * room.f_frsize);
    while (posix_fallocate(filler_.get(), filled_bytes_, kPageBytes) == 0) filled_bytes_ += kPageBytes;
  }
  ~FullDisk() {
    if (before_bytes_ != 0) Resize(before_bytes_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

  // Whether it is: what a new file of one page says.
  [[nodiscard]] bool IsFull() const {
    const os::Fd file(open(mount_, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    return file.valid() && posix_fallocate(file.get(), 0, kPageBytes) == ENOSPC;
  }

 private:
  static constexpr off_t kPageBytes = 4096;
  void Resize(uint64_t bytes) const {
    const std::string size = "size=" + std::to_string(bytes);
    ::mount("tmpfs", mount_, "tmpfs", MS_REMOUNT | MS_NOSUID | MS_NODEV, size.c_str());
  }

  const char* mount_;
  os::Fd filler_;
  off_t filled_bytes_ = 0;
  uint64_t before_bytes_ = 0;
};

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_FULL_DISK_H_
