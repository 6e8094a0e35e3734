// The flags of the stress program, and what it says of trials.

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "stress/cli_for_test.h"

namespace ipcmark::stress {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr BadUsage kBadUsages[] = {
    {"--frobnicate", "--frobnicate"},
    {"extra", "extra"},
    {"--seconds=-1", "--seconds=-1"},
    {"--seconds=0", "--seconds=0"},
    {"--seconds=1.5", "--seconds=1.5"},
    {"--seconds", "--seconds=VALUE"},
    {"--seconds=99999999999999999999", "--seconds=99999999999999999999"},
    {"--seed=x", "--seed=x"},
    {"--seed=", "--seed="},
    {"--seed=18446744073709551616", "--seed=18446744073709551616"},
    {"--trials=0", "--trials=0"},
    {"--scenario='('", "--scenario=("},
    {"--primitive=no_such_thing", "kernel_mq"},
    {"--fault=no_such_thing", "sigkill"},
    {"--invariant=no_such_thing", "no_loss"},
    {"--primitive=pipe,no_such_thing", "'no_such_thing' is none of sysv_shm"},
    {"--fault=sigkill,", "'' is none of "},
    {"--invariant=,no_loss", "'' is none of "},
    {"--fault=", "--fault=VALUE"},
    {"--isolation=prayer", "--isolation=prayer"},
    {"--strikes=1,x", "--strikes=1,x"},
    {"--bytes=31", "--bytes=31"},
    {"--senders=0", "--senders=0"},
    {"--messages=x", "--messages=x"},
    {"--minimize-seconds=x", "--minimize-seconds=x"},
    {"--points=1:9", "--points=1:9"},
    {"--traffic-ms=0", "--traffic-ms=0"},
    {"--traffic-ms", "--traffic-ms=VALUE"},
    {"--json=/no/such/directory/file", "/no/such/directory/file"},
    {"--scenario=no_such_thing", "--list"},
    {"--scenario=sysv_shm/3to3", "at most 1 sender"},
};

TEST(StressProgram, AnswersBadUsageWithOneSentenceAndStatusTwo) { ExpectOneSentenceEach(kBadUsages); }

TEST(StressProgram, HelpHasExamplesAndExitStatus) {
  const Outcome outcome = RunProgram(kStress, "--help");
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("./bazelw run //stress -- "), HasSubstr("Exit status: 0")));
  EXPECT_EQ(outcome.err, "");
}

TEST(StressProgram, ListsScenariosOfEveryPrimitiveAndWhatIsSkipped) {
  const Outcome outcome = RunProgram(kStress, "--list");
  EXPECT_EQ(outcome.status, 0);
  for (const char* name :
       {"sysv_shm/1to1/spin/depth:1/bytes:64/none\n", "sysv_shm/1to1/spin_then_block/depth:4/bytes:4096/sigkill\n",
        "mmap_queue/3to3/block/depth:64/bytes:65536/sigkill\n", "pipe/3to1/block/depth:4/bytes:64/none\n",
        "# skipped sysv_shm/3to1: sysv_shm has at most 1 sender(s), not 3\n"}) {
    EXPECT_THAT(outcome.out, HasSubstr(name));
  }
}

TEST(StressProgram, ListShowsWhatTheExpressionChooses) {
  const Outcome outcome = RunProgram(kStress, "--list --scenario='^pipe/1to1/.*/bytes:64/none$'");
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.out, StartsWith("pipe/1to1/block/depth:1/bytes:64/none\npipe/1to1/block/depth:4/bytes:64/none\n"
                                      "pipe/1to1/block/depth:64/bytes:64/none\n# faults: "));
  EXPECT_EQ(Lines(outcome.out), 5);
}

TEST(StressProgram, FlagsChooseOnePrimitiveAndOneFault) {
  const Outcome outcome = RunProgram(kStress, "--list --primitive=kernel_mq --fault=sigstop --scenario=1to1/");
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.out, HasSubstr("kernel_mq/1to1/block/depth:4/bytes:64/sigstop\n"));
  EXPECT_EQ(outcome.out.find("sigkill\n"), std::string::npos);
  EXPECT_EQ(outcome.out.find("pipe/"), std::string::npos);
}

TEST(StressProgram, FlagsChooseSomePrimitivesAndSomeFaults) {
  const Outcome outcome = RunProgram(
      kStress, "--list --primitive=kernel_mq,pipe --fault=sigstop,none --scenario=1to1/block/depth:4/bytes:64/");
  EXPECT_EQ(outcome.status, 0);
  for (const char* name : {"kernel_mq", "pipe"}) {
    for (const char* fault : {"sigstop\n", "none\n"}) {
      EXPECT_THAT(outcome.out, HasSubstr(std::string(name) + "/1to1/block/depth:4/bytes:64/" + fault));
    }
  }
  EXPECT_EQ(Lines(outcome.out), 6);
}

