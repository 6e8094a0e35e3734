#ifndef IPCMARK_IPC_CHANNEL_H_
#define IPCMARK_IPC_CHANNEL_H_

// The contract between a primitive (something that carries messages between processes) and the harness that measures,
// stresses and compares it. In this file:
//
//   Wait, WaitSet      how an end waits
//   Capabilities       what a primitive promises; ipc/conformance tests each promise
//   Geometry           what one object of it looks like: depth, message size, ends
//   Deadline, Outcome, IoResult   one operation: until when, and what came of it
//   SendEnd, ReceiveEnd, PrioritySendEnd, PriorityReceiveEnd, LoaningSendEnd, LoaningReceiveEnd, NotifyingReceiveEnd,
//   Primitive          concepts
//
// A primitive NAME is a folder ipc/NAME, a header ipc/NAME/NAME.h, a namespace ipcmark::NAME with a class `Channel`
// that models Primitive, and one line in ipc/primitives.bzl. Nothing else has to change.

#include <signal.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <span>
#include <utility>

#include "absl/status/statusor.h"

namespace ipcmark {

// How an end waits for the other one.
enum class Wait : uint8_t {
  kSpin,           // polls; never enters the kernel while the other end makes progress
  kSpinThenBlock,  // polls for a bounded number of rounds, then sleeps in the kernel
  kBlock,          // sleeps; at most it gives a peer that is at work a moment first, in a stream
};
inline constexpr Wait kAllWaits[] = {Wait::kSpin, Wait::kSpinThenBlock, Wait::kBlock};

// "spin", "spin_then_block", "block": the words of benchmark names and of flags.
constexpr const char* WaitName(Wait wait) {
  switch (wait) {
    case Wait::kSpin:
      return "spin";
    case Wait::kSpinThenBlock:
      return "spin_then_block";
    case Wait::kBlock:
      return "block";
  }
  return "?";
}

// A set of wait strategies.
class WaitSet {
 public:
  constexpr WaitSet(std::initializer_list<Wait> waits) {
    for (Wait wait : waits) bits_ |= 1U << static_cast<unsigned>(wait);
  }
  [[nodiscard]] constexpr bool Has(Wait wait) const { return (bits_ >> static_cast<unsigned>(wait) & 1U) != 0; }

 private:
  unsigned bits_ = 0;
};

inline constexpr uint32_t kUnlimited = std::numeric_limits<uint32_t>::max();

// What a primitive promises, whatever the geometry. The conformance suite tests each promise or prints why it cannot.
struct Capabilities {
  uint32_t max_senders;        // ends that may be open at once; kUnlimited: as many as the system carries
  uint32_t max_receivers;      // likewise
  uint64_t max_message_bytes;  // the largest message that any geometry allows
  bool keeps_boundaries;       // one Receive returns one Send's message, never a part or a join of two
  bool has_priorities;         // its ends model PrioritySendEnd and PriorityReceiveEnd
  // When an end's process is killed at any moment, the other ends go on, a new end may take its place on the same
  // object, and nothing that was accepted is lost but the one message that a killed receiver held in its hands.
  bool survives_sigkill;
  // An end that waits for a peer which has died or closed gets kPeerDead or kClosed within kPeerDeathNanos.
  bool reports_peer_death;
  WaitSet waits;  // the strategies that a geometry may ask for
  // Every receiver gets every message that was sent since it opened, instead of each message going to one of them.
  bool broadcasts = false;
  // A blocked call ends with kInterrupted when a signal handler (without SA_RESTART) has run.
  bool shows_signals = true;
  // Its ends exclude each other with a lock in shared memory: one that stands still inside holds up all others.
  bool locks = false;
  // Bytes that somebody has changed in its shared memory make an end fail (kError with EBADMSG), or show it other
  // messages; no operation outlives its deadline for them, and no process dies. Tested by each one's damage_test and by
  // stress/faults/corrupted_bytes.cc.
  bool withstands_damage = false;
};

// What a broadcast does about a receiver that is a whole depth behind.
enum class SlowReceiver : uint8_t {
  kBlocksSender,    // Send waits for it, while its process lives
  kMissesMessages,  // Send overwrites what it has not read; its next Receive says kMissed and how many
};

// The bound on noticing a dead peer (Capabilities::reports_peer_death).
inline constexpr int64_t kPeerDeathNanos = 100'000'000;

// One object, with every variable that is hidden elsewhere made explicit.
struct Geometry {
  uint32_t depth_messages = 64;       // how many messages of max_message_bytes it holds at least, before Send blocks
  uint32_t max_message_bytes = 4096;  // the largest message that it must carry
  Wait wait = Wait::kBlock;
  uint32_t senders = 1;                                      // ends that will be open at once
  uint32_t receivers = 1;                                    // likewise
  SlowReceiver slow_receiver = SlowReceiver::kBlocksSender;  // broadcasts only
};

// An absolute instant of CLOCK_MONOTONIC, in nanoseconds, until which an operation may wait.
struct Deadline {
  int64_t monotonic_nanos;

