// A small Google Benchmark program with a known cost, for calibrating and testing the gate.
//
//   --slowdown=5%     every benchmark does so much more work
//   --only=NAME       the slowdown is for this benchmark only
//   --fail=NAME       fails
//   --hang=NAME       never ends
//
// It understands --benchmark_min_time=Nx, whichever version of the library it is built with.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#ifndef DEFAULT_SLOWDOWN
#define DEFAULT_SLOWDOWN 0.0
#endif

namespace {

struct Options {
  double slowdown = DEFAULT_SLOWDOWN;
  std::string only;
  std::string fail;
  std::string hang;
  int64_t iterations = 0;
};

// A chain of dependent multiplications: no compiler and no out-of-order core shortens it.
void Work(benchmark::State& state, int64_t steps, int64_t iterations) {
  uint64_t value = 88172645463325252;
  const int64_t batch = iterations > 0 ? iterations : state.max_iterations;
  while (state.KeepRunningBatch(batch)) {
    for (int64_t i = 0; i < batch; ++i) {
      for (int64_t step = 0; step < steps; ++step) value = value * 6364136223846793005U + 1442695040888963407U;
      benchmark::DoNotOptimize(value);
    }
  }
}

Options& TheOptions() {
  static Options options;
  return options;
}

void Chain(benchmark::State& state) {
  const Options& options = TheOptions();
  const int64_t steps = state.range(0);
  const std::string name = "Chain/" + std::to_string(steps);
  if (name == options.fail) {
    state.SkipWithError("told to fail");
    return;
  }
  while (name == options.hang) pause();
  const bool slow = options.only.empty() || options.only == name;
  const double factor = 1 + (slow ? options.slowdown : 0);
  Work(state, static_cast<int64_t>(static_cast<double>(steps) * factor), options.iterations);
}
BENCHMARK(Chain)->Arg(200)->Arg(400)->Arg(1000)->Arg(4000);

// Takes what is ours out of the arguments.
Options Take(std::vector<char*>& arguments) {
  Options options;
  std::vector<char*> rest;
  for (char* argument : arguments) {
    const std::string text = argument;
    const auto value = [&](const char* flag) {
      return text.rfind(flag, 0) == 0 ? argument + std::strlen(flag) : nullptr;
    };
    if (const char* percent = value("--slowdown=")) {
      options.slowdown = std::atof(percent) / 100;
    } else if (const char* only = value("--only=")) {
      options.only = only;
    } else if (const char* fail = value("--fail=")) {
      options.fail = fail;
    } else if (const char* hang = value("--hang=")) {
      options.hang = hang;
    } else if (value("--benchmark_min_time=") != nullptr && text.back() == 'x') {
      options.iterations = std::atoll(value("--benchmark_min_time="));
    } else {
      rest.push_back(argument);
    }
  }
  arguments = rest;
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<char*> arguments(argv, argv + argc);
  const Options& options = TheOptions() = Take(arguments);
  static char one_run[] = "--benchmark_min_time=0.000000001";
  if (options.iterations > 0) arguments.push_back(one_run);
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
