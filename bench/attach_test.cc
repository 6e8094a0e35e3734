#include "bench/attach.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <numeric>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "ipc/conformance/support.h"

namespace {

// How often a process that asks for the attach count attaches once more first; counted down.
int extra_attachments = 0;

// Who dies when a process is about to remove the segment that it has just created.
enum class Dies { kNobody, kItself, kItsParent } dies = Dies::kNobody;

void DieIfCreatorOf(int id) {
  shmid_ds segment = {};
  syscall(SYS_shmctl, id, IPC_STAT, &segment);
  if (segment.shm_cpid != getpid()) return;
  if (dies == Dies::kItself) raise(SIGKILL);
  const pid_t parent = getppid();
  kill(parent, SIGKILL);
  while (getppid() == parent) sched_yield();
}

}  // namespace

// In place of the C library's: somebody else's attachment, and a death, at the very moment when it matters.
extern "C" int shmctl(int id, int command, shmid_ds* ds) noexcept {
  if (command == IPC_STAT && extra_attachments > 0 && --extra_attachments == 0) shmat(id, nullptr, 0);
  if (command == IPC_RMID && dies != Dies::kNobody) DieIfCreatorOf(id);
  return static_cast<int>(syscall(SYS_shmctl, id, command, ds));
}

namespace ipcmark::bench {
namespace {

using testing::Each;
using testing::Gt;
using testing::SizeIs;

AttachSpec Spec(AttachOp op, int attached, uint64_t calls) {
  return {.op = op,
          .segment_bytes = 1 << 20,
          .page_bytes = static_cast<uint64_t>(sysconf(_SC_PAGESIZE)),
          .attached = attached,
          .calls = calls};
}

const uint64_t kPages = (1 << 20) / sysconf(_SC_PAGESIZE);

int64_t FaultsOfChildren() {
  rusage usage = {};
  getrusage(RUSAGE_CHILDREN, &usage);
  return usage.ru_minflt;
}

// Leaves no segment, process, descriptor or mapping behind, whatever a test does.
class AttachTest : public testing::Test {
 protected:
  ~AttachTest() override {
    extra_attachments = 0;
    dies = Dies::kNobody;
    EXPECT_EQ(conformance::Belongings(), before_);
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a child is left";
  }

 private:
  const std::vector<std::string> before_ = conformance::Belongings();
};

TEST_F(AttachTest, OperationsHaveTheNamesOfTheRows) {
  EXPECT_STREQ(AttachOpName(AttachOp::kCreate), "create");
  EXPECT_STREQ(AttachOpName(AttachOp::kShmat), "shmat");
  EXPECT_STREQ(AttachOpName(AttachOp::kShmdt), "shmdt");
  EXPECT_STREQ(AttachOpName(AttachOp::kFirstTouch), "first_touch");
  EXPECT_STREQ(AttachOpName(AttachOp::kLock), "lock");
}

// That these succeed proves the count: Attach checks the kernel's before and after.
TEST_F(AttachTest, TimesEveryCallWithExactlySoManyAttached) {
  for (const AttachOp op : {AttachOp::kShmat, AttachOp::kShmdt, AttachOp::kLock}) {
    for (const int attached : {1, 2, 17}) {
      const absl::StatusOr<SliceResult> result = Attach(Spec(op, attached, 20));
      ASSERT_TRUE(result.ok()) << AttachOpName(op) << " x" << attached << ": " << result.status();
      EXPECT_EQ(result->messages, 20U);
      EXPECT_EQ(result->messages_per_sample, 1U);
      ASSERT_THAT(result->samples_nanos, SizeIs(20));
      EXPECT_THAT(result->samples_nanos, Each(Gt(0)));
      EXPECT_EQ(std::accumulate(result->samples_nanos.begin(), result->samples_nanos.end(), int64_t{0}), result->nanos);
      EXPECT_GT(result->sender->cpu_nanos, 0);
    }
  }
}

TEST_F(AttachTest, AThousandProcessesCanBeAttached) {
  const absl::StatusOr<SliceResult> result = Attach(Spec(AttachOp::kShmat, 1000, 5));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->messages, 5U);
}

TEST_F(AttachTest, CreateTimesPairsAndLeavesNoneOfTheirSegments) {
  const absl::StatusOr<SliceResult> result = Attach(Spec(AttachOp::kCreate, 0, 20));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->messages, 20U);
  EXPECT_THAT(result->samples_nanos, SizeIs(20));
  EXPECT_THAT(result->samples_nanos, Each(Gt(0)));
}

