#ifndef IPCMARK_STRESS_MUTANTS_LITTERING_LITTERING_H_
#define IPCMARK_STRESS_MUTANTS_LITTERING_LITTERING_H_

// A primitive that cleans up in its destructor only, as many do: a segment and a file in /dev/shm outlive a process
// that is killed. For the test that nothing of a killed run remains; our own primitives remove theirs while in use.

#include <fcntl.h>
#include <sys/shm.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "ipc/sysv_shm/sysv_shm.h"

namespace ipcmark::littering {

class Litter {
 public:
  Litter()
      : path_(absl::StrCat("/dev/shm/littering.", getpid())),
        segment_(shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600)),
        file_(open(path_.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600)) {}
  Litter(const Litter&) = delete;
  Litter& operator=(const Litter&) = delete;
  ~Litter() {
    shmctl(segment_, IPC_RMID, nullptr);
    close(file_);
    unlink(path_.c_str());
  }

 private:
  std::string path_;
  int segment_;
  int file_;
};

class Channel : public sysv_shm::Channel {
 public:
  static absl::StatusOr<Channel> Create(const Geometry& geometry) {
    absl::StatusOr<sysv_shm::Channel> ring = sysv_shm::Channel::Create(geometry);
    if (!ring.ok()) return ring.status();
    return Channel(*std::move(ring));
  }

 private:
  explicit Channel(sysv_shm::Channel ring) : sysv_shm::Channel(std::move(ring)), litter_(std::make_unique<Litter>()) {}
  std::unique_ptr<Litter> litter_;
};

}  // namespace ipcmark::littering

#endif  // IPCMARK_STRESS_MUTANTS_LITTERING_LITTERING_H_
