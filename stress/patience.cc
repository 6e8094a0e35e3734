#include "stress/patience.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <memory>

#include "absl/strings/str_cat.h"
#include "ipc/os/clock.h"
#include "ipc/os/fd.h"
#include "ipc/os/process_state.h"

namespace ipcmark::stress {
namespace {

constexpr int64_t kSlices = 16;
// Of a shorter one the kernel's counts, which move with its clock tick, say nothing.
constexpr int64_t kLeastSliceNanos = 20'000'000;
// A CPU for one part in so many + 1 of the time that a thread wants it is enough.
constexpr int64_t kEnoughShare = 4;

CpuTimes ReadTimes(const std::string& path) {
  char text[64] = "";
  const os::Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  CpuTimes times;
  long long ran = 0;
  long long waited = 0;
  times.known =
      fd.valid() && read(fd.get(), text, sizeof(text) - 1) > 0 && sscanf(text, "%lld %lld", &ran, &waited) == 2;
  times.ran_nanos = ran;
  times.waited_nanos = waited;
  return times;
}

std::vector<pid_t> ThreadsOf(pid_t process) {
  std::vector<pid_t> threads;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(absl::StrCat("/proc/", process, "/task").c_str()), closedir);
  if (folder == nullptr) return threads;
  while (const dirent* entry = readdir(folder.get())) {
    if (const int thread = atoi(entry->d_name); thread > 0) threads.push_back(thread);
  }
  return threads;
}

}  // namespace

CpuTimes OwnCpuTimes() { return ReadTimes("/proc/self/schedstat"); }

ThreadSamples SampleThreads(std::vector<pid_t> processes) {
  ThreadSamples samples;
  while (!processes.empty()) {
    const pid_t process = processes.back();
    processes.pop_back();
    for (const pid_t thread : ThreadsOf(process)) {
      const std::string folder = absl::StrCat("/proc/", process, "/task/", thread);
      const char state = os::ProcessState(thread);
      // The dead do nothing any more.
      if (state == 'Z' || state == 'X' || state == '?') continue;
      const ThreadSample sample = {ReadTimes(absl::StrCat(folder, "/schedstat")), state};
      if (!samples.try_emplace(thread, sample).second) continue;
      std::ifstream children(absl::StrCat(folder, "/children"));
      for (pid_t child = 0; children >> child;) processes.push_back(child);
    }
  }
  return samples;
}

int64_t UsableNanos(const ThreadSample& before, const ThreadSample& now, int64_t nanos) {
  if (before.state == 'T' || now.state == 'T') return 0;
  if (!now.times.known) return nanos;
  const int64_t ran = std::max<int64_t>(0, now.times.ran_nanos - before.times.ran_nanos);
  int64_t waited = std::clamp<int64_t>(now.times.waited_nanos - before.times.waited_nanos, 0, nanos);
  // A wait that goes on is in no count yet.
  if (now.state == 'R' && ran == 0) waited = nanos;
  return std::min(nanos, nanos - waited + kEnoughShare * ran);
}

Patience::Patience(int64_t bound_nanos, int64_t most_bounds)
    : bound_nanos_(bound_nanos),
      slice_nanos_(std::max(kLeastSliceNanos, bound_nanos / kSlices)),
      most_nanos_(most_bounds == kNoLimit ? std::numeric_limits<int64_t>::max() : most_bounds * bound_nanos),
      last_call_nanos_(os::MonotonicNanos()) {}

int64_t Patience::Elapse() {
  const int64_t now = os::MonotonicNanos();
  const int64_t gap = now - last_call_nanos_;
  last_call_nanos_ = now;
  const int64_t seen = std::min(gap, 2 * slice_nanos_);
  excused_nanos_ += gap - seen;
  return seen;
}

void Patience::Renew() {
  Elapse();
  since_sample_nanos_ = 0;
  used_nanos_ = 0;
  watched_nanos_ = 0;
  has_samples_ = false;
}

void Patience::Skip() { excused_nanos_ += Elapse(); }

int64_t Patience::Usable(const ThreadSamples& now, int64_t nanos) const {
  int64_t least = nanos;
  for (const auto& [thread, sample] : now) {
    const auto before = samples_.find(thread);
    // Nothing to compare with before the second look; later on a thread that is new has all its times since.
    ThreadSample earlier = {.times = has_samples_ ? CpuTimes{} : sample.times, .state = sample.state};
    if (before != samples_.end()) earlier = before->second;
    if (has_samples_ || sample.state == 'T') least = std::min(least, UsableNanos(earlier, sample, nanos));
  }
  return least;
}

bool Patience::IsOver(absl::FunctionRef<std::vector<pid_t>()> processes) {
  since_sample_nanos_ += Elapse();
  if (since_sample_nanos_ < slice_nanos_) return false;
  ThreadSamples now = SampleThreads(processes());
  const int64_t usable = Usable(now, since_sample_nanos_);
  used_nanos_ += usable;
  watched_nanos_ += since_sample_nanos_;
  excused_nanos_ += since_sample_nanos_ - usable;
  since_sample_nanos_ = 0;
  samples_ = std::move(now);
  has_samples_ = true;
  return used_nanos_ >= bound_nanos_ || watched_nanos_ >= most_nanos_;
}

}  // namespace ipcmark::stress