  static constexpr Deadline Never() { return {std::numeric_limits<int64_t>::max()}; }
  // Never waits: what cannot be done at once comes back as kWouldBlock.
  static constexpr Deadline Immediate() { return {0}; }
  [[nodiscard]] constexpr bool never() const { return monotonic_nanos == std::numeric_limits<int64_t>::max(); }
  [[nodiscard]] constexpr bool immediate() const { return monotonic_nanos == 0; }
};

// What came of a Send or a Receive. Every outcome but kOk means: the object is as it was, the message was neither sent
// nor received. (The one exception, a large frame through a pipe, is documented in ipc/pipe/pipe.h.)
enum class Outcome : uint8_t {
  kOk,
  kWouldBlock,   // Deadline::Immediate() and it could not be done at once
  kDeadline,     // the deadline passed
  kInterrupted,  // a signal handler ran while it waited (EINTR)
  kPeerDead,     // every end of the other side has died, and for a receiver nothing is left to read
  kClosed,       // every end of the other side has closed, and for a receiver nothing is left to read
  kTooBig,       // the message exceeds the geometry, or the receiver's buffer is smaller than the message
  kError,        // err says why; or the shared state is damaged (EBADMSG)
  kMissed,       // broadcasts only: `bytes` messages were overwritten; the next Receive goes on behind them
};

constexpr const char* OutcomeName(Outcome outcome) {
  constexpr const char* kNames[] = {"ok",     "would-block", "deadline", "interrupted", "peer-dead",
                                    "closed", "too-big",     "error",    "missed"};
  static_assert(std::size(kNames) == static_cast<size_t>(Outcome::kMissed) + 1);
  return kNames[static_cast<unsigned>(outcome)];
}

// Eight bytes, so that it comes back in a register.
struct IoResult {
  uint32_t bytes;   // the message's length when ok; for a receiver's kTooBig the length that is needed; for kMissed how
                    // many; else 0
  uint16_t err;     // errno when outcome is kError (and EINTR, EPIPE, ... where one stands behind it), else 0
  Outcome outcome;  //
  uint8_t unused = 0;

