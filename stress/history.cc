#include "stress/history.h"

#include <algorithm>
#include <limits>
#include <span>
#include <utility>

namespace ipcmark::stress {
namespace {

bool WasKilled(const EndLog& log) { return log.state.load(std::memory_order_acquire) == EndState::kKilled; }

void NoteTimes(const EndLog& log, Record* record) {
  record->most_early_nanos = std::max(record->most_early_nanos, log.most_early_nanos);
  record->worst_lateness_nanos = std::max(record->worst_lateness_nanos, log.worst_lateness_nanos);
  record->most_overtaken = std::max(record->most_overtaken, log.most_overtaken);
}

// Of a broadcast, where each receiver is to get everything once. What torn ones stand for is not asked: a gap shows by
// itself which message it is (broadcast.h).
uint64_t CountForEach(Record* record, bool intact) {
  if (!intact) return 0;
  for (const ReceiverHistory& receiver : record->receivers) {
    std::vector<std::vector<uint8_t>> got;
    for (const SenderHistory& sender : record->senders) got.emplace_back(sender.deliveries.size());
    for (const Delivery& delivery : receiver.deliveries) {
      if (!delivery.intact || delivery.sender >= got.size()) continue;
      if (delivery.sequence >= got[delivery.sender].size()) continue;
      uint8_t& count = got[delivery.sender][delivery.sequence];
      if (count == 0) ++record->delivered_messages;
      if (count < std::numeric_limits<uint8_t>::max()) ++count;
      uint8_t& most = record->senders[delivery.sender].deliveries[delivery.sequence];
      most = std::max(most, count);
    }
    for (const Gap& gap : receiver.gaps) record->overwritten_messages += gap.messages;
  }
  return 0;
}

// Intact deliveries first. A torn one then stands in for the message that it claims to be, if that is missing: it is
// torn, which is one finding, and not lost as well. Returns how many torn ones stand in for none, because the tear went
// through what they say of themselves.
uint64_t CountDeliveries(Record* record, bool intact) {
  if (record->plan.capabilities.broadcasts) return CountForEach(record, intact);
  uint64_t nameless = 0;
  for (const ReceiverHistory& receiver : record->receivers) {
    for (const Delivery& delivery : receiver.deliveries) {
      if (delivery.intact != intact) continue;
      const bool known = delivery.sender < record->senders.size() &&
                         delivery.sequence < record->senders[delivery.sender].deliveries.size();
      if (!known) {
        nameless += intact ? 0 : 1;
        continue;
      }
      uint8_t& count = record->senders[delivery.sender].deliveries[delivery.sequence];
      if (intact && count == 0) ++record->delivered_messages;
      if (!intact && count != 0) ++nameless;
      if (intact ? count < std::numeric_limits<uint8_t>::max() : count == 0) ++count;
    }
  }
  return nameless;
}

}  // namespace

Record ReadHistory(const Board& board) {
  Record record = {.plan = board.plan(),
                   .senders = {},
                   .receivers = {},
                   .stuck = {},
                   .unexpected = {},
                   .left_behind = {},
                   .attach_miscount = {},
                   .segment_misfate = {},
                   .overslept = {}};
  for (uint32_t i = 0; i < board.used(Side::kSender); ++i) {
    const EndLog& log = board.log(Side::kSender, i);
    const uint64_t attempted = log.begun.load(std::memory_order_acquire);
    record.senders.push_back({.slot = log.slot,
                              .killed = WasKilled(log),
                              .attempted = attempted,
                              .accepted = log.completed.load(std::memory_order_acquire),
                              .filled = log.filled,
                              .deliveries = std::vector<uint8_t>(attempted)});
    NoteTimes(log, &record);
    record.most_in_flight_messages = std::max(record.most_in_flight_messages, log.most_in_flight);
  }
  for (uint32_t i = 0; i < board.used(Side::kReceiver); ++i) {
    const EndLog& log = board.log(Side::kReceiver, i);
    NoteTimes(log, &record);
    ReceiverHistory history = {.slot = log.slot,
                               .killed = WasKilled(log),
                               .deliveries = {},
                               .due = log.due,
                               .stayed = !WasKilled(log) && log.order.load(std::memory_order_relaxed) == Order::kNone};
    const Received* const all = board.deliveries(i);
    for (const Received& received : std::span(all, log.completed.load(std::memory_order_acquire))) {
      if (received.missed == 0) {
        history.deliveries.push_back(received.message);
      } else {
        history.gaps.push_back({.before = history.deliveries.size(), .messages = received.missed});
      }
    }
    record.receivers.push_back(std::move(history));
  }
  record.fill_accepted_messages = board.shared().fill_accepted.load(std::memory_order_acquire);
  record.audit = board.shared().audit;
  CountDeliveries(&record, /*intact=*/true);
  const uint64_t nameless = CountDeliveries(&record, /*intact=*/false);
  for (const SenderHistory& sender : record.senders) {
    const auto end = sender.deliveries.begin() + static_cast<ptrdiff_t>(sender.accepted);
    record.missing_messages += static_cast<uint64_t>(std::count(sender.deliveries.begin(), end, 0));
  }
  record.missing_messages -= std::min(record.missing_messages, nameless);
  return record;
}

}  // namespace ipcmark::stress
