// A comparison in the formats of other tools. A name keeps its bytes, but for control characters.
//
//   markdown    a table for a pull request
//   json        all of it; numbers that do not exist are left out
//   csv         RFC 4180, with a header; an empty cell where there is no number
//   benchstat   Go's benchmark lines of both sides, one a repetition, under "side: base" and "side: head"
//   bencher     Bencher Metric Format, of head
//   custom      customSmallerIsBetter, of head: a list of name, unit and value
//
// The last three are of what was measured; a benchmark without numbers is left out there.
#ifndef IPCMARK_RESULTS_REPORT_FORMATS_H_
#define IPCMARK_RESULTS_REPORT_FORMATS_H_

#include <array>
#include <string>

#include "results/compare.h"

namespace ipcmark::results {

constexpr std::array<const char*, 7> kFormats = {"text", "markdown", "json", "csv", "benchstat", "bencher", "custom"};

// Whether the metric is a time, which is in nanoseconds everywhere behind run_file.h.
bool IsTime(const std::string& metric);

// Quoted where RFC 4180 wants it, without control characters.
std::string CsvCell(const std::string& text);

// `format` is one of kFormats but text, for which there is report_text.h.
std::string ReportIn(const std::string& format, const Report& report);

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_REPORT_FORMATS_H_