  [[nodiscard]] constexpr bool ok() const { return outcome == Outcome::kOk; }
  static constexpr IoResult Ok(size_t bytes) { return {static_cast<uint32_t>(bytes), 0, Outcome::kOk}; }
  static constexpr IoResult Of(Outcome outcome, int err = 0, size_t bytes = 0) {
    return {static_cast<uint32_t>(bytes), static_cast<uint16_t>(err), outcome};
  }
};
static_assert(sizeof(IoResult) == 8);

// An end belongs to the process and the thread that opened it, can be moved, and closes itself when destroyed. Its
// operations allocate nothing, log nothing, retry nothing behind the caller's back and are not async-signal-safe.
template <typename E>
concept SendEnd = std::move_constructible<E> && requires(E end, std::span<const std::byte> message, Deadline deadline) {
  { end.Send(message, deadline) }
  noexcept->std::same_as<IoResult>;
};

template <typename E>
concept ReceiveEnd = std::move_constructible<E> && requires(E end, std::span<std::byte> buffer, Deadline deadline) {
  { end.Receive(buffer, deadline) }
  noexcept->std::same_as<IoResult>;
};

// Higher priorities are received first, equal ones in the order sent (POSIX mq_send). 0 is the lowest.
template <typename E>
concept PrioritySendEnd = SendEnd<E> &&
    requires(E end, std::span<const std::byte> message, uint32_t priority, Deadline deadline) {
  { end.Send(message, priority, deadline) }
  noexcept->std::same_as<IoResult>;
};

template <typename E>
concept PriorityReceiveEnd = ReceiveEnd<E> &&
    requires(E end, std::span<std::byte> buffer, uint32_t* priority, Deadline deadline) {
  { end.Receive(buffer, priority, deadline) }
  noexcept->std::same_as<IoResult>;
};

// In-place transfer. Loan hands out room for a message of max_message_bytes inside the object (the span is empty unless
// the result is ok); Publish makes its first `bytes` bytes a message. A loan that is not published is simply reused.
struct LoanResult {
  std::span<std::byte> room;
  IoResult result;
};
struct ViewResult {
  std::span<const std::byte> message;
  IoResult result;
};

template <typename E>
concept LoaningSendEnd = SendEnd<E> && requires(E end, size_t bytes, Deadline deadline) {
  { end.Loan(deadline) }
  noexcept->std::same_as<LoanResult>;
  { end.Publish(bytes) }
  noexcept->std::same_as<IoResult>;
};

// View shows the next message without taking it; Release takes it. The view ends with Release.
template <typename E>
concept LoaningReceiveEnd = ReceiveEnd<E> && requires(E end, Deadline deadline) {
  { end.View(deadline) }
  noexcept->std::same_as<ViewResult>;
  { end.Release() }
  noexcept->std::same_as<void>;
};

// Notifications (mq_notify(3)). Notify registers this process for one: it is told, as `event` says, when a message
// comes to the empty object while no receiver waits, and is registered no longer then. Null gives the registration up.
// kError with EBUSY while one stands, whoever's it is.
template <typename E>
concept NotifyingReceiveEnd = ReceiveEnd<E> && requires(E end, const sigevent* event) {
  { end.Notify(event) }
  noexcept->std::same_as<IoResult>;
};

// The object itself. Create runs in the parent, before fork, and owns the kernel object: whatever becomes of the
// processes, nothing stays behind once they are gone. OpenSender and OpenReceiver run where the end is used, usually in
// a child after fork. Every process that holds a copy calls ReleaseEnds when it has opened what it needs, so that ends
// can notice when the last end of the other side is gone; nothing can be opened after that in this process.
//
// Create fails with kUnimplemented for a geometry that the primitive cannot carry (the harness shows it as skipped,
// with the message as the reason) and with another code for what the system refused (naming syscall, object and errno).
template <typename P>
concept Primitive = std::move_constructible<P> &&
    requires(P object, const P& constant, const Geometry& geometry, uint32_t bytes) {
  { P::kCapabilities } -> std::convertible_to<const Capabilities&>;
  { P::Create(geometry) } -> std::same_as<absl::StatusOr<P>>;
  { constant.geometry() } -> std::same_as<const Geometry&>;
  // The most messages of `bytes` bytes each that can be accepted and not yet taken.
  { constant.DepthLimit(bytes) } -> std::same_as<uint64_t>;
  requires SendEnd<typename decltype(object.OpenSender())::value_type>;       // an absl::StatusOr
  requires ReceiveEnd<typename decltype(object.OpenReceiver())::value_type>;  // an absl::StatusOr
  { object.ReleaseEnds() }
  noexcept->std::same_as<void>;
};

template <Primitive P>
using SenderOf = typename decltype(std::declval<P&>().OpenSender())::value_type;
template <Primitive P>
using ReceiverOf = typename decltype(std::declval<P&>().OpenReceiver())::value_type;

// Checks a geometry against capabilities: kUnimplemented with one sentence naming the first thing that does not fit,
// kInvalidArgument for what no primitive could carry (depth 0). Every Create calls it first.
absl::Status CheckGeometry(const char* primitive, const Capabilities& capabilities, const Geometry& geometry);

}  // namespace ipcmark

#endif  // IPCMARK_IPC_CHANNEL_H_
