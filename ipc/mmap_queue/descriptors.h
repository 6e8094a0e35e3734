#ifndef IPCMARK_IPC_MMAP_QUEUE_DESCRIPTORS_H_
#define IPCMARK_IPC_MMAP_QUEUE_DESCRIPTORS_H_

// Which mapped queue stands behind a descriptor of this process. The descriptor is the truth and this table a cache of
// it: descriptors come by dup, fork and sendmsg and go by close(2) without our hearing of it, so every use checks that
// the descriptor still stands for the mapped file (one fstat), and an unknown one is mapped on its first use. Sends and
// receives of a queue that is `trusted` do without that check: a system call costs more than they do.
//
// Lock-free, without malloc: it may be used in signal handlers and after a fork of a process with many threads. A queue
// that another thread closes stays mapped until the last call that uses it returns.

#include <cstdint>
#include <utility>

#include "ipc/mmap_queue/queue_file.h"

namespace ipcmark::mmap_queue {

struct Incarnation;

// One use of a mapped queue, which stays mapped until this is destroyed.
class Use {
 public:
  Use() = default;
  explicit Use(Incarnation* of) : of_(of) {}
  Use(Use&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
  Use& operator=(Use&& other) noexcept {
    std::swap(of_, other.of_);
    return *this;
  }
  ~Use();
  [[nodiscard]] const MappedFile& file() const;
  [[nodiscard]] Incarnation* of() const { return of_; }

 private:
  Incarnation* of_ = nullptr;
};

// Whether to look if the descriptor still stands for the file.
enum class Check : uint8_t { kAlways, kUnlessTrusted };

// The queue behind `fd`. Returns 0, or EBADF (no queue), EBADMSG (a damaged or truncated one; *use is set when it was
// intact before), ENOMEM.
int UseDescriptor(int fd, Use* use, Check check = Check::kAlways) noexcept;
// Remembers that `fd` stands for `file`, whose mapping the table owns from then on. Returns 0, or ENOMEM or EMFILE (the
// file is unmapped then).
int RememberDescriptor(int fd, MappedFile file) noexcept;
// Forgets what `use` was got for, if `fd` still stands for it.
void ForgetDescriptor(int fd, const Use& use) noexcept;

}  // namespace ipcmark::mmap_queue

#endif  // IPCMARK_IPC_MMAP_QUEUE_DESCRIPTORS_H_
