#ifndef IPCMARK_BENCH_SHARE_H_
#define IPCMARK_BENCH_SHARE_H_

// Receivers that share one object, each message going to one of them: one sender to N receivers (FanOut), N senders to
// N receivers (Pairs), as fast as it goes; and how evenly they come off.
//
// The clock starts when the first sender starts its first timed message, with the object empty, and stops when the last
// receiver has checked its last one and got the mark that says so. A sample is the time that a receiver needed for a
// batch of its own messages (messages_per_sample of them): with N receivers at work about N times what the object
// needs. Every receiver contributes. No roofline: N receivers copy at once, so that one copy of the bytes bounds
// nothing. Left out: fork, opening, warm-up, the wait for everybody. CPU time is the sum over all processes of a side.
//
// Who gets a message is not known beforehand, so that the end is a message too: behind the last of a phase (warm-up,
// timed) comes one mark for each receiver, and who has taken one takes nothing more until the next phase. Nothing is
// shared but the object meanwhile. A lost or doubled message shows in what all receivers together have: for each sender
// their count, their sum and the sum of their squares.

#include "absl/strings/str_format.h"
#include "bench/fan.h"

namespace ipcmark::bench {

// What receivers have of one sender's messages; adds up modulo 2^64.
struct Tally {
  uint64_t count;
  uint64_t sum;
  uint64_t squares;

  void Add(uint64_t number) noexcept {
    ++count;
    sum += number;
    squares += number * number;
  }
  bool operator==(const Tally&) const = default;
};

// A meeting of all processes of a slice; it may be held again and again.
struct Meeting {
  std::atomic<uint32_t> here;
  std::atomic<uint32_t> held;

  // Sleeps until `members` have come.
  void Attend(uint32_t members) noexcept {
    const uint32_t before = held.load(std::memory_order_acquire);
    // Acquire and release: what the others did before they came is visible behind the meeting.
    if (here.fetch_add(1, std::memory_order_acq_rel) + 1 == members) {
      here.store(0, std::memory_order_relaxed);
      held.store(before + 1, std::memory_order_release);
      os::WakeAllOnFutex(held);
      return;
    }
    while (held.load(std::memory_order_acquire) == before) os::WaitOnFutex(held, before, Deadline::Never());
  }
};

struct ShareReceiver {
  FanMember member;
  uint64_t timed;  // messages that it got
  uint64_t samples;
  uint64_t samples_apart;
  std::array<Tally, kMaxFan> tallies;  // of all messages, by sender
};

struct ShareShared {
  Meeting all;
  std::atomic<uint64_t> phases_sent;  // of all senders together
  std::array<FanMember, kMaxFan> sender;
  std::array<ShareReceiver, kMaxFan> receiver;
};

struct SharePlan {
  const SliceSpec& spec;
  uint64_t warmup;        // messages of each sender
  uint64_t timed;         // likewise
  uint64_t samples_each;  // room for samples of each receiver
  ShareShared& shared;
  SliceShared& samples;

