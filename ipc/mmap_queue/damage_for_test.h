#ifndef IPCMARK_IPC_MMAP_QUEUE_DAMAGE_FOR_TEST_H_
#define IPCMARK_IPC_MMAP_QUEUE_DAMAGE_FOR_TEST_H_

// A named queue and its file, for tests that damage it.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "ipc/mmap_queue/queue.h"
#include "ipc/os/mapping.h"

namespace ipcmark::mmap_queue {

inline constexpr Attributes kSmall = {.depth_messages = 4, .message_bytes = 32};

class DamageTest : public testing::Test {
 protected:
  DamageTest() : name_(absl::StrCat("/damage_test_", getpid())), path_("/dev/shm/mq." + name_.substr(1)) {}
  ~DamageTest() override { unlink(path_.c_str()); }

  [[nodiscard]] Queue Make() const {
    absl::StatusOr<Queue> queue = Queue::Open(name_, O_CREAT | O_EXCL | O_RDWR, 0600, kSmall);
    EXPECT_TRUE(queue.ok()) << queue.status();
    return *std::move(queue);
  }
  // The whole file, as a vandal sees it.
  [[nodiscard]] os::Mapping Map() const {
    const os::Fd fd(open(path_.c_str(), O_RDWR | O_CLOEXEC));
    struct stat its {};
    fstat(fd.get(), &its);
    return *os::Mapping::SharedFile(fd.get(), static_cast<size_t>(its.st_size));
  }
  [[nodiscard]] int OpenErrno() const {
    int fd = -1;
    MappedFile file;
    const int err = OpenQueueFile(name_.c_str(), O_RDWR, 0, nullptr, &fd, &file);
    if (err != 0) return err;
    file.Unmap();
    close(fd);
    return 0;
  }

  std::string name_;
  std::string path_;
};

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_DAMAGE_FOR_TEST_H_
