#include <cmath>

#include "rapidjson/prettywriter.h"
#include "rapidjson/stringbuffer.h"
#include "results/gate_report.h"
#include "results/json_put.h"
#include "results/text.h"

namespace ipcmark::results {
namespace {

using Writer = rapidjson::PrettyWriter<rapidjson::StringBuffer>;

void WriteRow(Writer& writer, const GateRow& row) {
  writer.StartObject();
  PutText(writer, "name", row.name);
  PutText(writer, "verdict", GateVerdictName(row.verdict));
  if (!row.detail.empty()) PutText(writer, "detail", row.detail);
  if (!row.method.empty()) PutText(writer, "method", row.method);
  if (!row.log_ratios.empty()) {
    PutNumber(writer, "ratio", row.estimate.ratio);
    PutNumber(writer, "ratio_low", row.estimate.interval.low);
    PutNumber(writer, "ratio_high", row.estimate.interval.high);
    PutNumber(writer, "smallest_visible_slowdown", row.estimate.smallest_visible);
    PutNumber(writer, "base_ns", row.base_nanos);
    PutNumber(writer, "head_ns", row.head_nanos);
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
    PutText(writer, "advice", fail ? "FAIL" : advice.decision == Decision::kPass ? "PASS" : "INCONCLUSIVE");
    PutNumber(writer, "ratio", advice.estimate.ratio);
    PutNumber(writer, "ratio_low", advice.estimate.interval.low);
    PutNumber(writer, "ratio_high", advice.estimate.interval.high);
    PutNumber(writer, "smallest_visible_slowdown", advice.estimate.smallest_visible);
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
  PutText(writer, "verdict", GateVerdictName(Overall(report)));
  PutText(writer, "base", report.base);
  PutText(writer, "head", report.head);
  writer.Key("seed");
  writer.Uint64(report.seed);
  writer.Key("interrupted");
  writer.Bool(report.interrupted);
  PutNumber(writer, "seconds", report.seconds);
  PutNumber(writer, "dead_band", report.rules.dead_band);
  PutNumber(writer, "slowdown", report.rules.slowdown);
  PutNumber(writer, "alpha", report.rules.alpha);
  PutNumber(writer, "pass_alpha", report.rules.pass_alpha);
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
