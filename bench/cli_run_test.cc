// What bench measures and writes: tiny runs, whose numbers mean nothing, checked for their form.

#include <cstdlib>
#include <filesystem>
#include <set>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "bench/program_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ipc/conformance/support.h"
#include "rapidjson/document.h"

namespace ipcmark::bench {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsSupersetOf;
using testing::MatchesRegex;
using testing::Not;
using testing::StartsWith;
using testing::UnorderedElementsAre;

using Strings = std::vector<std::string>;

Strings Tiny(const Strings& more) {
  Strings arguments = {"--suite=smoke", "--benchmark_min_time=0.001", "--bytes=8,64"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

std::set<std::string> Keys(const rapidjson::Value& object) {
  std::set<std::string> keys;
  for (const auto& member : object.GetObject()) keys.insert(member.name.GetString());
  return keys;
}

std::string Shell(const std::string& command) {
  FILE* pipe = popen((command + " 2>&1; echo status $?").c_str(), "re");
  std::string text;
  for (int c = getc(pipe); c != EOF; c = getc(pipe)) text += static_cast<char>(c);
  pclose(pipe);
  return text;
}

TEST(BenchRun, PrintsATableAndWritesTheFileOfTheSchema) {
  const Strings before = conformance::Belongings();
  Program program(Tiny({}));
  const Outcome outcome = program.Wait();
  ASSERT_EQ(outcome.status, 0) << outcome.out << outcome.err;
  EXPECT_EQ(outcome.err, "");
  EXPECT_THAT(outcome.orphans, IsEmpty());
  EXPECT_EQ(conformance::Belongings(), before);
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("\nRoundTrip ("), HasSubstr("\nThroughput ("), HasSubstr("\nAttach ("),
                    HasSubstr("\nLoan ("), HasSubstr("\nFanIn ("), HasSubstr("\nBroadcastLatency ("),
                    HasSubstr("\n sysv_shm      spin "), HasSubstr("\n mmap_queue    block "),
                    HasSubstr("\n pipe          block "), HasSubstr("\nskipped\n"), Not(HasSubstr("FAILED"))));

  std::istringstream table(outcome.out.substr(0, outcome.out.find("\nopen it with")));
  for (std::string line; std::getline(table, line);) {
    const auto continued = [](char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; };  // of UTF-8
    EXPECT_LE(line.size() - std::count_if(line.begin(), line.end(), continued), 100U) << line;
  }

  ASSERT_THAT(program.Files(), ElementsAre(MatchesRegex("results/runs/20.*-smoke\\.json")));
  const std::string file = program.Files().front();
  EXPECT_THAT(outcome.out, HasSubstr(absl::StrCat("compare -- ", file, " ", file, "\n")));
  const rapidjson::Document document = Parse(program.Contents(file));
  EXPECT_STREQ(document["context"]["ipcmark_schema"].GetString(), "1");
  EXPECT_STREQ(document["context"]["suite"].GetString(), "smoke");
  for (const auto& row : document["benchmarks"].GetArray()) {
    const std::string name = row["name"].GetString();
    EXPECT_FALSE(row.HasMember("error_occurred")) << name;
    EXPECT_THAT(Keys(row),
                IsSupersetOf({"real_time", "cpu_time", "time_unit", "samples", "sample_messages", "pinned_sender_cpu"}))
        << name;
    const bool measures_sides = name.rfind("Recovery/", 0) != 0;
    EXPECT_EQ(row.HasMember("sender_cpu_ns"), measures_sides) << name;
    const bool has_rate = measures_sides && name.rfind("Wake/", 0) != 0 && name.rfind("Roofline/futex", 0) != 0;
    EXPECT_EQ(row.HasMember("items_per_second"), has_rate) << name;
    EXPECT_GT(row["cpu_time"].GetDouble(), 0) << name;
    if (name.rfind("Attach/", 0) == 0) {
      EXPECT_THAT(Keys(row), IsSupersetOf({"attached", "pages"})) << name;
    } else if (name.rfind("RoundTrip/", 0) == 0 || name.rfind("Throughput/", 0) == 0) {
      EXPECT_THAT(Keys(row),
                  IsSupersetOf({"depth_messages", "bytes_per_second", "receiver_cpu_ns", "receiver_voluntary_switches",
                                "receiver_involuntary_switches", "pinned_receiver_cpu", "roofline_ns"}))
          << name;
      // A median is held against it where there is one.
      const char* const bounded = name[0] == 'R' ? "p50_ns" : "real_time";
      ASSERT_EQ(row.HasMember("of_roofline"), row.HasMember(bounded)) << name;
      if (!row.HasMember(bounded)) continue;
      const double nanos = row[bounded].GetDouble();
      EXPECT_NEAR(row["of_roofline"].GetDouble(), nanos / row["roofline_ns"].GetDouble(), 1e-3) << name;
      // Per message, in the row's own units.
      EXPECT_NEAR(row["items_per_second"].GetDouble() * row["real_time"].GetDouble(), 1e9, 1e5) << name;
      EXPECT_NEAR(row["cpu_time"].GetDouble(), row["sender_cpu_ns"].GetDouble() + row["receiver_cpu_ns"].GetDouble(),
                  1e-3 * row["cpu_time"].GetDouble())
          << name;
    }
  }
  const std::string path = program.folder() + "/" + file;
  EXPECT_THAT(Shell("/usr/bin/python3 -m json.tool " + path), HasSubstr("\nstatus 0\n"));
  EXPECT_THAT(Shell("results/compare " + path + " " + path), HasSubstr("\nstatus 0\n"));
  EXPECT_THAT(Shell("/usr/bin/python3 /usr/share/benchmark/compare.py --no-color benchmarks " + path + " " + path),
              AllOf(HasSubstr("RoundTrip/pipe/block/8/manual_time"), HasSubstr("\nstatus 0\n")));
}

// A row names no process, place or size that there was not.
TEST(BenchRun, SaysNothingOfWhatWasNotThere) {
  Program program({"--suite=smoke", "--primitives=mmap_queue", "--benchmark_min_time=100x", "--benchmark_out=run.json",
                   "--samples=raw.txt", "--benchmark_filter=^(Recovery|Depth|Roofline)/"});
  ASSERT_EQ(program.Wait().status, 0);
  // As many raw samples as the row says.
  EXPECT_THAT(program.Contents("raw.txt"),
              AllOf(ContainsRegex("\n# Recovery/.*/sender repetition=0 messages=100 .* samples=100\n[0-9]+\n"),
                    ContainsRegex("\n# Roofline/futex_wake repetition=0 .* samples=[1-9][0-9]*\n[0-9]+\n"),
                    ContainsRegex("\n# Roofline/cache_line repetition=0 .* samples=[1-9][0-9]*\n[0-9]+\n")));
  const rapidjson::Document document = Parse(program.Contents("run.json"));
  std::set<std::string> names;
  for (const auto& row : document["benchmarks"].GetArray()) {
    const std::string name = row["name"].GetString();
    names.insert(name);
    if (name == "Recovery/mmap_queue/block/1024/holder/manual_time") {
      EXPECT_EQ(row["bytes"].GetDouble(), 1024);
      EXPECT_EQ(row["depth_messages"].GetDouble(), 64);
    }
    if (name.rfind("Recovery/", 0) == 0) {
      EXPECT_EQ(row["senders"].GetDouble(), 2);
      EXPECT_EQ(row["receivers"].GetDouble(), 1);
      EXPECT_EQ(row["pinned_sender_cpu"].GetDouble(), -1);
      EXPECT_EQ(row["pinned_receiver_cpu"].GetDouble(), -1);
      EXPECT_GT(row["cpu_time"].GetDouble(), 0);
      for (const char* key : {"bytes_per_second", "receiver_cpu_ns", "sender_minor_faults"}) {
        EXPECT_FALSE(row.HasMember(key)) << name << " " << key;
      }
    }
    const bool alone = name.rfind("Depth/", 0) == 0 || name.rfind("Roofline/empty_loop", 0) == 0;
    if (alone) {
      EXPECT_EQ(row["receivers"].GetDouble(), 0) << name;
      EXPECT_TRUE(row.HasMember("sender_cpu_ns")) << name;
      for (const char* key : {"receiver_cpu_ns", "receiver_voluntary_switches", "pinned_receiver_cpu"}) {
        EXPECT_FALSE(row.HasMember(key)) << name << " " << key;
      }
    }
    if (name.rfind("Roofline/cache_line", 0) == 0) {
      for (const char* key : {"bytes", "bytes_per_second", "depth_messages"}) EXPECT_FALSE(row.HasMember(key)) << key;
    }
  }
  EXPECT_EQ(names.count("Recovery/mmap_queue/block/1024/holder/manual_time"), 1U);
  EXPECT_EQ(names.count("Depth/mmap_queue/block/64/depth:1000/constant/manual_time"), 1U);
  Program placed({"--suite=smoke", "--bytes=64", "--primitives=mmap_queue", "--placement=unpinned",
                  "--benchmark_min_time=100x", "--benchmark_filter=^(Recovery|Wake)/", "--benchmark_out=run.json",
                  "--noroofline"});
  EXPECT_THAT(placed.Wait().out, AllOf(HasSubstr("\nWake, unpinned ("), HasSubstr("only a pair of processes is")));
  EXPECT_THAT(Names(Parse(placed.Contents("run.json"))),
              ElementsAre("Wake/mmap_queue/block/64/placement:unpinned/manual_time"));
}

TEST(BenchRun, InAnyFormatPutsNothingElseOnStdout) {
  const Strings pipe = {"--primitives=pipe", "--bytes=8"};
  Strings json = Tiny(pipe);
  json.emplace_back("--benchmark_format=json");
  EXPECT_THAT(Names(Parse(RunBench(json).out)),
              ElementsAre("RoundTrip/pipe/block/8/manual_time", "Throughput/pipe/block/8/manual_time",
                          "FanIn/pipe/block/8/senders:8/manual_time", "FanInLatency/pipe/block/8/senders:8/manual_time",
                          "Burst/pipe/block/8/burst:64/manual_time", "OpenLoop/pipe/block/8/load:50/manual_time",
                          "OpenLoop/pipe/block/8/load:50/arrivals:fixed/manual_time", "Wake/pipe/block/8/manual_time",
                          "Depth/pipe/block/8/depth:1000/constant/manual_time", "Roofline/cache_line/manual_time",
                          "Roofline/copy/65536/manual_time", "Roofline/futex_wake/manual_time",
                          "Roofline/clock_read/tsc/manual_time", "Roofline/clock_read/monotonic/manual_time",
                          "Roofline/empty_loop/64/manual_time", "Roofline/integrity/64/manual_time"));
  Strings console = Tiny(pipe);
  console.emplace_back("--benchmark_format=console");
  EXPECT_THAT(RunBench(console).out, AllOf(StartsWith("------"), HasSubstr("\nThroughput/pipe/block/8/manual_time "),
                                           Not(HasSubstr("\033")), Not(HasSubstr("results:compare"))));
  // Scenarios with different counters: Google Benchmark's own CSV would abort.
  const std::string csv = RunBench(Tiny({"--primitives=sysv_shm", "--benchmark_format=csv"})).out;
  EXPECT_THAT(csv, AllOf(StartsWith("name,iterations,"), HasSubstr("\n\"RoundTrip/sysv_shm/spin/8/manual_time\","),
                         HasSubstr("\n\"Attach/sysv_shm/shmat/1048576/attached:64/manual_time\","),
                         Not(HasSubstr("results:compare"))));
}

TEST(BenchRun, PlacesItsProcessesAndSaysWhere) {
  Program program(Tiny({"--primitives=pipe", "--bytes=8", "--placement=same_cpu,unpinned", "--benchmark_out=run.json",
                        "--benchmark_filter=^RoundTrip/", "--noroofline"}));
  const Outcome outcome = program.Wait();
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("\nRoundTrip, same_cpu ("), HasSubstr("\nRoundTrip, unpinned (")));
  const rapidjson::Document document = Parse(program.Contents("run.json"));
  EXPECT_STREQ(document["context"]["placement"].GetString(), "same_cpu,unpinned");
  EXPECT_THAT(Names(document), ElementsAre("RoundTrip/pipe/block/8/placement:same_cpu/manual_time",
                                           "RoundTrip/pipe/block/8/placement:unpinned/manual_time"));
  const auto& rows = document["benchmarks"];
  EXPECT_STREQ(rows[0]["label"].GetString(), "same_cpu");
  EXPECT_EQ(rows[0]["pinned_sender_cpu"].GetDouble(), rows[0]["pinned_receiver_cpu"].GetDouble());
  EXPECT_EQ(rows[1]["pinned_sender_cpu"].GetDouble(), -1);
}

