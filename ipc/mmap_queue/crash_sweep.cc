#include "ipc/mmap_queue/crash_sweep.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <optional>
#include <random>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ipc/conformance/support.h"
#include "ipc/mmap_queue/posix_limit.h"
#include "ipc/os/clock.h"
#include "ipc/os/die_with.h"
#include "ipc/os/mapping.h"
#include "ipc/os/process_state.h"

namespace ipcmark::mmap_queue {
namespace {

using conformance::IsMessageOf;
using conformance::MessageOf;

constexpr uint32_t kDepth = 4;
constexpr uint64_t kVictims = 99;  // the number of the victim's message
constexpr uint64_t kPeers = 98;    // of the blocked sender's
constexpr uint64_t kProbe = 97;    // of the survivor's
constexpr int64_t kResumeNanos = 100'000'000;
constexpr int64_t kNoNetNanos = 3600 * os::kNanosPerSecond;
// Who sleeps after so long in a call that need not wait does so for good.
constexpr int64_t kHangNanos = 300'000'000;
constexpr int kSampled = 40;  // instructions, unless the sweep is whole
constexpr int kMarker = SIGUSR2;
constexpr char kHang[] = "a survivor hangs";

// What the peer has done, in memory that it shares.
struct PeerReport {
  std::atomic<int> done;
  int ok;
  uint32_t bytes;
  std::byte message[kSweptLargeBytes];
};

// What a survivor in a process of its own says.
struct SurvivorReport {
  std::atomic<int> done;
  char wrong[200];
};

class Sweep {
 public:
  Sweep(const Scenario& scenario, Policy policy)
      : scenario_(scenario),
        name_(absl::StrCat("/crash_sweep_", getpid())),
        queue_(*Queue::Open(name_, O_CREAT | O_EXCL | O_RDWR, 0600,
                            {.depth_messages = kDepth,
                             .message_bytes = static_cast<int64_t>(RoomFor(scenario.bytes)),
                             .policy = policy})),
        report_(*os::Mapping::SharedAnonymous(sizeof(PeerReport))),
        survivor_(*os::Mapping::SharedAnonymous(sizeof(SurvivorReport))) {
    Queue::Unlink(name_).IgnoreError();
  }

  // Kills the victim after `steps` instructions. Returns "" or what is wrong; *finished is set when the victim had
  // returned from its call before.
  std::string KillAfter(uint64_t steps, bool* finished) {
    for (uint64_t n = 0; n < scenario_.messages; ++n)
      queue_.Send(MessageOf(0, n, scenario_.bytes), static_cast<uint32_t>(n));
    messages_ = scenario_.messages;
    taken_.clear();
    new (report_.address()) PeerReport{};
    const pid_t peer = scenario_.peer == Peer::kNone ? -1 : StartPeer();
    const pid_t victim = StepVictim(steps, finished);
    if (victim < 0) return "ptrace does not work";
    const bool may_hang = queue_.policy() == Policy::kPosix;
    std::string wrong = may_hang ? CheckInAProcess(*finished) : Check(*finished);
    if (peer > 0) {
      kill(peer, SIGKILL);
      waitpid(peer, nullptr, 0);
    }
    if (may_hang) return wrong;
    std::byte buffer[kSweptLargeBytes];
    while (ReceiveNow(buffer).ok()) {
    }
    return wrong;
  }

  // Instructions of the last victim.
  [[nodiscard]] uint64_t steps_taken() const { return steps_taken_; }

 private:
  PeerReport& report() { return *static_cast<PeerReport*>(report_.address()); }

  IoResult ReceiveNow(std::span<std::byte> buffer) {
    const timespec past = {.tv_sec = 1, .tv_nsec = 0};
    return queue_.Receive(buffer, nullptr, &past);
  }
  IoResult SendNow(uint64_t n, uint32_t priority) {
    const timespec past = {.tv_sec = 1, .tv_nsec = 0};
    return queue_.Send(MessageOf(0, n, scenario_.bytes), priority, &past);
  }

  // The survivor makes room for one message.
  void TakeOne() {
    std::vector<std::byte> buffer(kSweptLargeBytes);
    const IoResult result = ReceiveNow(buffer);
    if (!result.ok()) return;
    buffer.resize(result.bytes);
    taken_.push_back(std::move(buffer));
  }

  // A process that is blocked in its call when this returns.
  pid_t StartPeer() {
    Condition& condition = scenario_.peer == Peer::kReceiver ? Header().not_empty : Header().not_full;
    condition.awaited = 0;
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid != 0) {
      const Deadline end = os::After(10 * os::kNanosPerSecond);
      while ((condition.awaited == 0 || !os::IsAsleep(pid)) && !os::HasPassed(end)) sched_yield();
      return pid;
    }
    os::DieWith(parent);
    View view(file_, queue_.fd());
    // It must go on because it is woken, and not because it looks up.
    PosixLimit limit(view, nullptr, kNoNetNanos);
    const IoResult result = scenario_.peer == Peer::kReceiver
                                ? view.Receive(report().message, nullptr, limit)
                                : view.Send(MessageOf(0, kPeers, scenario_.bytes), 0, limit);
    report().ok = result.ok() ? 1 : 0;
    report().bytes = result.bytes;
    report().done = 1;
    for (;;) pause();
  }

