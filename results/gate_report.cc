#include "results/gate_report.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "results/text.h"

namespace ipcmark::results {
namespace {

// GitHub takes 65,536 characters.
constexpr size_t kMaxCommentBytes = 60000;

struct Cells {
  std::string ratio = "-";
  std::string interval = "-";
  std::string visible = "-";
};

Cells CellsOf(const GateRow& row) {
  Cells cells;
  if (row.log_ratios.empty()) return cells;
  const Estimate& estimate = row.estimate;
  cells.ratio = absl::StrFormat("%.3f", estimate.ratio);
  if (std::isfinite(estimate.interval.high)) {
    cells.interval = absl::StrFormat("%.3f–%.3f", estimate.interval.low, estimate.interval.high);
  }
  if (std::isfinite(estimate.smallest_visible)) {
    cells.visible = absl::StrFormat("%.1f %%", estimate.smallest_visible * 100);
  }
  return cells;
}

std::string Counts(const GateReport& report) {
  std::string text;
  for (const GateVerdict verdict : {GateVerdict::kFail, GateVerdict::kErrorInHead, GateVerdict::kErrorInBase,
                                    GateVerdict::kInconclusive, GateVerdict::kPass}) {
    const auto count = std::count_if(report.rows.begin(), report.rows.end(),
                                     [verdict](const GateRow& row) { return row.verdict == verdict; });
    if (count > 0) absl::StrAppend(&text, text.empty() ? "" : ", ", count, " ", GateVerdictName(verdict));
  }
  return absl::StrCat(report.rows.size(), report.rows.size() == 1 ? " benchmark: " : " benchmarks: ", text,
                      report.interrupted ? " (interrupted)" : "");
}

std::string Rules(const GateReport& report) {
  const GateRules& rules = report.rules;
  return absl::StrFormat(
      "ratio head / base (above 1: head is slower), 95 %% interval; FAIL: above %g %% at %g %% for all %d together; "
      "PASS: "
      "%g %% is ruled out at %g %%; visible: the smallest slowdown that the pairs would have shown; seed %d, %.0f s",
      rules.dead_band * 100, rules.alpha * 100, rules.benchmarks, rules.slowdown * 100, rules.pass_alpha * 100,
      report.seed, report.seconds);
}

std::string MarkdownText(const std::string& text) {
  return absl::StrReplaceAll(PrintableUtf8(text),
                             {{"|", "\\|"}, {"<", "&lt;"}, {"`", "'"}, {"\n", " "}, {"@", "&#64;"}});
}

std::string MarkdownTable(const std::vector<const GateRow*>& rows) {
  std::string table = "| benchmark | verdict | ratio | 95 % | pairs | visible |\n|---|---|--:|---|--:|--:|\n";
  for (const GateRow* row : rows) {
    const Cells cells = CellsOf(*row);
    absl::StrAppend(&table, "| ", MarkdownText(row->name), " | ", GateVerdictName(row->verdict),
                    row->detail.empty() ? "" : ": ", MarkdownText(row->detail), " | ", cells.ratio, " | ",
                    cells.interval, " | ", row->log_ratios.size(), " | ", cells.visible, " |\n");
  }
  return table;
}

// The tails that became slower, for all the noise.
std::string AdviceLines(const GateReport& report, const std::string& bullet,
                        std::string (*escape)(const std::string&)) {
  std::string text;
  for (const GateRow& row : report.rows) {
    for (const auto& advice : row.advice) {
      if (advice.decision != Decision::kFail) continue;
      absl::StrAppend(&text, bullet, "advisory: ", escape(row.name), ": ", advice.metric,
                      absl::StrFormat(" is slower, ratio %.3f (%.3f–%.3f)\n", advice.estimate.ratio,
                                      advice.estimate.interval.low, advice.estimate.interval.high));
    }
  }
  return text;
}

std::string Xml(const std::string& text) {
  return absl::StrReplaceAll(PrintableUtf8(text), {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\"", "&quot;"}});
}

// What is written first, beside `path`.
std::string PartOf(const std::string& path) { return absl::StrCat(path, ".part.", getpid()); }

absl::Status NotWritable(const std::string& path) {
  return absl::UnavailableError(absl::StrCat(path,
                                             ": it cannot be written; choose a file in an existing folder that "
                                             "you can write to and that has room"));
}

}  // namespace

std::string GateText(const GateReport& report) {
  constexpr size_t most_columns = 60;
  size_t width = Columns("benchmark");
  for (const GateRow& row : report.rows) width = std::max(width, Columns(PrintableUtf8(row.name)));
  width = std::min(width, most_columns);
  std::string text = absl::StrCat("base: ", PrintableUtf8(report.base), "\nhead: ", PrintableUtf8(report.head), "\n");
  for (const EnvironmentDifference& difference : report.environment) {
    absl::StrAppend(&text, "environments differ: ", PrintableUtf8(difference.key), " is ",
                    PrintableUtf8(difference.base), " in base, ", PrintableUtf8(difference.head), " in head\n");
  }
  for (const std::string& warning : report.warnings) absl::StrAppend(&text, "warning: ", PrintableUtf8(warning), "\n");
  const auto line = [&](const std::string& name, const std::array<std::string, 6>& cells) {
    constexpr std::array<size_t, 5> widths = {9, 9, 6, 13, 5};
    absl::StrAppend(&text, PadRight(ShortenMiddle(name, width), width));
    for (size_t i = 0; i < widths.size(); ++i) absl::StrAppend(&text, "  ", PadLeft(cells[i], widths[i]));
    absl::StrAppend(&text, "  ", cells[5], "\n");
  };
  absl::StrAppend(&text, "\n");
  line("benchmark", {"base", "head", "ratio", "95 %", "pairs", "visible  verdict"});
  for (const GateRow& row : report.rows) {
    const Cells cells = CellsOf(row);
    const bool any = !row.log_ratios.empty();
    line(PrintableUtf8(row.name), {any ? FormatNanos(row.base_nanos) : "-", any ? FormatNanos(row.head_nanos) : "-",
                                   cells.ratio, cells.interval, absl::StrCat(row.log_ratios.size()),
                                   absl::StrCat(PadLeft(cells.visible, 7), "  ", GateVerdictName(row.verdict),
                                                row.detail.empty() ? "" : ": ", PrintableUtf8(row.detail))});
  }
  absl::StrAppend(&text, "\n", AdviceLines(report, "", PrintableUtf8), Rules(report), "\n", Counts(report), "\n",
                  GateVerdictName(Overall(report)), "\n");
  return text;
}

