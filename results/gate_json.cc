#include <cmath>

#include "rapidjson/prettywriter.h"
#include "rapidjson/stringbuffer.h"
#include "results/gate_report.h"
#include "results/text.h"

namespace ipcmark::results {
namespace {

using Writer = rapidjson::PrettyWriter<rapidjson::StringBuffer>;

void Text(Writer& writer, const char* key, const std::string& value) {
  writer.Key(key);
  writer.String(PrintableUtf8(value).c_str());
}

// What has no number is left out.
void Number(Writer& writer, const char* key, double value) {
  if (!std::isfinite(value)) return;
  writer.Key(key);
  writer.Double(value);
}

void WriteRow(Writer& writer, const GateRow& row) {
  writer.StartObject();
  Text(writer, "name", row.name);
  Text(writer, "verdict", GateVerdictName(row.verdict));
  if (!row.detail.empty()) Text(writer, "detail", row.detail);
  if (!row.method.empty()) Text(writer, "method", row.method);
  if (!row.log_ratios.empty()) {
    Number(writer, "ratio", row.estimate.ratio);
    Number(writer, "ratio_low", row.estimate.interval.low);
    Number(writer, "ratio_high", row.estimate.interval.high);
    Number(writer, "smallest_visible_slowdown", row.estimate.smallest_visible);
    Number(writer, "base_ns", row.base_nanos);
    Number(writer, "head_ns", row.head_nanos);
  }
  writer.Key("log_ratios");
  writer.SetFormatOptions(rapidjson::kFormatSingleLineArray);
  writer.StartArray();
  for (const double d : row.log_ratios) writer.Double(d);
  writer.EndArray();
  writer.SetFormatOptions(rapidjson::kFormatDefault);
  for (const Advice& advice : row.advice) {
    writer.Key(advice.metric.c_str());
    writer.StartObject();
    const bool fail = advice.decision == Decision::kFail;
    Text(writer, "advice", fail ? "FAIL" : advice.decision == Decision::kPass ? "PASS" : "INCONCLUSIVE");
    Number(writer, "ratio", advice.estimate.ratio);
    Number(writer, "ratio_low", advice.estimate.interval.low);
    Number(writer, "ratio_high", advice.estimate.interval.high);
    Number(writer, "smallest_visible_slowdown", advice.estimate.smallest_visible);
    writer.EndObject();
  }
  writer.EndObject();
}

}  // namespace

std::string GateJson(const GateReport& report) {
  rapidjson::StringBuffer buffer;
  Writer writer(buffer);
  writer.StartObject();
  writer.Key("gate_schema");
  writer.Int(1);
  Text(writer, "verdict", GateVerdictName(Overall(report)));
  Text(writer, "base", report.base);
  Text(writer, "head", report.head);
  writer.Key("seed");
  writer.Uint64(report.seed);
  writer.Key("interrupted");
  writer.Bool(report.interrupted);
  Number(writer, "seconds", report.seconds);
  Number(writer, "dead_band", report.rules.dead_band);
  Number(writer, "slowdown", report.rules.slowdown);
  Number(writer, "alpha", report.rules.alpha);
  Number(writer, "pass_alpha", report.rules.pass_alpha);
  writer.Key("warnings");
  writer.StartArray();
  for (const std::string& warning : report.warnings) writer.String(PrintableUtf8(warning).c_str());
  for (const EnvironmentDifference& difference : report.environment) {
    writer.String(PrintableUtf8("environments differ: " + difference.key).c_str());
  }
  writer.EndArray();
  writer.Key("benchmarks");
  writer.StartArray();
  for (const GateRow& row : report.rows) WriteRow(writer, row);
  writer.EndArray();
  writer.EndObject();
  return std::string(buffer.GetString()) + "\n";
}

}  // namespace ipcmark::results
