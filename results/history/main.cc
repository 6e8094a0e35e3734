// bazel run //results:history: its commands and flags are in options.h, what it keeps in store.h.
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "results/compare.h"
#include "results/history/export.h"
#include "results/history/options.h"
#include "results/history/store.h"
#include "results/history/trend.h"
#include "results/run_file.h"
#include "results/text.h"

namespace ipcmark::results {
namespace {

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "history: %s\n", PrintableUtf8(std::string(status.message())).c_str());
  return kExitBadInput;
}

// What did not arrive is no answer.
int Print(const std::string& text, int exit_code = kExitFine) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) return exit_code;
  return Fail(absl::UnavailableError("standard output cannot be written; send it elsewhere"));
}

std::string Database(const HistoryOptions& options) {
  if (!options.db.empty()) return options.db;
  const char* workspace = std::getenv("BUILD_WORKSPACE_DIRECTORY");
  return workspace == nullptr ? "history.db" : absl::StrCat(workspace, "/results/history.db");
}

int Add(const HistoryOptions& options) {
  // All files are read before the first is stored: a name that is mistyped should not leave half of them in.
  std::vector<HistoryRun> runs;
  for (const std::string& path : options.arguments) {
    const absl::StatusOr<std::string> json = ReadResultFile(path);
    if (!json.ok()) return Fail(json.status());
    absl::StatusOr<HistoryRun> run = MakeRun(*json, path, std::time(nullptr));
    if (!run.ok()) return Fail(run.status());
    runs.push_back(*std::move(run));
  }
  absl::StatusOr<Store> store = Store::Open(Database(options), Store::Mode::kAdd);
  if (!store.ok()) return Fail(store.status());
  for (size_t i = 0; i < runs.size(); ++i) {
    const absl::StatusOr<bool> added = store->Add(runs[i]);
    if (!added.ok()) return Fail(added.status());
    const std::string line = absl::StrCat(runs[i].id.substr(0, kShownIdDigits), "  ", options.arguments[i],
                                          *added ? "" : " (it was there already)", "\n");
    // At once: a line stands for a run that is safe.
    if (const int code = Print(line); code != kExitFine) return code;
  }
  return kExitFine;
}

int Merge(const HistoryOptions& options) {
  absl::StatusOr<Store> store = Store::Open(Database(options), Store::Mode::kAdd);
  if (!store.ok()) return Fail(store.status());
  for (const std::string& path : options.arguments) {
    const absl::StatusOr<Store> other = Store::Open(path, Store::Mode::kRead);
    if (!other.ok()) return Fail(other.status());
    const absl::StatusOr<MergeCount> count = MergeInto(*store, *other, path);
    if (!count.ok()) return Fail(count.status());
    const std::string line = absl::StrCat(path, ": ", count->added, " of ", count->runs, " runs are new\n");
    if (const int code = Print(line); code != kExitFine) return code;
  }
  return kExitFine;
}

int Export(const Store& store, const std::string& format) {
  int code = kExitFine;
  const absl::Status status = ExportAll(store, format, [&](const std::string& part) {
    code = Print(part);
    return code == kExitFine;
  });
  return status.ok() ? code : Fail(status);
}

int ShowTrend(const Store& store, const HistoryOptions& options) {
  const absl::StatusOr<std::vector<Trend>> trends = FindTrends(store, options.trend);
  if (!trends.ok()) return Fail(trends.status());
  bool worse = false;
  for (const Trend& trend : *trends) worse |= EndsWorse(trend);
  const std::string text =
      options.format == "json" ? TrendJson(*trends, options.trend) : TrendText(*trends, options.trend);
  return Print(text, options.strict && worse ? kExitRegression : kExitFine);
}

int Read(const HistoryOptions& options) {
  const std::string path = Database(options);
  const absl::StatusOr<Store> store = Store::Open(path, Store::Mode::kRead);
  if (!store.ok()) return Fail(store.status());
  if (options.command == "trend") return ShowTrend(*store, options);
  if (options.command == "export") return Export(*store, options.format);
  if (options.command == "check") {
    const absl::Status status = store->Check();
    return status.ok() ? Print(absl::StrCat(path, ": every run is as it was added\n")) : Fail(status);
  }
  const absl::StatusOr<std::string> text =
      options.command == "list" ? ListText(*store) : ShowText(*store, options.arguments[0], options.format == "json");
  return text.ok() ? Print(*text) : Fail(text.status());
}

int Main(const std::vector<std::string>& arguments) {
  // bazel run starts us elsewhere; paths on the command line are the caller's.
  const char* caller = std::getenv("BUILD_WORKING_DIRECTORY");
  if (caller != nullptr && chdir(caller) != 0) {
    return Fail(absl::UnavailableError(absl::StrCat("chdir ", caller, ": ", std::strerror(errno))));
  }
  const absl::StatusOr<HistoryOptions> options = ParseHistoryOptions(arguments);
  if (!options.ok()) return Fail(options.status());
  if (options->help) return Print(kHistoryUsage);
  if (options->command == "add") return Add(*options);
  return options->command == "merge" ? Merge(*options) : Read(*options);
}

}  // namespace
}  // namespace ipcmark::results

int main(int argc, char** argv) { return ipcmark::results::Main(std::vector<std::string>(argv + 1, argv + argc)); }
