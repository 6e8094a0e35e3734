#ifndef IPCMARK_STRESS_MUTANTS_TEXTBOOK_H_
#define IPCMARK_STRESS_MUTANTS_TEXTBOOK_H_

// The bounded queue of the textbooks, in shared memory with a mutex and condition variables, right or with one of the
// mistakes that people make in it. Unlike broken.h these are defects of the algorithm itself: they show when processes
// meet, not at a certain message. Only for stress' tests.

#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <utility>

#include "ipc/channel.h"
#include "ipc/os/clock.h"
#include "ipc/os/mapping.h"

namespace ipcmark::stress {

enum class Mistake : uint8_t {
  kNone,            // right, but for what it makes no promise about: death
  kSignalsOnEdges,  // one condition variable for both directions, signalled once, on empty <-> not empty and full <->
                    // not full only: two wake-ups become one, or reach the wrong side
  kNeverSignals,    // senders do not wake receivers
  kMutexNotRobust,  // promises to survive SIGKILL with a mutex that does not
  kConditionDies,   // promises to survive SIGKILL with condition variables: glibc's do not survive a killed waiter
  kCommitsFirst,    // counts the message, unlocks, and copies it then
  kDropsRelease,    // what a store of the index without release order may become: it is visible before the bytes
  kIndexOffByOne,   // the last slot of the ring is never used for writing, but for reading
  kTrustsMemory,    // promises to withstand damage, and takes what it reads for what it wrote
  kUnlocksToWait,   // looks, unlocks, and then goes to sleep: the wake-up in between is lost
};

struct TextbookQueue {
  pthread_mutex_t mutex;
  pthread_cond_t changed[2];  // 0: not empty, or everything; 1: not full
  uint32_t head;
  uint32_t count;
  uint32_t depth;
  uint32_t slot_bytes;
  struct Slot {
    uint32_t bytes;
    std::byte data[];
  };
  Slot& slot(uint32_t index) {
    auto* const first = reinterpret_cast<std::byte*>(this + 1);
    return *reinterpret_cast<Slot*>(first + uint64_t{index} * slot_bytes);
  }
};

template <Mistake kMistake>
class TextbookEnd {
 public:
  explicit TextbookEnd(std::shared_ptr<const os::Mapping> mapping)
      : mapping_(std::move(mapping)), queue_(static_cast<TextbookQueue*>(mapping_->address())) {}

 protected:
  static constexpr bool kOneCondition = kMistake == Mistake::kSignalsOnEdges;

  void Lock() noexcept {
    if (pthread_mutex_lock(&queue_->mutex) == EOWNERDEAD) pthread_mutex_consistent(&queue_->mutex);
  }
  void Unlock() noexcept { pthread_mutex_unlock(&queue_->mutex); }

  // With the lock held; false when the deadline has passed.
  bool Sleep(int direction, Deadline deadline) noexcept {
    pthread_cond_t& changed = queue_->changed[kOneCondition ? 0 : direction];
    if (kMistake == Mistake::kUnlocksToWait) {
      Unlock();
      sched_yield();
      Lock();
    }
    int err = 0;
    if (deadline.never()) {
      err = pthread_cond_wait(&changed, &queue_->mutex);
    } else {
      const timespec until = os::ToTimespec(deadline.monotonic_nanos);
      err = pthread_cond_timedwait(&changed, &queue_->mutex, &until);
    }
    if (err == EOWNERDEAD) pthread_mutex_consistent(&queue_->mutex);
    return err != ETIMEDOUT;
  }

  // After a change, with the lock held.
  void Signal(int direction, bool edge) noexcept {
    if (kMistake == Mistake::kNeverSignals && direction == 0) return;
    if (kMistake == Mistake::kSignalsOnEdges && !edge) return;
    pthread_cond_signal(&queue_->changed[kOneCondition ? 0 : direction]);
  }

  std::shared_ptr<const os::Mapping> mapping_;
  TextbookQueue* queue_;
};

template <Mistake kMistake>
class TextbookSender : public TextbookEnd<kMistake> {
 public:
  using TextbookEnd<kMistake>::TextbookEnd;

