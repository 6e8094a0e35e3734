// Bench and its processes interrupted and killed in the middle: what was measured is written, nobody is left.

#include <signal.h>

#include "absl/strings/match.h"
#include "bench/program_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ipc/conformance/support.h"
#include "rapidjson/document.h"

namespace ipcmark::bench {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

rapidjson::Document Parse(const std::string& text) {
  rapidjson::Document document;
  document.Parse<rapidjson::kParseNanAndInfFlag>(text.c_str());
  EXPECT_FALSE(document.HasParseError()) << text;
  return document;
}

// Nothing but its own processes may end within a test's time, so the second row takes for ever.
const std::vector<std::string> kEndless = {"--suite=smoke", "--primitives=pipe", "--bytes=8",
                                           "--benchmark_min_time=1000", "--benchmark_out=run.json"};

TEST(BenchKill, AnInterruptWritesTheRowsThatAreDone) {
  const std::vector<std::string> before = conformance::Belongings();
  for (const int signal : {SIGINT, SIGTERM}) {
    Program program({"--suite=smoke", "--primitives=pipe", "--bytes=8,64,512,4096", "--benchmark_min_time=0.2",
                     "--benchmark_format=json", "--benchmark_out=run.json"});
    ASSERT_TRUE(program.AwaitOutput("\"name\": \"RoundTrip/pipe/block/8/"));
    kill(program.pid(), signal);
    const Outcome outcome = program.Wait();
    EXPECT_EQ(outcome.status, 130) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr("\ninterrupted: "));
    EXPECT_THAT(outcome.orphans, IsEmpty());
    EXPECT_THAT(program.Files(), ElementsAre("run.json"));
    const rapidjson::Document document = Parse(program.Contents("run.json"));
    EXPECT_GE(document["benchmarks"].Size(), 1U);
    EXPECT_LT(document["benchmarks"].Size(), 8U);
    for (const auto& row : document["benchmarks"].GetArray()) EXPECT_FALSE(row.HasMember("error_occurred"));
    EXPECT_EQ(Parse(outcome.out)["benchmarks"].Size(), document["benchmarks"].Size());
  }
  EXPECT_EQ(conformance::Belongings(), before);
}

TEST(BenchKill, AnInterruptBeforeTheFirstRowWritesNone) {
  Program program(kEndless);
  ASSERT_TRUE(program.AwaitChild());
  kill(program.pid(), SIGINT);
  const Outcome outcome = program.Wait();
  EXPECT_EQ(outcome.status, 130) << outcome.err;
  EXPECT_THAT(outcome.orphans, IsEmpty());
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("\ninterrupted: "), Not(HasSubstr("FAILED"))));
  EXPECT_EQ(Parse(program.Contents("run.json"))["benchmarks"].Size(), 0U);
}

TEST(BenchKill, AKilledChildCostsItsOwnRowOnly) {
  // A child may be killed when its work is done: then nothing is amiss, and it is tried again.
  for (int tries = 0; tries < 20; ++tries) {
    Program program({"--suite=smoke", "--primitives=pipe", "--bytes=8,64", "--benchmark_min_time=0.05",
                     "--benchmark_filter=RoundTrip|Throughput", "--noroofline", "--benchmark_out=run.json"});
    ASSERT_TRUE(program.KillAChild());
    const Outcome outcome = program.Wait();
    EXPECT_THAT(outcome.orphans, IsEmpty());
    const rapidjson::Document document = Parse(program.Contents("run.json"));
    ASSERT_EQ(document["benchmarks"].Size(), 4U);
    if (outcome.status == 0) continue;
    EXPECT_EQ(outcome.status, 1) << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr("\nFAILED\n"));
    int failed = 0;
    for (const auto& row : document["benchmarks"].GetArray()) {
      if (!row.HasMember("error_occurred")) continue;
      ++failed;
      EXPECT_THAT(row["error_message"].GetString(), testing::ContainsRegex("^(sender|receiver)"));
      EXPECT_EQ(row["real_time"].GetDouble(), 0);
    }
    EXPECT_EQ(failed, 1);
    return;
  }
  FAIL() << "no child could be killed at its work";
}

TEST(BenchKill, BenchKilledTakesItsProcessesAndObjectsAlong) {
  const std::vector<std::string> before = conformance::Belongings();
  for (const char* filter : {"sysv_shm/block", "mmap_queue/block", "shmat.*attached:1000",
                             "Attach/sysv_shm/create/4096/", "lock/1048576/attached:64/"}) {
    Program program({"--suite=full", "--bytes=8", "--benchmark_min_time=1000", "--benchmark_out=run.json",
                     std::string("--benchmark_filter=") + filter});
    ASSERT_TRUE(program.AwaitChild());
    kill(program.pid(), SIGKILL);
    // Comes back when every process that it left has ended, which nobody but the kernel told them to.
    EXPECT_EQ(program.Wait().status, 128 + SIGKILL);
    EXPECT_THAT(program.Files(), IsEmpty());
    EXPECT_EQ(conformance::Belongings(), before) << filter;
  }
}

}  // namespace
}  // namespace ipcmark::bench
