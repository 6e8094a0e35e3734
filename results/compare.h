// Compares two result files, benchmark by benchmark.
//
//   CompareOptions   what is compared, and from which change on it counts
//   Comparison       one benchmark's outcome
//   Report           all of them, with the differences between the two environments
//   Compare          makes a Report
//   ExitCode         what a Report means to a script
//
// A benchmark is a run_name; its repetitions are the iteration rows of that name. Aggregate rows (mean, median, stddev,
// cv) are ignored beside them, and where there are none the median (or else the mean) stands for the benchmark.
//
// The ratio is median(head) / median(base), for a rate (*_per_second) median(base) / median(head): above 1 always means
// that head is slower. With at least four repetitions on both sides it comes with an interval (interval.h, on
// logarithms). A benchmark is `slower` when ratio > 1 + threshold and the whole interval lies above 1 + threshold,
// `faster` when the same holds after the files are swapped, and `~` otherwise. Without an interval the ratio alone
// decides.
//
// What has no number is never a pass. A failed repetition fails its benchmark, for the survivors are a biased sample,
// and so does a time of zero, NaN or infinity.
#ifndef IPCMARK_RESULTS_COMPARE_H_
#define IPCMARK_RESULTS_COMPARE_H_

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "results/run_file.h"
#include "results/statistics/interval.h"

namespace ipcmark::results {

struct CompareOptions {
  // real_time, cpu_time or a counter.
  std::string metric = "real_time";
  // 0.1 is 10 %.
  double threshold = 0.1;
  // POSIX extended regular expression, as in --benchmark_filter; empty for all.
  std::string filter;
};

enum class Verdict {
  kSame,
  kSlower,
  kFaster,
  kMissingInBase,
  kMissingInHead,
  kFailedInBase,
  kFailedInHead,
  // Both sides skipped it, or neither has the metric: nothing is compared, and nothing got lost.
  kLeftOut,
};

// As shown: "slower", "~", "missing in head", ...
const char* VerdictName(Verdict verdict);

struct Comparison {
  std::string name;
  Verdict verdict = Verdict::kSame;
  // Medians, in ns for times. Only where that side has a number in every repetition.
  std::optional<double> base;
  std::optional<double> head;
  size_t base_repetitions = 0;
  size_t head_repetitions = 0;
  // Of each repetition, where every one has a number.
  std::vector<double> base_values;
  std::vector<double> head_values;
  // Of kSame, kSlower and kFaster; above 1: head is slower.
  double ratio = 0;
  std::optional<Interval> interval;
  // kSame although the ratio is beyond the threshold on the slow side: the interval cannot tell.
  bool undecided = false;
  // Why there is no number; empty otherwise.
  std::string detail;
};

struct EnvironmentDifference {
  std::string key;
  std::string base;
  std::string head;
};

struct Report {
  CompareOptions options;
  std::string base_path;
  std::string head_path;
  std::vector<EnvironmentDifference> environment;
  // In base's order, then what only head has. Never empty.
  std::vector<Comparison> comparisons;
  // Of all ratios; none when there is no ratio.
  std::optional<double> geometric_mean;
};

// Which keys that both contexts have differ, and are about the machine or the build.
std::vector<EnvironmentDifference> CompareEnvironments(const RunFile& base, const RunFile& head);

// Leaves the names that the POSIX extended regular expression finds; InvalidArgument when it is none, or finds none.
// `names`, of `where`, must not be empty; `flag` is what the user wrote before the expression.
absl::Status KeepMatching(const std::string& filter, std::vector<std::string>& names,
                          const std::string& flag = "--filter=", const std::string& where = "either file");

// InvalidArgument, with one sentence, for a bad filter, a filter that matches nothing, a metric that no row has, and
// two files without a common benchmark.
absl::StatusOr<Report> Compare(const RunFile& base, const RunFile& head, const CompareOptions& options);

// The exit codes of every tool of this project.
enum Exit {
  kExitFine = 0,
  kExitRegression = 1,
  kExitBadInput = 2,
  kExitInconclusive = 3,
  kExitEnvironmentsDiffer = 4,
};

// 4 before 1 before 3 before 0; 3 and 4 only when `strict`.
Exit ExitCode(const Report& report, bool strict);

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_COMPARE_H_
