// The named queue as a class: what the table of semantics_test does not say about it.

#include "ipc/mmap_queue/queue.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "ipc/conformance/support.h"
#include "ipc/mmap_queue/notice.h"
#include "ipc/os/clock.h"
#include "ipc/os/error.h"
#include "ipc/os/namespace_for_test.h"
#include "ipc/os/process_group.h"

namespace ipcmark::mmap_queue {
namespace {

using conformance::IsMessageOf;
using conformance::MessageOf;
using testing::AllOf;
using testing::HasSubstr;

constexpr int64_t kWatchdogNanos = 60 * os::kNanosPerSecond;
Attributes Small(Policy policy = Policy::kRobust) {
  return {.depth_messages = 4, .message_bytes = 32, .policy = policy};
}

// A directory of this test's own, that the environment names.
class QueueTest : public testing::TestWithParam<Policy> {
 protected:
  QueueTest() : directory_(absl::StrCat(testing::TempDir(), "/queue_test_", getpid())) {
    EXPECT_EQ(mkdir(directory_.c_str(), 0700), 0);
    setenv("IPCMARK_QUEUE_DIR", directory_.c_str(), 1);
  }
  ~QueueTest() override {
    Queue::Unlink("/q").IgnoreError();
    EXPECT_EQ(rmdir(directory_.c_str()), 0) << "something was left in " << directory_;
    unsetenv("IPCMARK_QUEUE_DIR");
  }

  static Queue Make(int flags = O_RDWR) {
    absl::StatusOr<Queue> queue = Queue::Open("/q", O_CREAT | flags, 0600, Small(GetParam()));
    EXPECT_TRUE(queue.ok()) << queue.status();
    return *std::move(queue);
  }
  [[nodiscard]] std::string File() const { return directory_ + "/mq.q"; }
  static std::string OpenError(int flags) { return std::string(Queue::Open("/q", flags).status().message()); }

