#include "results/history/export.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "rapidjson/stringbuffer.h"
#include "rapidjson/writer.h"
#include "results/history/errors.h"
#include "results/history/trend.h"
#include "results/json_put.h"
#include "results/report_formats.h"
#include "results/text.h"

namespace ipcmark::results {
namespace {

constexpr char kCsvHeader[] = "run,unix_seconds,machine,git_revision,suite,benchmark,metric,value,repetitions\n";

std::string CsvOf(const HistoryRun& run, const std::vector<HistoryPoint>& points) {
  const std::string start = absl::StrCat(run.id, ",", run.unix_seconds, ",", run.machine, ",",
                                         CsvCell(run.git_revision), ",", CsvCell(run.suite), ",");
  std::string text;
  for (const HistoryPoint& point : points) {
    absl::StrAppend(&text, start, CsvCell(point.benchmark), ",", CsvCell(point.metric), ",",
                    absl::StrFormat("%.17g", point.value), ",", point.repetitions, "\n");
  }
  return text;
}

using Writer = rapidjson::Writer<rapidjson::StringBuffer>;

// Points come sorted by benchmark.
std::string JsonOf(const HistoryRun& run, const std::vector<HistoryPoint>& points) {
  rapidjson::StringBuffer buffer;
  Writer writer(buffer);
  writer.StartObject();
  PutText(writer, "run", run.id);
  writer.Key("unix_seconds");
  writer.Int64(run.unix_seconds);
  PutText(writer, "machine", run.machine);
  PutText(writer, "machine_text", run.machine_text);
  PutText(writer, "git_revision", run.git_revision);
  PutText(writer, "suite", run.suite);
  writer.Key("benchmarks");
  writer.StartObject();
  for (size_t i = 0; i < points.size(); ++i) {
    if (i == 0 || points[i - 1].benchmark != points[i].benchmark) {
      if (i > 0) writer.EndObject();
      writer.Key(PrintableUtf8(points[i].benchmark).c_str());
      writer.StartObject();
    }
    writer.Key(PrintableUtf8(points[i].metric).c_str());
    writer.Double(points[i].value);
  }
  if (!points.empty()) writer.EndObject();
  writer.EndObject();
  writer.EndObject();
  return buffer.GetString();
}

}  // namespace

absl::StatusOr<std::string> ListText(const Store& store) {
  const absl::StatusOr<std::vector<HistoryRun>> runs = store.Runs();
  if (!runs.ok()) return runs.status();
  std::string text = absl::StrCat(PadRight("run", kShownIdDigits), "  ", PadRight("time (UTC)", 16), "  ",
                                  PadRight("revision", 18), "  ", PadRight("suite", 8), "  machine\n");
  for (const HistoryRun& run : *runs) {
    absl::StrAppend(&text, run.id.substr(0, kShownIdDigits), "  ", ShownTime(run.unix_seconds), "  ",
                    PadRight(ShortenMiddle(PrintableUtf8(run.git_revision), 18), 18), "  ",
                    PadRight(run.suite.empty() ? "-" : ShortenMiddle(PrintableUtf8(run.suite), 8), 8), "  ");
    absl::StrAppend(&text, run.machine, " ", PrintableUtf8(run.machine_text), "\n");
  }
  absl::StrAppend(&text, runs->size(), runs->size() == 1 ? " run\n" : " runs\n");
  return text;
}

absl::StatusOr<std::string> ShowText(const Store& store, const std::string& id_prefix, bool as_file) {
  const absl::StatusOr<HistoryRun> run = store.Find(id_prefix);
  if (!run.ok()) return run.status();
  if (as_file) return store.Json(run->id);
  const absl::StatusOr<std::vector<HistoryPoint>> points = store.Points(run->id);
  if (!points.ok()) return points.status();
  std::string text = absl::StrCat("run       ", run->id, "\ntime      ", ShownTime(run->unix_seconds),
                                  " UTC\nrevision  ", PrintableUtf8(run->git_revision), "\nsuite     ",
                                  run->suite.empty() ? "-" : PrintableUtf8(run->suite), "\nmachine   ");
  absl::StrAppend(&text, run->machine, " ", PrintableUtf8(run->machine_text), "\n");
  std::string benchmark;
  for (const HistoryPoint& point : *points) {
    if (point.benchmark != benchmark) absl::StrAppend(&text, "\n", PrintableUtf8(point.benchmark), "\n");
    benchmark = point.benchmark;
    const std::string value = IsTime(point.metric) ? FormatNanos(point.value) : FormatNumber(point.value);
    absl::StrAppend(&text, "  ", PadRight(PrintableUtf8(point.metric), 30), " ", PadLeft(value, 10), "  (median of ",
                    point.repetitions, ")\n");
  }
  return text;
}

absl::Status ExportAll(const Store& store, const std::string& format,
                       const std::function<bool(const std::string&)>& write) {
  const absl::StatusOr<std::vector<HistoryRun>> runs = store.Runs();
  if (!runs.ok()) return runs.status();
  const bool csv = format == "csv";
  if (!write(csv ? kCsvHeader : "{\"history_schema\": 1, \"runs\": [")) return absl::OkStatus();
  const char* separator = "\n";
  for (const HistoryRun& run : *runs) {
    const absl::StatusOr<std::vector<HistoryPoint>> points = store.Points(run.id);
    if (!points.ok()) return points.status();
    if (!write(csv ? CsvOf(run, *points) : absl::StrCat(separator, JsonOf(run, *points)))) return absl::OkStatus();
    separator = ",\n";
  }
  if (!csv) write("\n]}\n");
  return absl::OkStatus();
}

absl::StatusOr<MergeCount> MergeInto(Store& store, const Store& other, const std::string& path) {
  const absl::StatusOr<std::vector<HistoryRun>> listed = other.Runs();
  if (!listed.ok()) return listed.status();
  std::vector<HistoryRun> runs;
  for (const HistoryRun& run : *listed) {
    const absl::StatusOr<std::string> json = other.Json(run.id);
    if (!json.ok()) return json.status();
    absl::StatusOr<HistoryRun> again = MakeRun(*json, absl::StrCat(path, ", run ", run.id), run.unix_seconds);
    if (!again.ok()) return again.status();
    if (again->id != run.id) return HistoryDamaged(path, absl::StrCat("run ", run.id, " is not what was added"));
    runs.push_back(*std::move(again));
  }
  const absl::StatusOr<size_t> added = store.AddAll(runs);
  if (!added.ok()) return added.status();
  return MergeCount{runs.size(), *added};
}

}  // namespace ipcmark::results
