#include "bench/attach.h"

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

}  // namespace

// In place of the C library's: somebody else's attachment, at the very moment when it matters.
extern "C" int shmctl(int id, int command, shmid_ds* ds) noexcept {
  if (command == IPC_STAT && extra_attachments > 0 && --extra_attachments == 0) shmat(id, nullptr, 0);
  return static_cast<int>(syscall(SYS_shmctl, id, command, ds));
}

namespace ipcmark::bench {
namespace {

using testing::Each;
using testing::Gt;
using testing::SizeIs;

AttachSpec Spec(AttachOp op, int attached, uint64_t rounds) {
  return {.op = op, .segment_bytes = 1 << 20, .attached = attached, .rounds = rounds};
}

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
    EXPECT_EQ(conformance::Belongings(), before_);
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a child is left";
  }

 private:
  const std::vector<std::string> before_ = conformance::Belongings();
};

TEST_F(AttachTest, OperationsHaveTheNamesOfTheRows) {
  EXPECT_STREQ(AttachOpName(AttachOp::kShmat), "shmat");
  EXPECT_STREQ(AttachOpName(AttachOp::kShmdt), "shmdt");
  EXPECT_STREQ(AttachOpName(AttachOp::kFirstTouch), "first_touch");
}

// That these succeed proves the count: Attach checks the kernel's before and after.
TEST_F(AttachTest, TimesEveryCallWithExactlySoManyAttached) {
  for (const AttachOp op : kAttachOps) {
    for (const int attached : {1, 2, 17}) {
      const absl::StatusOr<SliceResult> result = Attach(Spec(op, attached, 20));
      ASSERT_TRUE(result.ok()) << AttachOpName(op) << " x" << attached << ": " << result.status();
      EXPECT_EQ(result->messages, 20U);
      EXPECT_EQ(result->messages_per_sample, 1U);
      ASSERT_THAT(result->samples_nanos, SizeIs(20));
      EXPECT_THAT(result->samples_nanos, Each(Gt(0)));
      EXPECT_EQ(std::accumulate(result->samples_nanos.begin(), result->samples_nanos.end(), int64_t{0}), result->nanos);
      EXPECT_GT(result->sender.cpu_nanos, 0);
    }
  }
}

TEST_F(AttachTest, AnAttachmentTooManyIsAnErrorBeforeAndAfter) {
  extra_attachments = 1;
  EXPECT_EQ(Attach(Spec(AttachOp::kShmat, 3, 5)).status().message(),
            "attacher: the segment has 4 attachments, expected 3");
  extra_attachments = 2;
  EXPECT_EQ(Attach(Spec(AttachOp::kShmdt, 3, 5)).status().message(),
            "attacher: the segment has 4 attachments, expected 3");
}

TEST_F(AttachTest, FirstTouchFaultsOnEveryPageInEveryRound) {
  constexpr uint64_t rounds = 20;
  const int64_t pages = (1 << 20) / sysconf(_SC_PAGESIZE);
  const int64_t before = FaultsOfChildren();
  ASSERT_TRUE(Attach(Spec(AttachOp::kShmat, 1, rounds)).ok());
  const int64_t untouched = FaultsOfChildren() - before;
  ASSERT_TRUE(Attach(Spec(AttachOp::kFirstTouch, 1, rounds)).ok());
  const int64_t touched = FaultsOfChildren() - before - untouched;
  // Not by a few: the rest of what a process faults on differs from run to run.
  EXPECT_GE(touched, static_cast<int64_t>(rounds) * pages);
  EXPECT_LT(untouched, static_cast<int64_t>(rounds) * pages / 2);
}

TEST_F(AttachTest, WhatShmgetSaysIsWhatComesOut) {
  AttachSpec spec = Spec(AttachOp::kShmat, 1, 1);
  spec.segment_bytes = 0;
  EXPECT_THAT(std::string(Attach(spec).status().message()), testing::StartsWith("shmget(key=0, 0 bytes): EINVAL"));
}

TEST_F(AttachTest, AFlagThatIsSetCancels) {
  const std::atomic<bool> cancel = true;
  AttachSpec spec = Spec(AttachOp::kShmat, 4, 5);
  spec.cancel = &cancel;
  EXPECT_EQ(Attach(spec).status().code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace ipcmark::bench
