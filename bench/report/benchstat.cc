#include "bench/report/benchstat.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "bench/report/runner.h"

namespace ipcmark::bench {

using Run = benchmark::BenchmarkReporter::Run;

std::string BenchstatText(const std::vector<std::pair<std::string, std::string>>& environment,
                          const std::vector<std::vector<benchmark::BenchmarkReporter::Run>>& reports) {
  std::string text;
  for (const auto& [key, value] : environment) {
    if (value.empty() || value.find('\n') != std::string::npos) continue;
    // A key of that format has no upper case and no underscore.
    absl::StrAppend(&text, absl::StrReplaceAll(key, {{"_", "-"}}), ": ", value, "\n");
  }
  text += "\n";
  for (const auto& report : reports) {
    const bool has_runs =
        std::any_of(report.begin(), report.end(), [](const Run& run) { return run.run_type == Run::RT_Iteration; });
    for (const auto& run : report) {
      const bool shown = has_runs ? run.run_type == Run::RT_Iteration : run.aggregate_name == "median";
      if (run.error_occurred || !shown) continue;
      const double nanos = run.real_accumulated_time * 1e9 / static_cast<double>(run.iterations);
      absl::StrAppend(&text, "Benchmark", run.run_name.function_name, " ", run.iterations,
                      absl::StrFormat(" %.6g ns/op", nanos));
      for (const char* name : {kP50, kP99, kP999, kSenderCpu, kReceiverCpu}) {
        const auto counter = run.counters.find(name);
        if (counter == run.counters.end()) continue;
        const std::string key = name;
        // "p50_ns" is the unit "p50-ns", which benchstat scales as a time.
        absl::StrAppend(&text, absl::StrFormat(" %.6g ", counter->second.value),
                        absl::StrReplaceAll(key, {{"_", "-"}}));
      }
      const auto rate = run.counters.find("bytes_per_second");
      if (rate != run.counters.end()) absl::StrAppend(&text, absl::StrFormat(" %.6g B/s", rate->second.value));
      text += "\n";
    }
  }
  return text;
}

}  // namespace ipcmark::bench
