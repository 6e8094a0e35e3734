// Primitives in loops of their own, without the harness: between straight-line C (reference.c, ring.c) and the
// harness's rows, they tell what is the primitive's from what is the harness's. The same calls and the same payload,
// sequence and checksum too, but no sample, no status and no retry. Prints nanoseconds per round trip or per message.
//
// usage: bare pipe_round_trip|ring_round_trip|ring_throughput SENDER_CPU RECEIVER_CPU COUNT BYTES DEPTH
//
// The ring's read the clock as ring.c does, once a round trip or every 64 messages.

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/strings/numbers.h"
#include "bench/slice.h"
#include "ipc/os/clock.h"
#include "ipc/os/cpu.h"
#include "ipc/os/mapping.h"
#include "ipc/pipe/pipe.h"
#include "ipc/sysv_shm/sysv_shm.h"

namespace ipcmark::bench {
namespace {

constexpr int kDone = 0;
constexpr int kFailed = 1;
constexpr int kUsage = 2;
constexpr uint64_t kMessagesPerStamp = 64;

struct Spec {
  int sender_cpu;
  int receiver_cpu;
  uint64_t count;
  uint32_t bytes;
  uint32_t depth;
  [[nodiscard]] uint64_t warmup() const { return depth + 16 + count / 10; }
  [[nodiscard]] uint64_t end() const { return warmup() + count; }
};

// Inlined, as in the harness: what a call pushes are stores, too, and wait in the same queue for lines from another
// CPU.
template <typename S>
[[gnu::always_inline]] inline bool Give(S& sender, std::span<uint64_t> words, uint64_t n) {
  WritePayload(words, n);
  return sender.Send(std::as_bytes(words), Deadline::Never()).ok();
}
template <typename R>
[[gnu::always_inline]] inline bool Take(R& receiver, std::span<uint64_t> words, uint64_t n) {
  const IoResult result = receiver.Receive(std::as_writable_bytes(words), Deadline::Never());
  return result.ok() && result.bytes == words.size_bytes() && IsPayload(words, n);
}

template <typename S>
bool GiveAll(S& sender, std::span<uint64_t> words, uint64_t from, uint64_t to) {
  for (uint64_t n = from; n < to; ++n) {
    if (!Give(sender, words, n)) return false;
  }
  return true;
}
template <typename R>
bool TakeAll(R& receiver, std::span<uint64_t> words, uint64_t from, uint64_t to) {
  for (uint64_t n = from; n < to; ++n) {
    if (!Take(receiver, words, n)) return false;
  }
  return true;
}

// Both sides on their CPUs; what the worse one returns.
int RunPair(const Spec& spec, absl::FunctionRef<int()> send, absl::FunctionRef<int()> receive) {
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) return kFailed;
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || !os::PinToCpu(spec.receiver_cpu).ok()) _exit(kFailed);
    _exit(receive());
  }
  if (!os::PinToCpu(spec.sender_cpu).ok()) return kFailed;
  const int result = send();
  int status = 0;
  return waitpid(child, &status, 0) == child && status == 0 ? result : kFailed;
}

void Print(int64_t nanos, const Spec& spec) {
  printf("%.3f\n", static_cast<double>(nanos) / static_cast<double>(spec.count));
}

template <bool stamps, Primitive P>
int AskAndTime(P& there, P& back, const Spec& spec) {
  auto sender = there.OpenSender();
  auto receiver = back.OpenReceiver();
  if (!sender.ok() || !receiver.ok()) return kFailed;
  there.ReleaseEnds();
  back.ReleaseEnds();
  Words words(spec.bytes / sizeof(uint64_t));
  int64_t start = 0;
  int64_t now = 0;
  for (uint64_t n = 0; n < spec.end(); ++n) {
    if (n == spec.warmup()) start = os::MonotonicNanos();
    if (!Give(*sender, words, n) || !Take(*receiver, words, n)) return kFailed;
    if (stamps) now = os::MonotonicNanos();
  }
  Print((stamps ? now : os::MonotonicNanos()) - start, spec);
  return kDone;
}

template <Primitive P>
int Answer(P& there, P& back, const Spec& spec) {
  auto receiver = there.OpenReceiver();
  auto sender = back.OpenSender();
  if (!sender.ok() || !receiver.ok()) return kFailed;
  there.ReleaseEnds();
  back.ReleaseEnds();
  Words words(spec.bytes / sizeof(uint64_t));
  for (uint64_t n = 0; n < spec.end(); ++n) {
    if (!Take(*receiver, words, n) || !Give(*sender, words, n)) return kFailed;
  }
  return kDone;
}

