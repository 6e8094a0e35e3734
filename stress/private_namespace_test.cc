// Without any further segment, or any room for a file, Create fails with a sentence, what is open goes on, and
// afterwards all is as before. In namespaces of the test's own: nobody else feels it.

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ipc/boost_mq/boost_mq.h"
#include "ipc/mmap_queue/mmap_queue.h"
#include "ipc/os/fd.h"
#include "ipc/os/namespace_for_test.h"
#include "ipc/shm_broadcast/shm_broadcast.h"
#include "ipc/shm_mpmc/shm_mpmc.h"
#include "ipc/sysv_shm/sysv_shm.h"
#include "stress/full_disk.h"
#include "stress/shm_limits.h"

namespace ipcmark::stress {
namespace {

constexpr Geometry kGeometry = {.depth_messages = 4, .max_message_bytes = 64, .wait = Wait::kBlock};
constexpr int kRefused = 2;

// Runs `body` in a child with IPC and mount namespaces of its own; it returns "" or what is wrong. A machine that
// refuses the namespaces, or what `prepare` ("" or why not) does in them, skips the test with the reason.
void RunPrivately(absl::FunctionRef<std::string()> prepare, absl::FunctionRef<std::string()> body) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  os::Fd words(ends[0]);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const absl::Status entered = os::EnterPrivateNamespaces(CLONE_NEWIPC | CLONE_NEWNS);
    const std::string refused = entered.ok() ? prepare() : std::string(entered.message());
    const std::string said = refused.empty() ? body() : refused;
    (void)!write(ends[1], said.data(), said.size());
    _exit(!refused.empty() ? kRefused : said.empty() ? 0 : 1);
  }
  close(ends[1]);
  std::string said;
  char part[256];
  for (ssize_t bytes = 0; (bytes = read(words.get(), part, sizeof(part))) > 0;) {
    said.append(part, static_cast<size_t>(bytes));
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << "killed by signal " << WTERMSIG(status);
  if (WEXITSTATUS(status) == kRefused) GTEST_SKIP() << "no private namespace with limits of its own: " << said;
  EXPECT_EQ(said, "");
}

std::string MayLowerLimits() { return LoweredShmLimits::MayLower() ? "" : "/proc/sys/kernel/shmmni cannot be written"; }

std::string MountTmpfs() {
  return mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=1m") == 0
             ? ""
             : "a tmpfs cannot be mounted on /dev/shm";
}

// With `Exhausted` there is nothing more to be had.
template <typename Channel, typename Exhausted>
std::string ExhaustAround(const auto&... how) {
  absl::StatusOr<Channel> object = Channel::Create(kGeometry);
  if (!object.ok()) return absl::StrCat("Create before: ", object.status().message());
  auto sender = object->OpenSender();
  auto receiver = object->OpenReceiver();
  if (!sender.ok() || !receiver.ok()) return "open before";
  {
    const Exhausted exhausted(how...);
    const absl::Status refused = Channel::Create(kGeometry).status();
    if (refused.ok()) return "expected no object without a place for it, seen one";
    if (refused.message().find("ENOSPC") == absl::string_view::npos) {
      return absl::StrCat("expected ENOSPC in the words, seen ", refused.message());
    }
    std::vector<std::byte> message(32);
    std::vector<std::byte> buffer(64);
    for (int i = 0; i < 100; ++i) {
      if (!sender->Send(message, Deadline::Never()).ok()) return "Send meanwhile";
      if (!receiver->Receive(buffer, Deadline::Never()).ok()) return "Receive meanwhile";
    }
  }
  const absl::Status after = Channel::Create(kGeometry).status();
  return after.ok() ? "" : absl::StrCat("Create after: ", after.message());
}

template <typename Channel>
void ExpectSurvivesNoSegments() {
  RunPrivately(MayLowerLimits, [] { return ExhaustAround<Channel, LoweredShmLimits>(); });
}

template <typename Channel>
void ExpectSurvivesNoRoom() {
  RunPrivately(MountTmpfs, [] {
    unsetenv("IPCMARK_QUEUE_DIR");
    return ExhaustAround<Channel, FullDisk>("/dev/shm");
  });
}

TEST(LoweredShmLimits, SysvShmGoesOnAndRefusesInWords) { ExpectSurvivesNoSegments<sysv_shm::Channel>(); }
TEST(LoweredShmLimits, ShmMpmcGoesOnAndRefusesInWords) { ExpectSurvivesNoSegments<shm_mpmc::Channel>(); }
TEST(LoweredShmLimits, ShmBroadcastGoesOnAndRefusesInWords) { ExpectSurvivesNoSegments<shm_broadcast::Channel>(); }
TEST(FullDisk, MmapQueueGoesOnAndRefusesInWords) { ExpectSurvivesNoRoom<mmap_queue::Channel>(); }
TEST(FullDisk, BoostMqGoesOnAndRefusesInWords) { ExpectSurvivesNoRoom<boost_mq::Channel>(); }

TEST(FullDisk, IsFullAndThenNoLonger) {
  RunPrivately(MountTmpfs, []() -> std::string {
    const auto has_room = [] {
      const os::Fd file(open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
      return posix_fallocate(file.get(), 0, 512 << 10) == 0;
    };
    if (!has_room()) return "no room before";
    {
      const FullDisk disk("/dev/shm");
      if (!disk.IsFull() || has_room()) return "room in a full file system";
    }
    return has_room() ? "" : "no room after";
  });
}

}  // namespace
}  // namespace ipcmark::stress
