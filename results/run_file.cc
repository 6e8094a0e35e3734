#include "results/run_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "rapidjson/document.h"
#include "rapidjson/error/en.h"

namespace ipcmark::results {
namespace {

using rapidjson::Value;

constexpr char kRemedy[] = "write it again with --benchmark_out=FILE --benchmark_out_format=json";

// Context is shown to people, and this formatter recurses: a few levels are all that Google Benchmark uses.
constexpr int kMaxContextDepth = 4;

absl::Status Invalid(const std::string& path, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", what, "; ", kRemedy));
}

const char* TypeName(const Value& value) {
  if (value.IsNull()) return "null";
  if (value.IsBool()) return "a boolean";
  if (value.IsNumber()) return "a number";
  if (value.IsString()) return "a string";
  return value.IsArray() ? "an array" : "an object";
}

std::string Text(const Value& value) { return {value.GetString(), value.GetStringLength()}; }

std::string ContextText(const Value& value, int depth) {
  if (value.IsString()) return Text(value);
  if (value.IsBool()) return value.GetBool() ? "true" : "false";
  if (value.IsInt64()) return absl::StrCat(value.GetInt64());
  if (value.IsNumber()) return absl::StrFormat("%.10g", value.GetDouble());
  if (value.IsNull()) return "null";
  if (depth == kMaxContextDepth) return "...";
  std::string text;
  const char* separator = "";
  if (value.IsArray()) {
    for (const Value& item : value.GetArray()) {
      absl::StrAppend(&text, separator, ContextText(item, depth + 1));
      separator = ", ";
    }
    return absl::StrCat("[", text, "]");
  }
  for (const auto& member : value.GetObject()) {
    absl::StrAppend(&text, separator, Text(member.name), ": ", ContextText(member.value, depth + 1));
    separator = ", ";
  }
  return absl::StrCat("{", text, "}");
}

// A count beyond int64 (or NaN) is nonsense, but converting it would be undefined behaviour.
int64_t Saturated(const Value& value) {
  if (value.IsInt64()) return value.GetInt64();
  constexpr double limit = 9.2e18;
  const double number = value.GetDouble();
  if (std::isnan(number)) return 0;
  if (number >= limit) return std::numeric_limits<int64_t>::max();
  if (number <= -limit) return std::numeric_limits<int64_t>::min();
  return static_cast<int64_t>(number);
}

// A row while its members arrive in any order: the unit of the times may come last.
struct RawRow {
  Row row;
  std::string run_type;
  std::string aggregate_unit;
  std::string time_unit = "ns";
};

std::string* TextField(RawRow& raw, const std::string& key) {
  if (key == "name") return &raw.row.name;
  if (key == "run_name") return &raw.row.run_name;
  if (key == "run_type") return &raw.run_type;
  if (key == "aggregate_name") return &raw.row.aggregate_name;
  if (key == "aggregate_unit") return &raw.aggregate_unit;
  if (key == "time_unit") return &raw.time_unit;
  if (key == "label") return &raw.row.label;
  if (key == "error_message") return &raw.row.error_message;
  if (key == "skip_message") return &raw.row.skip_message;
  return nullptr;
}

// Numbers of the library itself that say nothing about the program: no counters.
bool IsBookkeeping(const std::string& key) {
  return key == "family_index" || key == "per_family_instance_index" || key == "repetitions" || key == "threads";
}

// Returns what is wrong with the member, or an empty string.
std::string ReadMember(const std::string& key, const Value& value, RawRow& raw) {
  const auto wrong_type = [&](const char* wanted) {
    return absl::StrCat(key, " is ", TypeName(value), ", not ", wanted);
  };
  Row& row = raw.row;
  if (std::string* field = TextField(raw, key)) {
    if (!value.IsString()) return wrong_type("a string");
    *field = Text(value);
    return "";
  }
  if (key == "real_time" || key == "cpu_time") {
    // Writers that know no NaN put null.
    if (!value.IsNumber() && !value.IsNull()) return wrong_type("a number");
    const double number = value.IsNull() ? std::numeric_limits<double>::quiet_NaN() : value.GetDouble();
    (key == "real_time" ? row.real_time_ns : row.cpu_time_ns) = number;
    return "";
  }
  if (key == "repetition_index" || key == "iterations") {
    if (!value.IsNumber()) return wrong_type("a number");
    (key == "iterations" ? row.iterations : row.repetition_index) = Saturated(value);
    return "";
  }
  if (key == "error_occurred") {
    if (!value.IsBool()) return wrong_type("a boolean");
    row.error_occurred = value.GetBool();
    return "";
  }
  if (key == "skipped" && value.IsBool()) {
    row.skipped = value.GetBool();
  } else if (value.IsNumber() && !IsBookkeeping(key)) {
    row.counters[key] = value.GetDouble();
  }
  return "";
}

// Zero for a unit that Google Benchmark does not have.
double NanosPerUnit(const std::string& unit) {
  if (unit == "ns") return 1;
  if (unit == "us") return 1e3;
  if (unit == "ms") return 1e6;
  return unit == "s" ? 1e9 : 0;
}

constexpr std::array<const char*, 4> kAggregates = {"mean", "median", "stddev", "cv"};

// Files from before Google Benchmark 1.5 have no run_type; there only the name tells an aggregate.
void GuessRunType(Row& row) {
  for (const char* aggregate : kAggregates) {
    const std::string suffix = absl::StrCat("_", aggregate);
    if (row.name.size() <= suffix.size() || !absl::EndsWith(row.name, suffix)) continue;
    row.run_type = RunType::kAggregate;
    row.aggregate_name = aggregate;
    if (row.run_name.empty()) row.run_name = row.name.substr(0, row.name.size() - suffix.size());
  }
}

std::string FinishRow(RawRow& raw) {
  Row& row = raw.row;
  if (row.name.empty()) return "there is no name";
  if (raw.run_type == "aggregate") {
    row.run_type = RunType::kAggregate;
  } else if (raw.run_type.empty()) {
    GuessRunType(row);
  } else if (raw.run_type != "iteration") {
    return absl::StrCat("run_type is \"", raw.run_type, "\", neither iteration nor aggregate");
  }
  if (row.run_name.empty()) row.run_name = row.name;
  const double nanos = NanosPerUnit(raw.time_unit);
  if (nanos == 0) return absl::StrCat("time_unit is \"", raw.time_unit, "\", not ns, us, ms or s");
  if (raw.aggregate_unit != "percentage") {
    row.real_time_ns *= nanos;
    row.cpu_time_ns *= nanos;
  }
  return "";
}

absl::StatusOr<Row> ReadRow(const Value& value, size_t index, const std::string& path) {
  const std::string where = absl::StrCat("benchmarks[", index, "]");
  if (!value.IsObject()) return Invalid(path, absl::StrCat(where, " is ", TypeName(value), ", not an object"));
  RawRow raw;
  std::string problem;
  for (const auto& member : value.GetObject()) {
    problem = ReadMember(Text(member.name), member.value, raw);
    if (!problem.empty()) break;
  }
  if (problem.empty()) problem = FinishRow(raw);
  if (problem.empty()) return std::move(raw.row);
  const std::string name = raw.row.name.empty() ? "" : absl::StrCat(" (", raw.row.name, ")");
  return Invalid(path, absl::StrCat(where, name, ": ", problem));
}

absl::Status ParseError(const rapidjson::Document& document, const std::string& json, const std::string& path) {
  const size_t offset = document.GetErrorOffset();
  const size_t end = json.find_last_not_of(" \t\r\n") + 1;  // npos + 1 is 0: nothing but white space
  if (end == 0) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": the file is empty; did the benchmark finish? ", kRemedy));
  }
  if (offset >= end) {
    return Invalid(path, absl::StrCat("the JSON breaks off at byte ", offset, ", as if its writer had been stopped"));
  }
  return Invalid(
      path, absl::StrCat("no JSON at byte ", offset, " (", rapidjson::GetParseError_En(document.GetParseError()), ")"));
}

