// What can be wrong with a history's file, each in one sentence that names the file and the remedy.
#ifndef IPCMARK_RESULTS_HISTORY_ERRORS_H_
#define IPCMARK_RESULTS_HISTORY_ERRORS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"

struct sqlite3;

namespace ipcmark::results {

// What SQLite last complained about. Null: there was no memory for a connection.
absl::Status HistoryError(const std::string& path, sqlite3* database);

absl::Status HistoryDamaged(const std::string& path, const std::string& what);
absl::Status HistoryReadOnly(const std::string& path);

// Before it is opened: SQLite tells a missing file, a folder and a forbidden one apart only by errno, if at all.
absl::Status CheckHistoryPath(const std::string& path, bool may_be_missing);

absl::Status CheckHistoryVersion(const std::string& path, int64_t application_id, int64_t version);

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_HISTORY_ERRORS_H_
