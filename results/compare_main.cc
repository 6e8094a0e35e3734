// bazel run //results:compare -- base.json head.json. What it answers is in compare.h, its flags in compare_options.h.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "results/compare.h"
#include "results/compare_options.h"
#include "results/report_formats.h"
#include "results/report_text.h"
#include "results/run_file.h"
#include "results/text.h"

namespace ipcmark::results {
namespace {

int Fail(const absl::Status& status) {
  const std::string sentence(status.message());
  std::fprintf(stderr, "compare: %s\n", PrintableUtf8(sentence).c_str());
  return kExitBadInput;
}

// https://no-color.org: set to anything but the empty string.
bool WantsColour() {
  const char* no_color = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  if (no_color != nullptr && *no_color != '\0') return false;
  if (terminal != nullptr && std::string(terminal) == "dumb") return false;
  return isatty(STDOUT_FILENO) == 1;
}

// A report that did not arrive is no pass: a full disk must not look like "fine".
int Print(const std::string& text, int exit_code) {
  if (std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0) return exit_code;
  std::perror("compare: standard output cannot be written; send it elsewhere");
  return kExitBadInput;
}

int Main(const std::vector<std::string>& arguments) {
  const absl::StatusOr<CommandLine> line = ParseCommandLine(arguments);
  if (!line.ok()) return Fail(line.status());
  if (line->help) return Print(kUsage, kExitFine);
  const char* working_directory = std::getenv("BUILD_WORKING_DIRECTORY");
  const absl::StatusOr<RunFile> base = ReadRunFile(ResolvePath(line->base_path, working_directory));
  if (!base.ok()) return Fail(base.status());
  const absl::StatusOr<RunFile> head = ReadRunFile(ResolvePath(line->head_path, working_directory));
  if (!head.ok()) return Fail(head.status());
  const absl::StatusOr<Report> report = Compare(*base, *head, line->options);
  if (!report.ok()) return Fail(report.status());
  const std::string text =
      line->format == "text" ? ReportText(*report, WantsColour()) : ReportIn(line->format, *report);
  return Print(text, ExitCode(*report, line->strict));
}

}  // namespace
}  // namespace ipcmark::results

int main(int argc, char** argv) { return ipcmark::results::Main(std::vector<std::string>(argv + 1, argv + argc)); }
