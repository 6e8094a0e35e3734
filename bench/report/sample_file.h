#ifndef IPCMARK_BENCH_REPORT_SAMPLE_FILE_H_
#define IPCMARK_BENCH_REPORT_SAMPLE_FILE_H_

// --samples=FILE: the raw samples behind the rows, in the order in which they were taken, as text that every plotting
// tool reads. results/schema.md has the format.

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "bench/cases.h"

namespace ipcmark::bench {

class SampleFile {
 public:
  // Opens the file; ok() says whether that and all writing worked. An empty path: keeps and writes nothing.
  explicit SampleFile(const std::filesystem::path& path);

  // Keeps a slice's samples until its benchmark ends. Google Benchmark first looks for the number of messages with
  // slices that are asked for fewer; those are no rows, and one that is asked for more drops them. (How many messages
  // count differs from repetition to repetition in Wake and in the highest load of OpenLoop.)
  void Keep(const Case& one, uint64_t asked_for, const SliceResult& result);
  // Writes what was kept of this benchmark, one block a repetition, or drops it (a benchmark that was interrupted).
  void Write(const std::string& name);
  // kUnavailable with one sentence when something could not be written.
  absl::Status Close();

 private:
  struct Kept {
    uint64_t asked_for;
    uint64_t messages;
    uint64_t messages_per_sample;
    std::vector<int64_t> samples_nanos;
  };

  std::filesystem::path path_;
  std::ofstream file_;
  bool empty_ = true;
  std::map<std::string, std::vector<Kept>> kept_;
};

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_REPORT_SAMPLE_FILE_H_
