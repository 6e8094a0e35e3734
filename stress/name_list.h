#ifndef IPCMARK_STRESS_NAME_LIST_H_
#define IPCMARK_STRESS_NAME_LIST_H_

// Names with commas between them, as a flag takes them: --primitive=pipe,mmap_queue.

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace ipcmark::stress {

class NameList {
 public:
  // Without any name it has all of them.
  NameList() = default;
  // What is not a name of anything is in it, too: who knows the names refuses it.
  explicit NameList(absl::string_view text) : names_(absl::StrSplit(text, ',')) {}

  [[nodiscard]] bool empty() const { return names_.empty(); }
  [[nodiscard]] bool Has(absl::string_view name) const {
    return empty() || std::ranges::any_of(names_, [&](const std::string& one) { return one == name; });
  }
  [[nodiscard]] const std::vector<std::string>& names() const { return names_; }
  // As it was given.
  [[nodiscard]] std::string text() const { return absl::StrJoin(names_, ","); }

 private:
  std::vector<std::string> names_;
};

}  // namespace ipcmark::stress

#endif  // IPCMARK_STRESS_NAME_LIST_H_
