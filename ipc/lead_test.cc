// Nothing here waits or looks at a clock: what the other side does happens at a look, and pauses are counted.

#include "ipc/lead.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <vector>

namespace ipcmark {
namespace {

// How many chances are let pass before the next trial is due.
uint32_t ChancesLetPass(Trials& trials) {
  uint32_t chances = 0;
  while (!trials.IsDue()) ++chances;
  return chances;
}

TEST(Trials, WhatPaysIsTriedEachTime) {
  Trials trials;
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(trials.IsDue());
    trials.Ended(true);
  }
}

TEST(Trials, WhatDoesNotPayIsTriedHalfAsOftenEachTimeUpToABound) {
  Trials trials;
  EXPECT_EQ(ChancesLetPass(trials), 0U);
  uint32_t chances = 64;
  for (int i = 0; i < 15; ++i) {
    trials.Ended(false);
    EXPECT_EQ(ChancesLetPass(trials), chances);
    chances = std::min(2 * chances, 4096U);
  }
  EXPECT_EQ(chances, 4096U);
}

TEST(Trials, OneThatPaysStartsItAllAnew) {
  Trials trials;
  for (int i = 0; i < 5; ++i) trials.Ended(false);
  trials.Ended(true);
  EXPECT_EQ(ChancesLetPass(trials), 0U);
  trials.Ended(false);
  EXPECT_EQ(ChancesLetPass(trials), 64U);
}

// Who dies in the middle of a trial.
TEST(Trials, OneThatNeverEndsLeavesTheNextDue) {
  Trials trials;
  EXPECT_TRUE(trials.IsDue());
  EXPECT_TRUE(trials.IsDue());
}

TEST(Trials, WhateverIsWrittenThereNoMoreThanTheBoundAreLetPass) {
  for (const uint32_t left : {0U, 1U, 64U, 4097U, 0x80000000U, 0xffffffffU}) {
    for (const uint32_t let_pass : {0U, 1U, 64U, 4097U, 0x7fffffffU, 0x80000000U, 0xffffffffU}) {
      const uint32_t words[] = {left, let_pass};
      static_assert(sizeof(words) == sizeof(Trials));
      Trials trials;
      memcpy(static_cast<void*>(&trials), words, sizeof(words));
      EXPECT_LE(ChancesLetPass(trials), 4096U) << left;
      trials.Ended(false);
      const uint32_t chances = ChancesLetPass(trials);
      EXPECT_GE(chances, 64U) << let_pass;
      EXPECT_LE(chances, 4096U) << let_pass;
      trials.Ended(true);
      EXPECT_EQ(ChancesLetPass(trials), 0U);
    }
  }
}

// A full queue of `depth` and a receiver that has taken `taken(look)` messages by the sender's look `look`.
class FullQueue {
 public:
  FullQueue(uint64_t depth, std::function<uint64_t(uint64_t look)> taken) : depth_(depth), taken_(std::move(taken)) {}
  void AwaitRoom(int most_pauses = kMostPauses) {
    const auto used = [this]() noexcept { return depth_ - std::min(taken_(looks_++), depth_); };
    const auto pause = [this](int pauses) noexcept { pauses_.push_back(pauses); };
    AwaitMoreRoom(depth_, used, most_pauses, pause);
  }
  // At the last look.
  [[nodiscard]] uint64_t room() const { return taken_(looks_ - 1); }
  [[nodiscard]] uint64_t looks() const { return looks_; }
  [[nodiscard]] const std::vector<int>& pauses() const { return pauses_; }
  [[nodiscard]] int paused() const {
    int sum = 0;
    for (const int pauses : pauses_) sum += pauses;
    return sum;
  }

