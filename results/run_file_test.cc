#include "results/run_file.h"

#include <cmath>
#include <fstream>
#include <iostream>
#include <limits>
#include <random>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ipcmark::results {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string TestData(const std::string& name) { return absl::StrCat("results/testdata/", name); }

std::string Contents(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  EXPECT_TRUE(stream.is_open()) << path;
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::string File(const std::string& rows) { return absl::StrCat(R"({"context": {}, "benchmarks": [)", rows, "]}"); }

absl::StatusOr<RunFile> Parse(const std::string& json) { return ParseRunFile(json, "run.json"); }

TEST(RunFile, ReadsWhatAPlainGoogleBenchmarkProgramWrote) {
  const absl::StatusOr<RunFile> file = ReadRunFile(TestData("gbench_base.json"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->context.at("num_cpus"), "2");
  EXPECT_EQ(file->context.at("cpu_scaling_enabled"), "false");
  EXPECT_THAT(file->context.at("caches"), HasSubstr("type: Data"));
  ASSERT_EQ(file->rows.size(), 27U);  // three benchmarks: five repetitions, mean, median, stddev, cv
  const Row& second = file->rows[1];
  EXPECT_EQ(second.run_name, "BM_Copy/64");
  EXPECT_EQ(second.run_type, RunType::kIteration);
  EXPECT_EQ(second.repetition_index, 1);
  EXPECT_EQ(second.iterations, 9266727);
  EXPECT_DOUBLE_EQ(second.real_time_ns, 3.0131034398595409);
  EXPECT_EQ(second.label, "memcpy");
  EXPECT_EQ(second.counters.at("p99_ns"), 12.625);
  EXPECT_EQ(second.counters.count("threads"), 0U);
  const Row& last = file->rows.back();
  EXPECT_EQ(last.name, "BM_Sum_cv");
  EXPECT_EQ(last.run_name, "BM_Sum");
  EXPECT_EQ(last.aggregate_name, "cv");
  EXPECT_LT(last.real_time_ns, 1) << "a percentage is no time in microseconds";
}

TEST(RunFile, NormalisesEveryTimeUnitToNanoseconds) {
  for (const auto& [unit, nanos] :
       std::vector<std::pair<std::string, double>>{{"ns", 2.5}, {"us", 2.5e3}, {"ms", 2.5e6}, {"s", 2.5e9}}) {
    const auto file =
        Parse(File(absl::StrCat(R"({"real_time": 2.5, "cpu_time": 5, "time_unit": ")", unit, R"(", "name": "a"})")));
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(file->rows[0].real_time_ns, nanos);
    EXPECT_EQ(file->rows[0].cpu_time_ns, 2 * nanos);
  }
}

TEST(RunFile, KeepsTheErrorOfAFailedRun) {
  const auto file = ReadRunFile(TestData("gbench_error.json"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_FALSE(file->rows[0].error_occurred);
  EXPECT_TRUE(file->rows.back().error_occurred);
  EXPECT_EQ(file->rows.back().error_message, "pipe(): EMFILE; raise ulimit -n");
}

TEST(RunFile, KeepsTheReasonOfARunThatANewerLibrarySkipped) {
  const auto file =
      Parse(File(R"({"name": "a", "skipped": true, "skip_message": "one CPU"}, {"name": "b", "skipped": 3})"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE(file->rows[0].skipped);
  EXPECT_EQ(file->rows[0].skip_message, "one CPU");
  EXPECT_FALSE(file->rows[1].skipped) << "a number of that name is a counter";
  EXPECT_EQ(file->rows[1].counters.at("skipped"), 3);
}

TEST(RunFile, ReadsBareNanAndInfinity) {
  const auto file = ReadRunFile(TestData("gbench_nan.json"));
  ASSERT_TRUE(file.ok()) << file.status();
  const auto& counters = file->rows.back().counters;
  EXPECT_TRUE(std::isnan(counters.at("nan")));
  EXPECT_EQ(counters.at("inf"), std::numeric_limits<double>::infinity());
  EXPECT_EQ(counters.at("ninf"), -std::numeric_limits<double>::infinity());
}

TEST(RunFile, TellsAggregatesOfFilesWithoutRunTypeByTheirName) {
  const auto file = Parse(File(R"({"name": "a", "real_time": 1}, {"name": "a_stddev", "real_time": 1})"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->rows[0].run_type, RunType::kIteration);
  EXPECT_EQ(file->rows[1].run_type, RunType::kAggregate);
  EXPECT_EQ(file->rows[1].run_name, "a");
}

TEST(RunFile, ARowWithoutTimesHasNone) {
  const auto file = Parse(File(R"({"name": "a_BigO", "run_type": "aggregate"}, {"name": "b", "real_time": null})"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_TRUE(std::isnan(file->rows[0].real_time_ns));
  EXPECT_TRUE(std::isnan(file->rows[1].real_time_ns));
}

TEST(RunFile, TakesTheLastOfDuplicateKeys) {
  const auto file = Parse(R"({"benchmarks": 1, "benchmarks": [{"name": "a", "name": "b", "x": 1, "x": 2}]})");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->rows[0].name, "b");
  EXPECT_EQ(file->rows[0].counters.at("x"), 2);
}

struct BadInput {
  std::string json;
  std::string complaint;
};

TEST(RunFile, RefusesWhatIsNoResultFileWithASentenceThatNamesFileAndRemedy) {
  const std::string whole = Contents(TestData("gbench_base.json"));
  for (const auto& [json, complaint] : std::vector<BadInput>{
           {"", "the file is empty"},
           {" \n\t ", "the file is empty"},
           {whole.substr(0, 5000), "breaks off at byte 5000"},
           {"{\"context\": {", "breaks off at byte 13"},
           {"ELF", "no JSON at byte 0"},
           {"{} {}", "no JSON at byte 3"},
           {"{\"benchmarks\": [1e999]}", "Number too big"},
           {std::string("{\"a\0b\": 1}", 10), "no JSON at byte"},
           {"{\"context\": {\"host\": \"\xff\xfe\"}}", "Invalid encoding"},
           {"[]", "it holds an array, not an object"},
           {"3", "it holds a number, not an object"},
           {"{}", "there is no \"benchmarks\" array"},
           {"{\"benchmarks\": {}}", "\"benchmarks\" is an object, not an array"},
           {"{\"benchmarks\": []}", "no benchmark row"},
           {"{\"context\": 1, \"benchmarks\": []}", "\"context\" is a number, not an object"},
           {File("1"), "benchmarks[0] is a number, not an object"},
           {File(R"({"real_time": 1})"), "benchmarks[0]: there is no name"},
           {File(R"({"name": 7})"), "benchmarks[0]: name is a number, not a string"},
           {File(R"({"name": "ok"}, {"name": "a", "real_time": "fast"})"),
            "benchmarks[1] (a): real_time is a string, not a number"},
           {File(R"({"name": "a", "cpu_time": []})"), "cpu_time is an array, not a number"},
           {File(R"({"name": "a", "time_unit": "min"})"), "time_unit is \"min\", not ns, us, ms or s"},
           {File(R"({"name": "a", "run_type": "warm-up"})"), "run_type is \"warm-up\""},
           {File(R"({"name": "a", "iterations": "many"})"), "iterations is a string, not a number"},
           {File(R"({"name": "a", "error_occurred": 1})"), "error_occurred is a number, not a boolean"},
           {File(R"({"name": "a", "label": {}})"), "label is an object, not a string"}}) {
    const auto file = Parse(json);
    ASSERT_FALSE(file.ok()) << json;
    EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
    const std::string sentence(file.status().message());
    EXPECT_THAT(sentence, HasSubstr("run.json: "));
    EXPECT_THAT(sentence, HasSubstr(complaint)) << json;
    EXPECT_THAT(sentence, testing::AnyOf(HasSubstr("--benchmark_out=FILE"), HasSubstr("run the benchmark again")));
    EXPECT_THAT(sentence, Not(HasSubstr("\n")));
  }
}

TEST(RunFile, AnUnreadableFileIsNamedWithTheReason) {
  const auto missing = ReadRunFile("results/testdata/none.json");
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("open(results/testdata/none.json): No such file"));
  const auto folder = ReadRunFile("results/testdata");
  EXPECT_THAT(std::string(folder.status().message()), HasSubstr("read(results/testdata): Is a directory"));
}

TEST(RunFile, AnEndlessFileIsRefused) {
  const auto file = ReadRunFile("/dev/zero");
  EXPECT_THAT(std::string(file.status().message()), HasSubstr("larger than 64 MiB"));
}

TEST(RunFile, NumbersBeyondEveryTypeAreHarmless) {
  const auto file = Parse(File(R"({"name": "a", "iterations": 1e300, "repetition_index": NaN, "real_time": 1e308,
                                   "time_unit": "s", "x": 123456789012345678901234567890, "y": -1e-400})"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->rows[0].iterations, std::numeric_limits<int64_t>::max());
  EXPECT_TRUE(std::isinf(file->rows[0].real_time_ns));
}

TEST(RunFile, DeepNestingDoesNotExhaustTheStack) {
  constexpr size_t depth = 1'000'000;
  const std::string deep = std::string(depth, '[') + std::string(depth, ']');
  EXPECT_FALSE(Parse(deep).ok());
  EXPECT_FALSE(Parse(std::string(depth, '[')).ok());
  std::string objects;
  for (size_t i = 0; i < depth; ++i) objects += "{\"a\":";
  EXPECT_FALSE(Parse(objects).ok());
  const auto file = Parse(
      absl::StrCat("{\"context\": {\"caches\": ", deep, "}, \"benchmarks\": [{\"name\": \"a\", \"x\": ", deep, "}]}"));
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->context.at("caches"), "[[[[...]]]]");
}

// The contract of hostile input: rows, or one sentence.
void ExpectRowsOrSentence(const std::string& json, const std::string& replay) {
  const auto file = Parse(json);
  if (file.ok()) {
    EXPECT_FALSE(file->rows.empty()) << replay;
  } else {
    EXPECT_THAT(std::string(file.status().message()), HasSubstr("run.json")) << replay;
  }
}

TEST(RunFile, EveryPrefixOfAFileIsRefused) {
  for (const char* name : {"gbench_error.json", "gbench_nan.json"}) {
    const std::string whole = Contents(TestData(name));
    const size_t end = whole.find_last_of('}');
    for (size_t bytes = 0; bytes <= end; ++bytes) {
      const auto file = Parse(whole.substr(0, bytes));
      ASSERT_FALSE(file.ok()) << name << " cut after " << bytes << " bytes";
      EXPECT_THAT(std::string(file.status().message()), HasSubstr("run.json"));
    }
    EXPECT_TRUE(Parse(whole.substr(0, end + 1)).ok()) << name;
  }
}

TEST(RunFile, FlippedBytesGiveRowsOrASentence) {
  constexpr unsigned seed = 4711;
  std::cout << "seed " << seed << '\n';
  std::mt19937_64 random(seed);
  const std::string nan = Contents(TestData("gbench_nan.json"));
  const std::string error = Contents(TestData("gbench_error.json"));
  for (size_t round = 0; round < 2000; ++round) {
    std::string json = round % 2 == 0 ? nan : error;
    const size_t flips = 1 + random() % 4;
    for (size_t i = 0; i < flips; ++i) json[random() % json.size()] = static_cast<char>(random() & 0xFFU);
    ExpectRowsOrSentence(json, absl::StrCat("seed ", seed, " round ", round));
  }
}

// So that a key cannot be written without being defined.
TEST(Schema, DefinesEveryKeyOfTheSample) {
  const std::string schema = Contents("results/schema.md");
  for (const char* name : {"ipcmark_base.json", "ipcmark_head.json"}) {
    const auto file = ReadRunFile(TestData(name));
    ASSERT_TRUE(file.ok()) << file.status();
    for (const auto& [key, value] : file->context) EXPECT_THAT(schema, HasSubstr(absl::StrCat("`", key, "`")));
    for (const Row& row : file->rows) {
      for (const auto& [key, value] : row.counters) EXPECT_THAT(schema, HasSubstr(absl::StrCat("`", key, "`")));
    }
  }
}

}  // namespace
}  // namespace ipcmark::results