// The last member of that name, or null.
const Value* Find(const rapidjson::Document& document, const char* key) {
  const Value* found = nullptr;
  for (const auto& member : document.GetObject()) {
    if (Text(member.name) == key) found = &member.value;
  }
  return found;
}

// Rows that //bench has called something else in files still about: the same work, by the part of the name that
// changed.
struct Renamed {
  const char* beginning;
  const char* before;
  const char* now;
};
constexpr Renamed kRenamed[] = {{"Recovery/", "/64/holder", "/1024/holder"}};  // always was of 1 KiB

}  // namespace

std::string NameNow(const std::string& run_name) {
  for (const Renamed& one : kRenamed) {
    const size_t place = run_name.find(one.before);
    if (!absl::StartsWith(run_name, one.beginning) || place == std::string::npos) continue;
    const std::string rest = run_name.substr(place + std::string(one.before).size());
    if (rest.empty() || rest[0] == '/') return absl::StrCat(run_name.substr(0, place), one.now, rest);
  }
  return run_name;
}

absl::StatusOr<RunFile> ParseRunFile(const std::string& json, const std::string& path) {
  constexpr unsigned flags =
      rapidjson::kParseIterativeFlag | rapidjson::kParseNanAndInfFlag | rapidjson::kParseValidateEncodingFlag;
  rapidjson::Document document;
  document.Parse<flags>(json.data(), json.size());
  if (document.HasParseError()) return ParseError(document, json, path);
  if (!document.IsObject()) return Invalid(path, absl::StrCat("it holds ", TypeName(document), ", not an object"));

  RunFile file;
  file.path = path;
  if (const Value* context = Find(document, "context")) {
    if (!context->IsObject()) {
      return Invalid(path, absl::StrCat("\"context\" is ", TypeName(*context), ", not an object"));
    }
    for (const auto& member : context->GetObject()) {
      file.context[Text(member.name)] = ContextText(member.value, 0);
    }
  }
  const Value* benchmarks = Find(document, "benchmarks");
  if (benchmarks == nullptr) return Invalid(path, "there is no \"benchmarks\" array");
  if (!benchmarks->IsArray()) {
    return Invalid(path, absl::StrCat("\"benchmarks\" is ", TypeName(*benchmarks), ", not an array"));
  }
  for (const Value& value : benchmarks->GetArray()) {
    absl::StatusOr<Row> row = ReadRow(value, file.rows.size(), path);
    if (!row.ok()) return row.status();
    file.rows.push_back(*std::move(row));
  }
  if (file.rows.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": it has no benchmark row; run the benchmark again with a filter that matches something"));
  }
  return file;
}

