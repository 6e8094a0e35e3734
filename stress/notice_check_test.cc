// The check of notifications takes no machine that stands still for a broken queue.

#include "stress/notice_check.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <string>

#include "gtest/gtest.h"
#include "ipc/kernel_mq/kernel_mq.h"
#include "ipc/os/die_with.h"
#include "ipc/os/process_state.h"
#include "stress/draw.h"

namespace ipcmark::stress {
namespace {

constexpr uint64_t kSeed = 3;
constexpr int64_t kPatienceNanos = 200'000'000;

// Lets every child of `parent` that is stopped go on, long after the check would have given up.
[[noreturn]] void ContinueLate(pid_t parent) {
  os::DieWith(parent);
  const std::string path = "/proc/" + std::to_string(parent) + "/task/" + std::to_string(parent) + "/children";
  for (;;) {
    std::ifstream children(path);
    for (pid_t child = 0; children >> child;) {
      if (os::ProcessState(child) != 'T') continue;
      Hold(5 * kPatienceNanos / 2);
      kill(child, SIGCONT);
    }
  }
}

TEST(NoticeCheck, AChildThatIsStoppedForLongerThanThePatienceIsNoBreach) {
  absl::StatusOr<kernel_mq::Channel> queue =
      kernel_mq::Channel::Create({.depth_messages = 4, .max_message_bytes = 64, .senders = 2, .receivers = 2});
  if (!queue.ok()) GTEST_SKIP() << queue.status();
  auto sender = queue->OpenSender();
  auto receiver = queue->OpenReceiver();
  ASSERT_TRUE(sender.ok() && receiver.ok());
  const pid_t parent = getpid();
  const pid_t continues = fork();
  if (continues == 0) ContinueLate(parent);

  std::array<std::byte, 64> message{};
  uint64_t steps = 0;
  const auto receive_waiting = [&] {
    raise(SIGSTOP);
    return receiver->Receive(message, Deadline::Never()).ok();
  };
  const auto send_many = [&](uint64_t messages) {
    raise(SIGSTOP);
    bool sent = true;
    for (; sent && messages > 0; --messages) sent = sender->Send(message, Deadline::Never()).ok();
    return sent;
  };
  const auto register_elsewhere = [&] {
    sigevent event = {};
    event.sigev_notify = SIGEV_NONE;
    return receiver->Notify(&event).ok();
  };
  const NoticeFinding finding =
      CheckNotices({.notify = [&](const sigevent* event) { return receiver->Notify(event); },
                    .send = [&] { return sender->Send(message, Deadline::Immediate()).ok(); },
                    .receive = [&] { return receiver->Receive(message, Deadline::Immediate()).ok(); },
                    .register_elsewhere = register_elsewhere,
                    .receive_waiting = receive_waiting,
                    .send_many = send_many,
                    .progressed = [&] { ++steps; }},
                   kSeed, kPatienceNanos);
  kill(continues, SIGKILL);
  waitpid(continues, nullptr, 0);
  EXPECT_STREQ(finding.breach, "") << "seed " << kSeed;
  EXPECT_GT(finding.expected, 0);
  EXPECT_GT(steps, 60);
}

}  // namespace
}  // namespace ipcmark::stress