  std::string directory_;
};

void ExpectNext(Queue& queue, uint64_t n, uint32_t expected_priority) {
  std::vector<std::byte> buffer(queue.message_bytes());
  uint32_t priority = 0;
  const IoResult result = queue.Receive(buffer, &priority);
  ASSERT_TRUE(result.ok()) << testing::PrintToString(result);
  buffer.resize(result.bytes);
  EXPECT_TRUE(IsMessageOf(buffer, 0, n)) << "message " << n;
  EXPECT_EQ(priority, expected_priority);
}

TEST(Notice, ReceiversThatDiedOnTheirWayAreForgottenWhenOthersAreWoken) {
  Notice notice{};
  notice.in_transit = 3;
  notice.transit_end_nanos = os::MonotonicNanos() - 1;
  CountInTransit(notice, 2);
  EXPECT_EQ(notice.in_transit.load(), 2U);
  CountInTransit(notice, 2);
  EXPECT_EQ(notice.in_transit.load(), 4U);
}

TEST_P(QueueTest, CarriesMessagesBetweenTwoOpeners) {
  Queue sender = Make(O_WRONLY);
  absl::StatusOr<Queue> receiver = Queue::Open("/q", O_RDONLY);
  ASSERT_TRUE(receiver.ok()) << receiver.status();
  ASSERT_TRUE(sender.Send(MessageOf(0, 1, 10), 3).ok());
  ASSERT_TRUE(sender.Send(MessageOf(0, 2, 20), 9).ok());
  EXPECT_EQ(receiver->count(), 2U);
  ASSERT_NO_FATAL_FAILURE(ExpectNext(*receiver, 2, 9));
  ASSERT_NO_FATAL_FAILURE(ExpectNext(*receiver, 1, 3));
  std::vector<std::byte> buffer(32);
  EXPECT_EQ(sender.Receive(buffer).err, EBADF);
  EXPECT_EQ(receiver->Send(buffer).err, EBADF);
  EXPECT_EQ(receiver->Receive(std::span(buffer).first(31)).outcome, Outcome::kTooBig);
}

TEST_P(QueueTest, LiesInTheDirectoryThatIsNamed) {
  const Queue queue = Make();
  struct stat its;
  ASSERT_EQ(stat(File().c_str(), &its), 0);
  EXPECT_EQ(its.st_mode, S_IFREG | 0600U);
  EXPECT_GE(its.st_blocks * 512, its.st_size) << "its space is not reserved";
}

TEST_P(QueueTest, ADescriptorCarriesAllThereIsToKnow) {
  Queue queue = Make(O_WRONLY);
  ASSERT_TRUE(queue.Send(MessageOf(0, 1, 10)).ok());
  ASSERT_EQ(queue.SetNonblocking(true), 0);
  absl::StatusOr<Queue> other = Queue::FromDescriptor(os::Fd(dup(queue.fd())));
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_TRUE(other->nonblocking());
  EXPECT_EQ(other->count(), 1U);
  std::vector<std::byte> buffer(32);
  EXPECT_EQ(other->Receive(buffer).err, EBADF) << "it was opened for sending only";
  for (uint64_t n = 2; n <= 4; ++n) ASSERT_TRUE(other->Send(MessageOf(0, n, 10)).ok());
  EXPECT_EQ(other->Send({}).outcome, Outcome::kWouldBlock);
  ASSERT_EQ(other->SetNonblocking(false), 0);
  EXPECT_FALSE(queue.nonblocking());
}

TEST_P(QueueTest, SaysWhatIsWrongInASentence) {
  EXPECT_THAT(OpenError(O_RDWR), AllOf(HasSubstr("open(queue /q in "), HasSubstr(directory_), HasSubstr("ENOENT")));
  EXPECT_THAT(std::string(Queue::Open("q", O_RDWR).status().message()),
              AllOf(HasSubstr("EINVAL"), HasSubstr("names start with a slash")));
  EXPECT_THAT(std::string(Queue::Unlink("/q").message()), AllOf(HasSubstr("unlink(queue /q"), HasSubstr("ENOENT")));
  {
    const Queue queue = Make();
    EXPECT_THAT(OpenError(O_RDWR | O_CREAT | O_EXCL), HasSubstr("EEXIST"));
  }
  ASSERT_EQ(truncate(File().c_str(), 100), 0);
  EXPECT_THAT(OpenError(O_RDWR), AllOf(HasSubstr("EBADMSG"), HasSubstr("unlink it")));
  EXPECT_THAT(std::string(Queue::FromDescriptor(os::Fd(dup(0))).status().message()), HasSubstr("EBADF"));
}

TEST_P(QueueTest, FollowsNoLinkAndOpensNoPipe) {
  ASSERT_EQ(symlink("/etc/passwd", File().c_str()), 0);
  EXPECT_THAT(OpenError(O_RDWR), HasSubstr("EACCES"));
  EXPECT_THAT(OpenError(O_RDWR | O_CREAT), HasSubstr("EACCES"));
  ASSERT_EQ(unlink(File().c_str()), 0);
  ASSERT_EQ(mkfifo(File().c_str(), 0600), 0);
  EXPECT_THAT(OpenError(O_RDWR), HasSubstr("EBADMSG"));
}

// Many processes open with O_EXCL at once: one makes it, and nobody ever opens half a queue.
TEST_P(QueueTest, OneOfManyMakesItAndNobodySeesHalfOfIt) {
  constexpr int kRacers = 4;
  constexpr int kRounds = 30;
  for (int round = 0; round < kRounds; ++round) {
    absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(kRacers);
    ASSERT_TRUE(group.ok());
    auto race = [&](os::Gate& gate) -> absl::Status {
      gate.Arrive();
      absl::StatusOr<Queue> mine = Queue::Open("/q", O_RDWR | O_CREAT | O_EXCL, 0600, Small(GetParam()));
      if (mine.ok()) return mine->Send(MessageOf(0, 7, 8)).ok() ? absl::OkStatus() : absl::InternalError("send");
      if (!absl::StrContains(mine.status().message(), "EEXIST")) return mine.status();
      absl::StatusOr<Queue> its = Queue::Open("/q", O_RDWR);
      return its.ok() && its->depth_messages() == 4 ? absl::OkStatus() : its.status();
    };
    for (int i = 0; i < kRacers; ++i) ASSERT_TRUE(group->Spawn("racer", os::kAnyCpu, race).ok());
    ASSERT_EQ(group->Start(os::After(kWatchdogNanos)), absl::OkStatus());
    ASSERT_EQ(group->Join(os::After(kWatchdogNanos)), absl::OkStatus());
    absl::StatusOr<Queue> queue = Queue::Open("/q", O_RDWR);
    ASSERT_TRUE(queue.ok()) << queue.status();
    EXPECT_EQ(queue->count(), 1U) << "two processes made it";
    ASSERT_TRUE(Queue::Unlink("/q").ok());
  }
}

TEST_P(QueueTest, AThreadThatWaitsCanBeCancelled) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "AddressSanitizer of GCC 12 aborts when a cancelled thread unwinds";
#endif
  Queue queue = Make();
  for (const bool timed : {false, true}) {
    std::atomic<bool> started = false;
    std::thread waiter([&] {
      std::vector<std::byte> buffer(32);
      const timespec far = {.tv_sec = INT32_MAX, .tv_nsec = 0};
      started = true;
      queue.Receive(buffer, nullptr, timed ? &far : nullptr);
    });
    while (!started) sched_yield();
    ASSERT_EQ(pthread_cancel(waiter.native_handle()), 0);
    waiter.join();
    ASSERT_TRUE(queue.Send(MessageOf(0, 1, 8)).ok()) << "it has left the lock taken";
    ASSERT_NO_FATAL_FAILURE(ExpectNext(queue, 1, 0));
  }
}

// In a mount namespace of its own, on a file system of 1 MiB.
absl::Status FillATinyDisk(const std::string& directory) {
  absl::Status entered = os::EnterPrivateNamespaces(CLONE_NEWNS);
  if (!entered.ok()) return entered;
  if (mount("tiny", directory.c_str(), "tmpfs", 0, "size=1m") != 0) {
    return absl::UnavailableError("tmpfs cannot be mounted in a private namespace");
  }
  constexpr Attributes kLarge = {.depth_messages = 100, .message_bytes = 100'000};
  for (const Attributes& attributes : {kLarge, Attributes{.depth_messages = 65536, .message_bytes = 16 << 20}}) {
    const absl::Status full = Queue::Open("/big", O_RDWR | O_CREAT, 0600, attributes).status();
    if (!absl::StrContains(full.message(), "ENOSPC")) return absl::InternalError("it found room");
  }
  absl::StatusOr<Queue> queue = Queue::Open("/small", O_RDWR | O_CREAT, 0600, Small());
  if (!queue.ok()) return queue.status();
  return absl::IsNotFound(Queue::Unlink("/big")) ? absl::OkStatus() : absl::InternalError("half a queue was left");
}

TEST_P(QueueTest, AFullDiskIsAnErrorOfOpenAndLeavesNothing) {
  absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(1);
  ASSERT_TRUE(group.ok());
  auto fill = [&](os::Gate&) {
    absl::Status status = FillATinyDisk(directory_);
    if (absl::IsUnavailable(status)) return absl::UnavailableError(absl::StrCat("SKIP ", status.message()));
    return status;
  };
  ASSERT_TRUE(group->Spawn("filler", os::kAnyCpu, fill).ok());
  const absl::Status end = group->Join(os::After(kWatchdogNanos));
  if (absl::StrContains(end.message(), "SKIP")) GTEST_SKIP() << end.message();
  EXPECT_EQ(end, absl::OkStatus());
}

INSTANTIATE_TEST_SUITE_P(Of, QueueTest, testing::Values(Policy::kRobust, Policy::kPosix),
                         [](const testing::TestParamInfo<Policy>& info) {
                           return info.param == Policy::kPosix ? "Posix" : "Robust";
                         });

}  // namespace
}  // namespace ipcmark::mmap_queue
