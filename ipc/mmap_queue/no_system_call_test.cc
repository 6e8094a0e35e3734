// Uncontended sends and receives make no system call: they work in a process that may make none but read, write and
// _exit (seccomp(2), strict mode), which is killed at the first one.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/seccomp.h>
#include <mqueue.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "ipc/mmap_queue/mmap_queue.h"
#include "ipc/mmap_queue/semantics.h"

namespace ipcmark::mmap_queue {
namespace {

constexpr int kPairs = 1000;
constexpr uint32_t kDepth = 8;

// How a child ended that called `pair` once, gave up its system calls and called it kPairs times more: "0" when each
// returned true, "killed" when it made a system call.
std::string Confined(const std::function<bool()>& pair) {
  const pid_t child = fork();
  if (child == 0) {
    bool ok = pair() && prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0;
    for (int i = 0; i < kPairs && ok; ++i) ok = pair();
    // Not _exit, which is exit_group: strict mode does not know it.
    syscall(SYS_exit, ok ? 0 : 1);
  }
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return "no child";
  if (WIFSIGNALED(status)) return WTERMSIG(status) == SIGKILL ? "killed" : "another signal";
  return std::to_string(WEXITSTATUS(status));
}

class NoSystemCall : public testing::TestWithParam<size_t> {
 protected:
  std::vector<std::byte> message_ = std::vector<std::byte>(GetParam());
  std::vector<std::byte> buffer_ = std::vector<std::byte>(GetParam());
};

TEST_P(NoSystemCall, InAChannel) {
  for (const Wait wait : {Wait::kBlock, Wait::kSpinThenBlock}) {
    absl::StatusOr<Channel> channel = Channel::Create(
        {.depth_messages = kDepth, .max_message_bytes = static_cast<uint32_t>(GetParam()), .wait = wait});
    ASSERT_TRUE(channel.ok()) << channel.status();
    absl::StatusOr<Sender> sender = channel->OpenSender();
    absl::StatusOr<Receiver> receiver = channel->OpenReceiver();
    ASSERT_TRUE(sender.ok() && receiver.ok());
    EXPECT_EQ(Confined([&] {
                uint32_t priority = 0;
                return sender->Send(message_, 1, Deadline::Never()).ok() &&
                       receiver->Receive(buffer_, &priority, Deadline::Never()).ok() && priority == 1;
              }),
              "0");
  }
}

// The C interface: with one system call each, which looks whether the descriptor is still the queue's, unless trusted.
TEST_P(NoSystemCall, ThroughTheCInterfaceWhereDescriptorsAreTrusted) {
  const Mqueue mq = OurMqueue();
  const std::string name = "/no_system_call_test_" + std::to_string(getpid());
  mq_attr attributes{};
  attributes.mq_maxmsg = kDepth;
  attributes.mq_msgsize = static_cast<long>(GetParam());
  for (const bool trusts : {false, true}) {
    ASSERT_EQ(setenv("IPCMARK_QUEUE_TRUST_DESCRIPTORS", trusts ? "1" : "0", 1), 0);
    const mqd_t queue = mq.open(name.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600, &attributes);
    ASSERT_GE(queue, 0);
    EXPECT_EQ(mq.unlink(name.c_str()), 0);
    EXPECT_EQ(Confined([&] {
                auto* const out = reinterpret_cast<const char*>(message_.data());
                auto* const in = reinterpret_cast<char*>(buffer_.data());
                return mq.send(queue, out, message_.size(), 1) == 0 &&
                       mq.receive(queue, in, buffer_.size(), nullptr) == static_cast<ssize_t>(buffer_.size());
              }),
              trusts ? "0" : "killed");
    EXPECT_EQ(mq.close(queue), 0);
    // Closed by mq_close, it is trusted no longer.
    EXPECT_EQ(Said(mq.send(queue, "m", 1, 0)), "EBADF");
  }
  unsetenv("IPCMARK_QUEUE_TRUST_DESCRIPTORS");
}

INSTANTIATE_TEST_SUITE_P(Bytes, NoSystemCall, testing::Values(1, 64, 4096, 65536));

}  // namespace
}  // namespace ipcmark::mmap_queue
