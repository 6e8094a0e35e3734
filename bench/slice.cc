#include "bench/slice.h"

#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <new>

#include "absl/strings/str_format.h"
#include "ipc/os/clock.h"

namespace ipcmark::bench {
namespace {

SideUsage UsageNow() {
  // The thread's CPU clock is exact; rusage's times are ticks on some kernels, so it only gives the rest.
  timespec cpu = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
  rusage usage = {};
  getrusage(RUSAGE_THREAD, &usage);
  return {.cpu_nanos = cpu.tv_sec * os::kNanosPerSecond + cpu.tv_nsec,
          .voluntary_switches = usage.ru_nvcsw,
          .involuntary_switches = usage.ru_nivcsw,
          .minor_faults = usage.ru_minflt,
          .major_faults = usage.ru_majflt};
}

}  // namespace

UsageMeter::UsageMeter() : start_(UsageNow()), calls_(CountsSystemCalls() ? OwnSystemCallCounter() : nullptr) {
  // Last here and first there: what it calls itself is not in between.
  if (calls_ != nullptr) start_.system_calls = calls_->Read().value_or(-1);
}

SideUsage UsageMeter::Stop() const {
  const int64_t calls = start_.system_calls < 0 ? -1 : calls_->Read().value_or(-1);
  const SideUsage now = UsageNow();
  return {.cpu_nanos = now.cpu_nanos - start_.cpu_nanos,
          .voluntary_switches = now.voluntary_switches - start_.voluntary_switches,
          .involuntary_switches = now.involuntary_switches - start_.involuntary_switches,
          .minor_faults = now.minor_faults - start_.minor_faults,
          .major_faults = now.major_faults - start_.major_faults,
          // The second reading is a call, too, and counts itself.
          .system_calls = calls < 0 ? -1 : calls - start_.system_calls - 1};
}

SideUsage& SideUsage::operator+=(const SideUsage& other) {
  cpu_nanos += other.cpu_nanos;
  voluntary_switches += other.voluntary_switches;
  involuntary_switches += other.involuntary_switches;
  minor_faults += other.minor_faults;
  major_faults += other.major_faults;
  system_calls = system_calls < 0 || other.system_calls < 0 ? -1 : system_calls + other.system_calls;
  return *this;
}

double Fairness(std::span<const double> shares) {
  double sum = 0;
  double squares = 0;
  for (const double share : shares) {
    sum += share;
    squares += share * share;
  }
  return squares == 0 ? 0 : sum * sum / (static_cast<double>(shares.size()) * squares);
}

absl::StatusOr<os::Mapping> SliceShared::Create(uint64_t max_samples) {
  absl::StatusOr<os::Mapping> mapping =
      os::Mapping::SharedAnonymous(sizeof(SliceShared) + max_samples * sizeof(int64_t));
  if (!mapping.ok()) return mapping.status();
  auto* shared = new (mapping->address()) SliceShared{};
  // Touched before the clock starts: a page fault per 512 samples would be in the tail of every distribution.
  std::fill_n(shared->samples_nanos, max_samples, 0);
  return mapping;
}

absl::Status MessageFailure(const char* what, uint64_t n, const IoResult& result, uint32_t expected_bytes) {
  if (!result.ok()) {
    const std::string text =
        absl::StrFormat("%s of message %d: %s (errno %d)", what, n, OutcomeName(result.outcome), result.err);
    // The other side ended before its time, and says why (ProcessGroup::Join).
    const bool by_another = result.outcome == Outcome::kClosed || result.outcome == Outcome::kPeerDead;
    return by_another ? absl::UnavailableError(text) : absl::InternalError(text);
  }
  return absl::DataLossError(absl::StrFormat("%s of message %d: got %d bytes of another message, expected %d of this",
                                             what, n, result.bytes, expected_bytes));
}

bool Fail(absl::Status& failure, const char* what, uint64_t n, IoResult result, uint32_t expected_bytes) {
  failure = MessageFailure(what, n, result, expected_bytes);
  return false;
}

uint64_t WarmupMessages(const SliceSpec& spec) {
  return uint64_t{spec.geometry.depth_messages} + 16 + std::min<uint64_t>(spec.messages / 10, 100'000);
}

void SetSamples(std::vector<int64_t> in_order, SliceResult& result) {
  result.samples_in_order = std::move(in_order);
  result.samples_nanos = result.samples_in_order;
  std::sort(result.samples_nanos.begin(), result.samples_nanos.end());
  result.max_nanos = result.samples_nanos.empty() ? 0 : result.samples_nanos.back();
}

SliceResult TakeResult(const SliceShared& shared, uint64_t messages, uint64_t messages_per_sample) {
  SliceResult result;
  result.nanos = shared.end_nanos - shared.start_nanos;
  result.messages = messages;
  result.messages_per_sample = messages_per_sample;
  SetSamples({shared.samples_nanos, shared.samples_nanos + shared.samples}, result);
  result.samples_apart = shared.samples_apart;
  result.max_nanos = shared.max_nanos;
  result.sender = shared.sender;
  result.receiver = shared.receiver;
  return result;
}

}  // namespace ipcmark::bench
