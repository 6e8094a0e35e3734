// Runs the fuzz target (file_fuzz.h) on random inputs, the same for the same seed. Without clang's libFuzzer there is
// no guidance by coverage; the inputs are scripts, so that most of them get past the header all the same.
//
//   ./bazelw run //ipc/mmap_queue:file_fuzz -- --seconds=60
//   ./bazelw run //ipc/mmap_queue:file_fuzz -- --seed=7 --input=123      replays one input
//
// A failure prints that command. Exit status: 0 nothing was found, 2 bad usage, else the signal of the failure.

#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "ipc/conformance/support.h"
#include "ipc/mmap_queue/file_fuzz.h"
#include "ipc/mmap_queue/queue_layout.h"
#include "ipc/os/clock.h"

namespace ipcmark::mmap_queue {
namespace {

// Of its own CPU time, so that a busy machine is no hang. One that sleeps ends with the test's time limit.
constexpr int kMostCpuSeconds = 20;

// What the signal handler says.
char replay[160];

void SayHowToReplay(int signal) {
  static_cast<void>(!write(STDERR_FILENO, replay, strlen(replay)));
  ::signal(signal, SIG_DFL);
  raise(signal);
}

std::vector<uint8_t> InputOf(uint64_t seed, uint64_t number) {
  std::mt19937_64 random(seed * 1'000'003 + number);
  std::vector<uint8_t> input(1 + random() % 400);
  for (uint8_t& byte : input) byte = static_cast<uint8_t>(random());
  // A file that starts as a queue's does.
  if (input[0] % 8 == 0 && input.size() > 12 && random() % 2 == 0) {
    memcpy(&input[1], &kQueueMagic, sizeof(kQueueMagic));
    memcpy(&input[9], &kQueueVersion, std::min(sizeof(kQueueVersion), input.size() - 9));
    input.resize(1 + sizeof(QueueHeader) + random() % 200'000);
  }
  return input;
}

void Run(uint64_t seed, uint64_t number) {
  snprintf(replay, sizeof(replay),
           "file_fuzz: failed; replay: ./bazelw run //ipc/mmap_queue:file_fuzz -- --seed=%llu --input=%llu\n",
           static_cast<unsigned long long>(seed), static_cast<unsigned long long>(number));
  const itimerval limit = {.it_interval = {}, .it_value = {.tv_sec = kMostCpuSeconds, .tv_usec = 0}};
  setitimer(ITIMER_PROF, &limit, nullptr);
  const std::vector<uint8_t> input = InputOf(seed, number);
  LLVMFuzzerTestOneInput(input.data(), input.size());
}

struct Options {
  uint64_t seconds = 0;  // 0: as `inputs` says
  uint64_t inputs = 2000;
  uint64_t input = ULLONG_MAX;  // only this one
  uint64_t seed = 0;
  bool has_seed = false;
};

bool Parse(const char* argument, const char* name, uint64_t* value) {
  const size_t length = strlen(name);
  if (strncmp(argument, name, length) != 0) return false;
  char* end = nullptr;
  errno = 0;
  *value = strtoull(argument + length, &end, 10);
  return argument[length] >= '0' && argument[length] <= '9' && *end == '\0' && errno == 0;
}

int Main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const bool is_seed = Parse(argv[i], "--seed=", &options.seed);
    if (is_seed || Parse(argv[i], "--seconds=", &options.seconds) || Parse(argv[i], "--inputs=", &options.inputs) ||
        Parse(argv[i], "--input=", &options.input)) {
      options.has_seed |= is_seed;
      continue;
    }
    fprintf(stderr, "file_fuzz: %s; known are --seconds=N, --inputs=N, --seed=N and --input=N\n", argv[i]);
    return 2;
  }
  const uint64_t seed = options.has_seed ? options.seed : conformance::Seed();
  for (const int signal : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGPROF}) ::signal(signal, SayHowToReplay);
  if (options.input != ULLONG_MAX) {
    Run(seed, options.input);
    return 0;
  }
  const Deadline end =
      options.seconds == 0 ? Deadline::Never() : os::After(static_cast<int64_t>(options.seconds) * os::kNanosPerSecond);
  uint64_t number = 0;
  while (options.seconds == 0 ? number < options.inputs : !os::HasPassed(end)) Run(seed, number++);
  printf("file_fuzz: seed %llu, %llu inputs, nothing found\n", static_cast<unsigned long long>(seed),
         static_cast<unsigned long long>(number));
  return 0;
}

}  // namespace
}  // namespace ipcmark::mmap_queue

int main(int argc, char** argv) { return ipcmark::mmap_queue::Main(argc, argv); }
