#ifndef IPCMARK_BENCH_REPORT_BENCHSTAT_H_
#define IPCMARK_BENCH_REPORT_BENCHSTAT_H_

// Rows in the Go benchmark format, which benchstat reads: one line a repetition.

#include <benchmark/benchmark.h>

#include <string>
#include <utility>
#include <vector>

namespace ipcmark::bench {

// `environment` becomes its configuration lines (`cpu_model: ...`), without what has several lines or no value.
// Failed runs have no line; aggregates only where there is nothing else of a benchmark, the median for all of it.
std::string BenchstatText(const std::vector<std::pair<std::string, std::string>>& environment,
                          const std::vector<std::vector<benchmark::BenchmarkReporter::Run>>& reports);

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_REPORT_BENCHSTAT_H_
