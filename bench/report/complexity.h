#ifndef IPCMARK_BENCH_REPORT_COMPLEXITY_H_
#define IPCMARK_BENCH_REPORT_COMPLEXITY_H_

// How the cost of a call grows: the curves of Attach, and the complexity fitted to each, as Google Benchmark's
// Complexity() fits it and in the rows (BigO, RMS) that it reports.
//
// Not by Complexity() itself. It takes the points of one family, and here one point (1 MiB, one attached) is on two
// curves. And the library that Debian 12 has, 1.7.1, chooses the class by the CPU time of the calling process, which
// here only sleeps: a manual time that grows linearly from 4 to 4,096 came out as O(1), rms 161 %. So the same least
// squares are made here, over the medians of the samples: one call of a thousand that waits 10 ms for the CPU makes a
// flat curve of means "linear".

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "bench/cases.h"

namespace ipcmark::bench {

// coefficient * f(N), where f is 1, log2 N, N, N log2 N, N^2 or N^3.
struct Fit {
  benchmark::BigO complexity;
  double coefficient;
  double rms;  // root of the mean square of what the fit misses, as a share of the mean value
};

struct Measured {
  double n;
  double value;
};

// Least squares with one coefficient; oAuto: the class with the least rms, the simpler one when two are equal.
// `points` is not empty, N is 1 or more.
Fit FitTo(const std::vector<Measured>& points, benchmark::BigO complexity);

// What becomes of one quantity when all others stay: the cases of one call, against their size or their attach count.
struct Curve {
  std::string name;   // "Attach/sysv_shm/shmat/bytes"
  std::string title;  // "shmat vs bytes"
  struct Point {
    std::string case_name;
    double n;
  };
  std::vector<Point> points;
};
std::vector<Curve> CurvesOf(const std::vector<Case>& cases);

// A curve with three measured points or more, each repetition counted as Google Benchmark does; one that was skipped,
// not selected or failed is no point.
struct FittedCurve {
  Curve curve;
  Fit time;       // of p50_ns, in nanoseconds; of real_time unless every row has a p50_ns
  bool of_means;  // the latter
  Fit cpu_time;   // of the same class, in nanoseconds
  benchmark::BenchmarkReporter::Run first;
};
// `reports` as Collector has them (report.h): with the CPU time of the measured processes.
std::vector<FittedCurve> FitCurves(const std::vector<Case>& cases,
                                   const std::vector<std::vector<benchmark::BenchmarkReporter::Run>>& reports);

// Two rows a curve, "Attach/sysv_shm/shmat/bytes_BigO" and "..._RMS", for Google Benchmark's reporters. Both rms are
// that of `time`: its JSON has only one.
std::vector<benchmark::BenchmarkReporter::Run> FitRows(const std::vector<FittedCurve>& fitted);

// A line a curve under a heading: "shmat vs bytes: O(1), 2.41 µs, rms 4 %". Empty without curves.
std::string FitLines(const std::vector<FittedCurve>& fitted);

}  // namespace ipcmark::bench

#endif  // IPCMARK_BENCH_REPORT_COMPLEXITY_H_
