// SIGKILL at every instruction of a send and of a receive. A victim is single-stepped (ptrace) through one call and
// killed after its k-th instruction, for every k; then a survivor looks: no message that was accepted is lost, none is
// there twice or torn, count and room are right, and a peer that was blocked has what it waited for within 100 ms.
//
// By default a sample of the instructions, chosen by the seed, within seconds; all of them:
//   ./bazelw run //ipc/mmap_queue:crash_sweep_test -- --whole
// A send that wakes after its commit is swept, too, and must fail: or the sweep has no teeth.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "ipc/conformance/support.h"
#include "ipc/mmap_queue/posix_limit.h"
#include "ipc/mmap_queue/queue.h"
#include "ipc/os/clock.h"
#include "ipc/os/mapping.h"

namespace ipcmark::mmap_queue {
namespace {

using conformance::IsMessageOf;
using conformance::MessageOf;

bool whole_sweep = false;

constexpr Attributes kSmall = {.depth_messages = 4, .message_bytes = 16};
constexpr size_t kBytes = 12;
constexpr uint64_t kVictims = 99;  // the number of the victim's message
constexpr uint64_t kPeers = 98;    // of the blocked sender's
constexpr uint64_t kProbe = 97;    // of the survivor's
constexpr int64_t kResumeNanos = 100'000'000;
constexpr int kSampled = 40;  // instructions, unless the sweep is whole
constexpr int kMarker = SIGUSR2;

enum class Peer : uint8_t { kNone, kReceiver, kSender };

// What the peer has done, in memory that it shares.
struct PeerReport {
  std::atomic<int> done;
  int ok;
  uint32_t bytes;
  std::byte message[16];
};

struct Scenario {
  const char* name;
  uint64_t messages;  // that lie there before
  Peer peer;
  bool sends;  // what the victim does
  void (*act)(Queue& queue);
  uint64_t sent_meanwhile = 0;  // how many messages the survivor sends, one each time that the victim sleeps
};

const std::vector<std::byte>& VictimsMessage() {
  static const auto* const kMessage = new std::vector<std::byte>(MessageOf(0, kVictims, kBytes));
  return *kMessage;
}

void Send(Queue& queue) { queue.Send(VictimsMessage(), 5); }
void Receive(Queue& queue) {
  std::byte buffer[16];
  queue.Receive(buffer);
}

// The textbook's order: commit first, then wake.
void SendAndWakeTooLate(Queue& queue) {
  MappedFile file;
  if (MapQueueFile(queue.fd(), &file) != 0) return;
  Core& core = file.core;
  Hold hold;
  if (hold.Try(&core.header().lock) != 0) return;
  bool damaged = false;
  core.Commit(core.Prepare(VictimsMessage(), 5, &damaged));
  Wake(core.header().not_empty);
  hold.Release(&core.header().lock);
}

constexpr Scenario kScenarios[] = {
    {"SendToABlockedReceiver", 0, Peer::kReceiver, true, Send},
    {"SendBehindOthers", 2, Peer::kNone, true, Send},
    {"ReceiveBesideABlockedSender", 4, Peer::kSender, false, Receive},
    {"ReceiveAmongOthers", 3, Peer::kNone, false, Receive},
    {"ReceiveTheLast", 1, Peer::kNone, false, Receive},
    // The other receiver gets the first message, since nobody slows it down, and the victim the second.
    {"ReceiveAfterSleepBesideABlockedReceiver", 0, Peer::kReceiver, false, Receive, 2},
    {"ReceiveAfterSleep", 0, Peer::kNone, false, Receive, 1},
};

class Sweep {
 public:
  explicit Sweep(const Scenario& scenario)
      : scenario_(scenario),
        name_(absl::StrCat("/crash_sweep_", getpid())),
        queue_(*Queue::Open(name_, O_CREAT | O_EXCL | O_RDWR, 0600, kSmall)),
        report_(*os::Mapping::SharedAnonymous(sizeof(PeerReport))) {
    Queue::Unlink(name_).IgnoreError();
  }

