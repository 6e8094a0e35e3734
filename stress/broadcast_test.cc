// Which histories of a broadcast have a hole.

#include "stress/broadcast.h"

#include <vector>

#include "gtest/gtest.h"
#include "stress/invariants/invariant.h"

namespace ipcmark::stress {
namespace {

Delivery Of(uint32_t sender, uint64_t sequence) {
  return {.sequence = sequence, .sender = sender, .bytes = 64, .priority = 0, .intact = true};
}

SenderHistory SenderOf(uint64_t accepted) {
  return {.slot = 0, .killed = false, .attempted = accepted, .accepted = accepted, .deliveries = {}};
}

// Killed in the middle of its last message, which some receivers may have got.
SenderHistory KilledSenderOf(uint64_t accepted, bool anybody_got_the_last) {
  SenderHistory sender = SenderOf(accepted);
  sender.killed = true;
  ++sender.attempted;
  sender.deliveries.resize(sender.attempted);
  sender.deliveries.back() = anybody_got_the_last ? 1 : 0;
  return sender;
}

ReceiverHistory Stayed(std::vector<Delivery> deliveries) {
  return {.slot = 0, .killed = false, .deliveries = std::move(deliveries), .stayed = true};
}

bool HasHole(std::vector<SenderHistory> senders, std::vector<ReceiverHistory> receivers) {
  Record record{};
  record.senders = std::move(senders);
  record.receivers = std::move(receivers);
  record.complete = true;
  const std::string hole = FindHole(record);
  if (!hole.empty()) printf("%s\n", hole.c_str());
  return !hole.empty();
}

TEST(Broadcast, EveryReceiverIsToGetEverything) {
  EXPECT_FALSE(HasHole({SenderOf(2)}, {Stayed({Of(0, 0), Of(0, 1)}), Stayed({Of(0, 0), Of(0, 1)})}));
  EXPECT_TRUE(HasHole({SenderOf(2)}, {Stayed({Of(0, 0), Of(0, 1)}), Stayed({Of(0, 1)})}));
  EXPECT_TRUE(HasHole({SenderOf(3)}, {Stayed({Of(0, 0), Of(0, 2)})}));
  EXPECT_TRUE(HasHole({SenderOf(2)}, {Stayed({Of(0, 0)})}));
  EXPECT_TRUE(HasHole({SenderOf(1)}, {Stayed({})}));
}

TEST(Broadcast, WhoWasKilledOrSentAwayOnlyMissesTheEnd) {
  ReceiverHistory receiver = Stayed({Of(0, 0), Of(0, 1)});
  receiver.stayed = false;
  EXPECT_FALSE(HasHole({SenderOf(5)}, {receiver}));
  receiver.deliveries.push_back(Of(0, 3));
  EXPECT_TRUE(HasHole({SenderOf(5)}, {receiver}));
}

TEST(Broadcast, WhoOpensLateIsToGetWhatIsSentAfterwards) {
  ReceiverHistory late = Stayed({Of(0, 2), Of(0, 3)});
  late.due = {.sender = 0, .sequence = 2};
  EXPECT_FALSE(HasHole({SenderOf(4)}, {late}));
  // What was sent while it opened may come, too.
  late.deliveries.insert(late.deliveries.begin(), Of(0, 1));
  EXPECT_FALSE(HasHole({SenderOf(4)}, {late}));
  // ... and from there on all the rest, or word of what was missed.
  late.deliveries = {Of(0, 0), Of(0, 2), Of(0, 3)};
  EXPECT_TRUE(HasHole({SenderOf(4)}, {late}));
  late.gaps = {{.before = 1, .messages = 1}};
  EXPECT_FALSE(HasHole({SenderOf(4)}, {late}));
  late.gaps = {};
  late.deliveries = {Of(0, 3)};
  EXPECT_TRUE(HasHole({SenderOf(4)}, {late}));
}

TEST(Broadcast, TheNextSenderGoesOnBehindTheLastMessage) {
  EXPECT_FALSE(HasHole({SenderOf(2), SenderOf(1)}, {Stayed({Of(0, 0), Of(0, 1), Of(1, 0)})}));
  EXPECT_TRUE(HasHole({SenderOf(2), SenderOf(1)}, {Stayed({Of(0, 0), Of(1, 0)})}));
  EXPECT_TRUE(HasHole({SenderOf(1), SenderOf(2)}, {Stayed({Of(0, 0), Of(1, 1)})}));
}

TEST(Broadcast, TheLastMessageOfAKilledSenderIsForAllOrNobody) {
  const ReceiverHistory with = Stayed({Of(0, 0), Of(0, 1), Of(1, 0)});
  const ReceiverHistory without = Stayed({Of(0, 0), Of(1, 0)});
  EXPECT_FALSE(HasHole({KilledSenderOf(1, true), SenderOf(1)}, {with, with}));
  EXPECT_FALSE(HasHole({KilledSenderOf(1, false), SenderOf(1)}, {without, without}));
  EXPECT_TRUE(HasHole({KilledSenderOf(1, true), SenderOf(1)}, {with, without}));
}

TEST(Broadcast, AHoleIsAsLongAsItsReceiverWasTold) {
  ReceiverHistory receiver = Stayed({Of(0, 0), Of(0, 3)});
  for (const uint64_t told : {1, 2, 3}) {
    receiver.gaps = {{.before = 1, .messages = told}};
    EXPECT_EQ(HasHole({SenderOf(4)}, {receiver}), told != 2) << told;
  }
  receiver.gaps = {{.before = 1, .messages = 2}, {.before = 2, .messages = 1}};
  EXPECT_TRUE(HasHole({SenderOf(4)}, {receiver}));
  EXPECT_FALSE(HasHole({SenderOf(5)}, {receiver}));
}

// It cannot be known whether a message that nobody got had been sent before its sender was killed.
TEST(Broadcast, AHoleMayHaveTheLastMessageOfAKilledSenderInIt) {
  ReceiverHistory receiver = Stayed({Of(0, 0), Of(1, 0)});
  for (const uint64_t told : {0, 1, 2, 3}) {
    receiver.gaps = {{.before = 1, .messages = told}};
    EXPECT_EQ(HasHole({KilledSenderOf(2, false), SenderOf(1)}, {receiver}), told != 1 && told != 2) << told;
  }
}

TEST(Broadcast, WhatASenderSentIsOverWhenTheNextOneIsHeard) {
  Record record{};
  record.plan.capabilities.broadcasts = true;
  record.plan.geometry.receivers = 1;
  record.receivers = {Stayed({Of(0, 0), Of(1, 0)})};
  const auto breaches_of = [&](const std::string& name) {
    std::string text;
    for (const Invariant* invariant : AllInvariants()) {
      if (invariant->name == name) text = invariant->find_breach(record);
    }
    return text;
  };
  EXPECT_EQ(breaches_of("order"), "");
  record.receivers[0].deliveries.push_back(Of(0, 1));
  EXPECT_NE(breaches_of("order"), "");
}

}  // namespace
}  // namespace ipcmark::stress