TEST(BenchRun, ShowsTheFormatsOfOursAndWritesTheFileAndTheSamplesAllTheSame) {
  for (const auto& [format, beginning] :
       {std::pair("json", "{"), std::pair("csv", "name,iterations,"), std::pair("benchstat", "ipcmark-schema: 1\n")}) {
    Program program(Tiny({"--primitives=pipe", "--bytes=8", "--benchmark_min_time=1000x", "--benchmark_out=run.json",
                          "--samples=raw.txt", absl::StrCat("--format=", format), "--benchmark_repetitions=2",
                          "--benchmark_filter=^RoundTrip/", "--noroofline"}));
    const Outcome outcome = program.Wait();
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    EXPECT_THAT(outcome.out,
                AllOf(StartsWith(beginning), HasSubstr("RoundTrip/pipe/block/8"), Not(HasSubstr("results:compare"))));
    const std::string name = "RoundTrip/pipe/block/8/manual_time";
    EXPECT_THAT(Names(Parse(program.Contents("run.json"))), IsSupersetOf({name, name}));
    const std::string raw = program.Contents("raw.txt");
    EXPECT_THAT(raw, StartsWith("# ipcmark samples 1\n# RoundTrip/pipe/block/8 repetition=0 messages=1000 "
                                "messages_per_sample=1 samples=1000\n"));
    EXPECT_EQ(std::count(raw.begin(), raw.end(), '\n'), 3 + 2000 + 2) << "a line a sample, and the blocks' own";
  }
  EXPECT_EQ(RunBench(Tiny({"--samples=/nonexistent/raw.txt"})).status, 2);
}

