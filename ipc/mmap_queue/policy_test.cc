// The policy `posix`: the conformance suite, and how a queue comes by its policy.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "ipc/conformance/conformance.h"
#include "ipc/mmap_queue/mmap_queue.h"
#include "ipc/mmap_queue/queue.h"
#include "ipc/mmap_queue/semantics.h"

namespace ipcmark::mmap_queue {

// The primitive as it is with the other policy.
class PosixChannel {
 public:
  static constexpr Capabilities kCapabilities = [] {
    Capabilities capabilities = Channel::kCapabilities;
    capabilities.survives_sigkill = false;
    capabilities.shows_signals = false;
    return capabilities;
  }();
  static absl::StatusOr<PosixChannel> Create(const Geometry& geometry) {
    absl::StatusOr<Channel> channel = Channel::Create(geometry, Policy::kPosix);
    if (!channel.ok()) return channel.status();
    return PosixChannel(*std::move(channel));
  }
  [[nodiscard]] const Geometry& geometry() const { return channel_.geometry(); }
  [[nodiscard]] uint64_t DepthLimit(uint32_t bytes) const { return channel_.DepthLimit(bytes); }
  absl::StatusOr<Sender> OpenSender() { return channel_.OpenSender(); }
  absl::StatusOr<Receiver> OpenReceiver() { return channel_.OpenReceiver(); }
  void ReleaseEnds() noexcept { channel_.ReleaseEnds(); }

 private:
  explicit PosixChannel(Channel channel) : channel_(std::move(channel)) {}
  Channel channel_;
};
static_assert(Primitive<PosixChannel>);

namespace {

class PolicyTest : public testing::Test {
 protected:
  PolicyTest() : name_(absl::StrCat("/policy_test_", getpid())) { Queue::Unlink(name_).IgnoreError(); }
  ~PolicyTest() override {
    unsetenv("IPCMARK_QUEUE_POLICY");
    Queue::Unlink(name_).IgnoreError();
  }
  // Of the queue that `mq_open` makes.
  std::string MadeByMqOpen() {
    const Mqueue mq = OurMqueue();
    const mqd_t queue = mq.open(name_.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600, nullptr);
    if (queue < 0) return Said(queue);
    mq.close(queue);
    absl::StatusOr<Queue> made = Queue::Open(name_, O_RDWR);
    mq.unlink(name_.c_str());
    if (!made.ok()) return made.status().ToString();
    return made->policy() == Policy::kPosix ? "posix" : "robust";
  }
  std::string name_;
};

TEST_F(PolicyTest, TheEnvironmentChoosesForTheCInterface) {
  EXPECT_EQ(MadeByMqOpen(), "robust");
  for (const char* policy : {"posix", "robust"}) {
    setenv("IPCMARK_QUEUE_POLICY", policy, 1);
    EXPECT_EQ(MadeByMqOpen(), policy);
  }
  setenv("IPCMARK_QUEUE_POLICY", "Posix", 1);
  EXPECT_EQ(MadeByMqOpen(), "EINVAL");
}

TEST_F(PolicyTest, AnEmptyVariableIsAsIfItWereNotSet) {
  setenv("IPCMARK_QUEUE_POLICY", "", 1);
  EXPECT_EQ(MadeByMqOpen(), "robust");
  const char* directory = getenv("IPCMARK_QUEUE_DIR");
  const std::string before = directory == nullptr ? "" : directory;
  setenv("IPCMARK_QUEUE_DIR", "", 1);
  EXPECT_EQ(MadeByMqOpen(), "robust");
  EXPECT_STREQ(QueueDirectory(), "/dev/shm");
  setenv("IPCMARK_QUEUE_DIR", before.c_str(), 1);
}

TEST_F(PolicyTest, WhoOpensAQueueTakesItsPolicy) {
  for (const Policy policy : {Policy::kPosix, Policy::kRobust}) {
    absl::StatusOr<Queue> made = Queue::Open(name_, O_CREAT | O_EXCL | O_RDWR, 0600, {.policy = policy});
    ASSERT_TRUE(made.ok()) << made.status();
    setenv("IPCMARK_QUEUE_POLICY", policy == Policy::kPosix ? "robust" : "posix", 1);
    absl::StatusOr<Queue> opened = Queue::Open(name_, O_RDWR);
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(made->policy(), policy);
    EXPECT_EQ(opened->policy(), policy);
    ASSERT_TRUE(opened->Send({}).ok());
    EXPECT_EQ(made->count(), 1U);
    ASSERT_TRUE(Queue::Unlink(name_).ok());
  }
}

TEST_F(PolicyTest, APolicyThatThereIsNotIsAnError) {
  EXPECT_FALSE(Queue::Open(name_, O_CREAT | O_RDWR, 0600, {.policy = static_cast<Policy>(2)}).ok());
}

}  // namespace
}  // namespace ipcmark::mmap_queue

namespace ipcmark::conformance {
INSTANTIATE_TYPED_TEST_SUITE_P(PosixPolicy, Conformance, mmap_queue::PosixChannel);
}  // namespace ipcmark::conformance