  // Kills the victim after `steps` instructions. Returns "" or what is wrong; *finished is set when the victim had
  // returned from its call before.
  std::string KillAfter(uint64_t steps, bool* finished) {
    for (uint64_t n = 0; n < scenario_.messages; ++n) queue_.Send(MessageOf(0, n, kBytes), static_cast<uint32_t>(n));
    messages_ = scenario_.messages;
    new (report_.address()) PeerReport{};
    const pid_t peer = scenario_.peer == Peer::kNone ? -1 : StartPeer();
    const pid_t victim = StepVictim(steps, finished);
    if (victim < 0) return "ptrace does not work";
    std::string wrong = Check(*finished);
    if (peer > 0) {
      kill(peer, SIGKILL);
      waitpid(peer, nullptr, 0);
    }
    std::byte buffer[16];
    while (ReceiveNow(buffer).ok()) {
    }
    return wrong;
  }

 private:
  PeerReport& report() { return *static_cast<PeerReport*>(report_.address()); }

  IoResult ReceiveNow(std::span<std::byte> buffer) {
    const timespec past = {.tv_sec = 1, .tv_nsec = 0};
    return queue_.Receive(buffer, nullptr, &past);
  }
  IoResult SendNow(uint64_t n, uint32_t priority) {
    const timespec past = {.tv_sec = 1, .tv_nsec = 0};
    return queue_.Send(MessageOf(0, n, kBytes), priority, &past);
  }

