// The rows of Roofline next to those that a filter selects.

#include "absl/strings/str_cat.h"
#include "bench/program_for_test.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rapidjson/document.h"

namespace ipcmark::bench {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

using Strings = std::vector<std::string>;

// Whatever the filter selects, in every output, for the placements of what it selects, and not for long.
TEST(BenchLimits, RunAlong) {
  const auto limits = [](const std::string& suffix) {
    Strings names;
    for (const char* limit : {"cache_line", "copy/65536", "futex_wake", "clock_read/tsc", "clock_read/monotonic",
                              "empty_loop/64", "integrity/64"}) {
      names.push_back(absl::StrCat("Roofline/", limit, suffix, "/manual_time"));
    }
    return names;
  };
  Strings all = limits("");
  all.insert(all.begin(), "RoundTrip/pipe/block/8/manual_time");
  const Strings filtered = {"--suite=smoke",           "--primitives=pipe",        "--bytes=8",
                            "--benchmark_min_time=7x", "--benchmark_out=run.json", "--benchmark_filter=^RoundTrip/"};
  for (const std::string format : {"table", "json", "csv", "benchstat"}) {
    Strings arguments = filtered;
    arguments.push_back("--format=" + format);
    Program program(arguments);
    const Outcome outcome = program.Wait();
    ASSERT_EQ(outcome.status, 0) << outcome.err;
    const rapidjson::Document document = Parse(program.Contents("run.json"));
    EXPECT_EQ(Names(document), all);
    // Their own number of messages: seven have no median.
    EXPECT_EQ(document["benchmarks"][0]["iterations"].GetInt(), 7);
    EXPECT_EQ(document["benchmarks"][1]["iterations"].GetInt(), 400);
    EXPECT_TRUE(document["benchmarks"][6].HasMember("p999_ns"));
    const std::string seen = format == "table" ? "\n cache_line  " : "Roofline/cache_line";
    EXPECT_THAT(outcome.out, HasSubstr(seen)) << format;
  }
  Program one({"--suite=smoke", "--primitives=pipe", "--bytes=8", "--benchmark_min_time=7x",
               "--placement=same_cpu,unpinned", "--benchmark_out=run.json",
               "--benchmark_filter=^RoundTrip/.*unpinned"});
  ASSERT_EQ(one.Wait().status, 0);
  all = limits("/placement:unpinned");
  all.insert(all.begin(), "RoundTrip/pipe/block/8/placement:unpinned/manual_time");
  EXPECT_EQ(Names(Parse(one.Contents("run.json"))), all);
  // Who says that they are not wanted does not get them.
  for (const char* flag : {"--noroofline", "--benchmark_filter=-^[^R]|^Recovery|Roofline"}) {
    Strings arguments = filtered;
    arguments.emplace_back(flag);
    Program without(arguments);
    ASSERT_EQ(without.Wait().status, 0);
    EXPECT_THAT(Names(Parse(without.Contents("run.json"))), ElementsAre("RoundTrip/pipe/block/8/manual_time"));
  }
}

}  // namespace
}  // namespace ipcmark::bench
