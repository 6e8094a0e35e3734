#ifndef IPCMARK_BENCH_REPORT_PROGRESS_H_
#define IPCMARK_BENCH_REPORT_PROGRESS_H_

// How far a run is: one line on a terminal's stderr that is written over, and nothing at all where stderr is none.

#include <cstdint>
#include <set>
#include <string>

namespace ipcmark::bench {

// "[3/42] 1:05 left  RoundTrip/pipe/block/64", in at most `columns` columns: 3 of 42 took so long. The end of the name
// gives way; "?" for the time before anything is done.
std::string ProgressLine(int done, int total, int64_t elapsed_nanos, const std::string& name, int columns);

// Counts repetitions of benchmarks, in whatever order they come.
class Progress {
 public:
  // `total` repetitions are expected.
  explicit Progress(int total);

  // A slice of so many messages begins. Google Benchmark looks for a number of messages with ever more of them; one of
  // another benchmark, or with no more messages than the last, says that the repetition before has ended.
  void Begin(const std::string& name, int64_t messages);
  // An interrupt has cut off a repetition of this benchmark.
  void CutOff(const std::string& name) { cut_off_.insert(name); }
  [[nodiscard]] bool IsCutOff(const std::string& name) const { return cut_off_.count(name) > 0; }
  // Removes the line.
  void Clear() const;

  [[nodiscard]] int done() const { return done_; }

 private:
  bool on_terminal_;
  int total_;
  int done_ = 0;
  std::string name_;  // of the last slice
  std::set<std::string> cut_off_;
  int64_t messages_ = 0;
  int64_t start_nanos_;
};

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_REPORT_PROGRESS_H_
