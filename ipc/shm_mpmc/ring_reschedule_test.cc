// Threads on a ring whose every access may be followed by somebody else's: each access to shared memory gives up the
// CPU at random, by seed. Every message must come exactly once, and each sender's in order. ThreadSanitizer watches in
// its configuration.

#include <thread>

#include "ipc/conformance/support.h"
#include "ipc/shm_mpmc/ring_test_support.h"

namespace ipcmark::shm_mpmc {
namespace {

using Ring = TestRing<os::InstrumentedAtomic>;
using os::InstrumentedAccess;

constexpr uint64_t kPerSender = 200;
constexpr int64_t kBriefNanos = 2'000'000;

struct Trial {
  uint32_t depth;
  uint32_t senders;
  uint32_t receivers;
  Wait wait;
  bool reopen;  // ends close now and then, with a loan or a view in their hands
  uint64_t seed;
};

class Board {
 public:
  explicit Board(const Trial& trial) : trial_(trial), seen_(trial.senders * kPerSender) {}

  // One receiver has got `number`; `last` is what it got before of each sender.
  void Note(uint64_t number, std::vector<uint64_t>& last) {
    const uint64_t sender = number >> 32;
    const uint64_t n = static_cast<uint32_t>(number);
    ASSERT_LT(sender, trial_.senders);
    ASSERT_LT(n, kPerSender);
    EXPECT_EQ(seen_[sender * kPerSender + n].fetch_add(1), 0U) << "message " << n << " of " << sender << " came twice";
    // With several receivers, one that is given back comes late.
    if (!trial_.reopen || trial_.receivers == 1) {
      EXPECT_GT(n + 1, last[sender]) << "of sender " << sender;
    }
    last[sender] = n + 1;
    received_.fetch_add(1);
  }
  [[nodiscard]] bool Complete() const { return received_.load() >= seen_.size(); }

 private:
  Trial trial_;
  std::vector<std::atomic<uint32_t>> seen_;
  std::atomic<uint64_t> received_ = 0;
};

// Every other end may be closed for a moment: that is no failure here.
bool MayRetry(const IoResult& result) {
  return result.outcome == Outcome::kDeadline || result.outcome == Outcome::kClosed;
}

void SendAll(const Ring& ring, const Trial& trial, uint64_t index) {
  InstrumentedAccess::Reschedule(trial.seed * 100 + index);
  std::optional<Ring::Sender> sender;
  sender.emplace(ring.OpenSender());
  for (uint64_t n = 0; n < kPerSender;) {
    if (trial.reopen && n % 7 == 3) {
      (void)sender->Loan(Deadline::Immediate());
      sender.reset();
      sender.emplace(ring.OpenSender());
    }
    const IoResult sent = SendNumber(*sender, index << 32 | n, os::After(kBriefNanos));
    if (sent.ok()) {
      ++n;
    } else {
      ASSERT_TRUE(MayRetry(sent)) << OutcomeName(sent.outcome) << " errno " << sent.err;
    }
  }
  InstrumentedAccess::Off();
}

void ReceiveAll(const Ring& ring, const Trial& trial, uint64_t index, Board& board) {
  InstrumentedAccess::Reschedule(trial.seed * 100 + 50 + index);
  std::vector<uint64_t> last(trial.senders);
  std::optional<Ring::Receiver> receiver;
  receiver.emplace(ring.OpenReceiver());
  for (uint64_t n = 0; !board.Complete(); ++n) {
    if (trial.reopen && n % 5 == 2) {
      (void)receiver->View(Deadline::Immediate());
      receiver.reset();
      receiver.emplace(ring.OpenReceiver());
    }
    const ViewResult view = receiver->View(os::After(kBriefNanos));
    if (view.result.ok()) {
      uint64_t number = 0;
      ASSERT_EQ(view.message.size(), sizeof(number));
      memcpy(&number, view.message.data(), sizeof(number));
      receiver->Release();
      board.Note(number, last);
    } else {
      ASSERT_TRUE(MayRetry(view.result)) << OutcomeName(view.result.outcome) << " errno " << view.result.err;
    }
  }
  InstrumentedAccess::Off();
}

void RunTrial(const Trial& trial) {
  const Ring ring(trial.depth, 16, /*first=*/(uint64_t{1} << 32) - 100, trial.wait);
  Board board(trial);
  std::vector<std::thread> threads;
  for (uint64_t i = 0; i < trial.senders; ++i) threads.emplace_back([&, i] { SendAll(ring, trial, i); });
  for (uint64_t i = 0; i < trial.receivers; ++i) threads.emplace_back([&, i] { ReceiveAll(ring, trial, i, board); });
  for (std::thread& thread : threads) thread.join();
  auto sender = ring.OpenSender();
  auto receiver = ring.OpenReceiver();
  EXPECT_TRUE(DrainNumbers(receiver).empty());
  const std::vector<uint64_t> filled = FillNumbers(sender, 0);
  EXPECT_EQ(filled.size(), ring.depth()) << "a slot is leaked";
  EXPECT_EQ(DrainNumbers(receiver), filled);
}

class ShmMpmcReschedule : public testing::TestWithParam<Wait> {
 protected:
  static void RunSeeds(uint32_t depth, uint32_t senders, uint32_t receivers, bool reopen) {
    constexpr uint64_t kSeeds = 8;
    for (uint64_t i = 0; i < kSeeds && !HasFailure(); ++i) {
      const uint64_t seed = conformance::Seed() + i;
      SCOPED_TRACE(testing::Message() << "seed " << seed << ", depth " << depth);
      RunTrial({depth, senders, receivers, GetParam(), reopen, seed});
    }
  }
};

TEST_P(ShmMpmcReschedule, OneToOne) { RunSeeds(2, 1, 1, false); }
TEST_P(ShmMpmcReschedule, ManyToOneInARingOfOne) { RunSeeds(1, 3, 1, false); }
TEST_P(ShmMpmcReschedule, ManyToMany) { RunSeeds(3, 3, 3, false); }
TEST_P(ShmMpmcReschedule, ManyToOneWhileEndsReopen) { RunSeeds(4, 3, 1, true); }
TEST_P(ShmMpmcReschedule, ManyToManyWhileEndsReopen) { RunSeeds(5, 3, 3, true); }

INSTANTIATE_TEST_SUITE_P(Waits, ShmMpmcReschedule, testing::ValuesIn(kAllWaits),
                         [](const auto& info) { return WaitName(info.param); });

}  // namespace
}  // namespace ipcmark::shm_mpmc
