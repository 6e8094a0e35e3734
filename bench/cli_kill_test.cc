// Bench and its processes interrupted and killed in the middle: what was measured is written, nobody is left.

#include <signal.h>

#include <map>
#include <set>

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

// With several repetitions those of all benchmarks come in random order, and most have some of theirs when one has all.
TEST(BenchKill, AnInterruptAmongRepetitionsWritesThoseThatAreDone) {
  constexpr int repetitions = 6;
  for (const std::string more : {"--format=json", "--format=table", "--benchmark_report_aggregates_only=true"}) {
    Program program({"--suite=smoke", "--primitives=pipe", "--bytes=8,16,32,64", "--benchmark_filter=^RoundTrip/",
                     "--benchmark_min_time=500x", "--benchmark_repetitions=6", "--noroofline",
                     "--benchmark_out=run.json", "--samples=raw.txt", more});
    // The samples of a benchmark are written when its last repetition has ended.
    bool done = false;
    while (!done && program.AwaitChild()) done = absl::StrContains(program.Contents("raw.txt"), "repetition=");
    ASSERT_TRUE(done);
    kill(program.pid(), SIGINT);
    const Outcome outcome = program.Wait();
    EXPECT_EQ(outcome.status, 130) << outcome.err;
    EXPECT_THAT(outcome.orphans, IsEmpty());
    EXPECT_THAT(more == "--format=json" ? outcome.err : outcome.out, HasSubstr("\ninterrupted: "));
    const rapidjson::Document document = Parse(program.Contents("run.json"));
    std::map<std::string, std::set<int>> finished;
    std::map<std::string, int> aggregates;
    for (const auto& row : document["benchmarks"].GetArray()) {
      const std::string name = row["run_name"].GetString();
      EXPECT_FALSE(row.HasMember("error_occurred")) << name;
      if (std::string(row["run_type"].GetString()) == "aggregate") {
        ++aggregates[name];
      } else {
        EXPECT_TRUE(finished[name].insert(row["repetition_index"].GetInt()).second) << name;
      }
    }
    EXPECT_GE(aggregates.size(), 1U);
    EXPECT_LT(aggregates.size(), 4U);
    if (more == "--benchmark_report_aggregates_only=true") continue;
    int partly = 0;
    for (const auto& [name, indices] : finished) {
      const bool whole = indices.size() == repetitions;
      partly += whole ? 0 : 1;
      EXPECT_EQ(aggregates.count(name), whole ? 1U : 0U) << name << " has " << indices.size();
    }
    EXPECT_GE(partly, 1);
    if (more == "--format=json") {
      EXPECT_EQ(Parse(outcome.out)["benchmarks"].Size(), document["benchmarks"].Size());
    } else {
      size_t rows = 0;
      for (size_t at = 0; (at = outcome.out.find("\n pipe  ", at)) != std::string::npos; ++at) ++rows;
      EXPECT_EQ(rows, finished.size()) << outcome.out;
    }
    // As many blocks of raw samples as rows.
    const std::string raw = program.Contents("raw.txt");
    size_t blocks = 0;
    for (size_t at = 0; (at = raw.find(" repetition=", at)) != std::string::npos; ++at) ++blocks;
    size_t rows = 0;
    for (const auto& [name, indices] : finished) rows += indices.size();
    EXPECT_EQ(blocks, rows);
  }
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