  IoResult Send(std::span<const std::byte> message, Deadline deadline) noexcept {
    TextbookQueue& queue = *this->queue_;
    this->Lock();
    while (queue.count == queue.depth) {
      const bool waits = !deadline.immediate() && this->Sleep(1, deadline);
      if (waits) continue;
      this->Unlock();
      return IoResult::Of(deadline.immediate() ? Outcome::kWouldBlock : Outcome::kDeadline);
    }
    uint32_t at = (queue.head + queue.count) % queue.depth;
    if (kMistake == Mistake::kIndexOffByOne) at %= queue.depth - 1;
    TextbookQueue::Slot& slot = queue.slot(at);
    slot.bytes = static_cast<uint32_t>(message.size());
    const bool late = kMistake == Mistake::kCommitsFirst || kMistake == Mistake::kDropsRelease;
    if (!late) memcpy(slot.data, message.data(), message.size());
    ++queue.count;
    this->Signal(0, queue.count == 1);
    this->Unlock();
    // Another CPU may see the store above before those below.
    if (kMistake == Mistake::kDropsRelease) sched_yield();
    if (late) memcpy(slot.data, message.data(), message.size());
    return IoResult::Ok(message.size());
  }
};

template <Mistake kMistake>
class TextbookReceiver : public TextbookEnd<kMistake> {
 public:
  using TextbookEnd<kMistake>::TextbookEnd;

  IoResult Receive(std::span<std::byte> buffer, Deadline deadline) noexcept {
    TextbookQueue& queue = *this->queue_;
    this->Lock();
    while (queue.count == 0) {
      const bool waits = !deadline.immediate() && this->Sleep(0, deadline);
      if (waits) continue;
      this->Unlock();
      return IoResult::Of(deadline.immediate() ? Outcome::kWouldBlock : Outcome::kDeadline);
    }
    const TextbookQueue::Slot& slot = queue.slot(queue.head);
    const uint32_t bytes = std::min<uint32_t>(slot.bytes, static_cast<uint32_t>(buffer.size()));
    memcpy(buffer.data(), slot.data, bytes);
    queue.head = (queue.head + 1) % queue.depth;
    --queue.count;
    this->Signal(1, queue.count + 1 == queue.depth);
    this->Unlock();
    return IoResult::Ok(bytes);
  }
};

template <Mistake kMistake>
class Textbook {
 public:
  using Sender = TextbookSender<kMistake>;
  using Receiver = TextbookReceiver<kMistake>;

  static constexpr Capabilities kCapabilities = {.max_senders = kUnlimited,
                                                 .max_receivers = kUnlimited,
                                                 .max_message_bytes = 65536,
                                                 .keeps_boundaries = true,
                                                 .has_priorities = false,
                                                 .survives_sigkill = kMistake == Mistake::kMutexNotRobust ||
                                                                     kMistake == Mistake::kConditionDies ||
                                                                     kMistake == Mistake::kTrustsMemory,
                                                 .reports_peer_death = false,
                                                 .waits = {Wait::kBlock},
                                                 .shows_signals = false,
                                                 .withstands_damage = kMistake == Mistake::kTrustsMemory};

  static absl::StatusOr<Textbook> Create(const Geometry& geometry) {
    absl::Status fits = CheckGeometry("textbook", kCapabilities, geometry);
    if (!fits.ok()) return fits;
    const uint32_t slot_bytes = (geometry.max_message_bytes + sizeof(TextbookQueue::Slot) + 7) / 8 * 8;
    absl::StatusOr<os::Mapping> mapping =
        os::Mapping::SharedAnonymous(sizeof(TextbookQueue) + uint64_t{geometry.depth_messages} * slot_bytes);
    if (!mapping.ok()) return mapping.status();
    auto* queue = new (mapping->address()) TextbookQueue{};
    queue->depth = geometry.depth_messages;
    queue->slot_bytes = slot_bytes;
    pthread_mutexattr_t mutex;
    pthread_mutexattr_init(&mutex);
    pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
    if (kMistake != Mistake::kMutexNotRobust) pthread_mutexattr_setrobust(&mutex, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&queue->mutex, &mutex);
    pthread_condattr_t condition;
    pthread_condattr_init(&condition);
    pthread_condattr_setpshared(&condition, PTHREAD_PROCESS_SHARED);
    pthread_condattr_setclock(&condition, CLOCK_MONOTONIC);
    for (pthread_cond_t& changed : queue->changed) pthread_cond_init(&changed, &condition);
    return Textbook(geometry, *std::move(mapping));
  }

  [[nodiscard]] const Geometry& geometry() const { return geometry_; }
  [[nodiscard]] uint64_t DepthLimit(uint32_t) const { return geometry_.depth_messages; }
  absl::StatusOr<Sender> OpenSender() { return Sender(mapping_); }
  absl::StatusOr<Receiver> OpenReceiver() { return Receiver(mapping_); }
  void ReleaseEnds() noexcept { mapping_.reset(); }

 private:
  Textbook(Geometry geometry, os::Mapping mapping)
      : geometry_(geometry), mapping_(std::make_shared<const os::Mapping>(std::move(mapping))) {}

  Geometry geometry_;
  std::shared_ptr<const os::Mapping> mapping_;  // until ReleaseEnds
};

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_MUTANTS_TEXTBOOK_H_
