// Without any further segment Create fails with a sentence, what is open goes on, and afterwards all is as before.

#include "stress/shm_limits.h"

#include <sched.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

#include "gtest/gtest.h"
#include "ipc/os/namespace_for_test.h"
#include "ipc/shm_broadcast/shm_broadcast.h"
#include "ipc/shm_mpmc/shm_mpmc.h"
#include "ipc/sysv_shm/sysv_shm.h"

namespace ipcmark::stress {
namespace {

constexpr Geometry kGeometry = {.depth_messages = 4, .max_message_bytes = 64, .wait = Wait::kBlock};

void Check(bool holds, const char* what) {
  if (holds) return;
  fprintf(stderr, "%s\n", what);
  _exit(1);
}

template <typename Channel>
void ExhaustAround() {
  absl::StatusOr<Channel> object = Channel::Create(kGeometry);
  Check(object.ok(), "Create before");
  auto sender = object->OpenSender();
  auto receiver = object->OpenReceiver();
  Check(sender.ok() && receiver.ok(), "open before");
  {
    const LoweredShmLimits lowered;
    const absl::Status refused = Channel::Create(kGeometry).status();
    Check(!refused.ok() && refused.message().find("ENOSPC") != absl::string_view::npos, "expected ENOSPC from Create");
    std::vector<std::byte> message(32);
    std::vector<std::byte> buffer(64);
    for (int i = 0; i < 100; ++i) {
      Check(sender->Send(message, Deadline::Never()).ok(), "Send meanwhile");
      Check(receiver->Receive(buffer, Deadline::Never()).ok(), "Receive meanwhile");
    }
  }
  Check(Channel::Create(kGeometry).ok(), "Create after");
}

template <typename Channel>
void ExpectSurvives() {
  EXPECT_EXIT(
      {
        if (!os::EnterPrivateNamespaces(CLONE_NEWIPC).ok() || !LoweredShmLimits::MayLower()) _exit(0);
        ExhaustAround<Channel>();
        _exit(0);
      },
      testing::ExitedWithCode(0), "");
}

TEST(LoweredShmLimits, SysvShmGoesOnAndRefusesInWords) { ExpectSurvives<sysv_shm::Channel>(); }
TEST(LoweredShmLimits, ShmMpmcGoesOnAndRefusesInWords) { ExpectSurvives<shm_mpmc::Channel>(); }
TEST(LoweredShmLimits, ShmBroadcastGoesOnAndRefusesInWords) { ExpectSurvives<shm_broadcast::Channel>(); }

}  // namespace
}  // namespace ipcmark::stress