  pid_t StepVictim(uint64_t steps, bool* finished) {
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid == 0) {
      os::DieWith(parent);
      if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(1);
      raise(kMarker);
      scenario_.act(queue_);
      raise(kMarker);
      _exit(0);
    }
    *finished = false;
    int status = 0;
    bool stepping = waitpid(pid, &status, 0) == pid && WIFSTOPPED(status) && WSTOPSIG(status) == kMarker;
    const pid_t result = stepping ? pid : -1;
    steps_taken_ = 0;
    for (; stepping && steps_taken_ < steps && !*finished; ++steps_taken_) {
      stepping = ptrace(PTRACE_SINGLESTEP, pid, nullptr, nullptr) == 0 && AwaitStop(pid, &status);
      *finished = stepping && WSTOPSIG(status) == kMarker;
    }
    kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) == pid && !WIFSIGNALED(status) && !WIFEXITED(status)) {
    }
    return result;
  }

  // Waits for the end of a step; a victim that sleeps instead gets a message. False when it sleeps for good or has
  // died.
  bool AwaitStop(pid_t pid, int* status) {
    if (scenario_.meanwhile == 0) return waitpid(pid, status, 0) == pid && WIFSTOPPED(*status);
    for (uint64_t looks = 0;; ++looks) {
      const pid_t stopped = waitpid(pid, status, WNOHANG);
      if (stopped != 0) return stopped == pid && WIFSTOPPED(*status);
      if (looks % 100 != 99 || !os::IsAsleep(pid)) continue;
      if (messages_ + taken_.size() == scenario_.messages + scenario_.meanwhile) return false;
      if (scenario_.sends) {
        TakeOne();
      } else if (SendNow(messages_, 0).ok()) {
        ++messages_;
      }
    }
  }

  QueueHeader& Header() {
    if (file_.address == nullptr) MapQueueFile(queue_.fd(), &file_);
    return file_.core.header();
  }

  // The number of messages, as whoever takes the lock next finds it.
  uint32_t CountUnderLock() {
    Header();
    View view(file_, queue_.fd());
    PosixLimit limit(view, nullptr);
    Locks locks;
    if (!view.LockBoth(limit, locks).ok()) return UINT32_MAX;
    const uint32_t count = view.core().count();
    view.Unlock(locks);
    return count;
  }

  bool PeerResumes() {
    const Deadline end = os::After(kResumeNanos);
    while (report().done == 0) {
      if (os::HasPassed(end)) return false;
      sched_yield();
    }
    return true;
  }

  std::string CheckInAProcess(bool finished) {
    auto& said = *new (survivor_.address()) SurvivorReport{};
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid == 0) {
      os::DieWith(parent);
      snprintf(said.wrong, sizeof(said.wrong), "%s", Check(finished).c_str());
      said.done = 1;
      _exit(0);
    }
    const Deadline end = os::After(kHangNanos);
    while (said.done == 0 && !(os::HasPassed(end) && os::IsAsleep(pid))) sched_yield();
    const bool hangs = said.done == 0;
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    return hangs ? kHang : said.wrong;
  }

  std::string Check(bool finished) {
    // A third process barges in. What it is told before it takes a lock is right; a peer changes it.
    const bool is_still = queue_.policy() == Policy::kRobust && scenario_.peer == Peer::kNone;
    const uint32_t told = is_still ? queue_.count() : 0;
    const uint32_t count = CountUnderLock();
    if (count > kDepth) return "the lock is lost or the count is wrong";
    if (is_still && told != count) return "the count is wrong until somebody takes a lock";
    const bool due = scenario_.peer == Peer::kReceiver ? count > 0
                     : scenario_.peer == Peer::kSender ? count < kDepth
                                                       : false;
    if (due && !PeerResumes()) return "the blocked peer did not resume";
    if (scenario_.peer == Peer::kReceiver && report().done == 0) {
      // Nothing has come for it yet. It must be there for what comes now.
      if (!SendNow(kProbe, 0).ok()) return "the survivor cannot send";
      if (!PeerResumes()) return "the blocked peer does not hear the survivor";
    }
    return CheckContents(finished);
  }

  std::string CheckContents(bool finished) {
    std::vector<int> seen(kVictims + 1, 0);
    std::byte buffer[kSweptLargeBytes];
    for (const std::vector<std::byte>& message : taken_) {
      if (!Note(message, seen)) return "a torn message";
    }
    if (scenario_.peer == Peer::kReceiver) {
      if (report().ok == 0 || !Note(std::span(report().message).first(report().bytes), seen)) return "a torn message";
    }
    const bool blocked_sender = scenario_.peer == Peer::kSender && report().done == 0;
    for (IoResult result = ReceiveNow(buffer); result.ok(); result = ReceiveNow(buffer)) {
      if (!Note(std::span(buffer).first(result.bytes), seen)) return "a torn message";
      // Room: the blocked sender may come in now.
      if (blocked_sender) PeerResumes();
    }
    if (scenario_.peer == Peer::kSender) {
      if (report().done == 0) return "the blocked sender does not come in";
      if (seen[kPeers] != 1) return "the blocked sender's message is lost";
    }
    int missing = 0;
    for (uint64_t n = 0; n < messages_; ++n) {
      if (seen[n] > 1) return absl::StrFormat("message %d is there twice", n);
      if (seen[n] == 0) ++missing;
    }
    if (scenario_.sends) {
      if (missing != 0) return "an accepted message is lost";
      if (seen[kVictims] > 1 || (finished && seen[kVictims] != 1)) return "the victim's message is lost or doubled";
    } else if (missing > 1 || (missing == 1 && scenario_.messages > 0 && seen[messages_ - 1] == 1) ||
               (finished && missing != 1)) {
      return "another message is lost than the one that the victim took";
    }
    return CheckRoom();
  }

  // It is empty now: it takes as many messages as it should, and no more.
  std::string CheckRoom() {
    if (queue_.count() != 0) return "the count of an empty queue is not 0";
    for (uint32_t n = 0; n < kDepth; ++n) {
      if (!SendNow(n, 0).ok()) return "a slot is lost";
    }
    if (SendNow(0, 0).ok()) return "there is more room than there should be";
    std::byte buffer[kSweptLargeBytes];
    for (uint32_t n = 0; n < kDepth; ++n) {
      const IoResult result = ReceiveNow(buffer);
      if (!result.ok() || !IsMessageOf(std::span(buffer).first(result.bytes), 0, n)) return "the order is lost";
    }
    return "";
  }

  // Counts a message, if it is one that was sent and whole.
  bool Note(std::span<const std::byte> message, std::vector<int>& seen) {
    if (message.size() != scenario_.bytes) return false;
    for (uint64_t n = 0; n < seen.size(); ++n) {
      if (!IsMessageOf(message, 0, n)) continue;
      ++seen[n];
      return true;
    }
    return false;
  }

  const Scenario& scenario_;
  std::string name_;
  Queue queue_;
  os::Mapping report_;
  os::Mapping survivor_;
  MappedFile file_;
  uint64_t steps_taken_ = 0;
  uint64_t messages_ = 0;                      // that were accepted before the kill, but for the victim's
  std::vector<std::vector<std::byte>> taken_;  // by the survivor while the victim slept
};

}  // namespace

