// Small result files for tests of the history.
#ifndef IPCMARK_RESULTS_HISTORY_FOR_TEST_H_
#define IPCMARK_RESULTS_HISTORY_FOR_TEST_H_

#include <cstddef>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace ipcmark::results {

struct FakeRun {
  int minute = 0;  // of the day: the run's time
  double p50_ns = 100;
  std::string context = R"("cpu_model": "Zilog Z80", "num_cpus": 2, "kernel": "6.1", "git_revision": "abc")";
  size_t benchmarks = 1;  // named A/0, A/1, ...
};

inline std::string Json(const FakeRun& run) {
  std::string json = absl::StrFormat(R"({"context": {"date": "2026-11-23T%02d:%02d:00+00:00", %s}, "benchmarks": [)",
                                     run.minute / 60, run.minute % 60, run.context);
  for (size_t i = 0; i < run.benchmarks; ++i) {
    absl::StrAppend(&json, i == 0 ? "" : ",", "\n",
                    absl::StrFormat(R"({"name": "A/%d", "run_type": "iteration", "iterations": 10, "real_time": %.6f,)",
                                    i, 2 * run.p50_ns),
                    absl::StrFormat(R"( "cpu_time": 1, "time_unit": "ns", "p50_ns": %.6f, "items_per_second": %.6f})",
                                    run.p50_ns, 1e9 / run.p50_ns));
  }
  return absl::StrCat(json, "\n]}\n");
}

}  // namespace ipcmark::results

#endif  // IPCMARK_RESULTS_HISTORY_FOR_TEST_H_