TEST_F(AttachTest, FirstTouchTimesPagesAndSamplesSixteenOfThem) {
  const uint64_t pages = kPages + 5;  // of which the last five are no sample
  const absl::StatusOr<SliceResult> result = Attach(Spec(AttachOp::kFirstTouch, 3, pages));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->messages, pages);
  EXPECT_EQ(result->messages_per_sample, 16U);
  EXPECT_THAT(result->samples_nanos, SizeIs(kPages / 16));
  EXPECT_GT(result->nanos, std::accumulate(result->samples_nanos.begin(), result->samples_nanos.end(), int64_t{0}));
}

TEST_F(AttachTest, FirstTouchOfAOnePageSegmentSamplesPages) {
  AttachSpec spec = Spec(AttachOp::kFirstTouch, 1, 7);
  spec.segment_bytes = spec.page_bytes;
  const absl::StatusOr<SliceResult> result = Attach(spec);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->messages_per_sample, 1U);
  EXPECT_THAT(result->samples_nanos, SizeIs(7));
}

TEST_F(AttachTest, AnAttachmentTooManyIsAnErrorBeforeAndAfter) {
  extra_attachments = 1;
  EXPECT_EQ(Attach(Spec(AttachOp::kShmat, 3, 5)).status().message(),
            "attacher: the segment has 4 attachments, expected 3");
  extra_attachments = 2;
  EXPECT_EQ(Attach(Spec(AttachOp::kShmdt, 3, 5)).status().message(),
            "attacher: the segment has 4 attachments, expected 3");
}

TEST_F(AttachTest, FirstTouchFaultsOnEveryPageOfEveryRound) {
  constexpr uint64_t rounds = 20;
  const int64_t before = FaultsOfChildren();
  ASSERT_TRUE(Attach(Spec(AttachOp::kShmat, 1, rounds)).ok());
  const int64_t untouched = FaultsOfChildren() - before;
  ASSERT_TRUE(Attach(Spec(AttachOp::kFirstTouch, 1, rounds * kPages)).ok());
  const int64_t touched = FaultsOfChildren() - before - untouched;
  // Not by a few: the rest of what a process faults on differs from run to run.
  EXPECT_GE(touched, static_cast<int64_t>(rounds * kPages));
  EXPECT_LT(untouched, static_cast<int64_t>(rounds * kPages) / 2);
}

// SHM_UNLOCK looks at every page that is there, so a lock of an untouched segment would be another measurement.
TEST_F(AttachTest, LockIsTimedOnASegmentThatHasItsPages) {
  const int64_t before = FaultsOfChildren();
  ASSERT_TRUE(Attach(Spec(AttachOp::kShmat, 1, 1)).ok());
  const int64_t untouched = FaultsOfChildren() - before;
  ASSERT_TRUE(Attach(Spec(AttachOp::kLock, 1, 1)).ok());
  EXPECT_GE(FaultsOfChildren() - before - untouched, static_cast<int64_t>(kPages));
}

TEST_F(AttachTest, WhatShmgetSaysIsWhatComesOut) {
  AttachSpec spec = Spec(AttachOp::kShmat, 1, 1);
  spec.segment_bytes = 0;
  EXPECT_THAT(std::string(Attach(spec).status().message()), testing::StartsWith("shmget(key=0, 0 bytes): EINVAL"));
}

TEST_F(AttachTest, ACreatorKilledBeforeItRemovesLeavesNothing) {
  dies = Dies::kItself;
  EXPECT_THAT(std::string(Attach(Spec(AttachOp::kCreate, 0, 5)).status().message()), testing::HasSubstr("SIGKILL"));
}

TEST_F(AttachTest, ACreatorWhoseParentIsKilledRemovesWhatItHasCreated) {
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  const pid_t bench = fork();
  if (bench == 0) {
    dies = Dies::kItsParent;
    Attach(Spec(AttachOp::kCreate, 0, 1'000'000'000)).IgnoreError();
    _exit(1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(bench, &status, 0), bench);
  EXPECT_TRUE(WIFSIGNALED(status));
  // The creator, which is ours now.
  ASSERT_GT(waitpid(-1, &status, 0), 0);
  EXPECT_TRUE(WIFEXITED(status)) << "it was killed too";
}

TEST_F(AttachTest, AFlagThatIsSetCancels) {
  const std::atomic<bool> cancel = true;
  for (const AttachOp op : kAttachOps) {
    AttachSpec spec = Spec(op, op == AttachOp::kCreate ? 0 : 4, 1'000'000'000);
    spec.cancel = &cancel;
    EXPECT_EQ(Attach(spec).status().code(), absl::StatusCode::kCancelled);
  }
}

}  // namespace
}  // namespace ipcmark::bench
