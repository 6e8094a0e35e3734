#ifndef IPCMARK_BENCH_SIDES_H_
#define IPCMARK_BENCH_SIDES_H_

// The two sides of a slice: their processes, their ends, and one message given or taken.
//
// What is in here is in every timed loop. A loop asks true or false; a Status is made of what went wrong once, out of
// the way: made, moved and destroyed per message it would keep the loop's variables in memory.

#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "bench/machine/clock.h"
#include "bench/slice.h"
#include "ipc/os/futex.h"
#include "ipc/retry.h"

namespace ipcmark::bench {

// Sends message `n`; false, with the reason in `failure`, when it cannot.
template <SendEnd S>
[[nodiscard]] inline bool GiveMessage(S& sender, std::span<uint64_t> words, uint64_t n, absl::Status& failure) {
  WritePayload(words, n);
  const IoResult result = RetryInterrupted([&] { return sender.Send(std::as_bytes(words), Deadline::Never()); });
  if (result.ok()) [[likely]] {
    return true;
  }
  return Fail(failure, "Send", n, result, words.size_bytes());
}

// Receives message `n`; false, with the reason in `failure`, when none comes or another one.
template <ReceiveEnd R>
[[nodiscard]] inline bool TakeMessage(R& receiver, std::span<uint64_t> words, uint64_t n, absl::Status& failure) {
  const IoResult result =
      RetryInterrupted([&] { return receiver.Receive(std::as_writable_bytes(words), Deadline::Never()); });
  if (result.ok() && result.bytes == words.size_bytes() && IsPayload(words, n)) [[likely]] {
    return true;
  }
  return Fail(failure, "Receive", n, result, words.size_bytes());
}

// How messages get into an object and out of it: so here, InPlace in loan.h.
struct Copied {
  template <SendEnd S>
  static bool Give(S& sender, std::span<uint64_t> words, uint64_t n, absl::Status& failure) {
    return GiveMessage(sender, words, n, failure);
  }
  template <ReceiveEnd R>
  static bool Take(R& receiver, std::span<uint64_t> words, uint64_t n, absl::Status& failure) {
    return TakeMessage(receiver, words, n, failure);
  }
};

// A process's end of an object, with room for a message.
template <typename End, typename Carry = Copied>
struct Side {
  End end;
  Words words;

  [[nodiscard]] bool Give(uint64_t n, absl::Status& failure) { return Carry::Give(end, words, n, failure); }
  [[nodiscard]] bool Take(uint64_t n, absl::Status& failure) { return Carry::Take(end, words, n, failure); }

  // Messages `from` to `to` - 1, up to the first failure.
  absl::Status GiveAll(uint64_t from, uint64_t to) {
    absl::Status failure;
    // Of its own: else the loop reads anew after each message where the words are.
    const std::span<uint64_t> room = words;
    for (uint64_t n = from; n < to; ++n) {
      if (!Carry::Give(end, room, n, failure)) break;
    }
    return failure;
  }
  absl::Status TakeAll(uint64_t from, uint64_t to) {
    absl::Status failure;
    const std::span<uint64_t> room = words;
    for (uint64_t n = from; n < to; ++n) {
      if (!Carry::Take(end, room, n, failure)) break;
    }
    return failure;
  }
};

template <typename Carry = Copied, typename End>
absl::StatusOr<Side<End, Carry>> SideOf(absl::StatusOr<End> end, const SliceSpec& spec) {
  if (!end.ok()) return end.status();
  return Side<End, Carry>{*std::move(end), Words(spec.message_bytes / sizeof(uint64_t))};
}

// Opens the end of a process that has no other of this object.
template <typename Carry = Copied, Primitive P>
absl::StatusOr<Side<SenderOf<P>, Carry>> OpenSendSide(P& object, const SliceSpec& spec) {
  auto side = SideOf<Carry>(object.OpenSender(), spec);
  object.ReleaseEnds();
  return side;
}
template <typename Carry = Copied, Primitive P>
absl::StatusOr<Side<ReceiverOf<P>, Carry>> OpenReceiveSide(P& object, const SliceSpec& spec) {
  auto side = SideOf<Carry>(object.OpenReceiver(), spec);
  object.ReleaseEnds();
  return side;
}

// The receiver has all warm-up messages; until then the sender sleeps.
inline void SayWarm(SliceShared& shared) noexcept {
  shared.warm.store(1, std::memory_order_release);
  os::WakeAllOnFutex(shared.warm);
}
inline void AwaitWarm(const SliceShared& shared) noexcept {
  while (shared.warm.load(std::memory_order_acquire) == 0) os::WaitOnFutex(shared.warm, 0, Deadline::Never());
}

// Nothing to release: what RunPair takes where there is no object.
struct NoObject {
  void ReleaseEnds() noexcept {}
};

// Runs the two sides in processes of their own, each on its CPU, until both are done.
template <typename Object>
absl::Status RunPair(Object& object, const SliceSpec& spec, absl::FunctionRef<absl::Status(os::Gate&)> send,
                     absl::FunctionRef<absl::Status(os::Gate&)> receive) {
  absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(2, spec.cancel);
  if (!group.ok()) return group.status();
  const Deadline watchdog = os::After(spec.watchdog_nanos);
  absl::Status status = group->Spawn("receiver", spec.receiver_cpu, receive).status();
  if (status.ok()) status = group->Spawn("sender", spec.sender_cpu, send).status();
  object.ReleaseEnds();
  if (status.ok()) status = group->Start(watchdog);
  if (status.ok()) status = group->Join(watchdog);
  return status;
}

// Runs `body` in one process on the sender's CPU.
template <typename Object>
absl::Status RunOne(Object& object, const SliceSpec& spec, std::string role,
                    absl::FunctionRef<absl::Status(os::Gate&)> body) {
  absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(1, spec.cancel);
  if (!group.ok()) return group.status();
  const Deadline watchdog = os::After(spec.watchdog_nanos);
  absl::Status status = group->Spawn(std::move(role), spec.sender_cpu, body).status();
  object.ReleaseEnds();
  if (status.ok()) status = group->Start(watchdog);
  if (status.ok()) status = group->Join(watchdog);
  return status;
}

// Messages between two clock reads of a loop whose samples are batches: 64 small ones, each large one.
constexpr uint64_t MessagesPerSample(uint32_t message_bytes) {
  return std::clamp<uint64_t>(64 * 1024 / message_bytes, 1, 64);
}
// Samples that a slice of batches can have.
constexpr uint64_t BatchSamples(const SliceSpec& spec) {
  return std::min(spec.messages / MessagesPerSample(spec.message_bytes) + 1, kMaxSamples);
}

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_SIDES_H_
