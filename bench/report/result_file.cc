#include "bench/report/result_file.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ipc/os/error.h"
#include "ipc/os/fd.h"

namespace ipcmark::bench {
namespace {

// Behind symbolic links, so that a rename replaces the file and not the link.
std::filesystem::path Behind(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::path target = std::filesystem::canonical(path, error);
  return error ? path : target;
}

// Renaming a file over /dev/null would take it away from everybody.
bool IsWrittenInPlace(const std::filesystem::path& target) {
  std::error_code error;
  return std::filesystem::exists(target, error) && !std::filesystem::is_regular_file(target, error);
}

std::string Aside(const std::filesystem::path& target) {
  return absl::StrFormat("%s.%d.tmp", target.string(), getpid());
}

std::unique_ptr<benchmark::BenchmarkReporter> ReporterFor(const std::string& format) {
  if (format == "csv") return std::make_unique<CsvReporter>();
  if (format == "console") return std::make_unique<benchmark::ConsoleReporter>(benchmark::ConsoleReporter::OO_None);
  return std::make_unique<benchmark::JSONReporter>();
}

std::string Text(const std::string& format,
                 const std::vector<std::vector<benchmark::BenchmarkReporter::Run>>& reports) {
  std::ostringstream text;
  std::ostream nowhere(nullptr);
  const std::unique_ptr<benchmark::BenchmarkReporter> reporter = ReporterFor(format);
  reporter->SetOutputStream(&text);
  // Where CSV and console put the context: part of what people read, but no CSV.
  reporter->SetErrorStream(format == "console" ? &text : &nowhere);
  benchmark::BenchmarkReporter::Context context;
  context.name_field_width = 10;  // the constructor leaves it open
  for (const auto& report : reports) {
    for (const auto& run : report) {
      context.name_field_width = std::max(context.name_field_width, run.benchmark_name().size());
    }
  }
  reporter->ReportContext(context);
  for (const auto& report : reports) reporter->ReportRuns(report);
  reporter->Finalize();
  return text.str();
}

// A failure is told of `named`, the file that was asked for.
absl::Status WriteText(const std::filesystem::path& path, const std::filesystem::path& named, const std::string& text) {
  std::ofstream file(path);
  file << text;
  file.close();
  if (file) return absl::OkStatus();
  return os::SyscallError(absl::StrCat("write ", named.string()), errno,
                          "free space or name another file in --benchmark_out");
}

}  // namespace

std::filesystem::path DefaultOut(const std::string& suite) {
  const char* workspace = getenv("BUILD_WORKSPACE_DIRECTORY");
  const std::filesystem::path base = workspace != nullptr ? workspace : std::filesystem::current_path();
  const time_t now = time(nullptr);
  tm utc;
  gmtime_r(&now, &utc);
  char stamp[32];
  strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H-%M-%S", &utc);
  return base / "results" / "runs" / absl::StrCat(stamp, "-", suite, ".json");
}

std::filesystem::path PreviousRun(const std::filesystem::path& path, const std::string& suite) {
  std::filesystem::path newest;
  std::error_code error;
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename();
    const std::string ending = absl::StrCat("-", suite, ".json");
    const bool same_suite =
        name.size() > ending.size() && name.compare(name.size() - ending.size(), ending.size(), ending) == 0;
    if (same_suite && name != path.filename() && entry.path() > newest) newest = entry.path();
  }
  return newest.empty() ? path : newest;
}

absl::Status CheckWritable(const std::filesystem::path& path, const std::string& flag) {
  const std::string remedy = absl::StrCat("name a writable file in an existing folder in ", flag);
  const std::filesystem::path target = Behind(path);
  const std::string call = absl::StrCat("open ", path.string());
  std::error_code error;
  if (std::filesystem::is_directory(target, error)) return os::SyscallError(call, EISDIR, remedy);
  if (std::filesystem::exists(target, error) && access(target.c_str(), W_OK) != 0) {
    return os::SyscallError(call, errno, remedy);
  }
  if (IsWrittenInPlace(target)) return absl::OkStatus();
  const std::string aside = Aside(target);
  const os::Fd fd(open(aside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid()) return os::SyscallError(call, errno, remedy);
  unlink(aside.c_str());
  return absl::OkStatus();
}

bool AreOneFile(const std::filesystem::path& one, const std::filesystem::path& other) {
  std::error_code error;
  if (IsWrittenInPlace(Behind(one))) return false;
  if (std::filesystem::equivalent(one, other, error)) return true;
  // One that does not exist yet has a place already.
  return std::filesystem::weakly_canonical(std::filesystem::absolute(one), error) ==
         std::filesystem::weakly_canonical(std::filesystem::absolute(other), error);
}

void CsvReporter::ReportRuns(const std::vector<Run>& report) {
  rows_.insert(rows_.end(), report.begin(), report.end());
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"  // as in the header
void CsvReporter::Finalize() { CSVReporter::ReportRuns(rows_); }
#pragma GCC diagnostic pop

absl::Status WriteRows(const std::filesystem::path& path, const std::string& format,
                       const std::vector<std::vector<benchmark::BenchmarkReporter::Run>>& reports) {
  const std::string text = Text(format, reports);
  const std::filesystem::path target = Behind(path);
  if (IsWrittenInPlace(target)) return WriteText(target, path, text);
  const std::string aside = Aside(target);
  absl::Status status = WriteText(aside, path, text);
  if (status.ok() && rename(aside.c_str(), target.c_str()) != 0) {
    status = os::SyscallError(absl::StrCat("rename ", aside, " to ", target.string()), errno);
  }
  if (!status.ok()) unlink(aside.c_str());
  return status;
}

}  // namespace ipcmark::bench
