#include "bench/report/complexity.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "bench/attach_cases.h"
#include "bench/report/format.h"
#include "bench/report/runner.h"

namespace ipcmark::bench {
namespace {

using Run = benchmark::BenchmarkReporter::Run;
using Reports = std::vector<std::vector<Run>>;
using benchmark::BigO;

constexpr size_t kFewestPoints = 3;

struct Class {
  BigO complexity;
  const char* name;
  double (*of)(double n);
};
// From the simplest on. oAuto takes a later one only where it is better.
constexpr Class kClasses[] = {
    {benchmark::o1, "1", [](double /*n*/) { return 1.0; }},
    {benchmark::oLogN, "lg N", [](double n) { return std::log2(n); }},
    {benchmark::oN, "N", [](double n) { return n; }},
    {benchmark::oNLogN, "N lg N", [](double n) { return n * std::log2(n); }},
    {benchmark::oNSquared, "N^2", [](double n) { return n * n; }},
    {benchmark::oNCubed, "N^3", [](double n) { return n * n * n; }},
};

Fit LeastSquares(const std::vector<Measured>& points, const Class& kind) {
  double squares = 0;
  double products = 0;
  double sum = 0;
  for (const Measured& point : points) {
    squares += kind.of(point.n) * kind.of(point.n);
    products += kind.of(point.n) * point.value;
    sum += point.value;
  }
  const double coefficient = products / squares;
  double missed = 0;
  for (const Measured& point : points) missed += std::pow(point.value - coefficient * kind.of(point.n), 2);
  const auto count = static_cast<double>(points.size());
  return {kind.complexity, coefficient, std::sqrt(missed / count) / (sum / count)};
}

const Class& ClassOf(BigO complexity) {
  return *std::find_if(std::begin(kClasses), std::end(kClasses) - 1,
                       [&](const Class& kind) { return kind.complexity == complexity; });
}

// The rows that stand for a case: its repetitions, or their median where only aggregates are reported.
std::vector<const Run*> RowsOf(const std::string& case_name, const Reports& reports) {
  std::vector<const Run*> iterations;
  std::vector<const Run*> medians;
  for (const auto& report : reports) {
    for (const Run& run : report) {
      if (run.run_name.function_name != case_name || run.error_occurred) continue;
      if (run.run_type == Run::RT_Iteration) iterations.push_back(&run);
      if (run.aggregate_name == "median") medians.push_back(&run);
    }
  }
  return iterations.empty() ? medians : iterations;
}

double NanosPerIteration(double seconds, const Run& run) {
  return 1e9 * seconds / static_cast<double>(std::max<benchmark::IterationCount>(1, run.iterations));
}

double Median(const Run& run) {
  const auto found = run.counters.find(kP50);
  return found == run.counters.end() ? NAN : found->second.value;
}

struct MeasuredCurve {
  const Run* first = nullptr;
  std::set<double> distinct;
  std::vector<Measured> medians;
  std::vector<Measured> means;
  std::vector<Measured> cpu;
};

MeasuredCurve Measure(const Curve& curve, const Reports& reports) {
  MeasuredCurve measured;
  for (const Curve::Point& point : curve.points) {
    for (const Run* run : RowsOf(point.case_name, reports)) {
      const double mean = NanosPerIteration(run->real_accumulated_time, *run);
      if (!(std::isfinite(mean) && mean > 0)) continue;
      if (measured.first == nullptr) measured.first = run;
      measured.distinct.insert(point.n);
      measured.means.push_back({point.n, mean});
      measured.cpu.push_back({point.n, NanosPerIteration(run->cpu_accumulated_time, *run)});
      if (Median(*run) > 0) measured.medians.push_back({point.n, Median(*run)});
    }
  }
  return measured;
}

std::string FitLine(const FittedCurve& one) {
  const Fit& fit = one.time;
  const std::string name = ClassOf(fit.complexity).name;
  const std::string value = fit.complexity == benchmark::o1 ? FormatNanos(fit.coefficient)
                                                            : absl::StrFormat("%.3g ns * %s", fit.coefficient, name);
  return absl::StrFormat("  %s: O(%s), %s, rms %.0f %%%s\n", one.curve.title, name, value, fit.rms * 100,
                         one.of_means ? " (of means: too few samples)" : "");
}

}  // namespace

Fit FitTo(const std::vector<Measured>& points, BigO complexity) {
  if (complexity != benchmark::oAuto) return LeastSquares(points, ClassOf(complexity));
  Fit best = LeastSquares(points, kClasses[0]);
  for (const Class& kind : kClasses) {
    const Fit fit = LeastSquares(points, kind);
    if (fit.rms < best.rms) best = fit;
  }
  return best;
}

std::vector<Curve> CurvesOf(const std::vector<Case>& cases) {
  std::vector<Curve> curves;
  const auto add = [&](const Case& one, const char* against, double n) {
    const std::string name = absl::StrCat(one.scenario, "/", one.subject, "/", one.variant, "/", against);
    auto curve = std::find_if(curves.begin(), curves.end(), [&](const Curve& known) { return known.name == name; });
    if (curve == curves.end()) {
      curve = curves.insert(curve, {name, absl::StrCat(one.variant, " vs ", against), {}});
    }
    curve->points.push_back({one.name, n});
  };
  const auto page_bytes = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  for (const Case& one : cases) {
    if (one.pages == 0 || one.bytes / one.pages != page_bytes) continue;  // huge pages are no point of these curves
    if (one.attached <= 1) add(one, "bytes", one.bytes);
    if (one.attached >= 1 && one.bytes == kAttachBytes) add(one, "attached", one.attached);
  }
  return curves;
}

std::vector<FittedCurve> FitCurves(const std::vector<Case>& cases, const Reports& reports) {
  std::vector<FittedCurve> fitted;
  for (Curve& curve : CurvesOf(cases)) {
    const MeasuredCurve measured = Measure(curve, reports);
    if (measured.distinct.size() < kFewestPoints) continue;
    const bool of_means = measured.medians.size() < measured.means.size();
    const Fit fit = FitTo(of_means ? measured.means : measured.medians, benchmark::oAuto);
    fitted.push_back({std::move(curve), fit, of_means, FitTo(measured.cpu, fit.complexity), *measured.first});
  }
  return fitted;
}

std::vector<Run> FitRows(const std::vector<FittedCurve>& fitted) {
  std::vector<Run> rows;
  for (const FittedCurve& one : fitted) {
    Run row;
    row.run_name.function_name = one.curve.name;
    row.run_name.time_type = one.first.run_name.time_type;
    row.family_index = one.first.family_index;
    row.per_family_instance_index = one.first.per_family_instance_index;
    row.run_type = Run::RT_Aggregate;
    row.repetitions = one.first.repetitions;
    row.repetition_index = Run::no_repetition_index;
    row.threads = one.first.threads;
    row.time_unit = one.first.time_unit;
    row.iterations = 0;  // reporters then show the times as they are
    row.complexity = one.time.complexity;
    row.statistics = one.first.statistics;
    row.aggregate_name = "BigO";
    row.report_big_o = true;
    row.real_accumulated_time = one.time.coefficient * 1e-9;
    row.cpu_accumulated_time = one.cpu_time.coefficient * 1e-9;
    rows.push_back(row);
    row.aggregate_name = "RMS";
    row.aggregate_unit = benchmark::kPercentage;
    row.report_big_o = false;
    row.report_rms = true;
    // Reporters multiply by the unit, and a share has none.
    row.real_accumulated_time = one.time.rms / benchmark::GetTimeUnitMultiplier(row.time_unit);
    row.cpu_accumulated_time = row.real_accumulated_time;
    rows.push_back(row);
  }
  return rows;
}

std::string FitLines(const std::vector<FittedCurve>& fitted) {
  if (fitted.empty()) return "";
  std::string lines = "\nComplexity (best fit of p50 to 1, lg N, N, N lg N, N^2, N^3)\n";
  for (const FittedCurve& one : fitted) absl::StrAppend(&lines, FitLine(one));
  return lines;
}

}  // namespace ipcmark::bench
