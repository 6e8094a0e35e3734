#include "results/report_formats.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rapidjson/document.h"

namespace ipcmark::results {
namespace {

using testing::AllOf;
using testing::HasSubstr;

Report Sample() {
  const auto file = [](const char* rows) {
    return ParseRunFile(std::string(R"({"context": {}, "benchmarks": [)") + rows + "]}", "file.json").value();
  };
  const RunFile base = file(R"({"name": "a|b, \"c\"", "real_time": 100}, {"name": "a|b, \"c\"", "real_time": 110},
                               {"name": "gone", "real_time": 5})");
  const RunFile head = file(R"({"name": "a|b, \"c\"", "real_time": 200}, {"name": "a|b, \"c\"", "real_time": 220})");
  return Compare(base, head, CompareOptions()).value();
}

rapidjson::Document Parse(const std::string& format) {
  rapidjson::Document document;
  document.Parse(ReportIn(format, Sample()).c_str());
  EXPECT_FALSE(document.HasParseError()) << format;
  return document;
}

constexpr char kName[] = "a|b, \"c\"";

TEST(ReportFormats, MarkdownIsATableWithTheGeometricMean) {
  EXPECT_THAT(ReportIn("markdown", Sample()), AllOf(HasSubstr("| a\\|b, \"c\" | 105 | 210 | 2 |  | 2/2 | slower |\n"),
                                                    HasSubstr("| gone | 5 |  |  |  | 1/0 | missing in head |\n"),
                                                    HasSubstr("| geometric mean | | | 2 |")));
}

TEST(ReportFormats, CsvIsQuoted) {
  EXPECT_EQ(ReportIn("csv", Sample()),
            "name,metric,base,head,ratio,ratio_low,ratio_high,base_repetitions,head_repetitions,verdict\n"
            "\"a|b, \"\"c\"\"\",real_time,105,210,2,,,2,2,slower\n"
            "gone,real_time,5,,,,,1,0,missing in head\n"
            "geometric mean,real_time,,,2,,,,,\n");
}

TEST(ReportFormats, BenchstatHasEveryRepetitionOfBothSides) {
  EXPECT_EQ(ReportIn("benchstat", Sample()),
            "side: base\nBenchmarka|b,_\"c\" 1 100 ns/op\nBenchmarka|b,_\"c\" 1 110 ns/op\nBenchmarkgone 1 5 ns/op\n"
            "side: head\nBenchmarka|b,_\"c\" 1 200 ns/op\nBenchmarka|b,_\"c\" 1 220 ns/op\n");
}

TEST(ReportFormats, JsonHasAll) {
  const rapidjson::Document document = Parse("json");
  EXPECT_EQ(document["geometric_mean"].GetDouble(), 2);
  EXPECT_STREQ(document["benchmarks"][0]["name"].GetString(), kName);
  EXPECT_STREQ(document["benchmarks"][0]["verdict"].GetString(), "slower");
  EXPECT_EQ(document["benchmarks"][0]["head_values"].Size(), 2U);
  EXPECT_FALSE(document["benchmarks"][1].HasMember("head"));
}

TEST(ReportFormats, BencherIsHeadWithItsExtremes) {
  const rapidjson::Document document = Parse("bencher");
  ASSERT_EQ(document.MemberCount(), 1U);
  const auto& latency = document[kName]["latency"];
  EXPECT_EQ(latency["value"].GetDouble(), 210);
  EXPECT_EQ(latency["lower_value"].GetDouble(), 200);
  EXPECT_EQ(latency["upper_value"].GetDouble(), 220);
}

TEST(ReportFormats, CustomIsAListOfNameUnitAndValue) {
  const rapidjson::Document document = Parse("custom");
  ASSERT_EQ(document.Size(), 1U);
  EXPECT_STREQ(document[0]["name"].GetString(), kName);
  EXPECT_STREQ(document[0]["unit"].GetString(), "ns");
  EXPECT_EQ(document[0]["value"].GetDouble(), 210);
}

}  // namespace
}  // namespace ipcmark::results
