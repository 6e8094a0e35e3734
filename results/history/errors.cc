#include "results/history/errors.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "results/history/store.h"

namespace ipcmark::results {
namespace {

absl::Status Sentence(const std::string& path, const std::string& what, const std::string& remedy) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", what, "; ", remedy));
}

constexpr char kNameAnother[] = "name a history with --db=PATH";

}  // namespace

absl::Status HistoryDamaged(const std::string& path, const std::string& what) {
  return Sentence(path, absl::StrCat("the history is damaged (", what, ")"),
                  "take a copy of it back, and merge what others have");
}

absl::Status HistoryReadOnly(const std::string& path) {
  return Sentence(path, "the history cannot be written", "make it writable, or name another with --db=PATH");
}

absl::Status HistoryError(const std::string& path, sqlite3* database) {
  if (database == nullptr) return absl::UnavailableError(absl::StrCat(path, ": out of memory; end some processes"));
  const int code = sqlite3_extended_errcode(database);
  const std::string text = sqlite3_errmsg(database);
  constexpr int primary_mask = 0xff;
  switch (code & primary_mask) {
    case SQLITE_FULL:
      return Sentence(path, "the disk is full, and nothing was added", "make room and add it again");
    case SQLITE_NOTADB:
      return Sentence(path, "it is no history, nor any SQLite database", kNameAnother);
    case SQLITE_CORRUPT:
      return HistoryDamaged(path, text);
    case SQLITE_READONLY:
      return HistoryReadOnly(path);
    case SQLITE_BUSY:
      return Sentence(path, "another process has kept it locked for a minute, and nothing was added",
                      "see who with fuser, and add it again");
    case SQLITE_CANTOPEN:
      return Sentence(path, absl::StrCat(text, " (", std::strerror(sqlite3_system_errno(database)), ")"),
                      "the folder must exist and be writable, for the journal lies in it");
    case SQLITE_IOERR:
      // A limit on the size of files (ulimit -f) comes this way, too.
      return Sentence(path,
                      absl::StrCat(text, " (", std::strerror(sqlite3_system_errno(database)), ", SQLite code ", code,
                                   "), and nothing was added"),
                      "see to the disk and its limits, and add it again");
    default:
      return Sentence(path, absl::StrCat(text, " (SQLite code ", code, ")"), kNameAnother);
  }
}

absl::Status CheckHistoryPath(const std::string& path, bool may_be_missing) {
  struct stat file {};
  if (stat(path.c_str(), &file) != 0) {
    if (errno == ENOENT && may_be_missing) return absl::OkStatus();
    const int error = errno;
    return Sentence(path, absl::StrCat("there is no history (", std::strerror(error), ")"),
                    "`history add FILE` makes one, --db=PATH names another");
  }
  if (!S_ISREG(file.st_mode)) return Sentence(path, "it is no file", kNameAnother);
  if (file.st_size == 0 && !may_be_missing) {
    return Sentence(path, "it is empty, nothing was ever added", "`history add FILE` does");
  }
  return absl::OkStatus();
}

absl::Status CheckHistoryVersion(const std::string& path, int64_t application_id, int64_t version) {
  if (application_id != kHistoryApplicationId) {
    return Sentence(path, "it is an SQLite database, but no history", kNameAnother);
  }
  if (version == kHistoryVersion) return absl::OkStatus();
  return Sentence(path,
                  absl::StrCat("the history has version ", version, ", this program knows version ", kHistoryVersion),
                  version > kHistoryVersion ? "update ipcmark" : kNameAnother);
}

}  // namespace ipcmark::results