// What was measured is written whatever becomes of stdout.
TEST(BenchRun, WritesTheFileWhenNobodyReadsOn) {
  const std::string bench = std::filesystem::absolute(kBench);
  for (const char* format : {"json", "table", "csv", "benchstat"}) {
    const std::string command =
        bench + " --suite=smoke --primitives=pipe --bytes=8,64 --benchmark_min_time=100x " +
        "--benchmark_filter=^RoundTrip/ --noroofline --benchmark_out=run.json --format=" + format;
    // The reader is gone before the first byte; bench's own status goes to a file.
    Program piped({"-c", "(" + command + "; echo status $? >status) | :"}, {}, "/bin/sh");
    EXPECT_EQ(piped.Wait().status, 0);
    EXPECT_EQ(piped.Contents("status"), "status 0\n") << format;
    EXPECT_THAT(Names(Parse(piped.Contents("run.json"))), testing::SizeIs(2)) << format;
    Program full({"-c", command + " >/dev/full"}, {}, "/bin/sh");
    const Outcome outcome = full.Wait();
    EXPECT_EQ(outcome.status, 2) << format;
    EXPECT_THAT(outcome.err, HasSubstr("bench: write to stdout: ENOSPC")) << format;
    EXPECT_THAT(Names(Parse(full.Contents("run.json"))), testing::SizeIs(2)) << format;
  }
  Program both({"-c", bench + " --suite=smoke --primitives=pipe --bytes=8 --benchmark_min_time=10x 2>&1 "
                              "--benchmark_filter=^RoundTrip/ --benchmark_out=run.json | :"},
               {}, "/bin/sh");
  EXPECT_EQ(both.Wait().status, 0);
  EXPECT_THAT(both.Files(), ElementsAre("run.json"));
  EXPECT_THAT(Shell("(" + bench + " --help >/dev/full)"), HasSubstr("bench: write to stdout: ENOSPC"));
}

