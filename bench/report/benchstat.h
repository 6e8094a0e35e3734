#ifndef IPCMARK_BENCH_REPORT_BENCHSTAT_H_
#define IPCMARK_BENCH_REPORT_BENCHSTAT_H_

// Rows in the Go benchmark format, which benchstat reads: one line a repetition.

#include <benchmark/benchmark.h>

#include <string>
#include <utility>
#include <vector>

namespace ipcmark::bench {

// `environment` becomes its configuration lines (`cpu_model: ...`), without what has several lines or no value.
// Aggregates and failed runs have no line.
std::string BenchstatText(const std::vector<std::pair<std::string, std::string>>& environment,
                          const std::vector<std::vector<benchmark::BenchmarkReporter::Run>>& reports);

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_REPORT_BENCHSTAT_H_