  [[nodiscard]] uint32_t Everybody() const { return spec.geometry.senders + spec.geometry.receivers; }
};

// The sender whose messages are marks.
inline constexpr uint64_t kMarkSender = 0xffff;

template <Primitive P>
absl::Status ShareSend(P& object, os::Gate& gate, const SharePlan& plan, uint32_t index) {
  auto sender = OpenSendSide(object, plan.spec);
  if (!sender.ok()) return sender.status();
  const Geometry& geometry = plan.spec.geometry;
  FanMember& self = plan.shared.sender[index];
  gate.Arrive();
  const auto send = [&](uint64_t from, uint64_t to) {
    return sender->GiveAll(FanNumber(index, from), FanNumber(index, to));
  };
  // The last one to have sent everything sends the marks, at once: the receivers' clock runs until they have them.
  const auto end_phase = [&] {
    absl::Status status;
    // Acquire and release: what the others have sent comes before the marks.
    if ((plan.shared.phases_sent.fetch_add(1, std::memory_order_acq_rel) + 1) % geometry.senders == 0) {
      status = sender->GiveAll(FanNumber(kMarkSender, 0), FanNumber(kMarkSender, geometry.receivers));
    }
    plan.shared.all.Attend(plan.Everybody());
    return status;
  };
  absl::Status status = send(0, plan.warmup);
  if (status.ok()) status = end_phase();
  if (!status.ok()) return status;
  const UsageMeter usage;
  self.start_nanos = NowNanos();
  status = send(plan.warmup, plan.warmup + plan.timed);
  self.end_nanos = NowNanos();
  self.usage = usage.Stop();
  return status.ok() ? end_phase() : status;
}

// Takes messages until a mark comes, checks them and that each sender's come in order; `taken(n)` is called behind the
// n-th, `next` is the least number that may come next of each sender.
template <ReceiveEnd R, typename Taken>
absl::Status ShareTake(Side<R>& receiver, std::span<uint64_t> next, ShareReceiver& self, const Taken& taken) {
  const std::span<uint64_t> words = receiver.words;
  for (uint64_t n = 0;; ++n) {
    const IoResult result =
        RetryInterrupted([&] { return receiver.end.Receive(std::as_writable_bytes(words), Deadline::Never()); });
    const uint64_t number = NumberOf(words[0]);
    const uint64_t sender = number >> 48;
    const bool intact = result.ok() && result.bytes == words.size_bytes() && IsPayload(words, number);
    if (intact && sender == kMarkSender) return absl::OkStatus();
    if (!intact || sender >= next.size() || number < next[sender]) [[unlikely]] {
      return MessageFailure("Receive", n, result, words.size_bytes());
    }
    next[sender] = number + 1;
    self.tallies[sender].Add(number);
    taken(n);
  }
}

template <Primitive P>
absl::Status ShareReceive(P& object, os::Gate& gate, const SharePlan& plan, uint32_t index) {
  auto receiver = OpenReceiveSide(object, plan.spec);
  if (!receiver.ok()) return receiver.status();
  std::vector<uint64_t> next(plan.spec.geometry.senders);
  for (uint32_t i = 0; i < next.size(); ++i) next[i] = FanNumber(i, 0);
  ShareReceiver& self = plan.shared.receiver[index];
  const uint64_t batch = MessagesPerSample(plan.spec.message_bytes);
  // It may get all there are.
  Sampler samples(plan.samples.samples_nanos + index * plan.samples_each,
                  plan.timed * plan.spec.geometry.senders / batch, plan.samples_each);
  gate.Arrive();
  absl::Status status = ShareTake(*receiver, next, self, [](uint64_t) {});
  if (!status.ok()) return status;
  plan.shared.all.Attend(plan.Everybody());
  const UsageMeter usage;
  int64_t before = 0;
  status = ShareTake(*receiver, next, self, [&](uint64_t n) {
    ++self.timed;
    if ((n + 1) % batch != 0) return;
    const int64_t now = NowNanos();
    if (before != 0) samples.Add(now - before);
    before = now;
  });
  self.member.end_nanos = NowNanos();
  self.member.usage = usage.Stop();
  self.member.max_nanos = samples.max_nanos();
  self.samples = samples.count();
  self.samples_apart = samples.apart();
  if (status.ok()) plan.shared.all.Attend(plan.Everybody());
  return status;
}

// That the receivers together have every message once.
inline absl::Status CheckTallies(const SharePlan& plan) {
  for (uint32_t sender = 0; sender < plan.spec.geometry.senders; ++sender) {
    Tally sent = {};
    for (uint64_t n = 0; n < plan.warmup + plan.timed; ++n) sent.Add(FanNumber(sender, n));
    Tally got = {};
    for (uint32_t i = 0; i < plan.spec.geometry.receivers; ++i) {
      const Tally& part = plan.shared.receiver[i].tallies[sender];
      got = {got.count + part.count, got.sum + part.sum, got.squares + part.squares};
    }
    if (got != sent) {
      return absl::DataLossError(
          absl::StrFormat("of sender %d's %d messages the receivers got %d, or others: some were lost or came twice",
                          sender, sent.count, got.count));
    }
  }
  return absl::OkStatus();
}

inline SliceResult TakeShareResult(const SharePlan& plan) {
  const Geometry& geometry = plan.spec.geometry;
  const std::span senders = std::span(plan.shared.sender).first(geometry.senders);
  int64_t end = 0;
  SideUsage used = {};
  std::vector<double> shares;
  plan.samples.samples = 0;
  for (uint32_t i = 0; i < geometry.receivers; ++i) {
    const ShareReceiver& receiver = plan.shared.receiver[i];
    end = std::max(end, receiver.member.end_nanos);
    plan.samples.max_nanos = std::max(plan.samples.max_nanos, receiver.member.max_nanos);
    plan.samples.samples_apart = receiver.samples_apart;  // everybody's
    if (i == 0) {
      used = receiver.member.usage;
    } else {
      used += receiver.member.usage;
    }
    shares.push_back(static_cast<double>(receiver.timed));
    // Close up what the receivers left free behind their samples.
    const int64_t* const from = plan.samples.samples_nanos + i * plan.samples_each;
    std::copy(from, from + receiver.samples, plan.samples.samples_nanos + plan.samples.samples);
    plan.samples.samples += receiver.samples;
  }
  SliceResult result =
      TakeResult(plan.samples, plan.timed * geometry.senders, MessagesPerSample(plan.spec.message_bytes));
  result.nanos = end - FirstStart(senders);
  result.sender = SumUsage(senders);
  result.receiver = used;
  // The worse of the two sides.
  result.extras.emplace_back("fairness", std::min(Fairness(shares), SenderFairness(senders)));
  return result;
}

// The geometry says how many of each side, kMaxFan at most.
template <Primitive P>
absl::StatusOr<SliceResult> Share(const SliceSpec& spec) {
  const uint32_t senders = spec.geometry.senders;
  const uint32_t receivers = spec.geometry.receivers;
  absl::StatusOr<P> object = P::Create(spec.geometry);
  if (!object.ok()) return object.status();
  const uint64_t timed = spec.messages / senders + 1;
  const uint64_t samples_each =
      std::min(timed * senders / MessagesPerSample(spec.message_bytes) + 1, kMaxSamples / receivers);
  absl::StatusOr<os::Mapping> samples = SliceShared::Create(samples_each * receivers);
  if (!samples.ok()) return samples.status();
  absl::StatusOr<os::Mapping> mapping = os::Mapping::SharedAnonymous(sizeof(ShareShared));
  if (!mapping.ok()) return mapping.status();
  const SharePlan plan = {.spec = spec,
                          .warmup = WarmupMessages(spec) / senders + 1,
                          .timed = timed,
                          .samples_each = samples_each,
                          .shared = *new (mapping->address()) ShareShared{},
                          .samples = SliceShared::In(*samples)};
  absl::Status status = RunSides(
      *object, spec, [&](os::Gate& gate, uint32_t i) { return ShareSend(*object, gate, plan, i); },
      [&](os::Gate& gate, uint32_t i) { return ShareReceive(*object, gate, plan, i); });
  if (status.ok()) status = CheckTallies(plan);
  if (!status.ok()) return status;
  return TakeShareResult(plan);
}

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_SHARE_H_
