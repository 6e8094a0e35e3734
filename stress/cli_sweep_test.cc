// The sweep of the stress program (--sweep).

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stress/cli_for_test.h"

namespace ipcmark::stress {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr BadUsage kBadUsages[] = {
    {"--sweep --points=7", "FROM:TO"},
    {"--sweep --points=9:9", "10"},
    {"--list --sweep --points=18446744073709551615:0", "18446744073709551614"},
    {"--sweep --scenario=pipe/send", "(pipe: it does not promise"},
    {"--sweep --traffic-ms=5", "--traffic-ms=5"},
    {"--sweep --fault=sigkill", "--fault=sigkill"},
    {"--sweep --bytes=64", "--bytes=64"},
    {"--sweep --scenario=no_such_thing", "--sweep --list"},
    {"--sweep --primitive=moodycamel", "does not promise"},
};

TEST(StressSweep, AnswersBadUsageWithOneSentenceAndStatusTwo) { ExpectOneSentenceEach(kBadUsages); }

TEST(StressSweep, ListsTheCallsOfASweep) {
  const Outcome outcome = RunProgram(kStress, "--sweep --list --scenario='^(pipe|mmap_queue)/(notify_thread$|send)'");
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("mmap_queue/send\n"), HasSubstr("mmap_queue/notify_thread\n"),
                                 HasSubstr("# skipped pipe: it does not promise to survive SIGKILL\n")));
}

TEST(StressSweep, SweepsTheInstructionsThatItIsTold) {
  const Outcome outcome = RunProgram(kStress, "--sweep --seed=1 --scenario='^kernel_mq/receive$' --points=5:9");
  if (outcome.err.find("ptrace") != std::string::npos) GTEST_SKIP() << outcome.err;
  EXPECT_EQ(outcome.status, 0) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr(" points, 4 kills, 0 held, 5 survivors, 0 points broken, "));
}

TEST(StressSweep, WritesASweepAsJsonFromWhichItCanGoOn) {
  const std::string path = testing::TempDir() + "/sweep.json";
  const std::string sweep = "--sweep --seed=1 --scenario='^kernel_mq/receive$' --json=" + path;
  const Outcome outcome = RunProgram(kStress, sweep + " --points=0:7");
  if (outcome.err.find("ptrace") != std::string::npos) GTEST_SKIP() << outcome.err;
  EXPECT_EQ(outcome.status, 0) << outcome.out << outcome.err;
  EXPECT_THAT(ReadFile(path), AllOf(HasSubstr("{\"primitive\": \"kernel_mq\", \"call\": \"receive\", \"seed\": 1,"),
                                    HasSubstr("\"trials\": 7,"), HasSubstr("\"next_point\": 7,"),
                                    HasSubstr("\"broken_points\": 0,"), HasSubstr("\"worst_recovery_nanos\": "),
                                    HasSubstr("{\"name\": \"mq_timedreceive\", \"instruction\": ")));
  // It stopped because it was told to, so there is nothing to resume; a longer range goes on behind it.
  EXPECT_EQ(outcome.out.find("resume: "), std::string::npos);
  EXPECT_EQ(RunProgram(kStress, sweep + " --points=7:20").status, 0);
  EXPECT_THAT(ReadFile(path), AllOf(HasSubstr("\"trials\": 13,"), HasSubstr("\"next_point\": 20,")));
}

TEST(StressSweep, ASweepThatKillsNobodyIsNoSuccess) {
  const Outcome outcome = RunProgram(kStress, "--sweep --seed=1 --scenario='^mmap_queue/send$' --points=100000:100010");
  if (outcome.err.find("ptrace") != std::string::npos) GTEST_SKIP() << outcome.err;
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.out, HasSubstr("nothing tried"));
  EXPECT_THAT(outcome.err, testing::ContainsRegex("mmap_queue/send, has 0:[0-9]+; leave it out"));
  EXPECT_EQ(Lines(outcome.err), 1);
}

TEST(StressSweep, ASweepThatTimeCutsShortSaysHowToResume) {
  const Outcome outcome =
      RunProgram(kStress, "--sweep --seed=1 --seconds=1 --scenario='^shm_mpmc/(open_sender|timed_send)$'");
  if (outcome.err.find("ptrace") != std::string::npos) GTEST_SKIP() << outcome.err;
  EXPECT_EQ(outcome.status, 0) << outcome.out;
  EXPECT_THAT(outcome.out, testing::ContainsRegex("resume: ./bazelw run //stress -- --sweep --seed=1 "
                                                  "--scenario='\\^shm_mpmc/[a-z_]+\\$' --points=[0-9]+:[0-9]+\n"));
}

TEST(StressSweep, AnInterruptedSweepDoesNotBeginAnotherCall) {
  const Outcome outcome = RunProgram(kStress, "--sweep --seed=2", "timeout --preserve-status -s INT 1 ");
  if (outcome.err.find("ptrace") != std::string::npos) GTEST_SKIP() << outcome.err;
  EXPECT_EQ(outcome.status, 0) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr(" calls not reached: interrupted"));
}

// Every victim leaves the queue that it has made.
TEST(StressSweep, RemovesWhatTheVictimsOfASweepHaveMade) {
  for (const char* call : {"named_queue/create$' --trials=3", "kernel_mq/create$' --points=syscalls"}) {
    SCOPED_TRACE(call);
    const std::string before = SharedObjects();
    const Outcome outcome = RunProgram(kStress, std::string("--isolation=none --sweep --seed=3 --scenario='^") + call);
    if (outcome.err.find("ptrace") != std::string::npos) GTEST_SKIP() << outcome.err;
    EXPECT_EQ(outcome.status, 0) << outcome.out << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr(" objects left by the dead, removed"));
    EXPECT_EQ(SharedObjects(), before);
  }
}

}  // namespace
}  // namespace ipcmark::stress
