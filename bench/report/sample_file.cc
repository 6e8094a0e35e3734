#include "bench/report/sample_file.h"

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "ipc/os/error.h"

namespace ipcmark::bench {

SampleFile::SampleFile(const std::filesystem::path& path) : path_(path) {
  if (path_.empty()) return;
  file_.open(path_);
  file_ << "# ipcmark samples 1\n";
}

void SampleFile::Keep(const Case& one, uint64_t asked_for, const SliceResult& result) {
  if (path_.empty()) return;
  std::vector<Kept>& kept = kept_[one.name];
  if (!kept.empty() && kept.back().asked_for != asked_for) kept.clear();
  kept.push_back({asked_for, result.messages, result.messages_per_sample, result.samples_in_order});
}

void SampleFile::Write(const std::string& name) {
  const auto found = kept_.find(name);
  if (found == kept_.end()) return;
  int repetition = 0;
  for (const Kept& kept : found->second) {
    // gnuplot's `index` wants two empty lines between blocks.
    std::string text = empty_ ? "" : "\n\n";
    empty_ = false;
    absl::StrAppend(&text, "# ", name, " repetition=", repetition++, " messages=", kept.messages,
                    " messages_per_sample=", kept.messages_per_sample, " samples=", kept.samples_nanos.size(), "\n");
    for (int64_t nanos : kept.samples_nanos) absl::StrAppend(&text, nanos, "\n");
    file_ << text;
  }
  kept_.erase(found);
}

absl::Status SampleFile::Close() {
  if (path_.empty()) return absl::OkStatus();
  errno = 0;
  file_.close();
  if (file_) return absl::OkStatus();
  return os::SyscallError(absl::StrCat("write ", path_.string()), errno != 0 ? errno : EIO,
                          "free space or name another file in --samples");
}

}  // namespace ipcmark::bench
