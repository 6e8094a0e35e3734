// The runner itself is killed with SIGKILL in the middle of a trial: its processes end and its objects are gone.

#include "stress/isolation.h"

#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "ipc/os/clock.h"
#include "ipc/os/die_with.h"
#include "ipc/os/fd.h"
#include "stress/census.h"
#include "stress/janitor.h"

namespace ipcmark::stress {
namespace {

constexpr int64_t kBoundNanos = 20'000'000'000;

// Ids of System V segments and names in /dev/shm.
std::set<std::string> SharedObjects() {
  std::set<std::string> objects;
  shm_info info;
  const int last = shmctl(0, SHM_INFO, reinterpret_cast<shmid_ds*>(&info));
  for (int slot = 0; slot <= last; ++slot) {
    shmid_ds segment;
    const int id = shmctl(slot, SHM_STAT, &segment);
    if (id >= 0) objects.insert("segment " + std::to_string(id));
  }
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) objects.insert(entry.path().string());
  return objects;
}

std::vector<pid_t> Children(pid_t parent) {
  const std::string id = std::to_string(parent);
  std::ifstream file("/proc/" + id + "/task/" + id + "/children");
  return {std::istream_iterator<pid_t>(file), {}};
}

class StressRun {
 public:
  StressRun(const std::string& primitive, const std::string& isolation) {
    const std::string which = "--scenario=^" + primitive + "/1to1/block/depth:4/bytes:64/none$";
    const std::string how = "--isolation=" + isolation;
    const char* program = primitive == "littering" ? "stress/mutants/littering_stress" : "stress/stress";
    pid_ = fork();
    if (pid_ != 0) return;
    const int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, STDOUT_FILENO);
    execl(program, "stress", "--seconds=300", "--seed=1", which.c_str(), how.c_str(), nullptr);
    _exit(127);
  }
  ~StressRun() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  // Stops the runner while it has `least` children: a trial is going on, and no further child comes.
  bool StopInTrial(size_t least) {
    const int64_t end_nanos = os::MonotonicNanos() + kBoundNanos;
    while (os::MonotonicNanos() < end_nanos) {
      if (Children(pid_).size() < least) {
        sched_yield();
        continue;
      }
      kill(pid_, SIGSTOP);
      waitpid(pid_, nullptr, WUNTRACED);
      if (Children(pid_).size() >= least) return true;
      kill(pid_, SIGCONT);
    }
    return false;
  }

  // Whether it has a namespace of its own.
  [[nodiscard]] bool HasOwnIpc() const {
    return std::filesystem::read_symlink("/proc/" + std::to_string(pid_) + "/ns/ipc") !=
           std::filesystem::read_symlink("/proc/self/ns/ipc");
  }

  // SIGKILL. How many of its children outlive it by more than the bound.
  int Kill() {
    std::vector<os::Fd> children;
    for (const pid_t child : Children(pid_)) {
      children.emplace_back(static_cast<int>(syscall(SYS_pidfd_open, child, 0)));
    }
    kill(pid_, SIGKILL);
    siginfo_t ended_info;
    waitid(P_PID, pid_, &ended_info, WEXITED | WNOWAIT);
    int outlived = 0;
    for (const os::Fd& child : children) {
      pollfd ended = {.fd = child.get(), .events = POLLIN, .revents = 0};
      outlived += poll(&ended, 1, static_cast<int>(kBoundNanos / 1'000'000)) == 1 ? 0 : 1;
    }
    return outlived;
  }

 private:
  pid_t pid_;
};

constexpr const char* kPrimitives[] = {"littering", "sysv_shm", "mmap_queue", "boost_mq"};

void ExpectNothingLeft(const std::string& isolation, size_t least_children) {
  const std::set<std::string> before = SharedObjects();
  for (const char* primitive : kPrimitives) {
    SCOPED_TRACE(primitive);
    StressRun run(primitive, isolation);
    ASSERT_TRUE(run.StopInTrial(least_children));
    // A janitor takes the place of namespaces that are refused, and that is another test.
    if (isolation == "namespaces" && !run.HasOwnIpc()) GTEST_SKIP() << "this machine refuses an IPC namespace";
    EXPECT_EQ(run.Kill(), 0);
    EXPECT_EQ(SharedObjects(), before);
  }
}

TEST(Isolation, NothingRemainsOfAKilledRunInItsNamespaces) { ExpectNothingLeft("namespaces", 2); }

TEST(Isolation, JanitorRemovesWhatAKilledRunLeft) { ExpectNothingLeft("janitor", 3); }

