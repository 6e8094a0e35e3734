#include <algorithm>
#include <cerrno>

#include "stress/scripts.h"

namespace ipcmark::stress {
namespace {

constexpr std::byte kGuard{0xa5};

}  // namespace

ReceiverScript::ReceiverScript(Board* board, uint32_t index)
    : Script(board, Side::kReceiver, index), buffer_(board->plan().geometry.max_message_bytes + kGuardBytes, kGuard) {}

bool ReceiverScript::Fits(IoResult result) const {
  const std::span<const std::byte> guard = std::span(buffer_).last(kGuardBytes);
  // A longer length alone is a torn message, unless nobody looks for those.
  const bool overlong = board_.plan().damages && result.ok() && result.bytes > buffer_.size() - kGuardBytes;
  return !overlong && std::ranges::count(guard, kGuard) == static_cast<ptrdiff_t>(kGuardBytes);
}

bool ReceiverScript::MayMiss(IoResult result) const {
  return result.outcome == Outcome::kMissed && result.bytes != 0 && board_.plan().Overwrites();
}

bool ReceiverScript::Log(const Received& received) {
  const uint64_t count = log_.completed.load(std::memory_order_relaxed);
  if (count == board_.delivery_room()) {
    // A damaged object may show the same messages for ever.
    if (!board_.Damaged()) board_.Surprise(side_, index_, IoResult::Of(Outcome::kError, EOVERFLOW));
    return false;
  }
  board_.deliveries(index_)[count] = received;
  board_.Complete(log_);
  return true;
}

bool ReceiverScript::Next() {
  if (left_ || AcceptsOrder()) {
    Leave();
    return false;
  }
  board_.AwaitPhase(Phase::kTraffic);
  if (!retry_) {
    DrawManner();
    BeginWait();
    log_.begun.store(log_.begun.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  BeginCall();
  return true;
}

void ReceiverScript::Note(IoResult result, std::span<const std::byte> message, uint32_t priority) {
  EndCall();
  retry_ = false;
  if (!Fits(result)) {
    board_.Surprise(side_, index_, result);
    left_ = true;
    return;
  }
  if (MayMiss(result)) {
    left_ = !Log({.message = {}, .missed = result.bytes});
    return;
  }
  if (!result.ok()) {
    retry_ = MayGoOn(result);
    left_ = !retry_;
    return;
  }
  // Also by the stop message, the first that a receiver without any luck gets.
  EndWait();
  MessageHeader header;
  bool intact = ReadMessage(message, board_.plan().seed, &header);
  if (board_.plan().capabilities.has_priorities) intact &= header.priority == priority;
  if (intact && header.kind == Kind::kStop) {
    left_ = true;
    return;
  }
  // At once: what a receiver has taken and not logged when it is killed is lost to the record (one message each).
  left_ =
      !Log({.message = {header.sequence, header.sender, static_cast<uint32_t>(message.size()), header.priority, intact},
            .missed = 0});
  // A torn one stands for the message that was due, and a late one takes nothing back.
  const uint64_t position = log_.position.load(std::memory_order_relaxed);
  const uint64_t behind = intact ? PackPosition({header.sender, header.sequence + 1}) : position + 1;
  log_.position.store(std::max(position, behind), std::memory_order_release);
}

}  // namespace ipcmark::stress