// The number behind `name` in `text`, -1 when it is not there.
long NumberAfter(const std::string& text, const std::string& name) {
  const size_t at = text.find(name);
  return at == std::string::npos ? -1 : strtol(text.c_str() + at + name.size(), nullptr, 10);
}

// A trial's traffic is shorter where many scenarios share little time, and the same when it is replayed.
TEST(StressProgram, ReplaysATrialWithTheTrafficTimeOfTheRun) {
  const Outcome outcome = RunProgram(kForgetful, "--seconds=2 --seed=11 --minimize-seconds=0 --primitive=forgetful");
  EXPECT_EQ(outcome.status, 1);
  const size_t at = outcome.out.find("--seed=", outcome.out.find("  replay: "));
  ASSERT_NE(at, std::string::npos) << outcome.out;
  const std::string replay = outcome.out.substr(at, outcome.out.find('\n', at) - at);
  const long millis = NumberAfter(replay, " --traffic-ms=");
  EXPECT_GE(millis, 5) << replay;
  EXPECT_LT(millis, 40) << replay;
  // Whether it breaks again in so short a time is the machine's.
  EXPECT_NE(RunProgram(kForgetful, replay).status, 2);
}

TEST(StressProgram, InvariantThatIsNotChosenIsNotChecked) {
  const std::string trial = "--trials=1 --seed=11 --scenario=forgetful/1to1/block/depth:4/bytes:64/none";
  EXPECT_EQ(RunProgram(kForgetful, trial + " --invariant=no_loss").status, 1);
  EXPECT_EQ(RunProgram(kForgetful, trial + " --invariant=order").status, 0);
  EXPECT_EQ(RunProgram(kForgetful, trial + " --invariant=order,no_loss").status, 1);
  EXPECT_EQ(RunProgram(kForgetful, trial + " --invariant=order,depth").status, 0);
}

TEST(StressProgram, ReportsTheSmallestCaseThatItReachedAndACommandThatBreaksItAgain) {
  const std::string path = testing::TempDir() + "/smallest.json";
  // Time enough for more messages than fill the object, also where other programs have the CPUs: with few of them it
  // cannot become smaller.
  const Outcome first = RunProgram(kForgetful,
                                   "--trials=1 --seed=11 --invariant=no_loss --traffic-ms=5000 "
                                   "--scenario=forgetful/1to1/block/depth:64/bytes:65536/signal_storm --json=" +
                                       path);
  EXPECT_EQ(first.status, 1);
  // A receiver forgets its 51st message, whatever strikes: 1 of them is enough, if it is small.
  const std::string json = ReadFile(path);
  const std::string smallest = json.substr(std::min(json.size(), json.find("\"smallest\": {")));
  // Not 1 for sure: on a busy machine a candidate may be given up that would have failed.
  const long depth = NumberAfter(smallest, "\"depth_messages\": ");
  EXPECT_GE(depth, 1) << json;
  EXPECT_LE(depth, 16) << json;
  EXPECT_EQ(NumberAfter(smallest, "\"message_bytes\": "), 32) << json;
  EXPECT_EQ(NumberAfter(smallest, "\"strikes\": "), 0);
  EXPECT_GE(NumberAfter(smallest, "\"messages\": "), 40);
  EXPECT_LE(NumberAfter(smallest, "\"messages\": "), 80);
  EXPECT_THAT(smallest, AllOf(HasSubstr("\"invariant\": \"no_loss\""), HasSubstr("\"seed\": 11"),
                              HasSubstr("\"operation\": \"Send number 5")));
  // Not all 5 for sure: a run that is out of time before its last message shows nothing.
  EXPECT_GE(NumberAfter(smallest, "\"failed\": "), 3) << smallest;

  const size_t lead = first.out.find("  replay: ", first.out.find("  smallest of "));
  const size_t at = first.out.find("--seed=11", lead);
  ASSERT_NE(at, std::string::npos) << first.out;
  const std::string replay = first.out.substr(at, first.out.find('\n', at) - at);
  EXPECT_THAT(replay, AllOf(HasSubstr(" --depth=" + std::to_string(depth)), HasSubstr(" --bytes=32"),
                            HasSubstr(" --messages="), HasSubstr(" --strikes=none")));
  const Outcome again = RunProgram(kForgetful, replay + " --minimize-seconds=0 --invariant=no_loss");
  EXPECT_EQ(again.status, 1) << again.out;
  EXPECT_THAT(again.out, HasSubstr("BROKEN no_loss in forgetful/"));
  EXPECT_EQ(again.out.find("smallest"), std::string::npos);
}

