// Nobody waits for long while others of its side are served. Our primitives promise no turns: whoever is quicker goes
// first, and a process that has lost its CPU inside a call is overtaken for a whole time slice. How often is reported
// (most_overtaken). A breach is only what no scheduler explains: one operation that others of its side overtook a
// thousand times in 200 ms in which they were served and its process could run (starvation.h), in a trial in which
// nothing strikes. A trial in which somebody is overtaken like that goes on until that is decided, or all is sent.
// Where ends spin it takes 500 ms, and is judged in every second trial: there the two sides have a CPU each, so that
// the scheduler has no part in it (plan.h).

#include "absl/strings/str_format.h"
#include "stress/invariants/invariant.h"
#include "stress/starvation.h"

namespace ipcmark::stress {
namespace {

std::string FindStarvation(const Record& record) {
  const int64_t most_nanos = MostStarvedNanos(record.plan);
  if (record.worst_starved_nanos < most_nanos) return "";
  return absl::StrFormat(
      "expected no operation that could go on to wait for %d ms while others complete %d or more, seen %d ms",
      most_nanos / 1'000'000, kStarvedOperations, record.worst_starved_nanos / 1'000'000);
}

}  // namespace

extern const Invariant kFairness = {"fairness", FindStarvation};

}  // namespace ipcmark::stress
