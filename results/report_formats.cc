#include "results/report_formats.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "rapidjson/prettywriter.h"
#include "rapidjson/stringbuffer.h"
#include "results/json_put.h"
#include "results/text.h"

namespace ipcmark::results {

bool IsTime(const std::string& metric) {
  return metric == "real_time" || metric == "cpu_time" || absl::EndsWith(metric, "_ns");
}

std::string CsvCell(const std::string& text) {
  std::string printable = PrintableUtf8(text);
  if (printable.find_first_of(",\"\r\n") == std::string::npos) return printable;
  return absl::StrCat("\"", absl::StrReplaceAll(printable, {{"\"", "\"\""}}), "\"");
}

namespace {

using Writer = rapidjson::PrettyWriter<rapidjson::StringBuffer>;

std::string Unit(const std::string& metric) { return IsTime(metric) ? "ns" : metric; }

std::string Number(std::optional<double> number) {
  return number.has_value() && std::isfinite(*number) ? absl::StrFormat("%.6g", *number) : "";
}

std::optional<double> Low(const Comparison& comparison) {
  return comparison.interval.has_value() ? std::optional(comparison.interval->low) : std::nullopt;
}

std::optional<double> High(const Comparison& comparison) {
  return comparison.interval.has_value() ? std::optional(comparison.interval->high) : std::nullopt;
}

std::optional<double> Ratio(const Comparison& comparison) {
  return comparison.ratio > 0 ? std::optional(comparison.ratio) : std::nullopt;
}

std::string VerdictText(const Comparison& comparison) {
  return absl::StrCat(VerdictName(comparison.verdict), comparison.undecided ? " ?" : "");
}

std::string Cell(const std::string& text) {
  return absl::StrReplaceAll(PrintableUtf8(text), {{"|", "\\|"}, {"<", "&lt;"}, {"`", "'"}, {"@", "&#64;"}});
}

std::string Markdown(const Report& report) {
  const std::string& metric = report.options.metric;
  std::string text;
  for (const EnvironmentDifference& difference : report.environment) {
    absl::StrAppend(&text, "- environments differ: ", Cell(difference.key), " is ", Cell(difference.base), " in base, ",
                    Cell(difference.head), " in head\n");
  }
  absl::StrAppend(&text, text.empty() ? "" : "\n", "| benchmark | base (", Cell(Unit(metric)),
                  ") | head | ratio | 95 % | n | |\n|---|--:|--:|--:|---|--:|---|\n");
  for (const Comparison& comparison : report.comparisons) {
    const std::string interval =
        comparison.interval.has_value() ? absl::StrCat(Number(Low(comparison)), "–", Number(High(comparison))) : "";
    absl::StrAppend(&text, "| ", Cell(comparison.name), " | ", Number(comparison.base), " | ", Number(comparison.head),
                    " | ", Number(Ratio(comparison)), " | ", interval, " | ");
    absl::StrAppend(&text, comparison.base_repetitions, "/", comparison.head_repetitions, " | ",
                    VerdictText(comparison), comparison.detail.empty() ? "" : ": ", Cell(comparison.detail), " |\n");
  }
  if (report.geometric_mean.has_value()) {
    absl::StrAppend(&text, "| geometric mean | | | ", Number(report.geometric_mean), " | | | |\n");
  }
  return text;
}

std::string Csv(const Report& report) {
  std::string text = "name,metric,base,head,ratio,ratio_low,ratio_high,base_repetitions,head_repetitions,verdict\n";
  const std::string metric = CsvCell(report.options.metric);
  for (const Comparison& comparison : report.comparisons) {
    absl::StrAppend(&text, CsvCell(comparison.name), ",", metric, ",", Number(comparison.base), ",",
                    Number(comparison.head), ",", Number(Ratio(comparison)), ",");
    absl::StrAppend(&text, Number(Low(comparison)), ",", Number(High(comparison)), ",", comparison.base_repetitions,
                    ",", comparison.head_repetitions, ",", VerdictText(comparison), "\n");
  }
  if (report.geometric_mean.has_value()) {
    absl::StrAppend(&text, "geometric mean,", metric, ",,,", Number(report.geometric_mean), ",,,,,\n");
  }
  return text;
}

// Go's tools end a name at white space.
std::string Benchstat(const Report& report) {
  const std::string unit = IsTime(report.options.metric) ? "ns/op" : Unit(report.options.metric);
  std::string text;
  for (const bool is_head : {false, true}) {
    absl::StrAppend(&text, is_head ? "side: head\n" : "side: base\n");
    for (const Comparison& comparison : report.comparisons) {
      const std::string name = absl::StrReplaceAll(PrintableUtf8(comparison.name), {{" ", "_"}});
      for (const double value : is_head ? comparison.head_values : comparison.base_values) {
        absl::StrAppend(&text, "Benchmark", name, " 1 ", Number(value), " ", unit, "\n");
      }
    }
  }
  return text;
}

void Put(Writer& writer, const char* key, const std::string& value) { PutText(writer, key, value); }

void Put(Writer& writer, const char* key, std::optional<double> value) {
  if (value.has_value()) PutNumber(writer, key, *value);
}

void Put(Writer& writer, const char* key, const std::vector<double>& values) {
  writer.Key(key);
  writer.StartArray();
  for (const double value : values) writer.Double(value);
  writer.EndArray();
}

void WriteAll(Writer& writer, const Report& report) {
  writer.StartObject();
  Put(writer, "base", report.base_path);
  Put(writer, "head", report.head_path);
  Put(writer, "metric", report.options.metric);
  Put(writer, "threshold", report.options.threshold);
  writer.Key("environment");
  writer.StartArray();
  for (const EnvironmentDifference& difference : report.environment) {
    writer.StartObject();
    Put(writer, "key", difference.key);
    Put(writer, "base", difference.base);
    Put(writer, "head", difference.head);
    writer.EndObject();
  }
  writer.EndArray();
  writer.Key("benchmarks");
  writer.StartArray();
  for (const Comparison& comparison : report.comparisons) {
    writer.StartObject();
    Put(writer, "name", comparison.name);
    Put(writer, "verdict", std::string(VerdictName(comparison.verdict)));
    writer.Key("undecided");
    writer.Bool(comparison.undecided);
    if (!comparison.detail.empty()) Put(writer, "detail", comparison.detail);
    Put(writer, "base", comparison.base);
    Put(writer, "head", comparison.head);
    Put(writer, "ratio", Ratio(comparison));
    Put(writer, "ratio_low", Low(comparison));
    Put(writer, "ratio_high", High(comparison));
    Put(writer, "base_values", comparison.base_values);
    Put(writer, "head_values", comparison.head_values);
    writer.EndObject();
  }
  writer.EndArray();
  Put(writer, "geometric_mean", report.geometric_mean);
  writer.EndObject();
}

// Head's repetitions: their median with the extremes.
void WriteBencher(Writer& writer, const Report& report) {
  const bool is_time = IsTime(report.options.metric);
  const std::string measure = is_time ? "latency" : report.options.metric;
  writer.StartObject();
  for (const Comparison& comparison : report.comparisons) {
    if (!comparison.head.has_value()) continue;
    const auto [least, most] = std::minmax_element(comparison.head_values.begin(), comparison.head_values.end());
    writer.Key(PrintableUtf8(comparison.name).c_str());
    writer.StartObject();
    writer.Key(PrintableUtf8(measure).c_str());
    writer.StartObject();
    Put(writer, "value", comparison.head);
    Put(writer, "lower_value", *least);
    Put(writer, "upper_value", *most);
    writer.EndObject();
    writer.EndObject();
  }
  writer.EndObject();
}

void WriteCustom(Writer& writer, const Report& report) {
  writer.StartArray();
  for (const Comparison& comparison : report.comparisons) {
    if (!comparison.head.has_value()) continue;
    writer.StartObject();
    Put(writer, "name", comparison.name);
    Put(writer, "unit", Unit(report.options.metric));
    Put(writer, "value", comparison.head);
    writer.EndObject();
  }
  writer.EndArray();
}

}  // namespace

std::string ReportIn(const std::string& format, const Report& report) {
  if (format == "markdown") return Markdown(report);
  if (format == "csv") return Csv(report);
  if (format == "benchstat") return Benchstat(report);
  rapidjson::StringBuffer buffer;
  Writer writer(buffer);
  if (format == "bencher") {
    WriteBencher(writer, report);
  } else if (format == "custom") {
    WriteCustom(writer, report);
  } else {
    WriteAll(writer, report);
  }
  return absl::StrCat(buffer.GetString(), "\n");
}

}  // namespace ipcmark::results
