#include "ipc/mmap_queue/file_fuzz.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <vector>

#include "ipc/mmap_queue/core.h"
#include "ipc/mmap_queue/queue.h"
#include "ipc/os/fd.h"

namespace ipcmark::mmap_queue {
namespace {

constexpr uint32_t kDepth = 4;
constexpr uint32_t kMessageBytes = 32;
constexpr int kMostSteps = 64;
// No call waits: the deadline of each has passed.
constexpr timespec kPast = {.tv_sec = 1, .tv_nsec = 0};

// Stops at the first thing that is not as promised.
void Require(bool promised, const char* what) {
  if (promised) return;
  fprintf(stderr, "file_fuzz: %s\n", what);
  abort();
}

// Takes numbers off the input; zeroes when it is used up.
class Input {
 public:
  explicit Input(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  template <typename T>
  T Take() {
    T value = 0;
    const size_t size = std::min(sizeof(T), bytes_.size());
    memcpy(&value, bytes_.data(), size);
    bytes_ = bytes_.subspan(size);
    return value;
  }
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  [[nodiscard]] std::span<const uint8_t> rest() const { return bytes_; }

 private:
  std::span<const uint8_t> bytes_;
};

// Changes a word somewhere in `memory`: mostly in the header, the slots and the lists, mostly to something that could
// be an index, a size or a state.
void Damage(Input& input, std::span<std::byte> memory) {
  const auto where = input.Take<uint8_t>();
  const uint64_t parts[][2] = {
      {0, 64},
      {offsetof(QueueHeader, send), sizeof(SendSide)},
      {offsetof(QueueHeader, receive), sizeof(ReceiveSide)},
      {offsetof(QueueHeader, raised), sizeof(QueueHeader) - offsetof(QueueHeader, raised)},
      {TailsOffset(), 64},
      {SlotsOffset(), kDepth * sizeof(Slot)},
      {LinksOffset(kDepth, kMessageBytes), StagesOffset(kDepth, kMessageBytes) - LinksOffset(kDepth, kMessageBytes)},
      {offsetof(QueueHeader, inbox), 64},
      {0, memory.size()},
      {offsetof(QueueHeader, pace_of_senders), 2 * sizeof(Pace)},
      {offsetof(QueueHeader, priorities), 128}};
  const auto& [start, bytes] = parts[where % std::size(parts)];
  const uint64_t at = (start + input.Take<uint32_t>() % bytes) & ~uint64_t{3};
  if (at + sizeof(uint32_t) > memory.size()) return;
  // A lock that nobody holds is found out after a second (StuckLock): not too many of those.
  const bool is_lock = at == offsetof(QueueHeader, send) || at == offsetof(QueueHeader, receive);
  if (is_lock && input.Take<uint8_t>() % 64 != 0) return;
  const uint32_t likely[] = {0, 1, 2, 3, kDepth, kDepth - 1, UINT32_MAX, kMessageBytes + 1, INT32_MAX, 32768};
  const uint32_t value =
      (where & 0x80U) != 0 ? input.Take<uint32_t>() : likely[input.Take<uint8_t>() % std::size(likely)];
  memcpy(memory.data() + at, &value, sizeof(value));
}

bool IsKnown(const IoResult& result) {
  switch (result.outcome) {
    case Outcome::kOk:
    case Outcome::kWouldBlock:
    case Outcome::kDeadline:
    case Outcome::kTooBig:
      return true;
    case Outcome::kError:
      return result.err == EBADMSG || result.err == EDEADLK || result.err == EINVAL;
    default:
      return false;
  }
}

void Call(Input& input, Queue& queue) {
  std::array<std::byte, kMessageBytes> message{};
  std::vector<std::byte> buffer(std::min<uint32_t>(queue.message_bytes(), 1U << 20));
  const auto what = input.Take<uint8_t>();
  switch (what % 4) {
    case 0: {
      const size_t bytes = std::min<size_t>({size_t{what} / 4, kMessageBytes, queue.message_bytes()});
      Require(IsKnown(queue.Send(std::span(message).first(bytes), input.Take<uint16_t>(), &kPast)), "Send said what?");
      return;
    }
    case 1: {
      uint32_t priority = 0;
      const IoResult result = queue.Receive(buffer, &priority, &kPast);
      Require(IsKnown(result), "Receive said what?");
      Require(!result.ok() || (result.bytes <= buffer.size() && priority < kPriorityLevels), "more than there can be");
      return;
    }
    case 2: {
      sigevent event{};
      event.sigev_notify = (what & 4U) != 0 ? SIGEV_NONE : SIGEV_SIGNAL;
      event.sigev_signo = SIGURG;  // ignored, unless a program says otherwise
      const int err = queue.Notify((what & 8U) != 0 ? &event : nullptr);
      Require(err == 0 || err == EBUSY || err == EBADMSG || err == EDEADLK || err == EAGAIN, "Notify said what?");
      return;
    }
    default:
      static_cast<void>(queue.count());
  }
}

os::Fd NewFile() { return os::Fd(static_cast<int>(memfd_create("file_fuzz", MFD_CLOEXEC))); }

// A user of what is in `file` now; none when it is refused, or is not to be used.
std::optional<Queue> Reopen(const os::Fd& file) {
  absl::StatusOr<Queue> queue = Queue::FromDescriptor(os::Fd(fcntl(file.get(), F_DUPFD_CLOEXEC, 3)));
  if (!queue.ok() || queue->policy() != Policy::kRobust) return std::nullopt;
  return *std::move(queue);
}

void RunOnAFile(Input input) {
  const os::Fd file = NewFile();
  const std::span<const uint8_t> bytes = input.rest();
  Require(write(file.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()), "memfd");
  std::optional<Queue> queue = Reopen(file);
  for (int step = 0; queue && step < 8; ++step) Call(input, *queue);
}

void RunOnAQueueInUse(Input input) {
  const os::Fd file = NewFile();
  const uint64_t bytes = QueueBytes(kDepth, kMessageBytes);
  Require(ftruncate(file.get(), static_cast<off_t>(bytes)) == 0, "memfd");
  void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  Require(address != MAP_FAILED, "mmap");
  Require(Core::Initialise(address, kDepth, kMessageBytes) == 0, "initialise");
  std::optional<Queue> queue = Reopen(file);
  Require(queue.has_value(), "a queue that nobody has damaged is refused");
  for (int step = 0; step < kMostSteps && !input.empty(); ++step) {
    const auto what = input.Take<uint8_t>();
    if (what % 4 == 0) {
      Damage(input, {static_cast<std::byte*>(address), bytes});
    } else if (what == 1) {
      queue = Reopen(file);
    } else if (queue) {
      Call(input, *queue);
    }
  }
  queue.reset();
  munmap(address, bytes);
}

struct FreeAligned {
  void operator()(void* memory) const { ::operator delete (memory, std::align_val_t{os::kCacheLineBytes}); }
};

void RunOnTheCore(Input input) {
  const uint64_t bytes = QueueBytes(kDepth, kMessageBytes);
  const std::unique_ptr<void, FreeAligned> memory(::operator new (bytes, std::align_val_t{os::kCacheLineBytes}));
  memset(memory.get(), 0, bytes);
  Require(Core::Initialise(memory.get(), kDepth, kMessageBytes) == 0, "initialise");
  Core core(memory.get());
  std::array<std::byte, kMessageBytes> message{};
  for (int step = 0; step < kMostSteps && !input.empty(); ++step) {
    const auto what = input.Take<uint8_t>();
    bool damaged = false;
    uint32_t slot = kNoSlot;
    switch (what % 4) {
      case 0:
        Damage(input, {static_cast<std::byte*>(memory.get()), bytes});
        break;
      case 1:
        if (core.IsInboxFull()) core.Drain(&damaged);
        slot = core.Prepare(std::span(message).first(what % kMessageBytes), input.Take<uint16_t>() % kPriorityLevels,
                            &damaged);
        if (slot != kNoSlot) core.Commit(slot);
        break;
      case 2:
        slot = core.Highest(&damaged);
        if (slot == kNoSlot) break;
        Require(core.Payload(slot).size() <= kMessageBytes, "a message longer than there can be");
        core.Take(slot);
        break;
      default:
        core.Rebuild();
        // Whatever was there, it is in order again.
        static_cast<void>(core.Highest(&damaged));
        Require(!damaged, "damaged after it was rebuilt");
    }
  }
}

}  // namespace
}  // namespace ipcmark::mmap_queue

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using ipcmark::mmap_queue::Input;
  Input input({data, size});
  switch (input.Take<uint8_t>() % 8) {
    case 0:
      ipcmark::mmap_queue::RunOnAFile(input);
      break;
    case 1:
    case 2:
    case 3:
      ipcmark::mmap_queue::RunOnAQueueInUse(input);
      break;
    default:
      ipcmark::mmap_queue::RunOnTheCore(input);
  }
  return 0;
}
