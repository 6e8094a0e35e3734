#include "results/history/store.h"

#include <sqlite3.h>

#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "results/history/errors.h"

namespace ipcmark::results {
namespace {

constexpr int kBusyMillis = 60000;

// STRICT: a number stays a number. WITHOUT ROWID: the key is the order on disk, and there is no hidden second name.
constexpr char kSchema[] = R"(
CREATE TABLE runs (
  id TEXT PRIMARY KEY, unix_seconds INTEGER NOT NULL, machine TEXT NOT NULL, machine_text TEXT NOT NULL,
  git_revision TEXT NOT NULL, suite TEXT NOT NULL, points INTEGER NOT NULL, json BLOB NOT NULL) STRICT;
CREATE TABLE points (
  run TEXT NOT NULL REFERENCES runs (id) DEFERRABLE INITIALLY DEFERRED, benchmark TEXT NOT NULL, metric TEXT NOT NULL,
  value REAL NOT NULL, repetitions INTEGER NOT NULL, PRIMARY KEY (run, benchmark, metric)) STRICT, WITHOUT ROWID;
CREATE INDEX series ON points (benchmark, metric, run);
CREATE TRIGGER runs_keep_update BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;
CREATE TRIGGER runs_keep_delete BEFORE DELETE ON runs BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;
CREATE TRIGGER runs_once BEFORE INSERT ON runs WHEN EXISTS (SELECT 1 FROM runs WHERE id = NEW.id)
  BEGIN SELECT RAISE(ABORT, 'the history is append-only: this run is in it'); END;
CREATE TRIGGER points_keep_update BEFORE UPDATE ON points BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;
CREATE TRIGGER points_keep_delete BEFORE DELETE ON points BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;
CREATE TRIGGER points_sealed BEFORE INSERT ON points WHEN EXISTS (SELECT 1 FROM runs WHERE id = NEW.run)
  BEGIN SELECT RAISE(ABORT, 'the history is append-only: this run is complete'); END;
CREATE TRIGGER runs_whole BEFORE INSERT ON runs
  WHEN NEW.points <> (SELECT count(*) FROM points WHERE run = NEW.id)
  BEGIN SELECT RAISE(ABORT, 'a run comes with all its points'); END;
)";

struct Finalizer {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, Finalizer>;

Statement Prepare(sqlite3* database, const std::string& sql) {
  sqlite3_stmt* statement = nullptr;
  sqlite3_prepare_v2(database, sql.c_str(), -1, &statement, nullptr);
  return Statement(statement);
}

// The text must outlive the statement's step.
void Bind(sqlite3_stmt* statement, int index, const std::string& text) {
  sqlite3_bind_text64(statement, index, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
}

std::string Column(void* row, int index) {
  auto* statement = static_cast<sqlite3_stmt*>(row);
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement, index));
  return bytes == nullptr ? "" : std::string(bytes, static_cast<size_t>(sqlite3_column_bytes(statement, index)));
}

int64_t Integer(void* row, int index) { return sqlite3_column_int64(static_cast<sqlite3_stmt*>(row), index); }

double Real(void* row, int index) { return sqlite3_column_double(static_cast<sqlite3_stmt*>(row), index); }

// Only in the columns of a run without its json.
constexpr char kRunColumns[] = "id, unix_seconds, machine, machine_text, git_revision, suite";

HistoryRun RunOf(void* row) {
  HistoryRun run;
  run.id = Column(row, 0);
  run.unix_seconds = Integer(row, 1);
  run.machine = Column(row, 2);
  run.machine_text = Column(row, 3);
  run.git_revision = Column(row, 4);
  run.suite = Column(row, 5);
  return run;
}

}  // namespace

void Store::Closer::operator()(sqlite3* database) const { sqlite3_close(database); }

absl::Status Store::Error() const { return HistoryError(path_, database_.get()); }

absl::Status Store::Execute(const char* sql) const {
  if (sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) == SQLITE_OK) return absl::OkStatus();
  return Error();
}

absl::Status Store::Query(const std::string& sql, const Binder& values, const std::function<void(void*)>& row) const {
  const Statement statement = Prepare(database_.get(), sql);
  if (statement == nullptr) return Error();
  for (size_t i = 0; i < values.size(); ++i) Bind(statement.get(), static_cast<int>(i) + 1, values[i]);
  int step = 0;
  while ((step = sqlite3_step(statement.get())) == SQLITE_ROW) row(statement.get());
  return step == SQLITE_DONE ? absl::OkStatus() : Error();
}

absl::StatusOr<int64_t> Store::Number(const std::string& sql, const Binder& values) const {
  int64_t number = 0;
  absl::Status status = Query(sql, values, [&](void* row) { number = Integer(row, 0); });
  if (!status.ok()) return status;
  return number;
}

