// Nobody waits for ever while others of its side are served. Our primitives promise no turns: whoever is quicker goes
// first, and a process that has lost its CPU inside a call is overtaken for a whole time slice. How often is reported
// (most_overtaken). A breach is only what no scheduler explains: one operation that waited for a second, in which
// others of its side completed a thousand, in a trial where nobody was stopped or killed.

#include "absl/strings/str_format.h"
#include "stress/invariants/invariant.h"

namespace ipcmark::stress {
namespace {

constexpr int64_t kMostStarvedNanos = 1'000'000'000;

std::string FindStarvation(const Record& record) {
  if (record.strikes > 0 || record.worst_starved_nanos <= kMostStarvedNanos) return "";
  return absl::StrFormat(
      "expected no operation to wait longer than %d ms while others complete %d or more, seen %d ms; at most %d "
      "overtook "
      "one",
      kMostStarvedNanos / 1'000'000, kStarvedOperations, record.worst_starved_nanos / 1'000'000, record.most_overtaken);
}

}  // namespace

extern const Invariant kFairness = {"fairness", FindStarvation};

}  // namespace ipcmark::stress
