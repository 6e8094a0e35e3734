// A Report as text for people: what differs between the environments, a table of at most 100 columns, the reasons of
// whatever has no number, and a summary.
#ifndef IPCMARK_RESULTS_REPORT_TEXT_H_
#define IPCMARK_RESULTS_REPORT_TEXT_H_

#include <cstddef>
#include <string>

#include "results/compare.h"

namespace ipcmark::results {

constexpr size_t kTableColumns = 100;

// With ANSI colours when `colour`.
std::string ReportText(const Report& report, bool colour);

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_REPORT_TEXT_H_