TEST(StressProgram, WritesItsResultsAsJson) {
  const std::string path = testing::TempDir() + "/results.json";
  const Outcome outcome = RunProgram(
      kForgetful, "--trials=1 --seed=11 --scenario=forgetful/1to1/block/depth:4/bytes:64/none --json=" + path);
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(ReadFile(path), AllOf(HasSubstr("\"seed\": 11"), HasSubstr("\"resident_growth_bytes\": 0,"),
                                    HasSubstr("\"most_overtaken\": "), HasSubstr("{\"invariant\": \"no_loss\""),
                                    HasSubstr("{\"name\": \"none\", \"trials\": 1")));
}

TEST(StressProgram, PrintsTheSeedThatItDrewFirst) {
  const Outcome one = RunProgram(kStress, "--trials=1 --scenario=pipe/1to1/block/depth:1/bytes:64/none");
  const Outcome two = RunProgram(kStress, "--trials=1 --scenario=pipe/1to1/block/depth:1/bytes:64/none");
  EXPECT_EQ(one.status, 0) << one.out;
  EXPECT_THAT(one.out, StartsWith("seed "));
  EXPECT_NE(one.out.substr(0, one.out.find('\n')), two.out.substr(0, two.out.find('\n')));
}

TEST(StressProgram, CountsWhatTimeDidNotReachAndShowsTheRest) {
  // One second for thousands of scenarios of at least 10 ms each on the machines that this is made for.
  const std::string path = testing::TempDir() + "/not_reached.json";
  const Outcome outcome = RunProgram(kStress, "--seconds=1 --seed=1 --json=" + path);
  EXPECT_EQ(outcome.status, 0) << outcome.out;
  int scenarios = 0;
  int untried = 0;
  std::istringstream json(ReadFile(path));
  for (std::string line; std::getline(json, line);) {
    if (line.find("\"breaches\": []") == std::string::npos) continue;
    ++scenarios;
    untried += line.find("\"trials\": 0,") != std::string::npos ? 1 : 0;
  }
  EXPECT_GT(untried, 0);
  EXPECT_THAT(outcome.out, HasSubstr("\n" + std::to_string(untried) + " scenario(s) not reached: the time was up\n"));
  int shown = 0;
  for (size_t at = outcome.out.find(" ok\n"); at != std::string::npos; at = outcome.out.find(" ok\n", at + 1)) ++shown;
  EXPECT_EQ(shown, scenarios - untried);
}

TEST(StressProgram, BreachEndsWithStatusOneAndACommandThatReplaysIt) {
  const Outcome first =
      RunProgram(kForgetful,
                 "--trials=3 --seed=11 "
                 "--scenario='forgetful/1to1/block/depth:4/bytes:64/none|pipe/1to1/block/depth:4/bytes:64/none'");
  EXPECT_EQ(first.status, 1);
  EXPECT_THAT(first.out, HasSubstr("BROKEN no_loss in forgetful/1to1/block/depth:4/bytes:64/none: expected "));
  const std::string lead = "  replay: ./bazelw run //stress/mutants:forgetful_stress -- ";
  const size_t at = first.out.find(lead);
  ASSERT_NE(at, std::string::npos) << first.out;
  const std::string replay = first.out.substr(at + lead.size(), first.out.find('\n', at) - at - lead.size());
  EXPECT_EQ(replay, "--seed=11 --scenario='^forgetful/1to1/block/depth:4/bytes:64/none$' --trials=1");
  // The other scenario still ran, all three times.
  EXPECT_THAT(first.out, testing::ContainsRegex("pipe/1to1/block/depth:4/bytes:64/none +3 .* ok\n"));

  const Outcome second = RunProgram(kForgetful, replay);
  EXPECT_EQ(second.status, 1);
  EXPECT_THAT(second.out, AllOf(HasSubstr("BROKEN no_loss in forgetful/"), HasSubstr(lead + replay)));
}

// What was found is not lost in what goes wrong afterwards.
TEST(StressProgram, ABreachEndsWithStatusOneAlsoWhenItsResultsCannotBeWritten) {
  const Outcome outcome = RunProgram(kForgetful,
                                     "--trials=1 --seed=11 --minimize-seconds=0 --json=/dev/full "
                                     "--scenario=forgetful/1to1/block/depth:4/bytes:64/none");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.out, HasSubstr("BROKEN no_loss in forgetful/"));
  EXPECT_THAT(outcome.err, AllOf(StartsWith("stress: "), HasSubstr("/dev/full"), HasSubstr("ENOSPC")));
  EXPECT_EQ(Lines(outcome.err), 1);
}

