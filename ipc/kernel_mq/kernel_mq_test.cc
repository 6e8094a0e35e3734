// What is the kernel queue's own: the limits, and how they are told. The rest is the conformance suite's.

#include "ipc/kernel_mq/kernel_mq.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cstdio>

#include "ipc/conformance/support.h"
#include "ipc/kernel_mq/limits.h"

namespace ipcmark::kernel_mq {
namespace {

using conformance::MessageOf;

long Setting(const char* name) {
  long value = 0;
  FILE* file = fopen((std::string("/proc/sys/fs/mqueue/") + name).c_str(), "re");
  if (file == nullptr) return -1;
  if (fscanf(file, "%ld", &value) != 1) value = -1;
  fclose(file);
  return value;
}

TEST(KernelMq, MakesQueuesBeyondTheSettingsWithoutTouchingThem) {
  const long messages = Setting("msg_max");
  const long bytes = Setting("msgsize_max");
  if (messages < 0) GTEST_SKIP() << "no /proc/sys/fs/mqueue";
  auto object = Channel::Create({.depth_messages = 40, .max_message_bytes = 10'000, .wait = Wait::kBlock});
  if (absl::IsUnimplemented(object.status())) GTEST_SKIP() << object.status();
  ASSERT_TRUE(object.ok()) << object.status();
  auto sender = object->OpenSender();
  auto receiver = object->OpenReceiver();
  ASSERT_TRUE(sender.ok() && receiver.ok());
  std::vector<std::byte> buffer(10'000);
  for (uint64_t n = 0; n < 40; ++n) EXPECT_TRUE(sender->Send(MessageOf(0, n, 10'000), Deadline::Immediate()).ok());
  EXPECT_EQ(sender->Send({}, Deadline::Immediate()).outcome, Outcome::kWouldBlock);
  for (uint64_t n = 0; n < 40; ++n) EXPECT_EQ(receiver->Receive(buffer, Deadline::Immediate()).bytes, 10'000U);
  EXPECT_EQ(Setting("msg_max"), messages);
  EXPECT_EQ(Setting("msgsize_max"), bytes);
}

TEST(KernelMq, NamesTheLimitAndTheRemedy) {
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_MSGQUEUE, &limit), 0);
  const rlimit little = {.rlim_cur = 1000, .rlim_max = 1000};
  // A death test's process, so that the limit is gone with it.
  EXPECT_EXIT(
      {
        if (setrlimit(RLIMIT_MSGQUEUE, &little) != 0) exit(1);
        const absl::Status status = MakeQueue({.depth_messages = 10, .message_bytes = 8000}).status();
        fprintf(stderr, "%s\n", status.ToString().c_str());
        // Who may raise the limit gets the queue.
        exit(status.ok() || absl::IsUnimplemented(status) ? 0 : 1);
      },
      testing::ExitedWithCode(0), "^OK|RLIMIT_MSGQUEUE is 1000; raise it|may make no IPC namespace");
  EXPECT_TRUE(absl::IsUnimplemented(MakeQueue({.depth_messages = 65'537, .message_bytes = 1}).status()));
}

// The two queues of a round trip are no reason to measure nothing else.
TEST(KernelMq, NamesTheLimitThatAnotherQueueUsesUp) {
  constexpr QueueSize kSize = {.depth_messages = 10, .message_bytes = 8000};
  const rlimit little = {.rlim_cur = AccountedBytes(kSize), .rlim_max = AccountedBytes(kSize)};
  EXPECT_EXIT(
      {
        if (setrlimit(RLIMIT_MSGQUEUE, &little) != 0) exit(1);
        const absl::StatusOr<os::Fd> first = MakeQueue(kSize);
        const absl::Status second = MakeQueue(kSize).status();
        fprintf(stderr, "%s\n%s\n", first.status().ToString().c_str(), second.ToString().c_str());
        // Who may raise the limit gets both; other programs of this user may have left too little for the first.
        exit(second.ok() || absl::IsUnimplemented(second) ? 0 : 1);
      },
      testing::ExitedWithCode(0), "\nOK|\n.*leave less of RLIMIT_MSGQUEUE, which is|may make no IPC namespace");
}

TEST(KernelMq, AnErrorThatIsNoLimitKeepsItsName) {
  // No descriptors left.
  rlimit files{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
  const rlimit none = {.rlim_cur = 3, .rlim_max = files.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const absl::Status status = MakeQueue({.depth_messages = 1, .message_bytes = 1}).status();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
  EXPECT_FALSE(status.ok() || absl::IsUnimplemented(status)) << status;
  EXPECT_NE(status.message().find("EMFILE"), std::string::npos) << status;
  EXPECT_NE(status.message().find("RLIMIT_NOFILE"), std::string::npos) << status;
}

}  // namespace
}  // namespace ipcmark::kernel_mq
