// The census sees what it is there to see.

#include "stress/census.h"

#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ipc/os/fd.h"

namespace ipcmark::stress {
namespace {

using testing::HasSubstr;

TEST(Census, FindsADescriptorThatStaysOpen) {
  const Traces before = TakeTraces();
  EXPECT_EQ(FindLeftBehind(before, TakeTraces()), "");
  const os::Fd left(open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(FindLeftBehind(before, TakeTraces()), "1 more descriptor of /dev/null than before");
}

TEST(Census, FindsAChildThatNobodyHasReaped) {
  const Traces before = TakeTraces();
  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  EXPECT_EQ(FindLeftBehind(before, TakeTraces()), "1 more child process than before");
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_EQ(FindLeftBehind(before, TakeTraces()), "");
}

TEST(Census, KnowsWhoseAFileIs) {
  EXPECT_TRUE(IsNamedAfter("ipcmark.471.0.99", 471));
  EXPECT_TRUE(IsNamedAfter("mq.ipcmark.471", 471));
  EXPECT_FALSE(IsNamedAfter("ipcmark.4711.0", 471)) << "a part of another id";
  EXPECT_FALSE(IsNamedAfter("ipcmark.1471", 471)) << "a part of another id";
  EXPECT_FALSE(IsNamedAfter("ipcmark.12.471", 471)) << "another process's 471st";
  EXPECT_FALSE(IsNamedAfter("sem.a471", 471));
  EXPECT_FALSE(IsNamedAfter("", 471));
}

// A name that is left between mq_open and mq_unlink; no list of queues need be mounted.
TEST(Census, RemovesThePosixQueuesOfADeadProcess) {
  const pid_t child = fork();
  const auto make = [](pid_t process, int nth) {
    const std::string name = "/ipcmark." + std::to_string(process) + "." + std::to_string(nth);
    mq_attr small{};
    small.mq_maxmsg = 1;
    small.mq_msgsize = 1;
    return mq_open(name.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600, &small) >= 0;
  };
  if (child == 0) _exit(make(getpid(), 0) && make(getpid(), 1) && make(getppid(), 0) ? 0 : 1);
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_EQ(status, 0);
  const std::string name = "/ipcmark." + std::to_string(child) + ".";
  EXPECT_THAT(QueuesOf(child), testing::ElementsAre(name + "0", name + "1"));
  EXPECT_EQ(RemoveObjectsOf(child), 2);
  EXPECT_THAT(QueuesOf(child), testing::IsEmpty());
  EXPECT_EQ(RemoveObjectsOf(getpid()), 1) << "another process's queue was removed, too";
}

TEST(Census, FindsAMarkedSegmentThatOutlivesItsLastAttachment) {
  const int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
  ASSERT_GE(id, 0);
  const std::vector<int64_t> segments = {id};
  EXPECT_EQ(FindMisfate(AllSegments(), segments, {}), "") << "nobody has marked it";
  const void* const address = shmat(id, nullptr, 0);
  shmctl(id, IPC_RMID, nullptr);
  EXPECT_EQ(FindMisfate(AllSegments(), segments, segments), "");
  EXPECT_THAT(FindMisfate(AllSegments(), segments, {}), HasSubstr("still there with no mapping of it"));
  shmdt(address);
  EXPECT_EQ(FindMisfate(AllSegments(), segments, {}), "");
}

TEST(Census, FindsASegmentThatGoesBeforeItsLastAttachment) {
  const std::vector<int64_t> segments = {7};
  const std::vector<SegmentState> others = {{.id = 8, .marked = true, .attached = 1}};
  EXPECT_THAT(FindMisfate(others, segments, segments), HasSubstr("segment 7 gone with 1 mapping"));
}

TEST(Census, FindsASegmentAndAnAttachmentThatNobodyAccountsFor) {
  const Traces before = TakeTraces();
  const int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
  ASSERT_GE(id, 0);
  EXPECT_THAT(FindLeftBehind(before, TakeTraces()), HasSubstr("1 more System V segment"));
  const void* const address = shmat(id, nullptr, 0);
  const pid_t self = getpid();
  EXPECT_EQ(FindAttachMiscount({&self, 1}), "");
  // Somebody is attached who is not in the list.
  EXPECT_THAT(FindAttachMiscount({}), HasSubstr("an attach count of 1 and 0 mappings"));
  shmdt(address);
  shmctl(id, IPC_RMID, nullptr);
  EXPECT_EQ(FindLeftBehind(before, TakeTraces()), "");
}

}  // namespace
}  // namespace ipcmark::stress