TEST(BenchRun, WritesTheFormatThatIsAskedFor) {
  Program csv(Tiny({"--primitives=sysv_shm", "--benchmark_filter=-first_touch", "--benchmark_out=run.csv",
                    "--benchmark_out_format=csv"}));
  const Outcome outcome = csv.Wait();
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("\nAttach ("));
  EXPECT_THAT(csv.Files(), ElementsAre("run.csv"));
  EXPECT_THAT(csv.Contents("run.csv"), AllOf(StartsWith("name,iterations,real_time,cpu_time,time_unit,"),
                                             HasSubstr("\n\"Attach/"), Not(HasSubstr("{"))));
  Program console(Tiny({"--primitives=pipe", "--benchmark_out=run.txt", "--benchmark_out_format=console"}));
  EXPECT_EQ(console.Wait().status, 0);
  EXPECT_THAT(console.Contents("run.txt"), ContainsRegex("\nRoundTrip/pipe/block/8/manual_time +[0-9]+ ns"));
}

TEST(BenchRun, WritesBelowTheFolderOfWhoCalledBazel) {
  Program caller(Tiny({"--primitives=pipe", "--benchmark_list_tests"}));  // for its folder
  caller.Wait();
  Program program(Tiny({"--primitives=pipe", "--bytes=8", "--benchmark_out=mine.json"}),
                  {"BUILD_WORKING_DIRECTORY=" + caller.folder()});
  EXPECT_EQ(program.Wait().status, 0);
  EXPECT_THAT(program.Files(), IsEmpty());
  EXPECT_THAT(caller.Files(), ElementsAre("mine.json"));
  Program workspace(Tiny({"--primitives=pipe", "--bytes=8"}), {"BUILD_WORKSPACE_DIRECTORY=" + caller.folder()});
  EXPECT_EQ(workspace.Wait().status, 0);
  EXPECT_THAT(workspace.Files(), IsEmpty());
  EXPECT_THAT(caller.Files(), UnorderedElementsAre("mine.json", StartsWith("results/runs/")));
}