TEST(StressProgram, InterruptedItStillPrintsItsSummary) {
  // timeout(1) sends the signal; the program would run for a minute.
  const Outcome outcome = RunProgram(kStress, "--seconds=60 --seed=2", "timeout --preserve-status -s INT 1 ");
  EXPECT_EQ(outcome.status, 0) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("not reached: interrupted"), HasSubstr(" 0 broken")));
}

TEST(StressProgram, WhatTheSystemRefusesIsOneSentenceAndStatusTwo) {
  // Enough for one object, and not for its processes.
  const Outcome outcome =
      RunProgram(kStress, "--isolation=none --trials=1 --seed=1 --scenario=^pipe/1to1/block/depth:4/bytes:64/none$",
                 "prlimit --nofile=6 ");
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("pipe/1to1/"), HasSubstr("EMFILE")));
  EXPECT_EQ(Lines(outcome.err), 1);
}

// Elsewhere they would outlive a run that is killed.
TEST(StressProgram, KeepsItsQueuesInDevShmWhateverTheEnvironmentSays) {
  const std::string directory = testing::TempDir() + "/queues";
  std::filesystem::create_directory(directory);
  const auto written = std::filesystem::last_write_time(directory);
  const Outcome outcome =
      RunProgram(kStress, "--trials=1 --seed=1 --scenario=^named_queue/1to1/block/depth:4/bytes:64/none$",
                 "IPCMARK_QUEUE_DIR=" + directory + " ");
  EXPECT_EQ(outcome.status, 0) << outcome.out;
  EXPECT_THAT(outcome.err, AllOf(HasSubstr(directory), HasSubstr("/dev/shm")));
  EXPECT_EQ(Lines(outcome.err), 1);
  EXPECT_EQ(std::filesystem::last_write_time(directory), written) << "somebody has made a file there";
}

// Also in a /dev/shm that is not the run's own, whatever it is called.
TEST(StressProgram, WritesItsResultsWhereItWasToldTo) {
  const std::string name = "stress_results." + std::to_string(getpid());
  const std::string link = testing::TempDir() + "/link";
  std::filesystem::remove(link);
  std::filesystem::create_symlink("/dev/shm/" + name, link);
  for (const std::string& path : {"/dev/shm/" + name, "//dev/shm/" + name, "/dev/../dev/shm/" + name, link}) {
    SCOPED_TRACE(path);
    const Outcome outcome =
        RunProgram(kStress, "--trials=1 --seed=6 --scenario=^pipe/1to1/block/depth:4/bytes:64/none$ --json=" + path);
    EXPECT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_THAT(ReadFile("/dev/shm/" + name), AllOf(StartsWith("{\"seed\": 6,"), testing::EndsWith("]}\n")));
    std::filesystem::remove("/dev/shm/" + name);
  }
  std::filesystem::remove(link);
  // A longer one is replaced as a whole.
  const std::string path = testing::TempDir() + "/longer.json";
  std::ofstream(path) << std::string(1 << 20, 'x');
  EXPECT_EQ(RunProgram(kStress, "--trials=1 --seed=6 --scenario=^pipe/1to1/block/depth:4/bytes:64/none$ --json=" + path)
                .status,
            0);
  EXPECT_THAT(ReadFile(path), AllOf(StartsWith("{\"seed\": 6,"), testing::EndsWith("]}\n")));
}

// What a soak relies on. A leaking run ends early, and the reason is not taken for a lack of time.
TEST(StressProgram, NoticesThatItsOwnMemoryGrows) {
  const std::string path = testing::TempDir() + "/leaking.json";
  const std::string trials = "--seed=4 --scenario=leaking/1to1/spin/depth:1/bytes:64/none --json=" + path;
  const Outcome leaking = RunProgram(kLeaking, "--trials=300 " + trials);
  EXPECT_EQ(leaking.status, 1) << leaking.out;
  EXPECT_THAT(leaking.out, HasSubstr("BROKEN constant_memory: expected the runner to grow by at most 32768 KiB"));
  EXPECT_GT(NumberAfter(ReadFile(path), "\"resident_growth_bytes\": "), 32 << 20);
  const long trials_run = NumberAfter(ReadFile(path), "\"trials\": ");
  EXPECT_GT(trials_run, 200);
  EXPECT_LT(trials_run, 300);
  EXPECT_EQ(RunProgram(kLeaking, "--trials=20 " + trials).status, 0);
}

TEST(StressProgram, LeavesNothingBehind) {
  const std::string before = SharedObjects();
  EXPECT_EQ(RunProgram(kStress, "--isolation=none --trials=1 --seed=3 --scenario='1to1/block/depth:4/bytes:64/sigkill'")
                .status,
            0);
  EXPECT_EQ(SharedObjects(), before);
}

}  // namespace
}  // namespace ipcmark::stress