const std::vector<std::byte>& VictimsMessage(size_t bytes) {
  static const auto* const kSmall = new std::vector<std::byte>(MessageOf(0, kVictims, kSweptSmallBytes));
  static const auto* const kLarge = new std::vector<std::byte>(MessageOf(0, kVictims, kSweptLargeBytes));
  return bytes <= kSweptMessageBytes ? *kSmall : *kLarge;
}

Found SweepThrough(const Scenario& scenario, Policy policy, const Extent& extent) {
  Found found;
  bool finished = false;
  VictimsMessage();
  std::optional<Sweep> sweep(std::in_place, scenario, policy);
  found.unharmed = sweep->KillAfter(UINT64_MAX, &finished);
  if (found.unharmed.empty() && !finished) found.unharmed = "it did not finish";
  if (!found.unharmed.empty()) return found;
  found.instructions = sweep->steps_taken();
  const auto kill_after = [&](uint64_t steps) {
    if (policy == Policy::kPosix) sweep.emplace(scenario, policy);
    return sweep->KillAfter(steps, &finished);
  };
  std::mt19937_64 random(conformance::Seed());
  const uint64_t stride = extent.whole ? 1 : std::max<uint64_t>(1, found.instructions / kSampled);
  for (uint64_t at = 0; at <= found.instructions && found.wrong.size() < extent.enough; at += stride) {
    const uint64_t steps = std::min(found.instructions, at + random() % stride);
    // A defect fails every time; a peer that got no CPU for 100 ms does not.
    std::string wrong = kill_after(steps);
    for (int again = 0; again < 2 && !wrong.empty() && wrong != kHang; ++again) wrong = kill_after(steps);
    ++found.killed;
    if (wrong == kHang) ++found.hangs;
    if (!wrong.empty()) found.wrong.push_back(absl::StrFormat("killed after instruction %d: %s", steps, wrong));
  }
  return found;
}

bool MayTrace() {
  const pid_t pid = fork();
  if (pid == 0) {
    const bool traced = ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0 && raise(kMarker) == 0;
    _exit(traced ? 0 : 1);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  const bool may = WIFSTOPPED(status);
  kill(pid, SIGKILL);
  if (may) waitpid(pid, &status, 0);
  return may;
}

}  // namespace ipcmark::mmap_queue
