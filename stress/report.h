#ifndef IPCMARK_STRESS_REPORT_H_
#define IPCMARK_STRESS_REPORT_H_

// What came of a run, for people and for programs.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "ipc/os/fd.h"
#include "stress/memory_watch.h"
#include "stress/minimize.h"
#include "stress/record.h"
#include "stress/scenario.h"

namespace ipcmark::stress {

struct Breach {
  const char* invariant;
  std::string text;  // "expected ..., seen ..."
};

// Sums and maxima over trials.
struct Tally {
  uint64_t trials = 0;
  uint64_t messages = 0;
  uint64_t missed = 0;  // which receivers of a broadcast were told that they had missed
  uint64_t strikes = 0;
  uint64_t kills = 0;      // ends that left without closing
  uint64_t survivors = 0;  // ends of struck trials that came to their end by themselves
  int64_t worst_wait_nanos = 0;
  int64_t worst_end_wait_nanos = 0;
  int64_t worst_recovery_nanos = 0;
  int64_t worst_lateness_nanos = 0;
  uint64_t most_overtaken = 0;
  int64_t worst_starved_nanos = 0;

  void Add(const Record& record);
  void Add(const Tally& other);
};

struct ScenarioResult {
  Tally tally;
  std::vector<Breach> breaches;  // of the trial that broke it, whose seed is:
  uint64_t broken_seed = 0;
  std::string replay = {};  // the command that runs it again
  // The smallest trial that breaks the first of `breaches`, where it was looked for; with the same seed.
  std::optional<Smallest> smallest = {};
  std::string smallest_replay = {};
};

struct Results {
  uint64_t seed;
  const Catalogue& catalogue;
  std::vector<ScenarioResult> scenarios;  // as in the catalogue
  const char* reason_to_stop = nullptr;   // why some scenarios were not reached
  MemoryWatch memory = {};                // the runner's own
};

// A table of all scenarios, the skipped ones, one line per fault and one about everything.
void PrintSummary(const Results& results);

// The same as JSON.
std::string ToJson(const Results& results);

// `text` as a JSON string.
std::string Quoted(const std::string& text);

// Where the results go. Opened before hours of work, and before the run has a /dev/shm of its own in which its path
// would name another file. Errors are one sentence.
class ResultFile {
 public:
  // Makes the file, and leaves what is in it until Write. "": Write does nothing.
  static absl::StatusOr<ResultFile> Open(const std::string& path);
  // In the place of what was there.
  absl::Status Write(const std::string& text) const;

 private:
  ResultFile(std::string path, os::Fd file) : path_(std::move(path)), file_(std::move(file)) {}
  std::string path_;
  os::Fd file_;
};

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_REPORT_H_
