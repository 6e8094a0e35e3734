// A gate's report as text for a terminal, as JSON, as Markdown for a pull request, and as JUnit's XML.
#ifndef IPCMARK_RESULTS_GATE_REPORT_H_
#define IPCMARK_RESULTS_GATE_REPORT_H_

#include <string>

#include "absl/status/status.h"
#include "results/gate.h"

namespace ipcmark::results {

std::string GateText(const GateReport& report);
// results/schema.md says what is in it.
std::string GateJson(const GateReport& report);
// The verdict first, what needs attention as a table, the rest folded. Cut so that it fits into a comment.
std::string GateMarkdown(const GateReport& report);
// One test case a benchmark: a FAIL is a failure, what has no number an error, INCONCLUSIVE skipped.
std::string GateJunit(const GateReport& report);

// Whether WriteFile could write there; asked before minutes are measured for a file that nobody gets.
absl::Status CheckWritable(const std::string& path);
// Unavailable, with the reason, when `path` cannot be written; there is the whole file or none.
absl::Status WriteFile(const std::string& path, const std::string& text);

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_GATE_REPORT_H_