TEST(BenchRun, SendsAsManyMessagesAsItIsTold) {
  Program program(Tiny({"--primitives=pipe", "--benchmark_min_time=123x", "--benchmark_out=run.json"}));
  ASSERT_EQ(program.Wait().status, 0);
  const rapidjson::Document document = Parse(program.Contents("run.json"));
  ASSERT_GT(document["benchmarks"].Size(), 0U);
  for (const auto& row : document["benchmarks"].GetArray()) EXPECT_EQ(row["iterations"].GetInt(), 123);
}

TEST(BenchRun, HoldsAgainstALimitWhateverHasOne) {
  Program program({"--suite=smoke", "--primitives=sysv_shm,mmap_queue,shm_broadcast", "--bytes=64",
                   "--benchmark_min_time=200x", "--benchmark_filter=-Recovery|Roofline|Attach|spin",
                   "--benchmark_out=run.json"});
  ASSERT_EQ(program.Wait().status, 0);
  const rapidjson::Document document = Parse(program.Contents("run.json"));
  std::set<std::string> bounded;
  std::set<std::string> others;
  for (const auto& row : document["benchmarks"].GetArray()) {
    const std::string name = row["name"].GetString();
    const bool has = row.HasMember("of_roofline");
    EXPECT_EQ(has, row.HasMember("roofline_ns")) << name;
    (has ? bounded : others).insert(name.substr(0, name.find('/')));
  }
  EXPECT_THAT(bounded, ElementsAre("Broadcast", "Burst", "FanIn", "OpenLoop", "RoundTrip", "Throughput", "Wake"));
  EXPECT_THAT(others, ElementsAre("BroadcastLatency", "Depth", "FanInLatency", "FanOut", "Loan", "Pairs"));
  Program few({"--suite=smoke", "--primitives=pipe", "--bytes=64", "--benchmark_min_time=5x",
               "--benchmark_filter=^RoundTrip/", "--benchmark_out=run.json"});
  ASSERT_EQ(few.Wait().status, 0);
  const rapidjson::Document no_median = Parse(few.Contents("run.json"));
  EXPECT_FALSE(no_median["benchmarks"][0].HasMember("of_roofline")) << "five samples have no median to hold";
}

// Also where eight senders send one each when five messages are asked for.
TEST(BenchRun, TimesTheMessagesThatWereSent) {
  Program program({"--suite=smoke", "--primitives=mmap_queue,shm_broadcast", "--bytes=64", "--benchmark_min_time=5x",
                   "--benchmark_filter=^(FanIn|FanOut|Pairs|Broadcast)", "--benchmark_out=run.json", "--noroofline"});
  ASSERT_EQ(program.Wait().status, 0);
  const rapidjson::Document document = Parse(program.Contents("run.json"));
  std::set<std::string> scenarios;
  for (const auto& row : document["benchmarks"].GetArray()) {
    const std::string name = row["name"].GetString();
    scenarios.insert(name.substr(0, name.find('/')));
    EXPECT_NEAR(row["items_per_second"].GetDouble() * row["real_time"].GetDouble(), 1e9, 1e5) << name;
  }
  EXPECT_THAT(scenarios, ElementsAre("Broadcast", "BroadcastLatency", "FanIn", "FanInLatency", "FanOut", "Pairs"));
}