template <bool stamps, Primitive P>
int RoundTrip(const Geometry& geometry, const Spec& spec) {
  auto there = P::Create(geometry);
  auto back = P::Create(geometry);
  if (!there.ok() || !back.ok()) {
    fprintf(stderr, "bare: %s\n", std::string((there.ok() ? back : there).status().message()).c_str());
    return kUsage;
  }
  return RunPair(
      spec, [&] { return AskAndTime<stamps>(*there, *back, spec); }, [&] { return Answer(*there, *back, spec); });
}

struct Times {
  std::atomic<bool> is_warm;
  std::atomic<int64_t> end_nanos;
};

template <Primitive P>
int SendAll(P& object, const Spec& spec, Times& times) {
  auto sender = object.OpenSender();
  if (!sender.ok()) return kFailed;
  object.ReleaseEnds();
  Words words(spec.bytes / sizeof(uint64_t));
  if (!GiveAll(*sender, words, 0, spec.warmup())) return kFailed;
  while (!times.is_warm) sched_yield();
  const int64_t start = os::MonotonicNanos();
  if (!GiveAll(*sender, words, spec.warmup(), spec.end())) return kFailed;
  while (times.end_nanos == 0) sched_yield();
  Print(times.end_nanos - start, spec);
  return kDone;
}

template <Primitive P>
int ReceiveAll(P& object, const Spec& spec, Times& times) {
  auto receiver = object.OpenReceiver();
  if (!receiver.ok()) return kFailed;
  object.ReleaseEnds();
  Words words(spec.bytes / sizeof(uint64_t));
  if (!TakeAll(*receiver, words, 0, spec.warmup())) return kFailed;
  times.is_warm = true;
  int64_t stamp = 0;
  for (uint64_t n = spec.warmup(); n < spec.end();) {
    const uint64_t batch_end = std::min(n + kMessagesPerStamp, spec.end());
    if (!TakeAll(*receiver, words, n, batch_end)) return kFailed;
    n = batch_end;
    stamp = os::MonotonicNanos();
  }
  times.end_nanos = stamp;
  return kDone;
}

template <Primitive P>
int Throughput(const Geometry& geometry, const Spec& spec) {
  auto object = P::Create(geometry);
  auto mapping = os::Mapping::SharedAnonymous(sizeof(Times));
  if (!object.ok() || !mapping.ok()) {
    fprintf(stderr, "bare: %s\n", std::string((object.ok() ? mapping.status() : object.status()).message()).c_str());
    return kUsage;
  }
  auto& times = *new (mapping->address()) Times{};
  return RunPair(
      spec, [&] { return SendAll(*object, spec, times); }, [&] { return ReceiveAll(*object, spec, times); });
}

int Main(int argc, char** argv) {
  Spec spec = {};
  const std::string_view program = argc > 1 ? argv[1] : "";
  const bool is_valid = argc == 7 && absl::SimpleAtoi(argv[2], &spec.sender_cpu) &&
                        absl::SimpleAtoi(argv[3], &spec.receiver_cpu) && absl::SimpleAtoi(argv[4], &spec.count) &&
                        absl::SimpleAtoi(argv[5], &spec.bytes) && absl::SimpleAtoi(argv[6], &spec.depth) &&
                        spec.count > 0 && spec.bytes > 0 && spec.bytes % 8 == 0 && spec.depth > 0;
  Geometry geometry = {.depth_messages = spec.depth, .max_message_bytes = spec.bytes, .wait = Wait::kSpin};
  if (is_valid && program == "ring_round_trip") return RoundTrip<true, sysv_shm::Channel>(geometry, spec);
  if (is_valid && program == "ring_throughput") return Throughput<sysv_shm::Channel>(geometry, spec);
  geometry.wait = Wait::kBlock;
  if (is_valid && program == "pipe_round_trip") return RoundTrip<false, pipe::Channel>(geometry, spec);
  fprintf(stderr,
          "usage: %s pipe_round_trip|ring_round_trip|ring_throughput SENDER_CPU RECEIVER_CPU COUNT BYTES DEPTH\n"
          "BYTES: a multiple of 8; COUNT and DEPTH: at least 1\n",
          argv[0]);
  return kUsage;
}

}  // namespace
}  // namespace ipcmark::bench

int main(int argc, char** argv) { return ipcmark::bench::Main(argc, argv); }
