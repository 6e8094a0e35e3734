// The pipe primitive in a loop of its own, without the harness: between straight-line C (reference.c) and RoundTrip,
// it tells what is the primitive's from what is the harness's. The same work as RoundTrip, sequence and checksum too,
// but no sample and no time stamp per trip. Prints nanoseconds per round trip.
//
// usage: bare_pipe SENDER_CPU RECEIVER_CPU COUNT BYTES

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <vector>

#include "absl/strings/numbers.h"
#include "bench/slice.h"
#include "ipc/os/clock.h"
#include "ipc/os/cpu.h"
#include "ipc/pipe/pipe.h"

namespace ipcmark::bench {
namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;

template <typename Channel>
int Run(Channel& there, Channel& back, bool asks, std::span<uint64_t> words, uint64_t warmup, uint64_t count) {
  auto sender = (asks ? there : back).OpenSender();
  auto receiver = (asks ? back : there).OpenReceiver();
  if (!sender.ok() || !receiver.ok()) return kFailed;
  there.ReleaseEnds();
  back.ReleaseEnds();
  const auto send = [&](uint64_t n) {
    WritePayload(words, n);
    return sender->Send(std::as_bytes(words), Deadline::Never()).ok();
  };
  const auto receive = [&](uint64_t n) {
    const IoResult result = receiver->Receive(std::as_writable_bytes(words), Deadline::Never());
    return result.ok() && result.bytes == words.size_bytes() && IsPayload(words, n);
  };
  int64_t start = 0;
  for (uint64_t n = 0; n < warmup + count; ++n) {
    if (n == warmup) start = os::MonotonicNanos();
    if (asks ? !send(n) || !receive(n) : !receive(n) || !send(n)) return kFailed;
  }
  if (asks) printf("%.3f\n", static_cast<double>(os::MonotonicNanos() - start) / static_cast<double>(count));
  return 0;
}

int Main(int argc, char** argv) {
  int cpus[2] = {};
  uint64_t count = 0;
  uint32_t bytes = 0;
  if (argc != 5 || !absl::SimpleAtoi(argv[1], &cpus[0]) || !absl::SimpleAtoi(argv[2], &cpus[1]) ||
      !absl::SimpleAtoi(argv[3], &count) || !absl::SimpleAtoi(argv[4], &bytes) || count == 0 || bytes == 0 ||
      bytes % 8 != 0) {
    fprintf(stderr, "usage: %s SENDER_CPU RECEIVER_CPU COUNT BYTES (a multiple of 8)\n", argv[0]);
    return kUsage;
  }
  const Geometry geometry = {.depth_messages = 64, .max_message_bytes = bytes, .wait = Wait::kBlock};
  auto there = pipe::Channel::Create(geometry);
  auto back = pipe::Channel::Create(geometry);
  if (!there.ok() || !back.ok()) {
    fprintf(stderr, "bare_pipe: no pipe: %s\n", std::string((there.ok() ? back : there).status().message()).c_str());
    return kUsage;
  }
  std::vector<uint64_t> words(bytes / sizeof(uint64_t));
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) return kFailed;
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || !os::PinToCpu(cpus[1]).ok()) _exit(kFailed);
    _exit(Run(*there, *back, /*asks=*/false, words, count / 10 + 80, count));
  }
  if (!os::PinToCpu(cpus[0]).ok()) return kFailed;
  const int result = Run(*there, *back, /*asks=*/true, words, count / 10 + 80, count);
  int status = 0;
  return waitpid(child, &status, 0) == child && status == 0 ? result : kFailed;
}

}  // namespace
}  // namespace ipcmark::bench

int main(int argc, char** argv) { return ipcmark::bench::Main(argc, argv); }
