// Every row of the table, on the kernel's queues and on ours. Where they differ, the row says how and why, and both are
// asserted: a difference that goes or comes is noticed. Ours has two policies, and every row holds for both.

#include "ipc/mmap_queue/semantics.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "ipc/os/clock.h"
#include "ipc/os/mapping.h"
#include "ipc/os/process_group.h"

namespace ipcmark::mmap_queue {
namespace {

constexpr int64_t kWatchdogNanos = 60 * os::kNanosPerSecond;
constexpr size_t kSawBytes = 4096;

std::vector<Row> AllRows() {
  std::vector<Row> rows;
  for (const auto* some : {&OpenRows(), &TransferRows(), &DescriptorRows(), &NotifyRows()}) {
    rows.insert(rows.end(), some->begin(), some->end());
  }
  return rows;
}

void UnlinkAll(const Mqueue& mq) {
  for (int which = 0; which < kNames; ++which) mq.unlink(Name(which));
}

// What `row` sees, run in a process of its own.
std::string SeenBy(const Row& row, const Mqueue& mq) {
  SetNames(getpid());
  UnlinkAll(mq);
  absl::StatusOr<os::Mapping> saw = os::Mapping::SharedAnonymous(kSawBytes);
  absl::StatusOr<os::ProcessGroup> group = os::ProcessGroup::Create(1);
  if (!saw.ok() || !group.ok()) return "no process";
  auto body = [&](os::Gate& gate) {
    gate.Arrive();
    const std::string words = row.run(mq);
    snprintf(static_cast<char*>(saw->address()), kSawBytes, "%s", words.c_str());
    return absl::OkStatus();
  };
  absl::Status end = group->Spawn("row", os::kAnyCpu, body).status();
  if (end.ok()) end = group->Start(os::After(kWatchdogNanos));
  if (end.ok()) end = group->Join(os::After(kWatchdogNanos));
  UnlinkAll(mq);
  return end.ok() ? static_cast<const char*>(saw->address()) : std::string(end.message());
}

bool KernelHasQueues() {
  SetNames(getpid());
  return KernelMqueue().unlink(Name()) == 0 || errno != ENOSYS;
}

bool MayBecomeAnotherUser() {
  const pid_t child = Fork([] { _exit(setuid(kAnotherUser) == 0 ? 0 : 1); });
  int status = 0;
  return waitpid(child, &status, 0) == child && status == 0;
}

class Semantics : public testing::TestWithParam<Row> {
 protected:
  void SetUp() override {
    if (GetParam().needs_users && !MayBecomeAnotherUser()) GTEST_SKIP() << "it takes root, and a second user";
  }
};

TEST_P(Semantics, OurQueue) { EXPECT_EQ(SeenBy(GetParam(), OurMqueue()), GetParam().expected); }

TEST_P(Semantics, OurQueueOfThePosixPolicy) {
  const Row& row = GetParam();
  if (row.not_posix != nullptr) GTEST_SKIP() << row.not_posix;
  setenv("IPCMARK_QUEUE_POLICY", "posix", 1);
  EXPECT_EQ(SeenBy(row, OurMqueue()), row.expected);
  unsetenv("IPCMARK_QUEUE_POLICY");
}

TEST_P(Semantics, KernelQueue) {
  if (!KernelHasQueues()) GTEST_SKIP() << "this kernel has no message queues (CONFIG_POSIX_MQUEUE)";
  const Row& row = GetParam();
#ifdef __SANITIZE_THREAD__
  if (strncmp(row.name, "SIGEV_THREAD", strlen("SIGEV_THREAD")) == 0)
    GTEST_SKIP() << "ThreadSanitizer does not know the C library's own threads";
#endif
  EXPECT_EQ(SeenBy(row, KernelMqueue()), row.kernel != nullptr ? row.kernel : row.expected);
}

std::string TestName(const testing::TestParamInfo<Row>& info) {
  std::string name = std::to_string(info.index) + "_" + info.param.name;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Row, Semantics, testing::ValuesIn(AllRows()), TestName);

// The kernel's limits are other ones, and it says other things.
TEST(SemanticsOfOurs, AQueueForWhichThereIsNoRoomIsNotMade) {
  SetNames(getpid());
  const Mqueue mq = OurMqueue();
  mq_attr attributes{};
  attributes.mq_maxmsg = 65536;
  attributes.mq_msgsize = 16 << 20;
  EXPECT_EQ(Said(mq.open(Name(), O_CREAT | O_RDWR, 0600, &attributes)), "ENOSPC");
  EXPECT_EQ(Said(mq.unlink(Name())), "ENOENT");
}

TEST(SemanticsTable, SaysWhereWeDifferAndWhy) {
  for (const Row& row : AllRows()) {
    if (row.kernel == nullptr) continue;
    EXPECT_STRNE(row.kernel, row.expected) << row.name;
    ASSERT_NE(row.reason, nullptr) << row.name;
    printf("%s\n  kernel: %s\n  ours:   %s\n  reason: %s\n", row.name, row.kernel, row.expected, row.reason);
  }
}

}  // namespace
}  // namespace ipcmark::mmap_queue