std::string GateMarkdown(const GateReport& report) {
  std::vector<const GateRow*> loud;
  std::vector<const GateRow*> quiet;
  for (const GateRow& row : report.rows) (row.verdict == GateVerdict::kPass ? quiet : loud).push_back(&row);
  std::stable_sort(loud.begin(), loud.end(), [](const GateRow* a, const GateRow* b) {
    const auto rank = [](const GateRow* row) { return row->verdict == GateVerdict::kFail ? 0 : 1; };
    return rank(a) < rank(b);
  });
  std::string text = absl::StrCat("## Performance gate: ", GateVerdictName(Overall(report)), "\n\n", Counts(report),
                                  "\n\n", MarkdownText(report.base), " → ", MarkdownText(report.head), "\n\n");
  for (const EnvironmentDifference& difference : report.environment) {
    absl::StrAppend(&text, "- environments differ: ", MarkdownText(difference.key), "\n");
  }
  for (const std::string& warning : report.warnings) absl::StrAppend(&text, "- ", MarkdownText(warning), "\n");
  // Cut with room for the table, which matters more.
  std::string advice = AdviceLines(report, "- ", MarkdownText);
  if (advice.size() > kMaxCommentBytes / 4) advice.resize(advice.rfind('\n', kMaxCommentBytes / 4) + 1);
  const std::string tail = absl::StrCat("\n", advice, advice.empty() ? "" : "\n", Rules(report), "\n");
  const auto append = [&](const std::vector<const GateRow*>& rows, const std::string& before,
                          const std::string& after) {
    std::vector<const GateRow*> kept = rows;
    while (!kept.empty() && text.size() + tail.size() + MarkdownTable(kept).size() > kMaxCommentBytes) {
      kept.resize(kept.size() * 3 / 4);
    }
    if (rows.empty()) return;
    absl::StrAppend(&text, before, MarkdownTable(kept),
                    kept.size() < rows.size() ? absl::StrCat("\n", rows.size() - kept.size(), " more left out\n") : "",
                    after);
  };
  append(loud, "", "\n");
  append(quiet, absl::StrCat("<details><summary>", quiet.size(), " PASS</summary>\n\n"), "\n</details>\n");
  return absl::StrCat(text, tail);
}

std::string GateJunit(const GateReport& report) {
  size_t failures = 0;
  size_t errors = 0;
  size_t skipped = 0;
  std::string cases;
  for (const GateRow& row : report.rows) {
    const Cells cells = CellsOf(row);
    const std::string words = Xml(absl::StrCat(GateVerdictName(row.verdict), ": ratio ", cells.ratio, " (",
                                               cells.interval, "), ", row.log_ratios.size(), " pairs, visible ",
                                               cells.visible, row.detail.empty() ? "" : ": ", row.detail));
    absl::StrAppend(&cases, "    <testcase classname=\"gate\" name=\"", Xml(row.name), "\">");
    if (row.verdict == GateVerdict::kPass) {
      absl::StrAppend(&cases, "<system-out>", words, "</system-out>");
    } else {
      const bool failure = row.verdict == GateVerdict::kFail;
      const bool skip = row.verdict == GateVerdict::kInconclusive;
      ++(failure ? failures : skip ? skipped : errors);
      absl::StrAppend(&cases, "<", failure ? "failure" : skip ? "skipped" : "error", " message=\"", words, "\"/>");
    }
    absl::StrAppend(&cases, "</testcase>\n");
  }
  return absl::StrFormat(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"gate\" tests=\"%d\" "
      "failures=\"%d\" "
      "errors=\"%d\" skipped=\"%d\" time=\"%.0f\">\n%s  </testsuite>\n</testsuites>\n",
      report.rows.size(), failures, errors, skipped, report.seconds, cases);
}

absl::Status CheckWritable(const std::string& path) {
  const std::string part = PartOf(path);
  const bool opens = std::ofstream(part, std::ios::binary).is_open();
  unlink(part.c_str());
  std::error_code error;
  if (opens && !std::filesystem::is_directory(path, error)) return absl::OkStatus();
  return NotWritable(path);
}

absl::Status WriteFile(const std::string& path, const std::string& text) {
  const std::string part = PartOf(path);
  std::ofstream file(part, std::ios::binary);
  file << text;
  file.close();
  if (!file.fail() && std::rename(part.c_str(), path.c_str()) == 0) return absl::OkStatus();
  unlink(part.c_str());
  return NotWritable(path);
}

}  // namespace ipcmark::results
