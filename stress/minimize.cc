#include "stress/minimize.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "absl/strings/str_format.h"
#include "ipc/os/clock.h"
#include "stress/message.h"

namespace ipcmark::stress {
namespace {

// The first message that was not delivered once and whole, or what the processes were at.
std::string OperationOf(const Record& record) {
  if (!record.stuck.empty()) return record.stuck;
  if (!record.unexpected.empty()) return record.unexpected;
  for (size_t receiver = 0; receiver < record.receivers.size(); ++receiver) {
    const auto& deliveries = record.receivers[receiver].deliveries;
    const auto torn = std::ranges::find(deliveries, false, &Delivery::intact);
    if (torn != deliveries.end()) {
      return absl::StrFormat("Receive number %d of receiver %d", torn - deliveries.begin() + 1, receiver);
    }
  }
  for (size_t sender = 0; sender < record.senders.size(); ++sender) {
    const SenderHistory& history = record.senders[sender];
    for (uint64_t n = 0; n < std::min<uint64_t>(history.accepted, history.deliveries.size()); ++n) {
      if (history.deliveries[n] == 1) continue;
      return absl::StrFormat("Send number %d of sender %d, whose message came %d times", n + 1, sender,
                             history.deliveries[n]);
    }
  }
  return "the trial as a whole";
}

class Minimizer {
 public:
  Minimizer(const TrialRequest& request, const Failure& first, int64_t end_nanos,
            const std::function<Failure(const TrialRequest&)>& run)
      : request_(request), end_nanos_(end_nanos), run_(run) {
    best_.smaller = request.smaller;
    best_.failure = first;
    strikes_ = request.smaller.strikes == Smaller::kAll
                   ? std::min<uint64_t>(first.strikes, 64)
                   : static_cast<uint64_t>(std::bit_width(request.smaller.strikes));
    request_.liveness_nanos = kMinimizeLivenessNanos;
    request_.traffic_nanos = kDefaultTrafficNanos;
    request_.end_nanos = std::numeric_limits<int64_t>::max();
  }

  Smallest Run() {
    // As it is, less the messages that were not needed: those after it had failed.
    Smaller as_it_was = best_.smaller;
    as_it_was.messages = best_.failure.messages;
    Try(as_it_was);
    for (bool smaller = true; smaller && !TimeIsUp();) {
      smaller = DropStrikes();
      smaller |= Shrink(&Smaller::receivers, &Geometry::receivers, 1);
      smaller |= Shrink(&Smaller::senders, &Geometry::senders, 1);
      smaller |= Shrink(&Smaller::message_bytes, &Geometry::max_message_bytes, kSmallestMessageBytes);
      smaller |= Shrink(&Smaller::depth_messages, &Geometry::depth_messages, 1);
      smaller |= DropMessages();
    }
    best_.geometry = best_.smaller.Of(request_.geometry);
    Confirm();
    return best_;
  }

 private:
  [[nodiscard]] bool TimeIsUp() const {
    return os::MonotonicNanos() >= end_nanos_ ||
           (request_.cancel != nullptr && request_.cancel->load(std::memory_order_relaxed));
  }

  Failure RunOne(const Smaller& smaller) {
    TrialRequest request = request_;
    request.smaller = smaller;
    request.geometry = smaller.Of(request_.geometry);
    ++best_.trials;
    return run_(request);
  }

  // Keeps `smaller` if it fails.
  bool Try(const Smaller& smaller) {
    if (smaller == best_.smaller) return false;
    for (int tries = 0; tries < kMinimizeTries && !TimeIsUp(); ++tries) {
      Failure failure = RunOne(smaller);
      if (failure.text.empty()) continue;
      best_.smaller = smaller;
      best_.failure = std::move(failure);
      return true;
    }
    return false;
  }

  // Strikes 0 to n - 1.
  static uint64_t Below(uint64_t n) { return n >= 64 ? Smaller::kAll : (uint64_t{1} << n) - 1; }

  // None at all; halves; one by one.
  bool DropStrikes() {
    bool dropped = false;
    for (uint64_t part = strikes_; part > 0 && !TimeIsUp(); part /= 2) {
      for (uint64_t first = 0; first < strikes_; first += part) {
        Smaller smaller = best_.smaller;
        smaller.strikes &= Below(strikes_) & ~(Below(std::min(first + part, strikes_)) & ~Below(first));
        dropped |=
            std::popcount(smaller.strikes) < std::popcount(best_.smaller.strikes & Below(strikes_)) && Try(smaller);
      }
    }
    return dropped;
  }

  // The least, else half as much again and again.
  bool Shrink(uint32_t Smaller::*field, uint32_t Geometry::*value, uint32_t least) {
    bool shrunk = false;
    for (uint32_t to = least;;) {
      const uint32_t now = best_.smaller.Of(request_.geometry).*value;
      if (now <= least || to >= now || TimeIsUp()) return shrunk;
      Smaller smaller = best_.smaller;
      smaller.*field = to;
      if (Try(smaller)) {
        shrunk = true;
        to = least;
      } else {
        // From below, so that the first that fails is small.
        to = std::max(to + 1, (to + now) / 2);
      }
    }
  }

  // Bisects between what passes and what fails.
  bool DropMessages() {
    uint64_t passes = 0;
    bool dropped = false;
    while (!TimeIsUp()) {
      const uint64_t fails = std::min(best_.smaller.messages, best_.failure.messages);
      if (fails <= passes + 1) break;
      Smaller smaller = best_.smaller;
      smaller.messages = passes + (fails - passes) / 2;
      if (Try(smaller)) {
        dropped = true;
      } else {
        passes = smaller.messages;
      }
    }
    return dropped;
  }

  void Confirm() {
    for (; best_.confirmed < kConfirmTries && !TimeIsUp(); ++best_.confirmed) {
      Failure failure = RunOne(best_.smaller);
      if (failure.text.empty()) continue;
      ++best_.failed;
      // That with the fewest steps is the easiest to follow.
      if (failure.step < best_.failure.step) best_.failure = std::move(failure);
    }
  }

  TrialRequest request_;
  const int64_t end_nanos_;
  uint64_t strikes_ = 0;  // that the seed draws
  const std::function<Failure(const TrialRequest&)>& run_;
  Smallest best_;
};

}  // namespace

Failure FailureOf(const Record& record, std::string text) {
  Failure failure = {.text = std::move(text), .step = 0, .operation = OperationOf(record)};
  uint64_t most = 0;
  for (const SenderHistory& sender : record.senders) {
    failure.step += sender.accepted;
    most = std::max(most, sender.attempted - std::min(sender.filled, sender.attempted));
  }
  failure.messages = most * record.plan.geometry.senders;
  for (const ReceiverHistory& receiver : record.receivers) failure.step += receiver.deliveries.size();
  failure.strikes = record.plan.strikes.size();
  return failure;
}

Smallest Minimize(const TrialRequest& request, const Failure& first, int64_t end_nanos,
                  const std::function<Failure(const TrialRequest&)>& run) {
  return Minimizer(request, first, end_nanos, run).Run();
}

}  // namespace ipcmark::stress
