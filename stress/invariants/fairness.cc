// Nobody waits for long while others of its side are served. Our primitives promise no turns: whoever is quicker goes
// first, and a process that has lost its CPU inside a call is overtaken for a whole time slice. How often is reported
// (most_overtaken). A breach is only what no scheduler explains: one operation that others of its side overtook a
// thousand times in 200 ms in which they were served and its process could run (starvation.h), in a trial in which
// nothing strikes and nobody waits by spinning. A trial in which somebody is overtaken like that goes on until that is
// decided, or all is sent.

#include "absl/strings/str_format.h"
#include "stress/invariants/invariant.h"
#include "stress/starvation.h"

namespace ipcmark::stress {
namespace {

std::string FindStarvation(const Record& record) {
  if (record.worst_starved_nanos < kMostStarvedNanos) return "";
  return absl::StrFormat(
      "expected no operation that could go on to wait for %d ms while others complete %d or more, seen %d ms",
      kMostStarvedNanos / 1'000'000, kStarvedOperations, record.worst_starved_nanos / 1'000'000);
}

}  // namespace

extern const Invariant kFairness = {"fairness", FindStarvation};

}  // namespace ipcmark::stress