  // A process that is blocked in its call when this returns.
  pid_t StartPeer() {
    Condition& condition = scenario_.peer == Peer::kReceiver ? Header().not_empty : Header().not_full;
    condition.awaited = 0;
    const pid_t pid = fork();
    if (pid != 0) {
      const Deadline end = os::After(10 * os::kNanosPerSecond);
      while ((condition.awaited == 0 || !IsAsleep(pid)) && !os::HasPassed(end)) sched_yield();
      return pid;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    IoResult result;
    if (scenario_.peer == Peer::kReceiver) {
      result = queue_.Receive(report().message);
    } else {
      result = queue_.Send(MessageOf(0, kPeers, kBytes), 0);
    }
    report().ok = result.ok() ? 1 : 0;
    report().bytes = result.bytes;
    report().done = 1;
    for (;;) pause();
  }

  static bool IsAsleep(pid_t pid) {
    char text[256] = "";
    const os::Fd fd(open(absl::StrFormat("/proc/%d/stat", pid).c_str(), O_RDONLY | O_CLOEXEC));
    const ssize_t bytes = read(fd.get(), text, sizeof(text) - 1);
    const char* state = bytes > 0 ? strrchr(text, ')') : nullptr;
    return state != nullptr && state[2] == 'S';
  }

  pid_t StepVictim(uint64_t steps, bool* finished) {
    const pid_t pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
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
    for (uint64_t step = 0; stepping && step < steps && !*finished; ++step) {
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
    if (scenario_.sent_meanwhile == 0) return waitpid(pid, status, 0) == pid && WIFSTOPPED(*status);
    for (uint64_t looks = 0;; ++looks) {
      const pid_t stopped = waitpid(pid, status, WNOHANG);
      if (stopped != 0) return stopped == pid && WIFSTOPPED(*status);
      if (looks % 100 != 99 || !IsAsleep(pid)) continue;
      if (messages_ == scenario_.messages + scenario_.sent_meanwhile) return false;
      if (SendNow(messages_, 0).ok()) ++messages_;
    }
  }

  QueueHeader& Header() {
    if (file_.address == nullptr) MapQueueFile(queue_.fd(), &file_);
    return file_.core.header();
  }

  // The number of messages, as whoever takes the lock next finds it.
  uint32_t CountUnderLock() {
    Header();
    View view(file_.core, queue_.fd());
    PosixLimit limit(queue_.fd(), nullptr);
    Hold hold;
    if (!view.Lock(limit, hold).ok()) return UINT32_MAX;
    const uint32_t count = view.core().count();
    view.Unlock(hold);
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

  std::string Check(bool finished) {
    // A third process barges in.
    const uint32_t count = CountUnderLock();
    if (count > kSmall.depth_messages) return "the lock is lost or the count is wrong";
    const bool due = scenario_.peer == Peer::kReceiver ? count > 0
                     : scenario_.peer == Peer::kSender ? count < kSmall.depth_messages
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
    std::byte buffer[16];
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
    for (uint32_t n = 0; n < kSmall.depth_messages; ++n) {
      if (!SendNow(n, 0).ok()) return "a slot is lost";
    }
    if (SendNow(0, 0).ok()) return "there is more room than there should be";
    std::byte buffer[16];
    for (uint32_t n = 0; n < kSmall.depth_messages; ++n) {
      const IoResult result = ReceiveNow(buffer);
      if (!result.ok() || !IsMessageOf(std::span(buffer).first(result.bytes), 0, n)) return "the order is lost";
    }
    return "";
  }

  // Counts a message, if it is one that was sent and whole.
  static bool Note(std::span<const std::byte> message, std::vector<int>& seen) {
    if (message.size() != kBytes) return false;
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
  MappedFile file_;
  uint64_t messages_ = 0;  // that were accepted before the kill, but for the victim's
};

struct Found {
  uint64_t instructions = 0;
  uint64_t killed = 0;
  std::vector<std::string> wrong;
};

Found SweepThrough(const Scenario& scenario) {
  Found found;
  Sweep sweep(scenario);
  bool finished = false;
  VictimsMessage();
  const std::string unharmed = sweep.KillAfter(UINT64_MAX, &finished);
  if (!finished || !unharmed.empty()) {
    found.wrong.push_back("a call that nobody killed: " + (unharmed.empty() ? "it did not finish" : unharmed));
    return found;
  }
  // How long it is: the first power of two that finishes, and then by halves.
  uint64_t shorter = 0;
  uint64_t longer = 64;
  while (sweep.KillAfter(longer, &finished), !finished) shorter = longer, longer *= 2;
  while (longer - shorter > 1) {
    const uint64_t middle = (shorter + longer) / 2;
    sweep.KillAfter(middle, &finished);
    (finished ? longer : shorter) = middle;
  }
  found.instructions = longer;
  std::mt19937_64 random(conformance::Seed());
  const uint64_t stride = whole_sweep ? 1 : std::max<uint64_t>(1, longer / kSampled);
  for (uint64_t at = 0; at <= longer; at += stride) {
    const uint64_t steps = std::min(longer, at + random() % stride);
    // A defect fails every time; a peer that got no CPU for 100 ms does not.
    std::string wrong = sweep.KillAfter(steps, &finished);
    for (int again = 0; again < 2 && !wrong.empty(); ++again) wrong = sweep.KillAfter(steps, &finished);
    ++found.killed;
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

class CrashSweep : public testing::TestWithParam<Scenario> {};

TEST_P(CrashSweep, NoKillBreaksTheQueue) {
  if (!MayTrace()) GTEST_SKIP() << "this sandbox forbids ptrace(2)";
  const Found found = SweepThrough(GetParam());
  printf("%s: killed at %d of %d instructions, %d wrong\n", GetParam().name, static_cast<int>(found.killed),
         static_cast<int>(found.instructions), static_cast<int>(found.wrong.size()));
  for (const std::string& wrong : found.wrong) ADD_FAILURE() << wrong;
}

INSTANTIATE_TEST_SUITE_P(Of, CrashSweep, testing::ValuesIn(kScenarios),
                         [](const testing::TestParamInfo<Scenario>& info) { return std::string(info.param.name); });

TEST(CrashSweepTeeth, AWakeAfterTheCommitIsFound) {
  if (!MayTrace()) GTEST_SKIP() << "this sandbox forbids ptrace(2)";
  const Found found = SweepThrough({"Broken", 0, Peer::kReceiver, true, SendAndWakeTooLate});
  printf("killed at %d of %d instructions, %d wrong\n", static_cast<int>(found.killed),
         static_cast<int>(found.instructions), static_cast<int>(found.wrong.size()));
  EXPECT_FALSE(found.wrong.empty());
  for (const std::string& wrong : found.wrong) {
    EXPECT_NE(wrong.find("the blocked peer did not resume"), std::string::npos) << wrong;
  }
}

}  // namespace

void SweepTheWhole() { whole_sweep = true; }

}  // namespace ipcmark::mmap_queue

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    if (strcmp(argv[i], "--whole") != 0) {
      fprintf(stderr, "crash_sweep_test: unknown argument %s; known is --whole\n", argv[i]);
      return 2;
    }
    ipcmark::mmap_queue::SweepTheWhole();
  }
  return RUN_ALL_TESTS();
}