absl::StatusOr<Store> Store::Open(const std::string& path, Mode mode) {
  if (absl::Status status = CheckHistoryPath(path, mode == Mode::kAdd); !status.ok()) return status;
  sqlite3* database = nullptr;
  // READWRITE also to read: what a killed writer left must be rolled back first. SQLite itself falls back to reading
  // only where it may not write.
  const int flags = SQLITE_OPEN_READWRITE | (mode == Mode::kAdd ? SQLITE_OPEN_CREATE : 0) | SQLITE_OPEN_EXRESCODE;
  const int opened = sqlite3_open_v2(path.c_str(), &database, flags, nullptr);
  Store store(path, database);
  if (opened != SQLITE_OK) return store.Error();
  sqlite3_busy_timeout(database, kBusyMillis);
  if (absl::Status status = store.Execute("PRAGMA synchronous=EXTRA; PRAGMA foreign_keys=ON;"); !status.ok()) {
    return status;
  }
  if (mode == Mode::kAdd) {
    if (sqlite3_db_readonly(database, "main") == 1) return HistoryReadOnly(path);
    if (absl::Status status = store.Create(); !status.ok()) return status;
  }
  if (absl::Status status = store.Verify(); !status.ok()) return status;
  return store;
}

// Two that find no store make it one after the other: the second one finds it made.
absl::Status Store::Create() {
  absl::StatusOr<int64_t> objects = Number("SELECT count(*) FROM sqlite_schema");
  if (!objects.ok()) return objects.status();
  if (*objects != 0) return absl::OkStatus();
  if (absl::Status status = Execute("BEGIN IMMEDIATE"); !status.ok()) return status;
  objects = Number("SELECT count(*) FROM sqlite_schema");
  absl::Status status = objects.status();
  if (status.ok() && *objects == 0) {
    status = Execute(absl::StrCat("PRAGMA application_id=", kHistoryApplicationId,
                                  ";PRAGMA user_version=", kHistoryVersion, ";", kSchema)
                         .c_str());
  }
  if (status.ok()) status = Execute("COMMIT");
  // Keeps the first error: a rollback that has already happened is none.
  if (!status.ok()) sqlite3_exec(database_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  return status;
}

absl::Status Store::Verify() const {
  const absl::StatusOr<int64_t> application = Number("PRAGMA application_id");
  if (!application.ok()) return application.status();
  const absl::StatusOr<int64_t> version = Number("PRAGMA user_version");
  if (!version.ok()) return version.status();
  return CheckHistoryVersion(path_, *application, *version);
}

absl::StatusOr<bool> Store::Add(const HistoryRun& run) {
  const absl::StatusOr<size_t> added = AddAll({run});
  if (!added.ok()) return added.status();
  return *added == 1;
}

absl::StatusOr<size_t> Store::AddAll(const std::vector<HistoryRun>& runs) {
  // IMMEDIATE: whoever is to write says so before it reads, or two could wait for each other.
  if (absl::Status status = Execute("BEGIN IMMEDIATE"); !status.ok()) return status;
  size_t added = 0;
  absl::Status status;
  for (const HistoryRun& run : runs) {
    const absl::StatusOr<bool> is_new = AddInside(run);
    status = is_new.status();
    if (!status.ok()) break;
    added += *is_new ? 1 : 0;
  }
  if (status.ok()) status = Execute("COMMIT");
  if (status.ok()) return added;
  sqlite3_exec(database_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  return status;
}

absl::StatusOr<bool> Store::AddInside(const HistoryRun& run) {
  const absl::StatusOr<int64_t> known = Number("SELECT count(*) FROM runs WHERE id = ?", {run.id});
  if (!known.ok()) return known.status();
  if (*known != 0) return false;
  const Statement point = Prepare(database_.get(), "INSERT INTO points VALUES (?, ?, ?, ?, ?)");
  if (point == nullptr) return Error();
  for (const HistoryPoint& p : run.points) {
    Bind(point.get(), 1, run.id);
    Bind(point.get(), 2, p.benchmark);
    Bind(point.get(), 3, p.metric);
    sqlite3_bind_double(point.get(), 4, p.value);
    sqlite3_bind_int64(point.get(), 5, p.repetitions);
    if (sqlite3_step(point.get()) != SQLITE_DONE) return Error();
    sqlite3_reset(point.get());
  }
  const Statement whole = Prepare(database_.get(), "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
  if (whole == nullptr) return Error();
  Bind(whole.get(), 1, run.id);
  sqlite3_bind_int64(whole.get(), 2, run.unix_seconds);
  Bind(whole.get(), 3, run.machine);
  Bind(whole.get(), 4, run.machine_text);
  Bind(whole.get(), 5, run.git_revision);
  Bind(whole.get(), 6, run.suite);
  sqlite3_bind_int64(whole.get(), 7, static_cast<sqlite3_int64>(run.points.size()));
  sqlite3_bind_blob64(whole.get(), 8, run.json.data(), run.json.size(), SQLITE_STATIC);
  if (sqlite3_step(whole.get()) != SQLITE_DONE) return Error();
  return true;
}

absl::StatusOr<std::vector<HistoryRun>> Store::Runs() const {
  std::vector<HistoryRun> runs;
  absl::Status status = Query(absl::StrCat("SELECT ", kRunColumns, " FROM runs ORDER BY unix_seconds, id"), {},
                              [&](void* row) { runs.push_back(RunOf(row)); });
  if (!status.ok()) return status;
  return runs;
}

absl::StatusOr<HistoryRun> Store::Find(const std::string& prefix) const {
  std::vector<HistoryRun> found;
  absl::Status status = Query(absl::StrCat("SELECT ", kRunColumns, " FROM runs WHERE substr(id, 1, length(?1)) = ?1"),
                              {prefix}, [&](void* row) { found.push_back(RunOf(row)); });
  if (!status.ok()) return status;
  if (found.size() == 1) return found[0];
  return absl::InvalidArgumentError(absl::StrCat(
      prefix, found.empty() ? ": no run has an id that begins so; `history list` shows them"
                            : absl::StrCat(": ", found.size(), " runs have ids that begin so; give more digits")));
}

absl::StatusOr<std::string> Store::Json(const std::string& id) const {
  std::string json;
  absl::Status status = Query("SELECT json FROM runs WHERE id = ?", {id}, [&](void* row) { json = Column(row, 0); });
  if (!status.ok()) return status;
  return json;
}

absl::StatusOr<std::vector<HistoryPoint>> Store::Points(const std::string& id) const {
  std::vector<HistoryPoint> points;
  absl::Status status =
      Query("SELECT benchmark, metric, value, repetitions FROM points WHERE run = ? ORDER BY benchmark, metric", {id},
            [&](void* row) {
              points.push_back({Column(row, 0), Column(row, 1), Real(row, 2), Integer(row, 3)});
            });
  if (!status.ok()) return status;
  return points;
}

absl::StatusOr<std::vector<SeriesKey>> Store::SeriesKeys(const std::string& metric) const {
  std::vector<SeriesKey> keys;
  absl::Status status = Query(
      "SELECT machine, machine_text, benchmark, max(metric = ?) FROM points JOIN runs ON runs.id = points.run "
      "GROUP BY machine, benchmark ORDER BY machine, benchmark",
      {metric}, [&](void* row) {
        keys.push_back({Column(row, 0), Column(row, 1), Column(row, 2), Integer(row, 3) != 0});
      });
  if (!status.ok()) return status;
  return keys;
}

absl::StatusOr<std::vector<SeriesPoint>> Store::Series(const SeriesKey& key, const std::string& metric,
                                                       size_t last) const {
  std::vector<SeriesPoint> points;
  absl::Status status =
      Query(absl::StrCat("SELECT * FROM (SELECT run, unix_seconds, git_revision, value FROM points JOIN runs "
                         "ON runs.id = points.run WHERE machine = ? AND benchmark = ? AND metric = ? "
                         "ORDER BY unix_seconds DESC, run DESC LIMIT ",
                         last, ") ORDER BY unix_seconds, run"),
            {key.machine, key.benchmark, metric}, [&](void* row) {
              points.push_back({Column(row, 0), Integer(row, 1), Column(row, 2), Real(row, 3)});
            });
  if (!status.ok()) return status;
  return points;
}

absl::Status Store::Check() const {
  std::string verdict;
  absl::Status status =
      Query("PRAGMA integrity_check(1)", {}, [&](void* row) { absl::StrAppend(&verdict, Column(row, 0)); });
  if (!status.ok()) return status;
  if (verdict != "ok") return HistoryDamaged(path_, verdict);
  const absl::StatusOr<std::vector<HistoryRun>> runs = Runs();
  if (!runs.ok()) return runs.status();
  for (const HistoryRun& run : *runs) {
    const absl::StatusOr<std::string> json = Json(run.id);
    if (!json.ok()) return json.status();
    const absl::StatusOr<HistoryRun> again = MakeRun(*json, run.id, run.unix_seconds);
    if (!again.ok()) return HistoryDamaged(path_, std::string(again.status().message()));
    const absl::StatusOr<std::vector<HistoryPoint>> points = Points(run.id);
    if (!points.ok()) return points.status();
    if (again->id != run.id || points->size() != again->points.size()) {
      return HistoryDamaged(path_, absl::StrCat("run ", run.id, " is not what was added"));
    }
  }
  const absl::StatusOr<int64_t> orphans = Number("SELECT count(*) FROM points WHERE run NOT IN (SELECT id FROM runs)");
  if (!orphans.ok()) return orphans.status();
  return *orphans == 0 ? absl::OkStatus() : HistoryDamaged(path_, "there are points without a run");
}

}  // namespace ipcmark::results
