// An append-only store of runs: one SQLite file.
//
//   Store::Open    for reading, or for adding (then it is made where there is none)
//   Store::Add     one run, whole or not at all
//   Store::Runs, Find, Json, Points, Series    what is in it
//   Store::Check   whether all of it is as it was added
//
// What holds, whoever dies when:
// - A run is there with every number, or not at all: an Add is one transaction. Once Add has returned, the run survives
//   SIGKILL and loss of power (synchronous=EXTRA: FULL, and the folder is synced when the journal goes, too).
// - Nothing is ever changed or removed: triggers refuse UPDATE and DELETE, a second run of the same id, and numbers for
//   a run that is already complete, whichever program asks. `points` come first and `runs` seals them, in one commit.
// - The same run is stored once, by its content (history_run.h).
// - Any number of processes may add and read at once; each waits up to a minute for the others.
//
// The journal is SQLite's rollback journal, not WAL: a store is then a single file that may be copied, mailed, put on a
// network file system (WAL needs shared memory) and read from a medium that cannot be written. What WAL is good at,
// readers beside a writer that never stops, does not happen here: an Add takes milliseconds, once a benchmark run.
//
// Errors are one sentence naming the file and the remedy. A Store is used by one thread.
#ifndef IPCMARK_RESULTS_HISTORY_STORE_H_
#define IPCMARK_RESULTS_HISTORY_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "results/history/run.h"

struct sqlite3;

namespace ipcmark::results {

// "ipcm", so that file(1) and we know a store from any other database.
constexpr int64_t kHistoryApplicationId = 0x6970636d;
constexpr int64_t kHistoryVersion = 1;

// One number of one run, in a series.
struct SeriesPoint {
  std::string run;
  int64_t unix_seconds = 0;
  std::string git_revision;
  double value = 0;
};

struct SeriesKey {
  std::string machine;
  std::string machine_text;
  std::string benchmark;
  // Whether any of its runs has it.
  bool has_metric = false;
};

class Store {
 public:
  enum class Mode { kRead, kAdd };

  static absl::StatusOr<Store> Open(const std::string& path, Mode mode);

  // False when it was there already.
  absl::StatusOr<bool> Add(const HistoryRun& run);
  // All of them or none, in one transaction; how many were new.
  absl::StatusOr<size_t> AddAll(const std::vector<HistoryRun>& runs);

  // In the order of time, without `json` and `points`.
  absl::StatusOr<std::vector<HistoryRun>> Runs() const;
  // The run whose id begins so; InvalidArgument when there is none or more than one.
  absl::StatusOr<HistoryRun> Find(const std::string& prefix) const;
  absl::StatusOr<std::string> Json(const std::string& id) const;
  absl::StatusOr<std::vector<HistoryPoint>> Points(const std::string& id) const;

  // Every (machine, benchmark) that has a point, by machine and name.
  absl::StatusOr<std::vector<SeriesKey>> SeriesKeys(const std::string& metric) const;
  // In the order of time, the newest `last` of them.
  absl::StatusOr<std::vector<SeriesPoint>> Series(const SeriesKey& key, const std::string& metric, size_t last) const;

  // SQLite's own check, and every run against its id and its number of points.
  absl::Status Check() const;

 private:
  struct Closer {
    void operator()(sqlite3* database) const;
  };
  using Binder = std::vector<std::string>;

  Store(const std::string& path, sqlite3* database) : path_(path), database_(database) {}

  absl::Status Error() const;
  absl::Status Verify() const;
  absl::Status Create();
  absl::Status Execute(const char* sql) const;
  absl::StatusOr<bool> AddInside(const HistoryRun& run);
  absl::Status Query(const std::string& sql, const Binder& values, const std::function<void(void*)>& row) const;
  absl::StatusOr<int64_t> Number(const std::string& sql, const Binder& values = {}) const;

  std::string path_;
  std::unique_ptr<sqlite3, Closer> database_;
};

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_HISTORY_STORE_H_
