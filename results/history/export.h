// What leaves a history: tables for people, everything for other programs, its runs for another history.
#ifndef IPCMARK_RESULTS_HISTORY_EXPORT_H_
#define IPCMARK_RESULTS_HISTORY_EXPORT_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "results/history/store.h"

namespace ipcmark::results {

// One line a run, oldest first.
absl::StatusOr<std::string> ListText(const Store& store);

// One run: what it was measured with and its numbers; `as_file`: the bytes that were added.
absl::StatusOr<std::string> ShowText(const Store& store, const std::string& id_prefix, bool as_file);

// `format` is json or csv (results/schema.md); handed to `write` run by run, since all runs together may be large.
// Ends early, with OK, when `write` returns false.
absl::Status ExportAll(const Store& store, const std::string& format,
                       const std::function<bool(const std::string&)>& write);

struct MergeCount {
  size_t runs = 0;
  size_t added = 0;
};

// All of `other`, which lies in `path`, or nothing. Its numbers are worked out again from the files in it, and a run
// whose content is not what its id says is refused.
absl::StatusOr<MergeCount> MergeInto(Store& store, const Store& other, const std::string& path);

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_HISTORY_EXPORT_H_
