// SIGKILL at every instruction of a send and of a receive (crash_sweep.h). A queue of the policy `robust` must survive
// all of them. One of the policy `posix` cannot, and a send that wakes after its commit cannot: the sweep must say so,
// or it has no teeth.
//
// By default a sample of the instructions, chosen by the seed, within seconds; all of them:
//   ./bazelw run //ipc/mmap_queue:crash_sweep_test -- --whole

#include "ipc/mmap_queue/crash_sweep.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <string>

namespace ipcmark::mmap_queue {
namespace {

bool whole_sweep = false;

void Send(Queue& queue) { queue.Send(VictimsMessage(), kVictimsPriority); }
void Receive(Queue& queue) {
  std::byte buffer[kSweptMessageBytes];
  queue.Receive(buffer);
}

void SendLarge(Queue& queue) { queue.Send(VictimsMessage(kSweptLargeBytes), kVictimsPriority); }
void ReceiveLarge(Queue& queue) {
  std::byte buffer[kSweptLargeBytes];
  queue.Receive(buffer);
}

// The textbook's order: commit first, then wake.
void SendAndWakeTooLate(Queue& queue) {
  MappedFile file;
  if (MapQueueFile(queue.fd(), &file) != 0) return;
  Core& core = file.core;
  Hold hold;
  if (hold.Try(&core.header().send.lock) != 0) return;
  bool damaged = false;
  core.Commit(core.Prepare(VictimsMessage(), kVictimsPriority, &damaged));
  Wake(core.header().not_empty, core.policy());
  hold.Release(&core.header().send.lock);
}

constexpr Scenario kScenarios[] = {
    {"SendToABlockedReceiver", 0, Peer::kReceiver, true, Send},
    {"SendBehindOthers", 2, Peer::kNone, true, Send},
    {"ReceiveBesideABlockedSender", 4, Peer::kSender, false, Receive},
    {"ReceiveAmongOthers", 3, Peer::kNone, false, Receive},
    {"ReceiveTheLast", 1, Peer::kNone, false, Receive},
    // The other receiver gets the first message, since nobody slows it down, and the victim the second.
    {"ReceiveAfterSleepBesideABlockedReceiver", 0, Peer::kReceiver, false, Receive, 2},
    {"ReceiveAfterSleep", 0, Peer::kNone, false, Receive, 1},
    // The other sender comes in first, since nobody slows it down, and the victim into the second room.
    {"SendAfterSleepBesideABlockedSender", 4, Peer::kSender, true, Send, 2},
    {"SendAfterSleep", 4, Peer::kNone, true, Send, 1},
    {"SendLargeToABlockedReceiver", 0, Peer::kReceiver, true, SendLarge, 0, kSweptLargeBytes},
    {"SendLargeBehindOthers", 2, Peer::kNone, true, SendLarge, 0, kSweptLargeBytes},
    {"ReceiveLargeBesideABlockedSender", 4, Peer::kSender, false, ReceiveLarge, 0, kSweptLargeBytes},
    {"ReceiveLargeAmongOthers", 3, Peer::kNone, false, ReceiveLarge, 0, kSweptLargeBytes},
};

void Print(const char* what, const Found& found) {
  printf("%s: killed at %d of %d instructions, %d wrong, %d of them hangs\n", what, static_cast<int>(found.killed),
         static_cast<int>(found.instructions), static_cast<int>(found.wrong.size()), static_cast<int>(found.hangs));
}

class CrashSweep : public testing::TestWithParam<Scenario> {};

TEST_P(CrashSweep, NoKillBreaksTheQueue) {
  if (!MayTrace()) GTEST_SKIP() << "this sandbox forbids ptrace(2)";
  const Found found = SweepThrough(GetParam(), Policy::kRobust, {.whole = whole_sweep});
  Print(GetParam().name, found);
  EXPECT_EQ(found.unharmed, "");
  for (const std::string& wrong : found.wrong) ADD_FAILURE() << wrong;
}

TEST_P(CrashSweep, AKillMakesThePosixPolicyHang) {
  if (!MayTrace()) GTEST_SKIP() << "this sandbox forbids ptrace(2)";
  const Extent extent = {.whole = whole_sweep, .enough = whole_sweep ? UINT64_MAX : 3};
  const Found found = SweepThrough(GetParam(), Policy::kPosix, extent);
  Print(GetParam().name, found);
  EXPECT_EQ(found.unharmed, "");
  EXPECT_GT(found.hangs, 0U);
}

INSTANTIATE_TEST_SUITE_P(Of, CrashSweep, testing::ValuesIn(kScenarios),
                         [](const testing::TestParamInfo<Scenario>& info) { return std::string(info.param.name); });

TEST(CrashSweepTeeth, AWakeAfterTheCommitIsFound) {
  if (!MayTrace()) GTEST_SKIP() << "this sandbox forbids ptrace(2)";
  const Found found =
      SweepThrough({"Broken", 0, Peer::kReceiver, true, SendAndWakeTooLate}, Policy::kRobust, {.whole = whole_sweep});
  Print("Broken", found);
  EXPECT_FALSE(found.wrong.empty());
  for (const std::string& wrong : found.wrong) {
    EXPECT_NE(wrong.find("the blocked peer did not resume"), std::string::npos) << wrong;
  }
}

}  // namespace

void SweepTheWhole() { whole_sweep = true; }

}  // namespace ipcmark::mmap_queue

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    if (strcmp(argv[i], "--whole") != 0) {
      fprintf(stderr, "crash_sweep_test: unknown argument %s; known is --whole\n", argv[i]);
      return 2;
    }
    ipcmark::mmap_queue::SweepTheWhole();
  }
  return RUN_ALL_TESTS();
}