absl::StatusOr<std::string> ReadResultFile(const std::string& path) {
  const auto unreadable = [&](const char* call, int error) {
    return absl::UnavailableError(absl::StrCat(call, "(", path, "): ", std::strerror(error),
                                               "; name a JSON file that a benchmark wrote with --benchmark_out=FILE"));
  };
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return unreadable("open", errno);
  std::string json;
  // Read to the end, not to st_size: the path may be a pipe such as <(xz -dc old.json.xz).
  std::array<char, 65536> chunk;
  ssize_t got = 0;
  do {
    got = read(fd, chunk.data(), chunk.size());
    if (got > 0) json.append(chunk.data(), static_cast<size_t>(got));
  } while (json.size() <= kMaxFileBytes && (got > 0 || (got < 0 && errno == EINTR)));
  const int error = errno;
  close(fd);
  if (got < 0) return unreadable("read", error);
  if (json.size() > kMaxFileBytes) {
    return Invalid(path, absl::StrCat("it is larger than ", kMaxFileBytes >> 20, " MiB, too large for a result file"));
  }
  return json;
}

absl::StatusOr<RunFile> ReadRunFile(const std::string& path) {
  const absl::StatusOr<std::string> json = ReadResultFile(path);
  if (!json.ok()) return json.status();
  return ParseRunFile(*json, path);
}

}  // namespace ipcmark::results
