#include "results/report_text.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "results/text.h"

namespace ipcmark::results {
namespace {

constexpr size_t kCells = 7;  // name, base, head, ratio, interval, repetitions, verdict
constexpr size_t kMinNameColumns = 8;
constexpr char kGap[] = "  ";
constexpr char kReset[] = "\x1b[0m";

struct Line {
  std::array<std::string, kCells> cells;
  std::string colour;
};

std::string Value(const std::string& metric, double value) {
  if (metric == "real_time" || metric == "cpu_time" || absl::EndsWith(metric, "_ns")) return FormatNanos(value);
  if (metric == "bytes_per_second") return FormatRate(value, "B");
  if (absl::EndsWith(metric, "_per_second")) return FormatRate(value, "");
  return FormatNumber(value);
}

std::string Ratio(double ratio) {
  return ratio >= 0.1 && ratio < 10 ? absl::StrFormat("%.3f", ratio) : absl::StrFormat("%.3g", ratio);
}

const char* Colour(Verdict verdict) {
  switch (verdict) {
    case Verdict::kSlower:
    case Verdict::kMissingInHead:
    case Verdict::kFailedInHead:
      return "\x1b[31m";
    case Verdict::kFaster:
      return "\x1b[32m";
    case Verdict::kMissingInBase:
    case Verdict::kFailedInBase:
    case Verdict::kLeftOut:
      return "\x1b[33m";
    case Verdict::kSame:
      break;
  }
  return "";
}

// Without what Google Benchmark appends to every name of ours and no reader looks for.
std::string WithoutModifiers(std::string name) {
  while (true) {
    const size_t slash = name.rfind('/');
    if (slash == std::string::npos) return name;
    const std::string last = name.substr(slash);
    const bool repeats = absl::StartsWith(last, "/repeats:") && last.size() > 9 &&
                         std::all_of(last.begin() + 9, last.end(), [](char c) { return absl::ascii_isdigit(c); });
    if (last != "/manual_time" && last != "/real_time" && !repeats) return name;
    name.resize(slash);
  }
}

// Shortened names only where all of them stay different.
std::vector<std::string> ShownNames(const Report& report) {
  std::vector<std::string> full;
  std::vector<std::string> brief;
  for (const Comparison& comparison : report.comparisons) {
    full.push_back(PrintableUtf8(comparison.name));
    brief.push_back(WithoutModifiers(full.back()));
  }
  return std::set<std::string>(brief.begin(), brief.end()).size() == brief.size() ? brief : full;
}

std::vector<Line> Lines(const Report& report) {
  std::vector<Line> lines;
  lines.push_back({{"benchmark", "base", "head", "ratio", "95 %", "n", ""}, ""});
  const std::vector<std::string> names = ShownNames(report);
  for (size_t i = 0; i < names.size(); ++i) {
    const Comparison& comparison = report.comparisons[i];
    Line line;
    line.colour = Colour(comparison.verdict);
    const auto value = [&](const std::optional<double>& median) {
      return median.has_value() ? Value(report.options.metric, *median) : "-";
    };
    const std::string ratio = comparison.ratio > 0 ? Ratio(comparison.ratio) : "-";
    const std::string interval = comparison.interval.has_value() ? absl::StrCat(Ratio(comparison.interval->low), "–",
                                                                                Ratio(comparison.interval->high))
                                                                 : "-";
    line.cells = {names[i],
                  value(comparison.base),
                  value(comparison.head),
                  ratio,
                  interval,
                  absl::StrCat(comparison.base_repetitions, "/", comparison.head_repetitions),
                  absl::StrCat(VerdictName(comparison.verdict), comparison.undecided ? " ?" : "")};
    lines.push_back(std::move(line));
  }
  return lines;
}

std::string Table(const Report& report, bool colour) {
  const std::vector<Line> lines = Lines(report);
  std::array<size_t, kCells> widths{};
  for (const Line& line : lines) {
    for (size_t i = 0; i < kCells; ++i) widths[i] = std::max(widths[i], Columns(line.cells[i]));
  }
  size_t others = 0;
  for (size_t i = 1; i < kCells; ++i) others += widths[i] + Columns(kGap);
  widths[0] = std::min(widths[0], std::max(kMinNameColumns, kTableColumns - std::min(kTableColumns, others)));
  std::string table;
  for (const Line& line : lines) {
    std::string text = PadRight(ShortenMiddle(line.cells[0], widths[0]), widths[0]);
    for (size_t i = 1; i + 1 < kCells; ++i) absl::StrAppend(&text, kGap, PadLeft(line.cells[i], widths[i]));
    absl::StrAppend(&text, kGap, line.cells[kCells - 1]);
    absl::StripTrailingAsciiWhitespace(&text);
    const bool coloured = colour && !line.colour.empty();
    absl::StrAppend(&table, coloured ? line.colour : "", text, coloured ? kReset : "", "\n");
  }
  return table;
}

std::string Environments(const Report& report) {
  std::string text;
  for (const EnvironmentDifference& difference : report.environment) {
    absl::StrAppend(&text, "environments differ: ", PrintableUtf8(difference.key), " is ",
                    PrintableUtf8(difference.base), " in base, ", PrintableUtf8(difference.head), " in head\n");
  }
  return text;
}

// One line for each benchmark of which the table cannot tell all, with its full name.
std::string Remarks(const Report& report) {
  std::string text;
  size_t without_interval = 0;
  for (const Comparison& comparison : report.comparisons) {
    const std::string name = PrintableUtf8(comparison.name);
    if (comparison.undecided) {
      absl::StrAppend(&text, "undecided: ", name,
                      ": the ratio is beyond the threshold, the interval is not; more repetitions would tell\n");
    }
    if (comparison.ratio > 0) {
      without_interval += comparison.interval.has_value() ? 0 : 1;
      continue;
    }
    absl::StrAppend(&text, VerdictName(comparison.verdict), ": ", name, comparison.detail.empty() ? "" : ": ",
                    PrintableUtf8(comparison.detail), "\n");
  }
  if (without_interval > 0) {
    absl::StrAppend(&text, without_interval, " without an interval (it takes ", kMinRepetitionsForInterval,
                    " repetitions on both sides): there the ratio alone decides\n");
  }
  return text;
}

std::string Summary(const Report& report) {
  constexpr std::array<Verdict, 8> order = {Verdict::kSlower,        Verdict::kFaster,       Verdict::kSame,
                                            Verdict::kFailedInHead,  Verdict::kFailedInBase, Verdict::kMissingInHead,
                                            Verdict::kMissingInBase, Verdict::kLeftOut};
  std::string text;
  size_t ratios = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    const auto count = std::count_if(report.comparisons.begin(), report.comparisons.end(),
                                     [&](const Comparison& c) { return c.verdict == order[i]; });
    if (i < 3) ratios += static_cast<size_t>(count);
    if (i >= 3 && count == 0) continue;
    absl::StrAppend(&text, i == 0 ? "" : ", ", count, " ", VerdictName(order[i]));
  }
  const size_t all = report.comparisons.size();
  std::string mean;
  if (report.geometric_mean.has_value()) {
    mean = absl::StrCat("geometric mean of ", ratios,
                        ratios == 1 ? " ratio: " : " ratios: ", Ratio(*report.geometric_mean), "\n");
  }
  return absl::StrCat(mean, all, all == 1 ? " benchmark: " : " benchmarks: ", text, "\n");
}

}  // namespace

std::string ReportText(const Report& report, bool colour) {
  const CompareOptions& options = report.options;
  const bool is_rate = absl::EndsWith(options.metric, "_per_second");
  return absl::StrCat(Environments(report), "base: ", PrintableUtf8(report.base_path),
                      "\nhead: ", PrintableUtf8(report.head_path), "\nmedian ", PrintableUtf8(options.metric),
                      ", ratio ", is_rate ? "base / head" : "head / base", " (above 1: head is slower), threshold ",
                      absl::StrFormat("%g %%", options.threshold * 100), "\n\n", Table(report, colour), "\n",
                      Remarks(report), Summary(report));
}

}  // namespace ipcmark::results
