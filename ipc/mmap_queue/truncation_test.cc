// A queue whose file somebody truncates: every call ends with EBADMSG, and nobody dies of it. What cannot be survived:
// a truncation between a call's look at the size and its access to the memory, or while it waits for a lock (SIGBUS).
// And a wake-up that was lost, which the same looks find.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "ipc/mmap_queue/damage_for_test.h"
#include "ipc/mmap_queue/queue.h"
#include "ipc/mmap_queue/semantics.h"
#include "ipc/os/clock.h"
#include "ipc/os/mapping.h"

namespace ipcmark::mmap_queue {
namespace {

using TruncationTest = DamageTest;

TEST_F(TruncationTest, ATruncatedQueueIsAnErrorToWhoHasItOpen) {
  const Mqueue mq = OurMqueue();
  mq_attr attributes{};
  attributes.mq_maxmsg = 4;
  attributes.mq_msgsize = 32;
  for (const off_t bytes : {off_t{0}, off_t{100}, off_t{200'000}}) {
    const mqd_t queue = mq.open(name_.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600, &attributes);
    ASSERT_GE(queue, 0);
    ASSERT_EQ(mq.send(queue, "m", 1, 0), 0);
    struct stat its {};
    ASSERT_EQ(fstat(queue, &its), 0);
    ASSERT_EQ(ftruncate(queue, std::min(bytes, its.st_size - 1)), 0);
    EXPECT_EQ(OpenErrno(), EBADMSG);
    char buffer[32];
    mq_attr now{};
    EXPECT_EQ(Said(mq.send(queue, "m", 1, 0)), "EBADMSG");
    EXPECT_EQ(Said(mq.receive(queue, buffer, sizeof(buffer), nullptr)), "EBADMSG");
    EXPECT_EQ(Said(mq.getattr(queue, &now)), "EBADMSG");
    EXPECT_EQ(Said(mq.notify(queue, nullptr)), "EBADMSG");
    EXPECT_EQ(mq.close(queue), 0);
    EXPECT_EQ(mq.unlink(name_.c_str()), 0);
  }
}

// A child that is blocked in a call of the C interface on `queue`; *said is 1 when that ended with EBADMSG.
pid_t StartBlocked(const Mqueue& mq, mqd_t queue, bool sends, volatile int* ready, int* said) {
  const pid_t child = Fork([&] {
    char buffer[32];
    *ready = 1;
    const long rc = sends ? mq.send(queue, "m", 1, 0) : mq.receive(queue, buffer, sizeof(buffer), nullptr);
    *said = rc < 0 && errno == EBADMSG ? 1 : 2;
  });
  AwaitAsleep(child, ready);
  return child;
}

TEST_F(TruncationTest, ATruncationEndsABlockedCall) {
  const Mqueue mq = OurMqueue();
  mq_attr attributes{};
  attributes.mq_maxmsg = 4;
  attributes.mq_msgsize = 32;
  for (const bool sends : {false, true}) {
    for (const off_t bytes : {off_t{0}, off_t{100}, off_t{200'000}}) {
      const mqd_t queue = mq.open(name_.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600, &attributes);
      ASSERT_GE(queue, 0);
      for (int n = 0; sends && n < 4; ++n) ASSERT_EQ(mq.send(queue, "m", 1, 0), 0);
      struct stat its {};
      ASSERT_EQ(fstat(queue, &its), 0);
      int* const shared = SharedInts();
      const pid_t child = StartBlocked(mq, queue, sends, shared, shared + 1);
      ASSERT_EQ(ftruncate(queue, std::min(bytes, its.st_size - 1)), 0);
      Reap(child);
      EXPECT_EQ(shared[1], 1) << (sends ? "send, " : "receive, ") << bytes;
      munmap(shared, 4096);
      EXPECT_EQ(mq.close(queue), 0);
      EXPECT_EQ(mq.unlink(name_.c_str()), 0);
    }
  }
}

TEST_F(TruncationTest, AMessageWhoseWakeUpWasLostIsFound) {
  const Mqueue mq = OurMqueue();
  Queue queue = Make();
  const os::Mapping file = Map();
  int* const shared = SharedInts();
  const pid_t child = StartBlocked(mq, queue.fd(), false, shared, shared + 1);
  static_cast<QueueHeader*>(file.address())->not_empty.awaited = 0;
  ASSERT_TRUE(queue.Send({}).ok());
  Reap(child);
  EXPECT_EQ(shared[1], 2);
  EXPECT_EQ(queue.count(), 0U);
  munmap(shared, 4096);
}

TEST_F(TruncationTest, APageThatIsGoneIsNotTouched) {
  const Queue queue = Make();
  const os::Mapping file = Map();
  const auto* bytes = static_cast<const std::byte*>(file.address());
  EXPECT_TRUE(IsThere(bytes));
  EXPECT_TRUE(IsThere(bytes + file.bytes() - 1));
  ASSERT_EQ(ftruncate(queue.fd(), 100), 0);
  EXPECT_TRUE(IsThere(bytes));
  EXPECT_FALSE(IsThere(bytes + file.bytes() - 1));
}

// The thread that waits to become the notification looks at the memory before it does.
TEST_F(TruncationTest, ATruncationDoesNotKillWhoIsRegistered) {
  const Mqueue mq = OurMqueue();
  for (int trial = 0; trial < 20; ++trial) {
    const pid_t child = Fork([&] {
      const mqd_t queue = mq.open(name_.c_str(), O_CREAT | O_RDWR, 0600, nullptr);
      sigevent event{};
      event.sigev_notify = SIGEV_THREAD;
      event.sigev_notify_function = [](sigval) {};
      if (mq.notify(queue, &event) != 0 || ftruncate(queue, 0) != 0) _exit(1);
      if (mq.notify(queue, nullptr) == 0 || errno != EBADMSG || mq.close(queue) != 0) _exit(1);
      // The thread's time to look; it may not end, and need not.
      for (const Deadline end = os::After(2'000'000); !os::HasPassed(end);) sched_yield();
    });
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(mq.unlink(name_.c_str()), 0);
  }
}

}  // namespace
}  // namespace ipcmark::mmap_queue
