// What comes out of a slice: where its clock stands and what its numbers count.

#include "bench/slice.h"

#include <array>
#include <numeric>

#include "bench/faulty_for_test.h"
#include "bench/round_trip.h"
#include "bench/throughput.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ipc/os/mapping.h"

namespace ipcmark::bench {
namespace {

using faulty::Fault;
using faulty::Times;
using testing::Each;
using testing::Ge;
using testing::SizeIs;

SliceSpec Spec(uint64_t messages, uint32_t bytes = 64) {
  return {.geometry = {.depth_messages = 8, .max_message_bytes = bytes, .wait = Wait::kBlock},
          .message_bytes = bytes,
          .messages = messages};
}

TEST(Payload, IsRecognisedOnlyWhole) {
  for (const size_t count : {1U, 2U, 16U, 1000U}) {
    std::vector<uint64_t> words(count);
    WritePayload(words, 7);
    EXPECT_TRUE(IsPayload(words, 7));
    EXPECT_FALSE(IsPayload(words, 6));
    EXPECT_FALSE(IsPayload(words, 8));
    for (size_t word = 0; word < count; ++word) {
      for (const unsigned bit : {0U, 31U, 63U}) {
        words[word] ^= uint64_t{1} << bit;
        EXPECT_FALSE(IsPayload(words, 7)) << word << " of " << count << ", bit " << bit;
        words[word] ^= uint64_t{1} << bit;
      }
    }
  }
}

TEST(Payload, TornAnywhereBetweenTwoNumbersIsNeither) {
  std::vector<uint64_t> words(64);
  for (size_t torn = 1; torn < words.size(); ++torn) {
    WritePayload(words, 8);
    WritePayload(std::span(words).first(torn), 7);
    std::vector<uint64_t> whole(64);
    WritePayload(whole, 8);
    std::copy(whole.begin() + torn, whole.end(), words.begin() + torn);
    WritePayload(whole, 7);
    std::copy(whole.begin(), whole.begin() + torn, words.begin());
    EXPECT_FALSE(IsPayload(words, 7)) << torn;
    EXPECT_FALSE(IsPayload(words, 8)) << torn;
  }
}

TEST(Warmup, ReachesEverySlotAndATenthOfTheRun) {
  EXPECT_EQ(WarmupMessages(Spec(1)), 8U + 16);
  EXPECT_EQ(WarmupMessages(Spec(1000)), 8U + 16 + 100);
  EXPECT_EQ(WarmupMessages(Spec(uint64_t{1} << 40)), 8U + 16 + 100'000);
}

TEST(RoundTripResult, CountsEveryMessageAndSample) {
  const absl::StatusOr<SliceResult> result = RoundTrip<pipe::Channel>(Spec(300));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->messages, 300U);
  EXPECT_EQ(result->messages_per_sample, 1U);
  ASSERT_THAT(result->samples_nanos, SizeIs(300));
  EXPECT_TRUE(std::is_sorted(result->samples_nanos.begin(), result->samples_nanos.end()));
  EXPECT_GT(result->samples_nanos.front(), 0);
  // Back to back: no time between two samples.
  EXPECT_EQ(std::accumulate(result->samples_nanos.begin(), result->samples_nanos.end(), int64_t{0}), result->nanos);
  EXPECT_GT(result->sender->cpu_nanos, 0);
  EXPECT_GT(result->receiver->cpu_nanos, 0);
  EXPECT_GE(result->sender->voluntary_switches, 0);
}

TEST(ThroughputResult, CountsEveryMessageAndABatchPerSample) {
  for (const auto& [bytes, batch] :
       std::vector<std::pair<uint32_t, uint64_t>>{{8, 64}, {1024, 64}, {2048, 32}, {65536, 1}, {131072, 1}}) {
    EXPECT_EQ(MessagesPerSample(bytes), batch) << bytes;
  }
  // Three whole batches and a part of one: the first and the part are no samples.
  const absl::StatusOr<SliceResult> result = Throughput<pipe::Channel>(Spec(3 * 64 + 63));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->messages, 3 * 64 + 63U);
  EXPECT_EQ(result->messages_per_sample, 64U);
  ASSERT_THAT(result->samples_nanos, SizeIs(2));
  EXPECT_LE(result->samples_nanos[0] + result->samples_nanos[1], result->nanos);
  EXPECT_GT(result->sender->cpu_nanos, 0);
  EXPECT_GT(result->receiver->cpu_nanos, 0);
  const absl::StatusOr<SliceResult> one = Throughput<pipe::Channel>(Spec(1));
  ASSERT_TRUE(one.ok()) << one.status();
  EXPECT_THAT(one->samples_nanos, SizeIs(0));
  EXPECT_GT(one->nanos, 0);
}

// Receives what nobody sent, at once: millions of messages in no time.
struct Conjurer {
  struct Sender {
    IoResult Send(std::span<const std::byte> message, Deadline) noexcept { return IoResult::Ok(message.size()); }
  };
  struct Receiver {
    IoResult Receive(std::span<std::byte> buffer, Deadline) noexcept {
      WritePayload({reinterpret_cast<uint64_t*>(buffer.data()), buffer.size() / 8}, next++);
      return IoResult::Ok(buffer.size());
    }
    uint64_t next = 0;
  };
  static constexpr const Capabilities& kCapabilities = pipe::Channel::kCapabilities;
  static absl::StatusOr<Conjurer> Create(const Geometry&) { return Conjurer(); }
  [[nodiscard]] const Geometry& geometry() const { return made; }
  [[nodiscard]] uint64_t DepthLimit(uint32_t) const { return 1; }
  absl::StatusOr<Sender> OpenSender() { return Sender(); }
  absl::StatusOr<Receiver> OpenReceiver() { return Receiver(); }
  void ReleaseEnds() noexcept {}
  Geometry made;
};
static_assert(Primitive<Conjurer>);

TEST(RoundTripResult, HasEveryOtherSampleWhereThereAreTooMany) {
  const absl::StatusOr<SliceResult> most = RoundTrip<Conjurer>(Spec(kMaxSamples - 1, 8));
  ASSERT_TRUE(most.ok()) << most.status();
  EXPECT_THAT(most->samples_nanos, SizeIs(kMaxSamples - 1));
  const absl::StatusOr<SliceResult> more = RoundTrip<Conjurer>(Spec(kMaxSamples + 1, 8));
  ASSERT_TRUE(more.ok()) << more.status();
  EXPECT_EQ(more->messages, kMaxSamples + 1);
  EXPECT_THAT(more->samples_nanos, SizeIs(kMaxSamples / 2 + 1));
}

TEST(Sampler, KeepsAllOrEveryNthAndAlwaysTheLargest) {
  for (const auto& [expected, room, apart, kept] :
       std::vector<std::array<uint64_t, 4>>{{10, 10, 1, 10}, {10, 100, 1, 10}, {11, 10, 2, 6}, {99, 10, 10, 10}}) {
    std::vector<int64_t> samples(room, -1);
    Sampler sampler(samples.data(), expected, room);
    for (uint64_t n = 0; n < expected; ++n) sampler.Add(n == expected - 2 ? 1'000 : static_cast<int64_t>(n));
    EXPECT_EQ(sampler.count(), kept) << expected;
    EXPECT_EQ(sampler.apart(), apart) << expected;
    EXPECT_EQ(sampler.max_nanos(), 1'000) << expected;
    for (uint64_t n = 0; n < kept && apart > 1; ++n) EXPECT_EQ(samples[n], static_cast<int64_t>(n * apart)) << expected;
  }
}

TEST(RoundTripResult, SaysThatItsSamplesWereThinned) {
  const absl::StatusOr<SliceResult> all = RoundTrip<Conjurer>(Spec(1'000, 8));
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(all->samples_apart, 1U);
  EXPECT_EQ(all->max_nanos, all->samples_nanos.back());
  const absl::StatusOr<SliceResult> thinned = RoundTrip<Conjurer>(Spec(2 * kMaxSamples, 8));
  ASSERT_TRUE(thinned.ok()) << thinned.status();
  EXPECT_EQ(thinned->samples_apart, 2U);
  EXPECT_THAT(thinned->samples_nanos, SizeIs(kMaxSamples));
  EXPECT_GE(thinned->max_nanos, thinned->samples_nanos.back());
}

class SliceClock : public testing::Test {
 protected:
  SliceClock() : shared_(*os::Mapping::SharedAnonymous(2 * sizeof(Times))) {
    auto* times = static_cast<Times*>(shared_.address());
    faulty::g_plan = {.at = ~uint64_t{0}, .sender_times = &times[0], .receiver_times = &times[1]};
  }
  ~SliceClock() override { faulty::g_plan = {}; }

  static const Times& sender() { return *faulty::g_plan.sender_times; }
  static const Times& receiver() { return *faulty::g_plan.receiver_times; }

 private:
  os::Mapping shared_;
};

// Between what must be inside and what must be outside, whatever the machine does meanwhile.
TEST_F(SliceClock, OfARoundTripStandsAroundTheTimedMessages) {
  const SliceSpec spec = Spec(50);
  const uint64_t warmup = WarmupMessages(spec);
  const absl::StatusOr<SliceResult> result = RoundTrip<faulty::Channel>(spec);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_GE(result->nanos, sender().receive_ended[warmup + 49] - sender().send_began[warmup]);
  EXPECT_LE(result->nanos, sender().closed - sender().receive_ended[warmup - 1]);
}

TEST_F(SliceClock, OfAThroughputStartsBeforeTheFirstSendAndStopsBehindTheLastReceive) {
  const SliceSpec spec = Spec(200);
  const uint64_t warmup = WarmupMessages(spec);
  const absl::StatusOr<SliceResult> result = Throughput<faulty::Channel>(spec);
  ASSERT_TRUE(result.ok()) << result.status();
  // With the object empty: the last warm-up message had been received.
  EXPECT_GE(sender().send_began[warmup], receiver().receive_ended[warmup - 1]);
  EXPECT_GE(result->nanos, receiver().receive_ended[warmup + 199] - sender().send_began[warmup]);
  EXPECT_LE(result->nanos, receiver().closed - receiver().receive_ended[warmup - 1]);
}

TEST_F(SliceClock, SeesTimeThatThePrimitiveSpends) {
  constexpr int64_t spin_nanos = 20'000;
  faulty::g_plan.fault = Fault::kSpinsInReceive;
  faulty::g_plan.spin_nanos = spin_nanos;
  const absl::StatusOr<SliceResult> round_trip = RoundTrip<faulty::Channel>(Spec(50));
  ASSERT_TRUE(round_trip.ok()) << round_trip.status();
  EXPECT_THAT(round_trip->samples_nanos, Each(Ge(2 * spin_nanos)));  // the request's and the reply's
  const absl::StatusOr<SliceResult> throughput = Throughput<faulty::Channel>(Spec(uint64_t{192}));
  ASSERT_TRUE(throughput.ok()) << throughput.status();
  EXPECT_THAT(throughput->samples_nanos, Each(Ge(64 * spin_nanos)));
  EXPECT_GE(throughput->nanos, int64_t{192} * spin_nanos);
}

}  // namespace
}  // namespace ipcmark::bench