 private:
  const uint64_t depth_;
  const std::function<uint64_t(uint64_t look)> taken_;
  uint64_t looks_ = 0;
  std::vector<int> pauses_;
};

uint64_t OneALook(uint64_t look) { return look; }
uint64_t Nothing(uint64_t) { return 0; }

TEST(AwaitMoreRoom, EndsWhenHalfIsFree) {
  for (const uint64_t depth : {2, 3, 10, 11}) {
    FullQueue queue(depth, OneALook);
    queue.AwaitRoom();
    EXPECT_EQ(queue.room(), depth / 2) << depth;
  }
}

TEST(AwaitMoreRoom, EndsWhen512AreFree) {
  FullQueue queue(1 << 20, [](uint64_t look) { return 256 * look; });
  queue.AwaitRoom();
  EXPECT_EQ(queue.room(), 512U);
}

TEST(AwaitMoreRoom, ThroughOneSlotThereIsNothingToWaitFor) {
  FullQueue queue(1, Nothing);
  queue.AwaitRoom();
  EXPECT_EQ(queue.looks(), 1U);
  EXPECT_EQ(queue.paused(), 0);
}

TEST(AwaitMoreRoom, WhereThereIsRoomEnoughDoesNotPause) {
  FullQueue queue(16, [](uint64_t) { return 8; });
  queue.AwaitRoom();
  EXPECT_EQ(queue.paused(), 0);
}

TEST(AwaitMoreRoom, EndsSoonWhenTheReceiverStandsStill) {
  for (const uint64_t taken : {0, 3}) {
    FullQueue queue(1024, [=](uint64_t look) { return std::min(look, taken); });
    queue.AwaitRoom();
    EXPECT_EQ(queue.looks(), 1 + taken + 8);
    EXPECT_LE(queue.paused(), 100);
  }
}

TEST(AwaitMoreRoom, LooksBecomeRareWhileTheReceiverGetsOn) {
  FullQueue queue(1 << 20, OneALook);
  queue.AwaitRoom();
  const std::vector<int> begin(queue.pauses().begin(), queue.pauses().begin() + 8);
  EXPECT_EQ(begin, (std::vector<int>{4, 8, 16, 32, 64, 128, 256, 256}));
}

TEST(AwaitMoreRoom, EndsAfterItsBoundHoweverSlowlyTheReceiverGetsOn) {
  for (const uint64_t looks_a_message : {1, 2, 3, 8}) {
    for (const int most : {1, 400, kMostPauses}) {
      FullQueue queue(1 << 20, [=](uint64_t look) { return look / looks_a_message; });
      queue.AwaitRoom(most);
      EXPECT_LE(queue.paused(), most);
      // A look takes as long as some pauses, or longer.
      EXPECT_LE(queue.looks(), static_cast<uint64_t>(2 + most / (2 * kPausesPerLook)));
      // It is this bound that ended it.
      EXPECT_GE(queue.paused() + kPausesPerLook * static_cast<int>(queue.pauses().size()), most);
    }
  }
}

TEST(AwaitMoreRoom, WithoutPausesLeftItOnlyLooks) {
  for (const int most : {0, -400}) {
    FullQueue queue(16, Nothing);
    queue.AwaitRoom(most);
    EXPECT_EQ(queue.looks(), 1U);
    EXPECT_EQ(queue.paused(), 0);
  }
}

// Others send meanwhile: the room shrinks.
TEST(AwaitMoreRoom, RoomThatOthersTakeCountsAsNoneThatCame) {
  FullQueue queue(1024, [](uint64_t look) { return 100 - std::min<uint64_t>(look, 100); });
  queue.AwaitRoom();
  EXPECT_EQ(queue.looks(), 9U);
}

// How far ahead a receiver looked at one wait, where `comes` says whether the message so far behind comes.
std::vector<uint64_t> Looks(Lead& lead, uint64_t depth, const std::function<bool(uint64_t)>& comes) {
  std::vector<uint64_t> looks;
  lead.BeforeWait(depth, [&](uint64_t ahead, int rounds) noexcept {
    EXPECT_GT(rounds, 0);
    EXPECT_LE(rounds, 16 + 4 * 128);
    looks.push_back(ahead);
    return comes(ahead);
  });
  return looks;
}

bool Always(uint64_t) { return true; }
bool Never(uint64_t) { return false; }

TEST(Lead, OfAStreamDoublesAtEachWaitUpToHalfTheDepth) {
  Lead lead;
  const std::vector<uint64_t> most = {1, 2, 4, 8, 16, 32, 64, 128};
  for (int wait = 0; wait < 10; ++wait) EXPECT_EQ(Looks(lead, 1 << 20, Always), most);
  EXPECT_EQ(Looks(lead, 10, Always), (std::vector<uint64_t>{1, 2, 4}));
  EXPECT_EQ(Looks(lead, 2, Always), (std::vector<uint64_t>{1}));
  EXPECT_TRUE(Looks(lead, 1, Always).empty());
}

TEST(Lead, WhereOneMessageWaitsForAnotherIsTriedSeldom) {
  Lead lead;
  int trials = 0;
  for (int wait = 0; wait < 10000; ++wait) trials += static_cast<int>(Looks(lead, 16, Never).size());
  // After 0, 64, 192, ... waits and one more for each trial.
  EXPECT_EQ(trials, 8);
}

struct DistanceLook {
  uint64_t ahead;
  int rounds;
  friend bool operator==(const DistanceLook&, const DistanceLook&) = default;
};
// The looks before one more message is taken, of which `there` lie there and `come` come.
std::vector<DistanceLook> Looks(Distance& distance, uint64_t depth, uint64_t there, uint64_t come) {
  std::vector<DistanceLook> looks;
  distance.BeforeMore(depth, [&](uint64_t ahead, int rounds) {
    looks.push_back({ahead, rounds});
    return ahead < there + (rounds > 0 ? come : 0);
  });
  return looks;
}

TEST(Distance, IsMadeOf256MessagesWhereTheyComeAtOnce) {
  Distance distance;
  const std::vector<DistanceLook> looks = {{64, 0}, {64, 128}, {128, 128}, {256, 256}};
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Looks(distance, 1 << 20, 3, 1000), looks);
  EXPECT_EQ(Looks(distance, 256, 3, 1000), (std::vector<DistanceLook>{{16, 0}, {16, 32}, {32, 32}, {64, 64}}));
}

TEST(Distance, OfAQuarterOfThatIsEnough) {
  Distance distance;
  EXPECT_EQ(Looks(distance, 1024, 65, 0), (std::vector<DistanceLook>{{64, 0}}));
}

TEST(Distance, OfFewSlotsIsNotAskedFor) {
  Distance distance;
  EXPECT_TRUE(Looks(distance, 255, 0, 1000).empty());
}

TEST(Distance, WhereTheyDoNotComeIsTriedSeldom) {
  Distance distance;
  int trials = 0;
  for (int i = 0; i < 10000; ++i) trials += Looks(distance, 1024, 1, 0).size() > 1 ? 1 : 0;
  // After 0, 64, 192, ... chances and one more for each trial.
  EXPECT_EQ(trials, 8);
}

TEST(Lead, EndsWhereTheStreamDoes) {
  Lead lead;
  EXPECT_EQ(Looks(lead, 1024, [](uint64_t ahead) { return ahead < 8; }), (std::vector<uint64_t>{1, 2, 4, 8}));
  EXPECT_TRUE(Looks(lead, 1024, Always).empty());
}

}  // namespace
}  // namespace ipcmark