TEST(BenchRun, RepeatsInAnyOrderWithAggregates) {
  for (const char* order :
       {"--benchmark_enable_random_interleaving=false", "--benchmark_enable_random_interleaving=true"}) {
    Program program(
        Tiny({"--primitives=pipe", "--bytes=8", "--benchmark_repetitions=3", "--benchmark_out=run.json", order}));
    ASSERT_EQ(program.Wait().status, 0);
    const rapidjson::Document document = Parse(program.Contents("run.json"));
    const std::string name = "RoundTrip/pipe/block/8/manual_time";
    const Strings names = Names(document);
    EXPECT_EQ(std::count(names.begin(), names.end(), name), 3);
    EXPECT_THAT(names, IsSupersetOf({name + "_mean", name + "_median", name + "_stddev", name + "_cv"}));
    double sum = 0;
    for (const auto& row : document["benchmarks"].GetArray()) {
      if (row["name"].GetString() == name) sum += row["cpu_time"].GetDouble();
      if (row["name"].GetString() == name + "_mean") {
        EXPECT_NEAR(row["cpu_time"].GetDouble(), sum / 3, 1e-3 * sum);
      }
      if (row["name"].GetString() == name + "_cv") {
        EXPECT_LT(row["cpu_time"].GetDouble(), 2);
      }
    }
  }
}

TEST(BenchRun, FitsTheCurvesOfAttachInEveryOutput) {
  const Strings curve = {"--suite=quick", "--primitives=sysv_shm", "--benchmark_out=run.json",
                         "--benchmark_filter=Attach/sysv_shm/shmat/[0-9]+/attached:1/"};
  Program program(Tiny(curve));
  EXPECT_THAT(program.Wait().out, ContainsRegex("\nComplexity \\(.*\n  shmat vs bytes: O\\(.*\\), .*, rms [0-9]+ %\n"));
  const Strings fit = {"Attach/sysv_shm/shmat/bytes/manual_time_BigO", "Attach/sysv_shm/shmat/bytes/manual_time_RMS"};
  EXPECT_THAT(Names(Parse(program.Contents("run.json"))), IsSupersetOf(fit));
  const std::string path = program.folder() + "/run.json";
  EXPECT_THAT(Shell("results/compare " + path + " " + path),
              AllOf(Not(HasSubstr("BigO")), Not(HasSubstr("RMS")), HasSubstr("\nstatus 0\n")));
  EXPECT_THAT(Shell("/usr/bin/python3 /usr/share/benchmark/compare.py --no-color benchmarks " + path + " " + path),
              HasSubstr("\nstatus 0\n"));
  Strings json = Tiny(curve);
  json.emplace_back("--benchmark_format=json");
  EXPECT_THAT(Names(Parse(RunBench(json).out)), IsSupersetOf(fit));
  Strings two_points = Tiny(curve);
  two_points.back() = "--benchmark_filter=Attach/sysv_shm/shmat/(4096|1048576)/attached:1/";
  EXPECT_THAT(RunBench(two_points).out, AllOf(HasSubstr("\nAttach ("), Not(HasSubstr("Complexity"))));
}

TEST(BenchRun, OfAggregatesOnlyHasATableAndAllThatWasAskedFor) {
  Program only(Tiny({"--primitives=pipe", "--bytes=8", "--benchmark_repetitions=2", "--benchmark_out=run.json",
                     "--benchmark_report_aggregates_only=true"}));
  EXPECT_THAT(only.Wait().out, HasSubstr("\n pipe          block "));
  EXPECT_THAT(Names(Parse(only.Contents("run.json"))),
              testing::Each(testing::ContainsRegex("_(mean|median|stddev|cv)$")));
  EXPECT_THAT(RunBench(Tiny({"--primitives=pipe", "--bytes=8", "--benchmark_repetitions=2", "--format=benchstat",
                             "--benchmark_report_aggregates_only=true", "--benchmark_filter=^RoundTrip/"}))
                  .out,
              HasSubstr("\nBenchmarkRoundTrip/pipe/block/8 "));
  Program display(Tiny({"--primitives=pipe", "--bytes=8", "--benchmark_repetitions=2", "--benchmark_out=run.json",
                        "--benchmark_display_aggregates_only=true", "--benchmark_format=json"}));
  EXPECT_THAT(Names(Parse(display.Wait().out)), testing::Each(testing::ContainsRegex("_(mean|median|stddev|cv)$")));
  EXPECT_THAT(Names(Parse(display.Contents("run.json"))), testing::Contains("Throughput/pipe/block/8/manual_time"));
}

}  // namespace
}  // namespace ipcmark::bench
