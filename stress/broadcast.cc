#include "stress/broadcast.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/strings/str_format.h"

namespace ipcmark::stress {
namespace {

// The stream of a trial: how many messages of each sender are in it for certain, and how many may be.
class Stream {
 public:
  explicit Stream(const std::vector<SenderHistory>& senders) {
    for (const SenderHistory& sender : senders) {
      const bool got_the_last = sender.attempted > sender.accepted && sender.deliveries[sender.attempted - 1] > 0;
      const uint64_t certain = got_the_last ? sender.attempted : sender.accepted;
      certain_.push_back(certain_.back() + certain);
      possible_.push_back(possible_.back() + (sender.killed && !got_the_last ? sender.attempted - certain : 0));
    }
  }

  [[nodiscard]] StreamPosition End() const { return {.sender = static_cast<uint32_t>(certain_.size() - 1)}; }
  [[nodiscard]] uint64_t Certain(StreamPosition from, StreamPosition to) const {
    const uint64_t first = certain_[from.sender] + from.sequence;
    const uint64_t last = certain_[to.sender] + to.sequence;
    return last - std::min(first, last);
  }
  // Those that may be there besides.
  [[nodiscard]] uint64_t Possible(StreamPosition from, StreamPosition to) const {
    return possible_[to.sender] - possible_[std::min(from.sender, to.sender)];
  }

 private:
  std::vector<uint64_t> certain_ = {0};  // by sender: before its first message
  std::vector<uint64_t> possible_ = {0};
};

std::string Place(StreamPosition at) { return absl::StrFormat("sender %d, sequence %d", at.sender, at.sequence); }

class Reader {
 public:
  Reader(const Stream& stream, const ReceiverHistory& history, size_t number)
      : stream_(stream), history_(history), number_(number), next_(history.due) {}

  std::string FindHole() {
    for (size_t nth = 0; nth < history_.deliveries.size(); ++nth) {
      const Delivery& delivery = history_.deliveries[nth];
      // A torn one stands for the message that was due.
      const StreamPosition at =
          delivery.intact ? StreamPosition{.sender = delivery.sender, .sequence = delivery.sequence} : next_;
      // Nobody sent it: no_tear says so.
      if (at.sender >= stream_.End().sender) continue;
      std::string hole = StepTo(at, nth);
      if (!hole.empty()) return hole;
      const StreamPosition behind = {.sender = at.sender, .sequence = at.sequence + 1};
      // The first one may have been sent while it opened; from there on there is no hole.
      next_ = has_any_ ? std::max(next_, behind) : behind;
      has_any_ = true;
    }
    return history_.stayed ? StepTo(stream_.End(), history_.deliveries.size()) : "";
  }

 private:
  // Whether what lies between next_ and `at` is what the receiver was told to have missed before its delivery `nth`.
  std::string StepTo(StreamPosition at, size_t nth) {
    uint64_t told = 0;
    for (; gap_ < history_.gaps.size() && history_.gaps[gap_].before <= nth; ++gap_) {
      told += history_.gaps[gap_].messages;
    }
    const uint64_t least = stream_.Certain(next_, at);
    // Before its first message it may have been told of some that were sent while it opened.
    const StreamPosition earliest = has_any_ ? next_ : StreamPosition{};
    const uint64_t most = stream_.Certain(earliest, at) + stream_.Possible(earliest, at);
    if (told >= least && told <= most) return "";
    return absl::StrFormat(
        "expected receiver %d to get everything from %s on or be told what it missed, seen %d message(s) left out "
        "before %s, of which it was told %d",
        number_, Place(next_), least, at == stream_.End() ? "the end" : Place(at), told);
  }

  const Stream& stream_;
  const ReceiverHistory& history_;
  const size_t number_;
  StreamPosition next_;  // due next, at the latest
  bool has_any_ = false;
  size_t gap_ = 0;
};

}  // namespace

std::string FindHole(const Record& record) {
  const Stream stream(record.senders);
  for (size_t i = 0; i < record.receivers.size(); ++i) {
    std::string hole = Reader(stream, record.receivers[i], i).FindHole();
    if (!hole.empty()) return hole;
  }
  return "";
}

}  // namespace ipcmark::stress