// A victim of a sweep makes an object, and then it and the runner are killed. Whether the object is gone when the
// janitor has ended.
bool IsRemoved(bool entrusted) {
  int go[2];
  int ready[2];
  int janitor_lives[2];
  EXPECT_EQ(pipe2(go, O_CLOEXEC), 0);
  EXPECT_EQ(pipe2(ready, O_CLOEXEC), 0);
  EXPECT_EQ(pipe2(janitor_lives, O_CLOEXEC), 0);
  const pid_t runner = fork();
  if (runner == 0) {
    setpgid(0, 0);
    // The janitor alone keeps it open when the runner and the victim are gone.
    if (!Isolate("janitor").ok()) _exit(1);
    const pid_t victim = fork();
    if (victim == 0) {
      char byte = 0;
      (void)!read(go[0], &byte, 1);
      const std::string path = "/dev/shm/ipcmark." + std::to_string(getpid()) + ".0";
      const os::Fd made(open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
      (void)!write(ready[1], path.c_str(), path.size());
      for (;;) pause();
    }
    if (entrusted) EntrustToJanitor(victim);
    (void)!write(go[1], "", 1);
    for (;;) pause();
  }
  close(ready[1]);
  close(janitor_lives[1]);
  char path[64] = "";
  EXPECT_GT(read(ready[0], path, sizeof(path) - 1), 0);
  EXPECT_TRUE(std::filesystem::exists(path));
  // The janitor is in a session of its own.
  kill(-runner, SIGKILL);
  waitpid(runner, nullptr, 0);
  pollfd ended = {.fd = janitor_lives[0], .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&ended, 1, static_cast<int>(kBoundNanos / 1'000'000)), 1);
  for (const int fd : {go[0], go[1], ready[0], janitor_lives[0]}) close(fd);
  const bool removed = !std::filesystem::exists(path);
  unlink(path);
  return removed;
}

TEST(Isolation, JanitorRemovesWhatAVictimLeftThatIsEntrustedToIt) {
  EXPECT_TRUE(IsRemoved(true));
  EXPECT_FALSE(IsRemoved(false)) << "who has removed it?";
}

// In a child, which has namespaces of its own from then on. 0: all was found.
int FindWhatIsLeftInNamespaces() {
  if (!Isolate("namespaces").ok() || !g_has_own_objects) return 2;
  const Traces before = TakeTraces();
  if (!FindLeftBehind(before, TakeTraces()).empty()) return 3;
  const auto finds = [&](const std::string& what) {
    const std::string found = FindLeftBehind(before, TakeTraces());
    if (found.find(what) == std::string::npos) fprintf(stderr, "%s: %s\n", what.c_str(), found.c_str());
    return found.find(what) != std::string::npos;
  };
  mq_attr small{};
  small.mq_maxmsg = 1;
  small.mq_msgsize = 1;
  mq_close(mq_open("/somebody's", O_CREAT | O_RDWR, 0600, &small));
  if (!finds("POSIX queue /somebody's")) return 4;
  mq_unlink("/somebody's");
  const int semaphores = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
  if (!finds("System V object (sem) " + std::to_string(semaphores))) return 5;
  semctl(semaphores, 0, IPC_RMID);
  const int messages = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
  if (!finds("System V object (msg) " + std::to_string(messages))) return 6;
  msgctl(messages, IPC_RMID, nullptr);
  close(open("/dev/shm/anything", O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  if (!finds("file /dev/shm/anything")) return 7;
  unlink("/dev/shm/anything");
  return FindLeftBehind(before, TakeTraces()).empty() ? 0 : 8;
}

TEST(Isolation, NothingLeftInItsNamespacesIsOverlooked) {
  const pid_t child = fork();
  if (child == 0) _exit(FindWhatIsLeftInNamespaces());
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 2) GTEST_SKIP() << "this machine refuses such namespaces";
  EXPECT_EQ(status, 0);
}

// What a spinner of cpu_starvation and a victim of a sweep do first. Their parent may die before it.
TEST(DieWith, EndsWhoseParentHasDiedAlready) {
  int lives[2];
  ASSERT_EQ(pipe2(lives, O_CLOEXEC), 0);
  const pid_t parent = fork();
  if (parent == 0) {
    const pid_t self = getpid();
    if (fork() == 0) {
      while (getppid() == self) sched_yield();
      os::DieWith(self);
      for (;;) pause();
    }
    _exit(0);
  }
  close(lives[1]);
  waitpid(parent, nullptr, 0);
  pollfd ended = {.fd = lives[0], .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&ended, 1, static_cast<int>(kBoundNanos / 1'000'000)), 1);
  close(lives[0]);
}

// Else the two tests above would pass whatever happens.
TEST(Isolation, WithoutItAKilledRunLeavesBoth) {
  const std::set<std::string> before = SharedObjects();
  StressRun run("littering", "none");
  ASSERT_TRUE(run.StopInTrial(2));
  EXPECT_EQ(run.Kill(), 0);
  int left = 0;
  for (const std::string& object : SharedObjects()) {
    if (before.contains(object)) continue;
    ++left;
    if (object.starts_with("segment ")) {
      shmctl(std::stoi(object.substr(object.find(' '))), IPC_RMID, nullptr);
    } else {
      unlink(object.c_str());
    }
  }
  EXPECT_EQ(left, 2);
}

}  // namespace
}  // namespace ipcmark::stress
