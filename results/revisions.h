// Builds two revisions of the checkout, each in a git worktree, for the gate.
#ifndef IPCMARK_RESULTS_REVISIONS_H_
#define IPCMARK_RESULTS_REVISIONS_H_

#include <string>

#include "absl/status/statusor.h"
#include "results/janitor.h"

namespace ipcmark::results {

struct Built {
  std::string path;  // the program, in the janitor's folder
  std::string name;  // "origin/main (1a2b3c4d)"
};

// `revision` is git's, or "worktree" for the checkout as it is; `tree` is kBaseTree or kHeadTree. Bazel works in an
// output folder of its own under $XDG_CACHE_HOME (or ~/.cache), which later calls use again; what else was made is
// removed with the janitor's folder. Cancelled when interrupted; a failed build prints its last lines to stderr.
absl::StatusOr<Built> BuildRevision(const std::string& checkout, const std::string& revision, const std::string& target,
                                    const char* tree, const Janitor& janitor);

// The root of the git checkout that we were called in.
absl::StatusOr<std::string> FindCheckout(const Janitor& janitor);

// "//bench" is built as "bench/bench".
std::string OutputOf(const std::string& target);

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_REVISIONS_H_
